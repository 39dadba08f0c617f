//! The host's HTTP client as the core's transport.

use crate::exchange::{Exchange, lock};
use crate::gate::Gate;
use crate::transport::{HttpAnswer, HttpRequest, HttpTransport};
use refrain::engine::{Answer, Notice};
use refrain::native::{PendingRequest, PerProcess, Transport};
use std::io;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

/// How long a whole request may take. Hosts limit how long nothing comes, which a peer that sends a byte now and then
/// makes last for days; and no other request leaves meanwhile.
const WHOLE: Duration = Duration::from_secs(60);
/// How long is waited for the host to break off, and for its code to come back after that.
const LEAVING: Duration = Duration::from_secs(2);
/// How long it has until it is asked once more: the first time it may not have begun yet.
const ASKING: Duration = Duration::from_millis(50);

/// What every thread of the clients' passes on its way into the host's code.
static GATE: Gate = Gate::new();
/// What [`detach`] has to break off. In a forked child the parent's locks may be held for ever.
static LINES: PerProcess<Mutex<Vec<Weak<Line>>>> = PerProcess::new();

/// Keeps all threads of the clients' out of the host's code, for good, and waits until none is in it.
pub(crate) fn detach() {
    GATE.close();
    let lines: Vec<_> = lock(LINES.get()).iter().filter_map(Weak::upgrade).collect();
    for line in &lines {
        line.cancel();
    }
    let mut tries = LEAVING.as_millis() / ASKING.as_millis();
    while !GATE.wait_empty(ASKING) && tries > 0 {
        for line in lines.iter().filter(|line| !line.inside.wait_empty(Duration::ZERO)) {
            line.host.cancel(ASKING, None);
        }
        tries -= 1;
    }
}

/// The host's client, as the core sees it.
#[derive(Clone)]
pub(crate) struct HostTransport(Arc<Line>);

struct Line {
    host: Arc<Host>,
    /// What is under way.
    current: Mutex<Option<Arc<Exchange>>>,
    /// Threads that are in the host's code.
    inside: Arc<Gate>,
    /// How long an exchange may take.
    patience: Duration,
}

/// The host's object. To let go of it is to call the host's code too, and whichever thread is last does it.
struct Host {
    object: Option<Arc<dyn HttpTransport>>,
    gate: &'static Gate,
}

impl Host {
    /// Calls the host. What it throws or panics with is nothing.
    fn call<T>(&self, call: impl FnOnce(&dyn HttpTransport) -> T) -> Option<T> {
        let object = self.object.as_deref()?;
        panic::catch_unwind(AssertUnwindSafe(|| call(object))).ok()
    }

    /// Has the host break off, and the exchange after it: while the host may still write, the sending lock is held.
    /// On a thread of its own, because one that does not come back, or waits for what the caller holds, must not keep a
    /// refusal from the disk nor a program from its end.
    fn cancel(self: &Arc<Self>, patience: Duration, exchange: Option<Arc<Exchange>>) {
        let asking = Arc::new(Gate::default());
        let visit = Gate::enter(asking.clone());
        let host = Arc::clone(self);
        let run = move || {
            host.call(|host| host.cancel());
            drop(host);
            if let Some(exchange) = exchange {
                exchange.break_off();
            }
            drop(visit);
        };
        // Where there are no threads to be had, the exchange ends by its own time-out.
        if aside(Box::new(run)).is_ok() {
            asking.wait_empty(patience);
        }
    }
}

/// Runs the host's code on a thread of its own.
fn aside(run: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    thread::Builder::new().name("refrain-host".into()).spawn(run).map(drop)
}

impl Drop for Host {
    fn drop(&mut self) {
        let object = self.object.take();
        match Gate::enter(self.gate) {
            Some(_visit) => drop(object),
            // Its runtime ends, and everything in it.
            None => mem::forget(object),
        }
    }
}

