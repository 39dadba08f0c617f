//! The host's HTTP client as the core's transport.

use crate::exchange::{Exchange, lock};
use crate::transport::{HttpAnswer, HttpRequest, HttpTransport};
use refrain::engine::Answer;
use refrain::native::{PendingRequest, Transport};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// How long a client that ends waits for the host's code to come back after it was asked to break off.
const LEAVING: Duration = Duration::from_secs(2);

/// The host's client, as the core sees it.
#[derive(Clone)]
pub(crate) struct HostTransport(Arc<Line>);

struct Line {
    host: Arc<dyn HttpTransport>,
    /// What is under way.
    current: Mutex<Option<Arc<Exchange>>>,
    /// Threads that are in the host's code.
    inside: Mutex<usize>,
    left: Condvar,
}

impl HostTransport {
    pub(crate) fn new(host: Arc<dyn HttpTransport>) -> Self {
        Self(Arc::new(Line {
            host,
            current: Mutex::default(),
            inside: Mutex::default(),
            left: Condvar::new(),
        }))
    }

    /// Has the host break off, and waits until no thread is in the host's code: afterwards its runtime may end.
    pub(crate) fn leave(&self) {
        self.0.cancel();
        let inside = lock(&self.0.inside);
        drop(self.0.left.wait_timeout_while(inside, LEAVING, |inside| *inside > 0));
    }

    /// Has the host carry out a request. `open` redeems its permit and gives out the body with what holds the
    /// sending lock; it runs on this thread, while the host's code runs on one of its own: the permit and the lock
    /// never leave this one, and a host that hangs can be left behind.
    fn exchange<G>(&self, url: String, open: impl FnOnce() -> Option<(Vec<u8>, G)>) -> HttpAnswer {
        let exchange = Arc::new(Exchange::default());
        *lock(&self.0.current) = Some(exchange.clone());
        let answer = match self.0.begin(url, exchange.clone()) {
            Ok(()) => exchange.serve(open),
            Err(_) => HttpAnswer::Unreachable,
        };
        lock(&self.0.current).take();
        answer
    }
}

impl Line {
    /// Starts the host's code on a thread of its own.
    fn begin(self: &Arc<Self>, url: String, exchange: Arc<Exchange>) -> io::Result<()> {
        let request = Arc::new(HttpRequest::new(url, exchange.clone()));
        let line = Arc::clone(self);
        let run = move || {
            let answer = panic::catch_unwind(AssertUnwindSafe(|| line.host.send(request)));
            *lock(&line.inside) -= 1;
            line.left.notify_all();
            exchange.end(answer.ok().and_then(Result::ok).unwrap_or(HttpAnswer::Unreachable));
        };
        *lock(&self.inside) += 1;
        let begun = thread::Builder::new().name("refrain-host".into()).spawn(run).map(drop);
        if begun.is_err() {
            *lock(&self.inside) -= 1;
        }
        begun
    }

    fn cancel(&self) {
        let Some(exchange) = lock(&self.current).take() else { return };
        // First the host, then the exchange: while the host may still write, the sending lock is held.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| self.host.cancel()));
        exchange.end(HttpAnswer::Unreachable);
    }
}

