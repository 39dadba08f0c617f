//! Bodies of answers: whole, cut off on purpose, or coming piece by piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::limit::Slot;

/// What is handed to the connection at a time, so that a body has not ended before nearly all of it is sent.
const FRAME: usize = 64 * 1024;

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
    /// The first so many bytes of what comes; then the connection breaks.
    CutStream(Box<(Receiver<Bytes>, usize)>),
    /// Another one, and its place among those that are answered at the same time.
    Held(Box<(Body, Slot)>),
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
            Body::Stream(pieces) => Body::CutStream(Box::new((pieces, after))),
            Body::Held(held) => held.0.cut(after).held(held.1),
            other => other,
        }
    }

    /// Gives a place back when this ends or is given up.
    pub fn held(self, slot: Slot) -> Body {
        Body::Held(Box::new((self, slot)))
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
            Body::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes.split_to(bytes.len().min(FRAME)))))),
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
            Body::CutStream(cut) => {
                let (pieces, left) = &mut **cut;
                let piece = std::task::ready!(pieces.poll_recv(context));
                let piece = piece.map(|mut bytes| {
                    bytes.truncate(*left);
                    *left -= bytes.len();
                    Ok(Frame::data(bytes))
                });
                if *left == 0 {
                    *self = Body::Breaking;
                }
                Poll::Ready(piece)
            }
            Body::Held(held) => Pin::new(&mut held.0).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Full(bytes) => bytes.is_empty(),
            Body::Held(held) => held.0.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Cut(cut) => SizeHint::with_exact(cut.1),
            Body::Held(held) => held.0.size_hint(),
            Body::Breaking | Body::Broken | Body::Stream(_) | Body::CutStream(_) => SizeHint::default(),
        }
    }
}
