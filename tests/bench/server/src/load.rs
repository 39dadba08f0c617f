//! The load: as much as the server takes, or at a fixed rate.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::connection::Connection;

/// Connections at a time.
pub const CONNECTIONS: usize = 24;

/// Sends all requests, each connection the next one as soon as it has its answer. Answers how long that took.
pub fn as_fast_as_it_goes(to: SocketAddr, requests: &[Vec<u8>]) -> Result<Duration> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    each_connection(to, |connection, _| {
        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            connection.send_well(request)?;
        }
        Ok(())
    })?;
    Ok(begun.elapsed())
}

/// Sends `rate` requests a second, whether or not the ones before were answered, as far as the connections allow. Answers
/// how long each took, counted from when it was due: a server that stalls is not spared what piled up meanwhile.
pub fn at_a_rate(to: SocketAddr, requests: &[Vec<u8>], rate: u32) -> Result<Vec<Duration>> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let taken = each_connection(to, |connection, taken| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = requests.get(number) else { return Ok(()) };
            let due = begun + Duration::from_secs(1) * number as u32 / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            connection.send_well(request)?;
            taken.push(due.elapsed());
        }
    })?;
    Ok(taken)
}

fn each_connection(
    to: SocketAddr,
    work: impl Fn(&mut Connection, &mut Vec<Duration>) -> Result<()> + Sync,
) -> Result<Vec<Duration>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let mut taken = Vec::new();
                    work(&mut Connection::open(to)?, &mut taken)?;
                    Ok(taken)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let taken: Result<Vec<Duration>> =
                thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the load panicked")));
            all.extend(taken?);
        }
        Ok(all)
    })
}
