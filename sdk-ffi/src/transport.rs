//! What the host implements: its HTTP client, and a log; and what it gets for that.

use crate::exchange::Exchange;
use crate::state::Consent;
use std::fmt;
use std::sync::Arc;

/// The host's HTTP client, and its log.
#[uniffi::export(foreign)]
pub trait HttpTransport: Send + Sync {
    /// Sends one request and returns its answer. Called on a thread of its own, without a lock held, and one call at a
    /// time: before the next one, this one has returned or was asked to [`cancel`](Self::cancel).
    ///
    /// In this order: connect to [`HttpRequest::url`]; take the body by [`HttpRequest::open`], and give up if there
    /// is none; write headers and body of a `POST`, or those of a `GET` if the body is empty; call
    /// [`HttpRequest::started`]; read the answer, without following redirects. Between `open` and `started` a withdrawal
    /// waits for the request, so nothing else may be waited for there. A client that has to know its method or its
    /// headers before it connects asks [`HttpRequest::body_length`].
    ///
    /// # Errors
    /// Whatever the host throws counts as a network failure: the records are kept and sent later.
    fn send(&self, request: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError>;

    /// Break off the request that is under way, where the platform can; its answer is of no interest any more.
    /// Called from another thread than [`send`](Self::send). Must not wait for anything.
    ///
    /// A request that has its body and is not broken off keeps a withdrawal waiting until [`HttpRequest::started`], or until
    /// `send` has returned; after five seconds that ends as [`ConsentError::NotFenced`](crate::ConsentError::NotFenced). A
    /// minute after its begin it is left behind.
    ///
    /// # Errors
    /// Not looked at.
    fn cancel(&self) -> Result<(), TransportError>;

    /// Something that a developer wants to find in a log, without anything that was recorded: that the collector refuses
    /// this client, or that the store fails. Called on a thread of its own.
    ///
    /// # Errors
    /// Not looked at.
    fn notice(&self, text: String) -> Result<(), TransportError>;

    /// Where consent stands: once the store has been read, and again whenever the decision or the verdict has changed, here
    /// or in another process on the folder. Called on a thread of its own.
    ///
    /// # Errors
    /// Not looked at.
    fn consent_changed(&self, consent: Consent) -> Result<(), TransportError>;
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum HttpAnswer {
    /// Somebody answered.
    Response {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header in seconds. Where it is a date, the host counts from the answer's `Date`.
        retry_after: Option<String>,
        /// The body; its first 64 KiB are plenty.
        body: String,
    },
    /// No connection, or it broke; also where [`HttpRequest::open`] gave no body.
    Unreachable,
    /// No answer in time.
    TimedOut,
}

/// A network failure that the host reports by throwing.
#[derive(Debug, uniffi::Error)]
pub enum TransportError {
    /// It failed.
    Failed {
        /// How. Not looked at.
        reason: String,
    },
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host's HTTP client failed")
    }
}

impl std::error::Error for TransportError {}

impl From<uniffi::UnexpectedUniFFICallbackError> for TransportError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: error.reason }
    }
}

/// One request, for the host to carry out.
///
/// It only passes the host's calls on to the request thread, which holds the permit and the sending lock: a request
/// whose [`HttpTransport::send`] has returned has nobody to call, and gives out nothing any more.
#[derive(uniffi::Object)]
pub struct HttpRequest {
    url: String,
    body_length: u64,
    exchange: Arc<Exchange>,
}

impl HttpRequest {
    pub(crate) fn new(url: String, body_length: u64, exchange: Arc<Exchange>) -> Self {
        Self { url, body_length, exchange }
    }
}

#[uniffi::export]
impl HttpRequest {
    /// Where it goes: a body is posted as `application/json`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// How many bytes the body has that [`open`](Self::open) gives out; 0 is a `GET`.
    pub fn body_length(&self) -> u64 {
        self.body_length
    }

    /// The body, if it may be sent at this moment: consent is read again here. Gives it out once. From now until
    /// [`started`](Self::started) a withdrawal, of any process on the folder, waits for this request.
    pub fn open(&self) -> Option<Vec<u8>> {
        self.exchange.open()
    }

    /// Headers and body are written, or will not be.
    pub fn started(&self) {
        self.exchange.started();
    }
}
