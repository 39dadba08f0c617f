//! Sends requests to the collector.

use super::store::{FileLock, Ledger};
use crate::engine::{Answer, ConsentState, OutboxPermit, Permit, RecordRead, Refused, Request};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Sends requests, one at a time, on a thread of its own.
///
/// ```
/// use refrain::engine::Answer;
/// use refrain::native::{PendingRequest, Transport};
///
/// struct Printer;
///
/// impl Transport for Printer {
///     fn send(&mut self, request: PendingRequest<'_>) -> Answer {
///         // Resolve, connect, shake hands here: all that may take time and carries nothing of the person.
///         let Ok(open) = request.open() else { return Answer::Unreachable };
///         println!("{} bytes", open.body().len());
///         drop(open); // The last byte is out: a withdrawal need not wait for the answer.
///         Answer::Response { status: 200, retry_after: None, body: "1".into() }
///     }
/// }
/// ```
pub trait Transport: Send {
    /// Sends a request as `POST` with `Content-Type: application/json`, or as `GET` if it
    /// [`is_get`](PendingRequest::is_get), and waits for the response.
    ///
    /// Must not follow redirects, and must end on its own; a minute is long enough.
    fn send(&mut self, request: PendingRequest<'_>) -> Answer;

    /// The environment variable that names a proxy which cannot be used, if that is why nothing is sent.
    fn unusable_proxy(&self) -> Option<&'static str> {
        None
    }

    /// Why the peer of the request that has just failed is not believed to be the collector, if that is why. The app is
    /// told once.
    fn distrust(&self) -> Option<String> {
        None
    }

    /// Aborts the request in progress from another thread, if the transport supports that.
    fn breaker(&self) -> Option<Box<dyn Fn() + Send + Sync>> {
        None
    }
}

/// A request that may not be sent yet: its body is only available if consent still stands at that moment (C2, C5).
#[derive(Debug)]
pub struct PendingRequest<'a> {
    pub(super) url: &'a str,
    pub(super) job: Sendable,
    pub(super) ledger: &'a Ledger,
    pub(super) on_its_way: &'a Arc<OnItsWay>,
    pub(super) outcome: &'a mut Opening,
}

/// What a request needs to be redeemed.
#[derive(Debug)]
pub(super) enum Sendable {
    Records(Permit<Request>),
    Erasure(OutboxPermit),
}

impl Sendable {
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Records(permit) => permit.path(),
            Self::Erasure(permit) => permit.path(),
        }
    }
}

/// What came of [`PendingRequest::open`].
#[derive(Debug, Default)]
pub(super) enum Opening {
    /// Nobody asked.
    #[default]
    Never,
    Opened,
    Refused(RecordRead),
    /// A fence was not over in time.
    Busy,
}

impl PendingRequest<'_> {
    /// Where it goes. Contains no token and no id.
    pub fn url(&self) -> &str {
        self.url
    }

    /// Whether it only asks for something and has no body.
    pub fn is_get(&self) -> bool {
        self.body_len() == 0
    }

    /// The length of the body in bytes. The body itself is not available yet.
    pub fn body_len(&self) -> usize {
        match &self.job {
            Sendable::Records(permit) => permit.body_len(),
            Sendable::Erasure(permit) => permit.body_len(),
        }
    }

    /// Reads the consent record and, if it still allows it, returns the body. Call this once the connection is
    /// established, right before the first byte is written: a withdrawal waits until the returned value is dropped.
    ///
    /// # Errors
    /// [`Refused`]: nothing may be sent. The records have been dealt with; return any answer.
    pub fn open(self) -> Result<OpenRequest, Refused> {
        // First: whoever kills the permit after this waits for it.
        let on_its_way = OnItsWay::begin(self.on_its_way);
        let Ok((held, read)) = self.ledger.enter() else {
            *self.outcome = Opening::Busy;
            return Err(Refused);
        };
        let state = ConsentState::of(&read);
        let redeemed = match self.job {
            Sendable::Records(permit) => permit.redeem(&state),
            Sendable::Erasure(permit) => permit.redeem(&state),
        };
        match redeemed {
            Ok(request) => {
                *self.outcome = Opening::Opened;
                let sending = Sending { _held: held, _on_its_way: on_its_way };
                Ok(OpenRequest { body: request.body, sending })
            }
            Err(refused) => {
                *self.outcome = Opening::Refused(read);
                Err(refused)
            }
        }
    }
}

/// A request that may be sent now. Withdrawals in all processes on the data folder wait until this, or its [`Sending`],
/// is dropped.
pub struct OpenRequest {
    body: String,
    sending: Sending,
}

impl fmt::Debug for OpenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRequest").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl OpenRequest {
    /// The body: JSON text.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The body, and the guard to drop once the last byte of the body has been written.
    pub fn into_parts(self) -> (String, Sending) {
        (self.body, self.sending)
    }
}

/// Held while bytes are being written. Drop it after the last one, before waiting for the response.
#[derive(Debug)]
#[must_use = "dropping it says that the last byte is out"]
pub struct Sending {
    _held: Option<FileLock>,
    _on_its_way: BodyOnItsWay,
}

/// Whether a body is on its way out of this client. What a fence is to the processes on a data folder, this is where none
/// can stand: without a folder, and where a refusal could not be written.
#[derive(Debug, Default)]
pub(super) struct OnItsWay {
    is: Mutex<bool>,
    over: Condvar,
}

impl OnItsWay {
    fn begin(this: &Arc<Self>) -> BodyOnItsWay {
        this.set(true);
        BodyOnItsWay(Arc::clone(this))
    }

    fn set(&self, is: bool) {
        *self.is.lock().unwrap_or_else(PoisonError::into_inner) = is;
        self.over.notify_all();
    }

    /// Waits until none is.
    pub(super) fn wait_over(&self, timeout: Duration) {
        let is = self.is.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.over.wait_timeout_while(is, timeout, |is| *is));
    }
}

/// Until it is dropped, a body is on its way.
#[derive(Debug)]
struct BodyOnItsWay(Arc<OnItsWay>);

impl Drop for BodyOnItsWay {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
