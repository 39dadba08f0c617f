//! A collector that takes everything, and counts which records have arrived.

use flate2::read::GzDecoder;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

pub struct Collector {
    pub url: String,
    arrived: Arc<Mutex<BTreeSet<usize>>>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let arrived: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
        let shared = Arc::clone(&arrived);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || while serve(&stream, &shared).is_some() {});
            }
        });
        Self { url, arrived }
    }

    /// Forgets what has arrived.
    pub fn clear(&self) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many different records have arrived.
    pub fn count(&self) -> usize {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn serve(mut stream: &TcpStream, arrived: &Mutex<BTreeSet<usize>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut gzip, mut chunked) = (0, false, false);
    let mut first = true;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() && !first {
            break;
        }
        first = false;
        match line.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().ok()?,
            Some(("content-encoding", value)) => gzip = value.trim() == "gzip",
            Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    if chunked {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).ok()? + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..chunk.len() - 2]);
            if chunk.len() == 2 {
                break;
            }
        }
    } else {
        reader.read_exact(&mut body).ok()?;
    }
    let mut text = Vec::new();
    if gzip {
        GzDecoder::new(&body[..]).read_to_end(&mut text).ok()?;
    } else {
        text = body;
    }
    let text = String::from_utf8_lossy(&text);
    let numbers = text.split("bench_number\":").skip(1).filter_map(|rest| {
        let digits: String = rest.trim_start_matches('"').chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    });
    arrived.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
    let answer = "{\"status\":1,\"error\":null}";
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    )
    .ok()
}
