//! How often each promise was put to the test: one that never is protects nobody.

use std::fmt;

/// A promise of which the witness says when it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Promise {
    /// Somebody who has read the record does as the table of verdicts says.
    Verdict,
    /// The last word is a grant that is recorded: everybody collects.
    GrantHolds,
    /// What was held before a grant is delivered.
    HeldDelivered,
    /// After a withdrawal nothing of it stands on the disk.
    NothingLeft,
    /// Where nobody has agreed and everybody's signal or setting says no, nothing stands on the disk.
    NothingLeftOfSignals,
    /// A withdrawal that was cut short is gone on with.
    Purged,
    /// After a refusal nothing leaves.
    NothingLeaves,
    /// Once a withdrawal has ended, nothing of it is still being written.
    NothingBeingWritten,
    /// Where an honoured signal says no, nothing leaves.
    NothingLeavesUnderSignal,
    /// What was captured before a withdrawal or a signal does not leave.
    NothingWithdrawnLeaves,
    /// A withdrawn device does not send.
    NoWithdrawnDevice,
    /// A refusal holds, also over a restart.
    RefusalHolds,
    /// All processes, and the store, know the same person.
    OnePerson,
    /// No grant is announced that changed nothing.
    AnnouncedAtMost,
    /// A grant that changed something is announced.
    Announced,
    /// What was asked for with a refusal reaches the collector.
    AskedFor,
    /// Whoever asks for an erasure proves to be the device.
    Proven,
    /// An erasure that counts as done has its receipt.
    Receipt,
    /// A record waits behind the deletion of its profile.
    StaysBehind,
    /// The outbox waits as long as the collector asks it to.
    OutboxWaits,
    /// The books say what the collector has answered.
    Books,
    /// What the store has taken is delivered.
    TakenDelivered,
    /// What a living process has accepted is delivered.
    AcceptedDelivered,
    /// What is delivered, and noted as that, does not leave again.
    SentOnce,
    /// A lane waits as long as the collector asks it to.
    RetryAfter,
    /// The same, for who starts meanwhile.
    RetryAfterRestart,
    /// A lane pauses after a failure.
    Pause,
    /// What was too large is sent in smaller pieces.
    Smaller,
    /// A record names whom its app has said.
    Person,
    /// An event has the properties that were registered.
    Registered,
    /// An event that was timed says how long it took.
    Timed,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::Verdict,
        Self::GrantHolds,
        Self::HeldDelivered,
        Self::NothingLeft,
        Self::NothingLeftOfSignals,
        Self::Purged,
        Self::NothingLeaves,
        Self::NothingBeingWritten,
        Self::NothingLeavesUnderSignal,
        Self::NothingWithdrawnLeaves,
        Self::NoWithdrawnDevice,
        Self::RefusalHolds,
        Self::OnePerson,
        Self::AnnouncedAtMost,
        Self::Announced,
        Self::AskedFor,
        Self::Proven,
        Self::Receipt,
        Self::StaysBehind,
        Self::OutboxWaits,
        Self::Books,
        Self::TakenDelivered,
        Self::AcceptedDelivered,
        Self::SentOnce,
        Self::RetryAfter,
        Self::RetryAfterRestart,
        Self::Pause,
        Self::Smaller,
        Self::Person,
        Self::Registered,
        Self::Timed,
    ];

    /// The rule that it is part of.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Verdict | Self::GrantHolds | Self::HeldDelivered => "C1",
            Self::NothingLeft | Self::NothingLeftOfSignals => "C3",
            Self::Purged => "C4",
            Self::NothingLeaves | Self::NothingBeingWritten | Self::NothingLeavesUnderSignal => "C5",
            Self::NothingWithdrawnLeaves | Self::NoWithdrawnDevice => "C6",
            Self::RefusalHolds => "C7",
            Self::OnePerson => "C9",
            Self::AnnouncedAtMost | Self::Announced => "C11",
            Self::AskedFor | Self::Proven | Self::Receipt | Self::StaysBehind | Self::OutboxWaits => "C12",
            Self::Books => "C15",
            _ => "delivery",
        }
    }
}

/// How often each promise was put to the test, and how many records had to be delivered.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tally {
    kept: [u64; Promise::ALL.len()],
    /// Records that apps have made.
    pub made: u64,
    /// Those of them that had to be delivered.
    pub demanded: u64,
}

impl Tally {
    /// It is put to the test now.
    pub fn test(&mut self, promise: Promise) {
        self.kept[promise as usize] += 1;
    }

    /// How often it was put to the test.
    pub fn of(&self, promise: Promise) -> u64 {
        self.kept[promise as usize]
    }

    /// Adds what was counted in another world.
    pub fn add(&mut self, other: &Self) {
        self.kept.iter_mut().zip(other.kept).for_each(|(sum, count)| *sum += count);
        self.made += other.made;
        self.demanded += other.demanded;
    }

    /// The promises that were never put to the test.
    pub fn vacuous(&self) -> Vec<Promise> {
        Promise::ALL.into_iter().filter(|promise| self.of(*promise) == 0).collect()
    }
}

/// Says nothing: how often something was looked at makes no two states different.
impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tally")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (made, demanded) = (self.made, self.demanded);
        let percent = 100.0 * demanded as f64 / made.max(1) as f64;
        writeln!(f, "{demanded} of {made} records had to be delivered ({percent:.0} %); put to the test:")?;
        for promise in Promise::ALL {
            writeln!(f, "{:>12}  {:8}  {promise:?}", self.of(promise), promise.rule())?;
        }
        Ok(())
    }
}
