//! Everything that can happen to the engine. Nothing else can.

use super::call::Call;
use super::consent::Signals;
use super::effect::{Done, Op, RecordName, RecordRead};
use super::time::{EventId, Secret};

/// One thing that happened. Ids and secrets are fresh random bits from the operating system.
#[derive(Debug)]
pub enum Input<'a> {
    /// The driver is ready to execute effects. Once, and before anything is read or written; calls are legal
    /// before it.
    Start {
        /// For a device id, should one have to be made.
        secret: Secret,
    },
    /// A call of the app.
    Call(Call<'a>),
    /// The person agrees.
    OptIn {
        /// For the `$opt_in` event.
        id: EventId,
        /// For the new device id (C6).
        secret: Secret,
    },
    /// The person objects.
    OptOut {
        /// What else is asked for.
        also: Also,
        /// For the entries of the outbox.
        id: EventId,
    },
    /// What the environment says has changed, or is said for the first time.
    Signals(Signals),
    /// Send what is queued now, without waiting for the interval.
    Flush,
    /// The app or page changed its state.
    Lifecycle(Lifecycle),
    /// Time has passed. Spurious ticks do nothing.
    Tick {
        /// For a device id, should one have to be made.
        secret: Secret,
    },
    /// A record was changed by another process or tab.
    RecordChanged {
        /// Which one.
        name: RecordName,
        /// As it reads now.
        read: RecordRead,
    },
    /// An effect has ended. Unknown and late ones do nothing.
    Done {
        /// The effect's.
        op: Op,
        /// How it ended.
        result: Done,
    },
}

/// What may be asked for with a refusal (C12). Neither includes the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Also {
    /// That the server erases what this device has sent.
    pub erase: bool,
    /// That the profiles of this device and its user are deleted. Their events stay.
    pub delete_profile: bool,
}

/// States of an app or page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// The person looks at it again. Nothing comes of it here; a driver may look for what others have changed.
    Foreground,
    /// The person has turned away: what is queued is sent and synced.
    Background,
    /// The page may be gone in a moment: what fits into one last request is sent.
    Leaving,
    /// The network is back.
    Online,
    /// A page goes on after it was frozen. Others may have sent meanwhile what it had stored, or be about to: that is
    /// given up, and what stands in the store now is read again. For stores that a frozen page does not keep.
    Resumed,
}