impl Transport for HostTransport {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        let url = request.url().to_owned();
        let answer = self.exchange(url, || {
            let (body, sending) = request.open().ok()?.into_parts();
            Some((body.into_bytes(), sending))
        });
        match answer {
            HttpAnswer::Response { status, retry_after, body } => {
                Answer::Response { status, retry_after, body }
            }
            HttpAnswer::Unreachable => Answer::Unreachable,
            HttpAnswer::TimedOut => Answer::TimedOut,
        }
    }

    fn breaker(&self) -> Option<Box<dyn Fn() + Send + Sync>> {
        let line = Arc::clone(&self.0);
        Some(Box::new(move || line.cancel()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::TransportError;
    use std::sync::mpsc;

    /// A host whose behaviour is a function.
    struct Host<F>(F);

    impl<F> HttpTransport for Host<F>
    where
        F: Fn(Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> + Send + Sync,
    {
        fn send(&self, request: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
            self.0(request)
        }

        fn cancel(&self) -> Result<(), TransportError> {
            Err(TransportError::Failed { reason: "not looked at".into() })
        }
    }

    fn host<F>(behaviour: F) -> HostTransport
    where
        F: Fn(Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> + Send + Sync + 'static,
    {
        HostTransport::new(Arc::new(Host(behaviour)))
    }

    fn run(host: &HostTransport, guard: Arc<()>) -> HttpAnswer {
        host.exchange("http://collector/track".into(), || Some((b"[]".to_vec(), guard)))
    }

    #[test]
    fn a_body_is_given_out_once() {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = bodies.clone();
        let host = host(move |request| {
            assert_eq!(request.url(), "http://collector/track");
            seen.lock().unwrap().extend([request.open(), request.open()]);
            request.started();
            Ok(HttpAnswer::TimedOut)
        });
        assert_eq!(run(&host, Arc::new(())), HttpAnswer::TimedOut);
        assert_eq!(*bodies.lock().unwrap(), [Some(b"[]".to_vec()), None]);
    }

    #[test]
    fn the_lock_is_held_from_open_to_started() {
        let guard = Arc::new(());
        let (counter, counts) = (guard.clone(), Arc::new(Mutex::new(Vec::new())));
        let seen = counts.clone();
        let host = host(move |request| {
            request.open();
            let held = Arc::strong_count(&counter);
            request.started();
            request.open(); // is answered after `started` has been heard
            lock(&seen).extend([held, Arc::strong_count(&counter)]);
            Ok(HttpAnswer::Unreachable)
        });
        run(&host, guard);
        assert_eq!(*lock(&counts), [2, 1]);
    }

    #[test]
    fn the_lock_is_let_go_at_the_latest_with_the_answer() {
        let guard = Arc::new(());
        let host = host(|request| {
            request.open();
            Ok(HttpAnswer::Unreachable)
        });
        run(&host, guard.clone());
        assert_eq!(Arc::strong_count(&guard), 1);
    }

    #[test]
    fn a_request_that_was_kept_gives_out_nothing() {
        let kept = Arc::new(Mutex::new(None));
        let keep = kept.clone();
        let host = host(move |request| {
            *keep.lock().unwrap() = Some(request);
            Ok(HttpAnswer::Unreachable)
        });
        run(&host, Arc::new(()));
        let request: Arc<HttpRequest> = kept.lock().unwrap().take().unwrap();
        assert_eq!(request.open(), None);
        request.started();
    }

    #[test]
    fn a_host_that_throws_or_panics_is_a_network_that_failed() {
        let throws = host(|_| Err(TransportError::Failed { reason: "no".into() }));
        let panics = host(|_| panic!("a bug in the host"));
        for host in [throws, panics] {
            assert_eq!(run(&host, Arc::new(())), HttpAnswer::Unreachable);
        }
    }

    #[test]
    fn a_host_that_hangs_is_left_behind() {
        let (asked, hang) = (mpsc::channel(), mpsc::channel::<()>());
        let (asked_send, hang_receive) = (Mutex::new(asked.0), Mutex::new(hang.1));
        let (late_send, late) = mpsc::channel();
        let late_send = Mutex::new(late_send);
        let transport = host(move |request| {
            lock(&asked_send).send(()).unwrap();
            let _ = lock(&hang_receive).recv();
            lock(&late_send).send(request.open()).unwrap();
            Ok(HttpAnswer::TimedOut)
        });
        let cancel = transport.breaker().unwrap();
        thread::scope(|scope| {
            let running = scope.spawn(|| run(&transport, Arc::new(())));
            asked.1.recv().unwrap();
            cancel();
            assert_eq!(running.join().unwrap(), HttpAnswer::Unreachable);
        });
        drop(hang.0);
        assert_eq!(late.recv().unwrap(), None);
    }
}