impl HostTransport {
    pub(crate) fn new(host: Arc<dyn HttpTransport>) -> Self {
        let transport = Self::behind(&GATE, host, WHOLE);
        let mut lines = lock(LINES.get());
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&transport.0));
        drop(lines);
        transport
    }

    fn behind(gate: &'static Gate, host: Arc<dyn HttpTransport>, patience: Duration) -> Self {
        let host = Arc::new(Host { object: Some(host), gate });
        Self(Arc::new(Line { host, current: Mutex::default(), inside: Arc::default(), patience }))
    }

    /// Has the host log something, or hear where consent stands. Who comes too late is not heard.
    pub(crate) fn tell(&self, notice: &Notice) {
        if matches!(notice, Notice::Settled { .. }) {
            return; // the call says so
        }
        if let Some(_visit) = Gate::enter(self.0.host.gate) {
            self.0.host.call(|host| match notice {
                Notice::ConsentChanged(consent) => host.consent_changed((*consent).into()),
                notice => host.notice(notice.to_string()),
            });
        }
    }

    /// Has the host break off, and waits until no thread that sends is in the host's code. A host such as Python's needs a
    /// second for the first of both, and must not be left with a thread of the library's inside.
    pub(crate) fn leave(&self) {
        self.0.cancel();
        self.0.inside.wait_empty(LEAVING);
    }

    /// Has the host carry out a request. `open` redeems its permit and gives out the body with what holds the
    /// sending lock; it runs on this thread, while the host's code runs on one of its own: the permit and the lock
    /// never leave this one, and a host that hangs can be left behind.
    fn exchange<G>(
        &self,
        url: String,
        body_length: u64,
        open: impl FnOnce() -> Option<(Vec<u8>, G)>,
    ) -> HttpAnswer {
        let exchange = Arc::new(Exchange::default());
        *lock(&self.0.current) = Some(exchange.clone());
        let answer = match self.0.begin(url, body_length, exchange.clone()) {
            Ok(()) => exchange.serve(self.0.patience, open, || self.0.break_off()),
            Err(_) => HttpAnswer::Unreachable,
        };
        lock(&self.0.current).take();
        answer
    }
}

impl Line {
    /// Starts the host's code on a thread of its own.
    fn begin(&self, url: String, body_length: u64, exchange: Arc<Exchange>) -> io::Result<()> {
        let visits = Gate::enter(self.host.gate).zip(Gate::enter(self.inside.clone()));
        let visits = visits.ok_or(io::ErrorKind::Interrupted)?;
        let request = Arc::new(HttpRequest::new(url, body_length, exchange.clone()));
        let host = Arc::clone(&self.host);
        aside(Box::new(move || {
            let answer = host.call(|host| host.send(request)).and_then(Result::ok);
            let answer = answer.unwrap_or(HttpAnswer::Unreachable);
            let gate = host.gate;
            // Out of the host's code is who holds nothing of the host's.
            drop(host);
            drop(visits);
            // One whose runtime ends may have come home while it still writes. Its lock goes with the process.
            if answer != HttpAnswer::Unreachable || Gate::enter(gate).is_some() {
                exchange.end(answer);
            }
        }))
    }

    /// Breaks off what is under way, unless the host's runtime ends.
    fn break_off(&self) {
        if let Some(_visit) = Gate::enter(self.host.gate) {
            self.cancel();
        }
    }

    /// Breaks off what is under way. Called by a thread that may be in the host's code.
    fn cancel(&self) {
        if let Some(exchange) = lock(&self.current).take() {
            self.host.cancel(LEAVING, Some(exchange));
        }
    }
}

