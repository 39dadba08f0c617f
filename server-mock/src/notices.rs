//! What the operator is told on stderr. Nobody has to read it: a thread of its own writes, and what it cannot keep up with is
//! dropped and counted, so that a pipe that is full holds up no request.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Notices that wait to be written, at most.
const WAITING: usize = 256;
/// How long the end waits for somebody who does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the operator something. A closed stderr is no reason to fail.
pub fn notice(text: &str) {
    if let Some(notices) = notices() {
        notices.tell(text);
    }
}

/// Waits until what was said is written, though not for ever.
pub fn finish() {
    if let Some(notices) = notices() {
        notices.finish(PATIENCE);
    }
}

/// The one of this process; `None` where the system gives it no thread.
fn notices() -> Option<&'static Notices> {
    static NOTICES: OnceLock<Option<Notices>> = OnceLock::new();
    NOTICES.get_or_init(|| Notices::start(io::stderr()).ok()).as_ref()
}

enum Message {
    Text(String),
    /// All that came before is written.
    Written(Sender<()>),
}

struct Notices {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Notices {
    fn start(out: impl Write + Send + 'static) -> io::Result<Notices> {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let dropped = lost.clone();
        std::thread::Builder::new().name("notices".into()).spawn(move || write(out, &receiver, &dropped))?;
        Ok(Notices { sender, lost })
    }

    fn tell(&self, text: &str) {
        if self.sender.try_send(Message::Text(text.to_owned())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn finish(&self, patience: Duration) {
        let (written, is_written) = mpsc::channel();
        if self.sender.try_send(Message::Written(written)).is_ok() {
            // Whoever does not read by then does not want to know.
            let _ = is_written.recv_timeout(patience);
        }
    }
}

fn write(mut out: impl Write, messages: &Receiver<Message>, lost: &AtomicU64) {
    for message in messages {
        match message {
            Message::Text(text) => {
                let _ = writeln!(out, "refrain-mock: {text}");
            }
            // Who waits may have gone.
            Message::Written(written) => drop(written.send(())),
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "refrain-mock: {lost} more notices were lost: nobody read them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that is full until somebody reads: each write waits for one to be allowed.
    struct Pipe {
        allowed: Receiver<()>,
        seen: Sender<Vec<u8>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let is_open = self.allowed.recv().is_ok() && self.seen.send(bytes.to_vec()).is_ok();
            if is_open { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_tells_something_does_not_wait_for_a_reader() {
        let ((allow, allowed), (seen, read)) = (mpsc::channel(), mpsc::channel());
        let notices = Notices::start(Pipe { allowed, seen }).unwrap();
        for n in 0..2 * WAITING {
            notices.tell(&format!("number {n}"));
        }
        notices.finish(Duration::ZERO);
        (0..10_000).for_each(|_| allow.send(()).unwrap());
        let mut text = String::new();
        while !text.contains("were lost") || !text.ends_with('\n') {
            text += std::str::from_utf8(&read.recv().unwrap()).unwrap();
        }
        assert!(text.starts_with("refrain-mock: number 0\n"), "{text}");
        notices.tell("and on");
        notices.finish(Duration::MAX);
        text.extend(read.try_iter().map(|piece| String::from_utf8(piece).unwrap()));
        assert!(text.ends_with("refrain-mock: and on\n"), "{text}");
        let written = text.matches("number").count();
        let lost: usize = text
            .split("refrain-mock: ")
            .filter_map(|line| line.split_once(" more notices")?.0.parse::<usize>().ok())
            .sum();
        assert_eq!(written + lost, 2 * WAITING);
    }
}
