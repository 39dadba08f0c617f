//! Recordings with contents whose clients have ended in this process. They are what is kept of the person as long as the
//! process can reach them, so the next client on the data folder has them go once consent is withdrawn (C4).

use super::file::remove_contents;
use crate::engine::{Engine, Verdict};
use crate::native::per_process::PerProcess;
use crate::native::registry::Key;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static RECORDINGS: PerProcess<Mutex<Vec<Recording>>> = PerProcess::new();

struct Recording {
    store: Key,
    path: PathBuf,
    /// The consent epoch under which its contents were allowed.
    epoch: u64,
    withdrawn: bool,
}

fn recordings() -> MutexGuard<'static, Vec<Recording>> {
    RECORDINGS.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new recording takes the place of what stood there.
pub(super) fn forget(path: &Path) {
    recordings().retain(|recording| recording.path != path);
}

/// Those of one store.
#[derive(Clone)]
pub(in crate::native) struct Ended(Key);

impl Ended {
    pub(in crate::native) fn of(store: Key) -> Self {
        Self(store)
    }

    /// One has ended, and what it holds was allowed under this epoch.
    pub(in crate::native) fn add(&self, path: PathBuf, epoch: u64) {
        recordings().push(Recording { store: self.0.clone(), path, epoch, withdrawn: false });
    }

    /// Has those go that consent does not cover any more, as this engine knows it; and, once more, those that could not be
    /// made to.
    pub(in crate::native) fn obey(&self, consent: ConsentNow) {
        recordings().retain_mut(|recording| {
            let covered = recording.store != self.0 || consent.covers(recording.epoch);
            recording.withdrawn |= !covered;
            !(recording.withdrawn && recording.store == self.0 && remove_contents(&recording.path).is_ok())
        });
    }

    /// Where they are; or only of those that should be gone.
    pub(in crate::native) fn paths(&self, withdrawn_only: bool) -> Vec<PathBuf> {
        let wanted =
            |recording: &&Recording| recording.store == self.0 && (recording.withdrawn || !withdrawn_only);
        recordings().iter().filter(wanted).map(|recording| recording.path.clone()).collect()
    }
}

/// What an engine knows of consent.
#[derive(Clone, Copy)]
pub(in crate::native) struct ConsentNow {
    epoch: u64,
    denied: bool,
}

impl ConsentNow {
    /// `None` before the store has been read.
    pub(in crate::native) fn of(engine: &Engine) -> Option<Self> {
        let denied = matches!(engine.consent().verdict, Verdict::Deny(_));
        (engine.is_open()).then(|| Self { epoch: engine.epoch(), denied })
    }

    /// Any other epoch tells of a withdrawal, or of a record that somebody has deleted.
    fn covers(self, epoch: u64) -> bool {
        !self.denied && self.epoch == epoch
    }
}