impl Transport for HostTransport {
    fn send(&mut self, request: PendingRequest<'_>) -> Answer {
        let url = request.url().to_owned();
        let body_length = request.body_len() as u64;
        let answer = self.exchange(url, body_length, || {
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
        Some(Box::new(move || line.break_off()))
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

        fn notice(&self, _: String) -> Result<(), TransportError> {
            Ok(())
        }

        fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
            Ok(())
        }
    }

    fn host<F>(behaviour: F) -> HostTransport
    where
        F: Fn(Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> + Send + Sync + 'static,
    {
        HostTransport::new(Arc::new(Host(behaviour)))
    }

    fn run(host: &HostTransport, guard: Arc<()>) -> HttpAnswer {
        host.exchange("http://collector/track".into(), 2, || Some((b"[]".to_vec(), guard)))
    }

    #[test]
    fn a_body_is_given_out_once() {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = bodies.clone();
        let host = host(move |request| {
            assert_eq!((request.url().as_str(), request.body_length()), ("http://collector/track", 2));
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

    /// A host that says when it is let go, and takes its time for that.
    struct LetGo(mpsc::Sender<()>, Duration);

    impl HttpTransport for LetGo {
        fn send(&self, _: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
            Ok(HttpAnswer::TimedOut)
        }

        fn cancel(&self) -> Result<(), TransportError> {
            Ok(())
        }

        fn notice(&self, _: String) -> Result<(), TransportError> {
            Ok(())
        }

        fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
            Ok(())
        }
    }

    impl Drop for LetGo {
        fn drop(&mut self) {
            thread::sleep(self.1);
            self.0.send(()).unwrap();
        }
    }

    fn gate() -> &'static Gate {
        Box::leak(Box::default())
    }

    #[test]
    fn a_thread_has_left_when_it_holds_nothing_of_the_host() {
        let (gate, (sender, let_go)) = (gate(), mpsc::channel());
        let transport =
            HostTransport::behind(gate, Arc::new(LetGo(sender, Duration::from_millis(200))), WHOLE);
        let (line, host) = (Arc::downgrade(&transport.0), Arc::downgrade(&transport.0.host));
        let inside = transport.0.inside.clone();
        transport.0.begin(String::new(), 0, Arc::default()).unwrap();
        drop(transport);
        assert!(line.upgrade().is_none());
        assert!(inside.wait_empty(LEAVING) && gate.wait_empty(LEAVING));
        assert_eq!((host.strong_count(), let_go.try_recv()), (0, Ok(())));
    }

    #[test]
    fn a_host_whose_runtime_ends_is_neither_called_nor_let_go() {
        let (gate, (sender, let_go)) = (gate(), mpsc::channel());
        let transport = HostTransport::behind(gate, Arc::new(LetGo(sender, Duration::ZERO)), WHOLE);
        gate.close();
        assert_eq!(run(&transport, Arc::new(())), HttpAnswer::Unreachable);
        drop(transport);
        assert_eq!(let_go.try_recv(), Err(mpsc::TryRecvError::Empty));
        assert!(gate.wait_empty(Duration::ZERO));
    }

    #[test]
    fn what_comes_home_because_its_runtime_ends_lets_go_of_no_lock() {
        /// Writes, and comes home before it has written.
        struct Leaves(Mutex<mpsc::Sender<Arc<HttpRequest>>>, Mutex<mpsc::Receiver<()>>);

        impl HttpTransport for Leaves {
            fn send(&self, request: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
                request.open();
                lock(&self.0).send(request).unwrap();
                let _ = lock(&self.1).recv();
                Ok(HttpAnswer::Unreachable)
            }

            fn cancel(&self) -> Result<(), TransportError> {
                Ok(())
            }

            fn notice(&self, _: String) -> Result<(), TransportError> {
                Ok(())
            }

            fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
                Ok(())
            }
        }

        let (gate, (begun, begins), (go, goes)) = (gate(), mpsc::channel(), mpsc::channel());
        let transport =
            HostTransport::behind(gate, Arc::new(Leaves(Mutex::new(begun), Mutex::new(goes))), WHOLE);
        let guard = Arc::new(());
        thread::scope(|scope| {
            let running = scope.spawn(|| run(&transport, guard.clone()));
            let request = begins.recv().unwrap();
            gate.close();
            transport.0.cancel();
            drop(go);
            assert!(gate.wait_empty(LEAVING));
            request.open(); // is answered after it has come home
            let held = Arc::strong_count(&guard);
            request.started();
            assert_eq!((running.join().unwrap(), held), (HttpAnswer::Unreachable, 2));
        });
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

    #[test]
    fn a_host_that_never_breaks_off_holds_up_nobody() {
        /// Writes, and cannot be broken off.
        struct Stuck(Mutex<mpsc::Sender<()>>, Mutex<mpsc::Receiver<()>>);

        impl HttpTransport for Stuck {
            fn send(&self, request: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
                request.open();
                lock(&self.0).send(()).unwrap();
                self.cancel().map(|()| HttpAnswer::Unreachable)
            }

            fn cancel(&self) -> Result<(), TransportError> {
                let _ = lock(&self.1).recv();
                Ok(())
            }

            fn notice(&self, _: String) -> Result<(), TransportError> {
                Ok(())
            }

            fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
                Ok(())
            }
        }

        let ((begun, begins), (go, goes)) = (mpsc::channel(), mpsc::channel());
        let transport = HostTransport::new(Arc::new(Stuck(Mutex::new(begun), Mutex::new(goes))));
        let guard = Arc::new(());
        thread::scope(|scope| {
            let running = scope.spawn(|| run(&transport, guard.clone()));
            begins.recv().unwrap();
            transport.0.break_off();
            // It may still write: whoever withdraws is to wait for it, and to hear that it has not let go.
            assert!(Arc::strong_count(&guard) > 1);
            drop(go);
            assert_eq!(running.join().unwrap(), HttpAnswer::Unreachable);
        });
    }

    #[test]
    fn a_host_that_does_not_break_off_keeps_the_lock_until_it_has_written() {
        let ((begun, begins), (go, goes), (never, hang)) =
            (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let channels = Mutex::new((begun, goes, hang));
        let (guard, held) = (Arc::new(()), Arc::new(Mutex::new(0)));
        let (counter, count) = (guard.clone(), held.clone());
        let transport = host(move |request| {
            let (begun, goes, hang) = &*lock(&channels);
            request.open();
            begun.send(()).unwrap();
            let _: Result<(), _> = goes.recv();
            request.open(); // is answered after it was broken off
            *lock(&count) = Arc::strong_count(&counter);
            request.started();
            let _: Result<(), _> = hang.recv();
            Ok(HttpAnswer::TimedOut)
        });
        thread::scope(|scope| {
            let running = scope.spawn(|| run(&transport, guard.clone()));
            begins.recv().unwrap();
            transport.0.break_off();
            drop(go);
            // Its answer is waited for no longer.
            assert_eq!(running.join().unwrap(), HttpAnswer::Unreachable);
        });
        // Here, with the host, and where the lock is held.
        assert_eq!(*lock(&held), 3);
        drop(never);
    }

    #[test]
    fn an_exchange_that_takes_too_long_is_broken_off_while_the_lock_is_held() {
        struct Drips(mpsc::Sender<usize>, Arc<()>, Mutex<mpsc::Receiver<()>>);

        impl HttpTransport for Drips {
            fn send(&self, request: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
                request.open();
                let _ = lock(&self.2).recv();
                Ok(HttpAnswer::TimedOut)
            }

            fn cancel(&self) -> Result<(), TransportError> {
                self.0.send(Arc::strong_count(&self.1)).unwrap();
                Ok(())
            }

            fn notice(&self, _: String) -> Result<(), TransportError> {
                Ok(())
            }

            fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
                Ok(())
            }
        }

        let (guard, (sender, cancelled), (never, hang)) = (Arc::new(()), mpsc::channel(), mpsc::channel());
        let host = Arc::new(Drips(sender, guard.clone(), Mutex::new(hang)));
        let transport = HostTransport::behind(gate(), host, Duration::from_millis(1));
        assert_eq!(run(&transport, guard.clone()), HttpAnswer::TimedOut);
        // Here, with the host, and where the lock is held.
        assert_eq!(cancelled.recv(), Ok(3));
        drop(never);
    }
}
