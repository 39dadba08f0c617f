//! The thread that carries requests, so that a stalled one holds up nothing else.

use super::shared::{Core, RequestJob, Shared, State};
use super::store::{FileLock, Ledger};
use super::transport::{Opening, PendingRequest, Sendable, Transport};
#[cfg(feature = "http")]
use crate::engine::Notice;
use crate::engine::{Answer, Done, Input};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

pub(super) struct RequestThread {
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Box<dyn Transport>,
    pub(super) ledger: Ledger,
    pub(super) endpoint: String,
}

impl RequestThread {
    /// Serves until the threads are to end.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            shared.wait_broken_off();
            let nothing = |core: &mut Core| {
                let told = core.asking.is_some() && !core.engine.is_noting();
                core.requests.is_empty() && core.state == State::Running && !told
            };
            let waited = shared.request_wake.wait_while(shared.lock(), nothing);
            let mut core = waited.unwrap_or_else(PoisonError::into_inner);
            if core.state != State::Running || !core.engine.is_noting() {
                core.asking = None;
            }
            if core.state != State::Running {
                return;
            }
            let Some(job) = core.begin_request() else { continue };
            let mut asking = core.asking.take();
            drop(core);
            let op = job.op;
            let result = self.carry(job, &mut asking);
            let mut core = shared.lock();
            core.asking = asking;
            core.end_request();
            shared.handle(&mut core, shared.clock.now(), Input::Done { op, result });
            core.urgent = true;
            drop(core);
            shared.storage_wake.notify_one();
            shared.announce_progress();
        }
    }

    fn carry(&mut self, RequestJob { job, .. }: RequestJob, asking: &mut Option<FileLock>) -> Done {
        // Its own lock would stand in the way as another process's does.
        if let (Sendable::Erasure(_), None) = (&job, &asking) {
            match self.ledger.ask() {
                Ok(held) => *asking = held,
                // Another process asks; what it hears will stand in the record.
                Err(_) => return Done::Answered(Answer::Unreachable),
            }
        }
        let url = format!("{}{}", self.endpoint, job.path());
        let mut outcome = Opening::Never;
        let (ledger, on_its_way) = (&self.ledger, &self.shared.on_its_way);
        let request = PendingRequest { url: &url, job, ledger, on_its_way, outcome: &mut outcome };
        // The host's code may panic; its request has failed then, and its guard is dropped.
        let send = AssertUnwindSafe(|| self.transport.send(request));
        let answer = catch_unwind(send).unwrap_or(Answer::Unreachable);
        #[cfg(feature = "http")]
        if let Some(why) = catch_unwind(AssertUnwindSafe(|| self.transport.distrust())).unwrap_or_default() {
            self.shared.tell(Notice::UntrustedCertificate { why });
        }
        match outcome {
            Opening::Opened => Done::Answered(answer),
            Opening::Refused(read) => Done::Refused(read),
            // Nothing was sent, so nobody can have answered.
            Opening::Never | Opening::Busy => Done::Answered(match answer {
                Answer::TimedOut => Answer::TimedOut,
                _ => Answer::Unreachable,
            }),
        }
    }
}
