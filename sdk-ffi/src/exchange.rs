//! One request between two threads: the core's request thread, which holds the permit and the sending lock, and the
//! host's code, which connects and writes.

use crate::transport::HttpAnswer;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The place where both meet.
#[derive(Default)]
pub(crate) struct Exchange {
    state: Mutex<State>,
    changed: Condvar,
    /// One question at a time.
    asking: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The host asks for the body.
    asked: bool,
    /// The body, or that there is none.
    reply: Option<Option<Vec<u8>>>,
    /// The host has written it.
    started: bool,
    /// The host was told to break off.
    broken: bool,
    /// The host is done, or out of time.
    ended: Option<HttpAnswer>,
    /// The request thread has left.
    over: bool,
}

impl Exchange {
    /// For the host: the body.
    pub(crate) fn open(&self) -> Option<Vec<u8>> {
        let _asking = lock(&self.asking);
        lock(&self.state).asked = true;
        self.changed.notify_all();
        let waits = |state: &mut State| !state.over && state.reply.is_none();
        let mut state =
            self.changed.wait_while(lock(&self.state), waits).unwrap_or_else(PoisonError::into_inner);
        let reply = state.reply.take();
        // What nobody holds the lock for any more is not given out.
        if state.over { None } else { reply.flatten() }
    }

    /// For the host: the body is written.
    pub(crate) fn started(&self) {
        lock(&self.state).started = true;
        self.changed.notify_all();
    }

    /// Its answer is of no interest any more. It ends when the host cannot write any more (C5): at once where it has no
    /// body, or has written it.
    pub(crate) fn break_off(&self) {
        lock(&self.state).broken = true;
        self.changed.notify_all();
    }

    /// Ends it with an answer; the first one counts.
    pub(crate) fn end(&self, answer: HttpAnswer) {
        lock(&self.state).ended.get_or_insert(answer);
        self.changed.notify_all();
    }

    /// For the request thread: answers the host until the exchange has ended. `open` redeems the permit, and gives
    /// out the body with what holds the sending lock. `late` has the host break off; it is called once, if the exchange
    /// takes longer than it may.
    pub(crate) fn serve<G>(
        &self,
        patience: Duration,
        open: impl FnOnce() -> Option<(Vec<u8>, G)>,
        late: impl FnOnce(),
    ) -> HttpAnswer {
        let (mut open, mut late, start) = (Some(open), Some(late), Instant::now());
        let mut guard = None;
        let mut state = lock(&self.state);
        loop {
            if mem::take(&mut state.started) {
                guard = None;
            }
            if state.broken && guard.is_none() {
                state.ended.get_or_insert(HttpAnswer::Unreachable);
            }
            if let Some(answer) = state.ended.take() {
                state.over = true;
                self.changed.notify_all();
                return answer;
            }
            if mem::take(&mut state.asked) {
                drop(state);
                let (body, held) = open.take().and_then(|open| open()).unzip();
                guard = guard.or(held);
                state = lock(&self.state);
                state.reply = Some(body);
                self.changed.notify_all();
                continue;
            }
            let may_leave = guard.is_none();
            let waits = |state: &mut State| {
                !(state.started || state.asked || state.ended.is_some() || state.broken && may_leave)
            };
            let left = patience.saturating_sub(start.elapsed());
            let waited = self.changed.wait_timeout_while(state, left, waits);
            let (still, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = still;
            if waited.timed_out() {
                drop(state);
                late.take().into_iter().for_each(|late| late());
                state = lock(&self.state);
                state.ended.get_or_insert(HttpAnswer::TimedOut);
            }
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
