//! Effects that do not touch the store: requests and notices.

use super::{Core, copies};
use alloc::string::String;
use refrain::engine::{Answer, ConsentError, ConsentState, Done, Effect, Input, Notice, Op, RecordRead};

const FAILS: &str = ": events are kept in memory at most; is the storage full, or forbidden?";
const FULL: &str = "the queue is full: the oldest events are dropped";

impl Core {
    /// The next effect: 0 none, 1 send, 2 cancel, 3 a consent call has ended well, 4 it has ended badly (the text says
    /// how), 5 the collector refuses this client, 6 the store fails (the text: which way) or drops records, 7 send for the
    /// outbox, 8 where consent stands has changed. `number` is the request's number, the ticket or the HTTP status.
    pub(super) fn next_outward(&mut self) -> u32 {
        let Some(effect) = self.outward.pop_front() else { return 0 };
        let (kind, number) = match &effect {
            Effect::Send { op, .. } => (1, op.0),
            Effect::SendErasure { op, .. } => (7, op.0),
            Effect::Cancel { op } => (2, op.0),
            Effect::Notify(Notice::Settled { ticket, result: Ok(()) }) => (3, ticket.0),
            Effect::Notify(Notice::Settled { ticket, result: Err(trouble) }) => {
                self.text = explain(trouble);
                (4, ticket.0)
            }
            Effect::Notify(Notice::Paused { status }) => (5, u64::from(*status)),
            Effect::Notify(Notice::StoreTrouble(fault)) => {
                self.text = String::from(fault.as_str());
                self.text.push_str(FAILS);
                (6, 0)
            }
            Effect::Notify(Notice::QueueFull) => {
                self.text = String::from(FULL);
                (6, 0)
            }
            Effect::Notify(Notice::ConsentChanged(_)) => (8, 0),
            _ => return self.next_outward(),
        };
        self.number = number as f64;
        match kind {
            1 | 7 => self.held.push(effect),
            2 => drop(self.take_held(Op(number))),
            _ => {}
        }
        kind
    }

    /// Redeems a request's permit against the consent record as read now. Gives out the body (empty: it
    /// is a `GET`), and keeps the path; nothing if it must not leave, which the engine then knows. `leaving`: the page
    /// cannot wait, and only the mirror was read.
    pub(super) fn redeem(&mut self, op: Op, copy: Option<String>, leaving: bool) -> Option<String> {
        let held = self.take_held(op)?;
        let state = self.consent_state(copy, leaving);
        let result = if leaving && matches!(state, ConsentState::Absent) {
            // A mirror that is missing proves nothing but that this request cannot leave this way. Where none can be read, the
            // permit tells whether the person has agreed for this page.
            Done::Answered(Answer::Unreachable)
        } else {
            let redeemed = match held {
                Effect::Send { permit, .. } => permit.redeem(&state),
                Effect::SendErasure { permit, .. } => permit.redeem(&state),
                _ => return None,
            };
            if let Ok(request) = redeemed {
                self.path = request.path;
                return Some(request.body);
            }
            Done::Refused(copies::as_read(&state))
        };
        self.feed(Input::Done { op, result });
        None
    }

    /// The consent record as read now. A page that is leaving has only the mirror.
    pub(super) fn consent_state(&self, copy: Option<String>, leaving: bool) -> ConsentState {
        let stored = if leaving { RecordRead::Absent } else { copies::read_of(copy) };
        ConsentState::of_copies(&stored, &self.store.mirror())
    }
}

/// A consent call's trouble, for whoever made it.
fn explain(trouble: &ConsentError) -> String {
    let mut text = String::new();
    match trouble {
        ConsentError::NotRecorded(fault) => {
            text.push_str("not_recorded: the choice could not be written (");
            text.push_str(fault.as_str());
            text.push_str("); it holds in this page only");
        }
        ConsentError::Overruled => text.push_str("overruled: a refusal given elsewhere takes precedence"),
        ConsentError::NotFenced(who) => {
            text.push_str("not_fenced: the choice is recorded, but a sender is not stopped yet: ");
            text.push_str(who);
        }
        ConsentError::NotPurged(names) => {
            text.push_str("not_purged: the choice is recorded, but these could not be deleted:");
            for name in names {
                text.push(' ');
                text.push_str(name);
            }
        }
        _ => text.push_str("failed"),
    }
    text
}
