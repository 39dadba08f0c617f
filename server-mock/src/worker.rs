//! One thread that owns the store, and group commit: all writes that wait are one transaction, and nobody is
//! answered before it is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::core::{Core, Shared};
use crate::store::StoreError;

/// Most jobs in one transaction, so that the first of them does not wait too long.
const GROUP: usize = 512;
/// How often the thread looks for due work although nothing came.
const IDLE: Duration = Duration::from_secs(60);

/// Does the work and says whether it went well.
type Run = Box<dyn FnOnce(&mut Core) -> (bool, Finish) + Send>;
/// Takes the outcome of the commit and answers.
type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Job {
    kind: Kind,
    run: Run,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of a group's transaction.
    Write,
    /// Outside of any transaction; may start its own.
    Alone,
    /// Changes nothing, so that whoever waits for changes is not woken: what a waiter reads would wake itself.
    Read,
}

/// The handle by which handlers send jobs.
pub struct Worker {
    sender: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts the thread.
    pub fn start(core: Core) -> std::io::Result<Worker> {
        let (sender, receiver) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("store".into()).spawn(move || serve(core, &receiver))?;
        Ok(Worker { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs a change in a group's transaction; answers when it is durable.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Kind::Write, work).await
    }

    /// Runs work that changes nothing.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Kind::Read, work).await
    }

    /// Runs work that starts its own transactions.
    pub async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Kind::Alone, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&mut Core) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move |core: &mut Core| {
            let result = work(core);
            let good = result.is_ok();
            let finish: Finish = Box::new(move |commit| {
                // Nobody may be waiting any more; what was done stays done.
                let _ = answer.send(commit.and(result));
            });
            (good, finish)
        });
        let sent = match &*lock(&self.sender) {
            Some(sender) => sender.send(Job { kind, run }).is_ok(),
            None => false,
        };
        if !sent {
            return Err(StoreError::damaged("the server is stopping"));
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::damaged("the request could not be worked on")))
    }

    /// Lets the thread finish what it was sent, and waits for it.
    pub fn stop(&self) {
        lock(&self.sender).take();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn serve(mut core: Core, jobs: &Receiver<Job>) {
    let shared: Arc<Shared> = core.shared.clone();
    let mut trouble = Trouble::default();
    loop {
        let wait = core.wait().map_or(IDLE, |wait| wait.min(IDLE));
        let first = match jobs.recv_timeout(wait) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // Due work comes before the answer that could show that it was not done.
        let mut has_changed = match catch_unwind(AssertUnwindSafe(|| core.run_due_now())) {
            Ok(Ok(worked)) => worked,
            failed => {
                if let Ok(Err(error)) = failed {
                    trouble.report(Err(error));
                }
                core.store.rollback();
                core.put_off_due_work();
                true
            }
        };
        let mut group: Vec<Job> = Vec::new();
        let mut next = first;
        while let Some(job) = next {
            has_changed |= job.kind != Kind::Read;
            if job.kind == Kind::Write {
                group.push(job);
            } else {
                commit_group(&mut core, std::mem::take(&mut group), &mut trouble);
                run_alone(&mut core, job);
            }
            next = if group.len() < GROUP { jobs.try_recv().ok() } else { None };
        }
        commit_group(&mut core, group, &mut trouble);
        if has_changed {
            shared.changed();
        }
    }
}

fn run_alone(core: &mut Core, job: Job) {
    match catch_unwind(AssertUnwindSafe(|| (job.run)(core))) {
        Ok((_, finish)) => finish(Ok(())),
        // The answer's sender is gone with the panic, so the handler sees that it failed.
        Err(_) => core.store.rollback(),
    }
}

fn commit_group(core: &mut Core, group: Vec<Job>, trouble: &mut Trouble) {
    if group.is_empty() {
        return;
    }
    let begun = core.store.begin();
    let mut finishes: Vec<Finish> = Vec::with_capacity(group.len());
    let mut outcome = begun;
    for job in group {
        if outcome.is_ok() {
            outcome = core.store.savepoint();
        }
        if outcome.is_err() {
            // Not run at all: with its answer's sender gone, its handler sees that nothing was stored.
            continue;
        }
        match catch_unwind(AssertUnwindSafe(|| (job.run)(core))) {
            Ok((good, finish)) => {
                outcome = if good { core.store.keep() } else { core.store.undo() };
                finishes.push(finish);
            }
            Err(_) => outcome = core.store.undo(),
        }
    }
    let outcome = outcome.and_then(|()| core.store.commit());
    match &outcome {
        // What was decided to go is unreadable before the answer; where destroying fails now, due work tries again.
        Ok(()) => {
            if core.store.destroy_keys().is_err() {
                core.put_off_due_work();
            }
        }
        Err(_) => core.store.rollback(),
    }
    trouble.report(outcome.clone());
    for finish in finishes {
        finish(outcome.clone());
    }
}

/// Tells the operator when storage begins to fail and when it recovers, once each.
#[derive(Default)]
struct Trouble {
    failing: bool,
}

impl Trouble {
    fn report(&mut self, outcome: Result<(), StoreError>) {
        match (outcome, self.failing) {
            (Err(error), false) => crate::notice(&format!(
                "storage fails, clients are told to try again: {error}; \
                 look at disk space and permissions of the data folder"
            )),
            (Ok(()), true) => crate::notice("storage works again"),
            (Err(_), true) => return,
            (Ok(()), false) => return,
        }
        self.failing = !self.failing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::Config;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn who_reads_wakes_nobody() {
        let shared = Arc::new(Shared::new(Config::default(), None));
        let store = Box::new(SqliteStore::in_memory().expect("a store"));
        let mut core = Core::new(store, shared.clone()).expect("a core");
        // The look that is due at the start would change something, sooner or later.
        core.run_due(shared.now()).expect("nothing to do");
        let worker = Worker::start(core).expect("a thread");
        let read = async || worker.read(|_| Ok(())).await.expect("read");
        // The thread tells after it answers: once it answers again, it has told.
        read().await;
        read().await;
        let mut changes = shared.changes();
        changes.borrow_and_update();
        read().await;
        read().await;
        assert!(!changes.has_changed().expect("the sender is there"));
        worker.write(|_| Ok(())).await.expect("written");
        read().await;
        assert!(changes.has_changed().expect("the sender is there"));
        worker.stop();
    }
}
