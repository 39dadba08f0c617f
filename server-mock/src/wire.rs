//! A connection below HTTP: what the HTTP library would refuse without a word is made good or answered, and a
//! connection can be ended with a reset, as by a machine that dies.

mod answer;
mod head;
mod target;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::core::Shared;
use crate::http::cors;
use head::Head;
use target::Line;

/// The name under which arrivals that are no requests are counted.
const UNREADABLE: &str = "a connection that carried no readable request";

/// What the connection and its requests tell each other.
#[derive(Debug, Default)]
pub struct Ties {
    /// Set to end the connection with a reset instead of in order.
    pub reset: AtomicBool,
    begun: AtomicUsize,
    answered: AtomicUsize,
    is_unreadable: AtomicBool,
}

/// A request under way, until it is dropped.
pub struct Underway(Arc<Ties>);

impl Ties {
    /// A request has come.
    pub fn begin(self: &Arc<Ties>) -> Underway {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Underway(self.clone())
    }

    /// How many requests have come.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// Something has come that cannot be read as a request: it may have been about anybody. Connections end with that, so
    /// it is counted once.
    pub fn cannot_be_read(&self, shared: &Shared) {
        if !self.is_unreadable.swap(true, Ordering::Relaxed) {
            shared.arrive(UNREADABLE, vec![(None, 1)]);
        }
    }

    fn is_underway(&self) -> bool {
        self.begun() != self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection.
pub struct Wire {
    stream: TcpStream,
    ties: Arc<Ties>,
    shared: Arc<Shared>,
    line: Line,
    head: Head,
    /// How many requests there were when the last request line had passed.
    begun: usize,
    /// What was read and is not taken yet.
    incoming: Waiting,
    /// What was taken to be written and is not yet.
    outgoing: Waiting,
}

/// Bytes that wait to be passed on.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    at: usize,
}

impl Waiting {
    fn of(bytes: Vec<u8>) -> Waiting {
        Waiting { bytes, at: 0 }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

impl Wire {
    /// A connection, what it is told by its requests, and where it counts what is none.
    pub fn new(stream: TcpStream, ties: Arc<Ties>, shared: Arc<Shared>) -> Wire {
        Wire {
            stream,
            ties,
            shared,
            line: Line::default(),
            head: Head::default(),
            begun: 0,
            incoming: Waiting::default(),
            outgoing: Waiting::default(),
        }
    }

    fn is_reset(&self) -> bool {
        self.ties.reset.load(Ordering::Relaxed)
    }

    /// Hands over some of what waits.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) {
        let piece = self.incoming.rest();
        let piece = &piece[..piece.len().min(buffer.remaining())];
        buffer.put_slice(piece);
        self.incoming.at += piece.len();
    }

    fn poll_write_waiting(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.rest().is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.outgoing.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.at += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether these bytes are an answer without a word, in whose place a better one waits from here on.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        let better = if self.ties.is_underway() {
            None
        } else {
            answer::in_place_of(bytes, || {
                let config = self.shared.config();
                cors::headers(self.head.path(), self.head.origin(), config.server.cors_origins.as_deref())
            })
        };
        let replaces = better.is_some();
        if let Some(better) = better {
            // Before its client has the answer, and may look.
            self.ties.cannot_be_read(&self.shared);
            self.outgoing = Waiting::of(better);
        }
        replaces
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.is_reset() {
            // Without a time to linger, closing sends a reset. Where that fails, the end is an ordinary one.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.incoming.rest().is_empty() {
            self.hand_over(buffer);
            return Poll::Ready(Ok(()));
        }
        if self.line.has_passed() && self.ties.begun() != self.begun && !self.ties.is_underway() {
            // The request is read and answered: what comes now is the next one. Where a client sends both at once, its
            // second line goes as it is.
            (self.line, self.head) = (Line::default(), Head::default());
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.head.read(&buffer.filled()[before..]);
        if self.line.has_passed() {
            return Poll::Ready(Ok(()));
        }
        let encoded = self.line.encoded(&buffer.filled()[before..]);
        self.begun = self.ties.begun();
        if let Some(encoded) = encoded {
            buffer.set_filled(before);
            self.incoming = Waiting::of(encoded);
            self.hand_over(buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_write_waiting(context))?;
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_waiting(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_reset() {
            // Saying goodbye first would make it an ordinary end.
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_write_waiting(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_write_waiting(context))?;
        if let Some(first) = slices.iter().find(|slice| !slice.is_empty())
            && self.replaces(first)
        {
            return Poll::Ready(Ok(first.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
