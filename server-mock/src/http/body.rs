//! Bodies of answers: whole, cut off on purpose, or coming piece by piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

/// The body of an answer.
pub enum Body {
    /// All of it.
    Full(Bytes),
    /// Its beginning, although the whole length is promised; then the connection breaks.
    Cut(Box<(Bytes, u64)>),
    /// About to break off: what was written before is sent first.
    Breaking,
    /// Broken off.
    Broken,
    /// As it comes.
    Stream(Receiver<Bytes>),
}

impl Body {
    /// All of it.
    pub fn full(bytes: Vec<u8>) -> Body {
        Body::Full(bytes.into())
    }

    /// Breaks off after so many bytes, if there are more.
    pub fn cut(self, after: usize) -> Body {
        match self {
            Body::Full(bytes) if bytes.len() > after => {
                let whole = bytes.len() as u64;
                Body::Cut(Box::new((bytes.slice(..after), whole)))
            }
            other => other,
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Body::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Body::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Body::Cut(cut) => {
                let beginning = std::mem::take(&mut cut.0);
                *self = Body::Breaking;
                Poll::Ready(Some(Ok(Frame::data(beginning))))
            }
            Body::Breaking => {
                *self = Body::Broken;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Body::Broken => Poll::Ready(Some(Err(io::Error::other("cut off on purpose")))),
            Body::Stream(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Cut(cut) => SizeHint::with_exact(cut.1),
            Body::Breaking | Body::Broken | Body::Stream(_) => SizeHint::default(),
        }
    }
}
