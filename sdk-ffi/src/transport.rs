//! What the host implements (its HTTP client and a log), and what it is given for that.

use crate::exchange::Exchange;
use crate::state::Consent;
use std::fmt;
use std::sync::Arc;

/// The host's HTTP client, and its log.
#[uniffi::export(foreign)]
pub trait HttpTransport: Send + Sync {
    /// Sends one request and returns its answer. Called on a thread of its own, without a lock held, and one call at a
    /// time: before the next call, this one has returned or was asked to [`cancel`](Self::cancel).
    ///
    /// In this order: connect to [`HttpRequest::url`]; take the body with [`HttpRequest::open`], and give up if there
    /// is none; write headers and body of a `POST`, or the headers of a `GET` if the body is empty; call
    /// [`HttpRequest::started`]; read the response, without following redirects. A withdrawal waits for the request
    /// between `open` and `started`, so do not wait for anything else there. An HTTP client that has to know its method
    /// or headers before it connects asks [`HttpRequest::body_length`].
    ///
    /// # Errors
    /// Anything the host throws counts as a network failure: the records are kept and sent later.
    fn send(&self, request: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError>;

    /// Aborts the request in progress, if the platform can; its answer no longer matters. Called from another thread
    /// than [`send`](Self::send). Must not wait for anything.
    ///
    /// A request that has its body and is not aborted keeps a withdrawal waiting until [`HttpRequest::started`] is
    /// called or `send` has returned; after five seconds the withdrawal ends with
    /// [`ConsentError::NotFenced`](crate::ConsentError::NotFenced). One minute after it began, the request is
    /// abandoned.
    ///
    /// # Errors
    /// Ignored.
    fn cancel(&self) -> Result<(), TransportError>;

    /// A message for the developer's log, without anything that was recorded: for example that the collector refuses
    /// this client, or that the store fails. Called on a thread of its own.
    ///
    /// # Errors
    /// Ignored.
    fn notice(&self, text: String) -> Result<(), TransportError>;

    /// Reports the state of consent once the store has been read, and again whenever the decision or the verdict
    /// changes, here or in another process on the folder. Called on a thread of its own.
    ///
    /// # Errors
    /// Ignored.
    fn consent_changed(&self, consent: Consent) -> Result<(), TransportError>;
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum HttpAnswer {
    /// There was a response.
    Response {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header in seconds. If it is a date, the host counts from the response's `Date`.
        retry_after: Option<String>,
        /// The body; the first 64 KiB are enough.
        body: String,
    },
    /// No connection, or it broke. Also if [`HttpRequest::open`] returned no body.
    Unreachable,
    /// No response in time.
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

/// One request, for the host to send.
///
/// It only passes the host's calls on to the request thread, which holds the permit and the sending lock. Once
/// [`HttpTransport::send`] has returned, the request returns nothing any more.
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

    /// The number of bytes that [`open`](Self::open) will return; 0 means `GET`.
    pub fn body_length(&self) -> u64 {
        self.body_length
    }

    /// The body, if it may be sent at this moment: consent is read again here. Returned once only. From now until
    /// [`started`](Self::started), withdrawals by any process on the folder wait for this request.
    pub fn open(&self) -> Option<Vec<u8>> {
        self.exchange.open()
    }

    /// Reports that headers and body have been written, or will not be.
    pub fn started(&self) {
        self.exchange.started();
    }
}
