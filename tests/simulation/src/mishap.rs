//! What happens in the middle of a step: at one of the disk calls that the step is made of.

use std::cell::{Cell, RefCell};

/// What goes wrong at a disk call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The call fails. Of a write a part stands there all the same.
    Fail(Failure),
    /// The process is killed. Of a write a part stands there.
    Kill,
    /// The power goes.
    PowerCut,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The device does not do it.
    Broken,
    /// There is no room.
    Full,
    /// The process has no descriptor to spare.
    Descriptors,
}

/// What is to happen at a later disk call.
struct Later<T> {
    /// So many calls come before it.
    calls: u32,
    what: T,
}

/// What others do meanwhile.
type Turn = Box<dyn FnOnce()>;

/// How a process fares in the middle of its steps.
#[derive(Default)]
pub(crate) struct Fate {
    dead: Cell<bool>,
    mishap: RefCell<Option<Later<(Mishap, u64)>>>,
    others: RefCell<Option<Later<Turn>>>,
    blinded: Cell<bool>,
}

impl Fate {
    /// The process is gone.
    pub(crate) fn kill(&self) {
        self.dead.set(true);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// After so many calls this goes wrong. Of a write so many quarters stand there.
    pub(crate) fn set(&self, calls: u32, mishap: Mishap, quarters: u64) {
        *self.mishap.borrow_mut() = Some(Later { calls, what: (mishap, quarters) });
    }

    /// After so many calls others have a turn.
    pub(crate) fn set_turn(&self, calls: u32, turn: Turn) {
        *self.others.borrow_mut() = Some(Later { calls, what: turn });
    }

    /// Others have no turn any more.
    pub(crate) fn forget_turn(&self) {
        *self.others.borrow_mut() = None;
    }

    /// Nothing goes wrong any more.
    pub(crate) fn forget_mishap(&self) {
        *self.mishap.borrow_mut() = None;
    }

    /// A call begins: others have their turn before it, or something goes wrong with it, and so many quarters of it are done.
    pub(crate) fn call(&self) -> Option<(Mishap, u64)> {
        if let Some(turn) = due(&self.others) {
            turn();
        }
        due(&self.mishap)
    }

    /// A look at the disk has failed.
    pub(crate) fn blind(&self) {
        self.blinded.set(true);
    }

    /// Whether a look at the disk has failed since this was last asked.
    pub(crate) fn was_blind(&self) -> bool {
        self.blinded.take()
    }

    /// What is still to come.
    pub(crate) fn to_come(&self) -> Option<(u32, Mishap)> {
        self.mishap.borrow().as_ref().map(|later| (later.calls, later.what.0))
    }
}

/// What is due at this call.
fn due<T>(later: &RefCell<Option<Later<T>>>) -> Option<T> {
    let mut later = later.borrow_mut();
    match later.as_mut()? {
        Later { calls: 0, .. } => later.take().map(|later| later.what),
        Later { calls, .. } => {
            *calls -= 1;
            None
        }
    }
}
