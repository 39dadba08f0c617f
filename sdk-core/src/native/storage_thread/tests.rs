//! The thread, turn by turn, in front of a real folder.

use super::*;
use crate::engine::{
    Also, Call, Config, ConsentState, Decision, DefaultConsent, Dropped, Engine, Outcome, RecordName,
};
use crate::journal::segment::{Found, Kind, Records as Journal};
use crate::native::clock::Clock;
use crate::native::entropy::{Entropy, draw_array};
use crate::native::store::{Layout, Ledger};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

/// A client that has all its parts but the threads, and little room in its queue.
struct Bench {
    shared: Arc<Shared>,
    thread: StorageThread,
    ledger: Ledger,
    folder: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let name = format!("refrain-turns-{:032x}", u128::from_be_bytes(draw_array()));
        let folder = std::env::temp_dir().join(name);
        let ledger = Ledger::new(Some(Layout::new(folder.clone(), "T")));
        let mut config = Config::new("T");
        config.default_consent = DefaultConsent::Granted;
        config.queue_limit_bytes = 4_000;
        let engine = Engine::new(config).unwrap();
        let shared = Arc::new(Shared::new(engine, Clock::system(), Entropy::new(), None, None));
        let thread = StorageThread::new(Arc::clone(&shared), Store::new(ledger.clone(), [1; 8]), None);
        let mut bench = Self { shared, thread, ledger, folder };
        bench.shared.call(|entropy| Input::Start { secret: entropy.secret() });
        while !bench.shared.lock().is_named(bench.shared.clock.now()) {
            bench.thread.turn();
        }
        bench
    }

    fn track(&self, events: usize) {
        for _ in 0..events {
            let made = |entropy: &mut Entropy| Input::Call(Call::track("Looked", "{}", entropy.event_id()));
            assert_eq!(self.shared.call(made), Outcome::Accepted);
        }
    }

    /// Jobs that wait, here or on their way here.
    fn waiting(&self) -> usize {
        self.shared.lock().storage.len() + self.thread.jobs.len()
    }

    fn work_off(&mut self) {
        while self.waiting() > 0 {
            self.thread.turn();
        }
    }

    /// What the record in the folder says.
    fn recorded(&self) -> Option<Decision> {
        let read = self.ledger.read(RecordName::Consent);
        ConsentState::of(&read).record().map(|record| record.decision)
    }

    /// Everything that the segments hold.
    fn journal(&self) -> Vec<(Kind, usize)> {
        let folders = fs::read_dir(self.folder.join("queue")).into_iter().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        let mut found = Vec::new();
        for file in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some()) {
            for record in Journal::new(&fs::read(file).unwrap()).unwrap() {
                let Found::Record { kind, payload, .. } = record else { panic!("damage") };
                found.push((kind, payload.len()));
            }
        }
        found
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn c4_a_choice_does_not_wait_behind_what_is_to_be_stored() {
    let mut bench = Bench::new();
    bench.track(3 * PORTION);
    bench.thread.turn();
    let waiting = bench.waiting();
    assert!(waiting > 4 * PORTION);

    let also = Also::default();
    bench.shared.call(|entropy| Input::OptOut { also, id: entropy.event_id() });
    bench.thread.turn();
    assert_eq!(bench.recorded(), Some(Decision::Denied));
    // The fence, the purge, and the look at what it has left.
    for _ in 0..3 {
        bench.thread.turn();
    }
    assert!(bench.shared.lock().engine.is_settled());
    assert_eq!((bench.waiting(), bench.journal()), (waiting, vec![]));

    // An agreement, too.
    bench.shared.call(|entropy| Input::OptIn { id: entropy.event_id(), secret: entropy.secret() });
    bench.thread.turn();
    assert_eq!(bench.recorded(), Some(Decision::Granted));

    // What had waited was captured before the objection: none of it comes back (C6).
    bench.work_off();
    let core = bench.shared.lock();
    let stats = core.engine.stats();
    assert!(core.is_named(bench.shared.clock.now()) && stats.balance());
    assert_eq!((stats.queued, stats.dropped_for(Dropped::Withdrawn) > 0), (1, true));
    drop(core);
    assert_eq!(bench.journal().iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::Event]);
}

#[test]
fn records_that_drive_others_out_share_a_write_of_what_is_gone() {
    let mut bench = Bench::new();
    bench.track(PORTION / 2);
    bench.work_off();
    let kept = bench.shared.lock().engine.stats().queued as usize;
    let journal = bench.journal();
    let gone: Vec<_> = journal.iter().filter(|(kind, _)| *kind == Kind::Acknowledged).collect();
    assert_eq!((journal.len(), gone.len()), (PORTION / 2 + 1, 1));
    assert_eq!(gone[0].1 / 8, PORTION / 2 - kept);
}

#[test]
fn c4_a_refusal_is_recorded_before_the_app_is_asked_to_break_off() {
    let mut bench = Bench::new();
    let (ledger, seen) = (bench.ledger.clone(), Arc::new(Mutex::new(None)));
    let sees = Arc::clone(&seen);
    bench.thread.breaker = Some(Box::new(move || {
        let state = ConsentState::of(&ledger.read(RecordName::Consent));
        *sees.lock().unwrap() = state.record().map(|record| record.decision);
        panic!("a bug of the app's");
    }));
    bench.track(1);
    bench.work_off();
    bench.shared.call(|_| Input::Flush);
    assert!(bench.shared.lock().begin_request().is_some(), "it is under way");
    let also = Also::default();
    bench.shared.call(|entropy| Input::OptOut { also, id: entropy.event_id() });
    for _ in 0..4 {
        bench.thread.turn();
    }
    assert_eq!(*seen.lock().unwrap(), Some(Decision::Denied));
    assert!(bench.shared.lock().engine.is_settled());
}

#[test]
fn a_request_is_not_broken_off_in_the_place_of_one_that_has_ended() {
    for ends in [false, true] {
        let mut bench = Bench::new();
        let asked = Arc::new(Mutex::new(0));
        let (counts, shared) = (Arc::clone(&asked), Arc::clone(&bench.shared));
        bench.thread.breaker = Some(Box::new(move || {
            *counts.lock().unwrap() += 1;
            assert!(!shared.may_begin(), "the next one waits");
        }));
        bench.track(1);
        bench.work_off();
        bench.shared.call(|_| Input::Flush);
        assert!(bench.shared.lock().begin_request().is_some());
        if ends {
            // Its answer has not come as far as the engine.
            bench.shared.lock().end_request();
        }
        let also = Also::default();
        bench.shared.call(|entropy| Input::OptOut { also, id: entropy.event_id() });
        for _ in 0..4 {
            bench.thread.turn();
        }
        assert_eq!((*asked.lock().unwrap(), bench.shared.may_begin()), (usize::from(!ends), true));
    }
}
