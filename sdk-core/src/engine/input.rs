//! Everything that can happen to the engine. Nothing else can.

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
    /// An event.
    Track {
        /// Its name.
        name: &'a str,
        /// Its properties: the text of a JSON object.
        properties: &'a str,
        /// Its id.
        id: EventId,
    },
    /// The person is known as this user from now on.
    Identify {
        /// The user id.
        user: &'a str,
        /// For the `$identify` event.
        id: EventId,
    },
    /// Another person from now on: a new device id, no user, no super properties. Consent stays (C7).
    Reset {
        /// The new device's.
        secret: Secret,
    },
    /// Properties for every later event: the text of a JSON object.
    Register {
        /// The properties.
        properties: &'a str,
        /// Only those that are not registered yet.
        once: bool,
    },
    /// A super property to forget.
    Unregister {
        /// Its name.
        name: &'a str,
    },
    /// The person agrees.
    OptIn {
        /// For the `$opt_in` event.
        id: EventId,
        /// For the new device id (C6).
        secret: Secret,
    },
    /// The person objects.
    OptOut {
        /// Also ask the server to erase what this device sent (C12).
        erase: bool,
        /// For the erasure request.
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

/// States of an app or page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// The person looks at it again. What was deferred is looked at anew.
    Foreground,
    /// The person has turned away: what is queued is sent and synced.
    Background,
    /// The page may be gone in a moment: what fits into one last request is sent.
    Leaving,
    /// The network is back.
    Online,
}
