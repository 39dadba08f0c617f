//! What can happen in a world.

use crate::collector::Mood;
use crate::disk::ConsentError;
use crate::mishap::Mishap;
use refrain::engine::{Also, CallKind, DefaultConsent, Lane, Lifecycle, Signals};

/// Something that happens. Whatever makes no sense at the moment does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A process begins at a place that is free.
    Start(usize),
    /// A process is killed.
    Kill(usize),
    /// A process ends as it should.
    End(usize),
    /// A process is stopped, or goes on.
    Stop(usize),
    /// An app makes a record.
    Record(usize, Lane),
    /// An app says who it is about.
    Call(usize, CallKind),
    /// The person agrees.
    Agree(usize),
    /// The person objects.
    Refuse(usize, Also),
    /// Signals begin or end, for whoever lives at a place, now or later.
    Signal(usize, Signals),
    /// Whoever starts next at a place has other settings.
    Settings(usize, DefaultConsent, Honoured),
    /// An app wants everything sent.
    Flush(usize),
    /// An app goes to the background or away, or the network is back.
    Lifecycle(usize, Lifecycle),
    /// A process looks at what others have written.
    Watch(usize),
    /// A process takes a step in its store.
    Step(usize),
    /// A process takes all steps.
    Run(usize),
    /// A request begins to leave.
    Depart(usize),
    /// The last byte of a request is out.
    Sent(usize),
    /// A request on its way reaches the collector, and its answer the process.
    Answer(usize),
    /// A request reaches the collector, and the answer is lost.
    LoseAnswer(usize),
    /// A request on its way is answered with garbage of this kind, by somebody who is not the collector.
    Garbage(usize, usize),
    /// What the outbox asks for is refused for good.
    TurnAway(usize),
    /// A request is lost before it arrives.
    LoseRequest(usize),
    /// A request arrives a second time.
    Repeat(usize),
    /// Time passes, in milliseconds.
    Wait(u64),
    /// A process's wall clock jumps, in minutes.
    Jump(usize, i64),
    /// The power goes.
    PowerCut,
    /// Something goes wrong in the middle of a process's steps, after so many disk calls.
    AtCall(usize, u32, Mishap),
    /// A process takes a step, and in the middle of it, after so many disk calls, another one takes so many.
    Meanwhile(usize, u32, usize, u32),
    /// The disk misbehaves, or behaves.
    Disk(Option<ConsentError>),
    /// A bit of the disk flips.
    Flip,
    /// Somebody deletes the consent record, perhaps while nobody runs.
    LoseRecord(bool),
    /// The collector changes its mood.
    Mood(Mood),
}

/// Which of a browser's signals an app honours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Honoured {
    /// Global Privacy Control.
    pub gpc: bool,
    /// Do Not Track.
    pub dnt: bool,
}
