//! Room for large bodies. As values they take up to fifty times what they take as text, so not many of them are looked
//! into at the same time, and those on threads of their own: small ones do not wait for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::brought::is_decoded;
use super::call::Call;
use crate::domain::wire::BODY_LIMIT;

/// Up to this size a body is small: what most clients send at a time, and more than anybody has to say who is not known.
pub const SMALL: usize = 64 * 1024;

/// What is left for large bodies, in bytes: one of the largest, or several of others.
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Room(Arc::new(Semaphore::new(BODY_LIMIT)))
    }
}

/// What a body takes of it, until this is dropped.
pub struct Part(OwnedSemaphorePermit);

/// Whether a call is large, or may be when it is unzipped.
pub fn is_large(call: &Call) -> bool {
    call.body.len() > SMALL || is_zipped(call)
}

/// Whether the records of a call are zipped still. Small ones are not, by now.
fn is_zipped(call: &Call) -> bool {
    is_decoded(&call.path) && !call.raw().content_encoding.is_empty()
}

impl Room {
    /// Takes what a large call needs. Who came before is served before; `None` when that takes too long.
    pub async fn part(&self, call: &Call, patience: Duration) -> Option<Part> {
        // What is zipped may become anything.
        let bytes = if is_zipped(call) { BODY_LIMIT } else { call.body.len().min(BODY_LIMIT) };
        let part = self.0.clone().acquire_many_owned(bytes as u32);
        Some(Part(tokio::time::timeout(patience, part).await.ok()?.ok()?))
    }
}

impl Part {
    /// Unzips the records of a call, and gives back what it does not need.
    pub fn unzip(&mut self, call: &mut Call) {
        if is_zipped(call) && call.unzip(BODY_LIMIT) {
            let rest = self.0.num_permits().saturating_sub(call.body.len());
            drop(self.0.split(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn call(body: Vec<u8>, encoding: &'static str) -> Call {
        let mut call = Call::asking("POST", "/track", body);
        if !encoding.is_empty() {
            call.headers.insert("content-encoding", encoding.parse().unwrap());
        }
        call
    }

    /// Virtual time goes on where all only wait.
    #[tokio::test(start_paused = true)]
    async fn large_bodies_wait_for_each_other_and_not_for_ever() {
        let room = Room::default();
        let large = call(vec![b' '; BODY_LIMIT - 2 * SMALL], "");
        let first = room.part(&large, PATIENCE).await.unwrap();
        let (other, third) = (call(vec![b' '; SMALL + 1], ""), call(vec![b' '; SMALL], ""));
        let second = room.part(&other, PATIENCE).await;
        assert!(second.is_some(), "there is room for it beside the first");
        assert!(is_large(&other) && !is_large(&third));
        assert!(room.part(&other, PATIENCE).await.is_none());
        let waiting = async { room.part(&other, PATIENCE).await.is_some() };
        let ending = async { drop(second) };
        assert!(tokio::join!(waiting, ending).0);
        drop(first);
        assert!(room.part(&large, PATIENCE).await.is_some());
    }

    #[tokio::test]
    async fn what_is_zipped_takes_all_of_it_until_it_is_known_how_large_it_is() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![b' '; 2 * SMALL]).unwrap();
        let mut zipped = call(encoder.finish().unwrap(), "gzip");
        assert!(!zipped.unzip(SMALL) && is_large(&zipped));
        let room = Room::default();
        let mut part = room.part(&zipped, PATIENCE).await.unwrap();
        assert_eq!(room.0.available_permits(), 0);
        part.unzip(&mut zipped);
        assert_eq!((zipped.body.len(), room.0.available_permits()), (2 * SMALL, BODY_LIMIT - 2 * SMALL));
        drop(part);
        assert_eq!(room.0.available_permits(), BODY_LIMIT);
    }
}
