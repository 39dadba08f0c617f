//! Permits: the only way from the engine to the disk or the network (C2).
//!
//! A permit owns what it permits. [`Permit::redeem`] gives it out, and only against the consent record as it
//! stands at that moment, so that the comparison of C5 is written once and no driver can leave it out.

use super::consent::{ConsentState, Decision};
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// The engine's current epoch, shared with every permit it has given out: raising it kills them all at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Fence(Arc<AtomicU64>);

impl Fence {
    pub(super) fn raise(&self, epoch: u64) {
        self.0.store(epoch, Ordering::SeqCst);
    }

    fn stands_at(&self, epoch: u64) -> bool {
        self.0.load(Ordering::SeqCst) == epoch
    }
}

/// On what ground the gate allowed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// A record in the store: it must be found there again, unchanged in epoch and not a refusal.
    Recorded,
    /// A decision or default that the store could not take, for this process only. The store must still say
    /// nothing, or the same record (by revision) as when the decision was made. Where it cannot be read, a refusal may stand
    /// there (C8): only what the person has said since goes above that, and no default does.
    InProcess { revision: Option<u64>, decided: bool },
}

/// Something that may be written or sent, if the record allows it at that moment.
#[must_use = "a permit that is not redeemed does nothing"]
pub struct Permit<T> {
    content: T,
    terms: Terms,
}

/// What a permit was given under.
struct Terms {
    epoch: u64,
    basis: Basis,
    fence: Fence,
}

impl Terms {
    fn allow(&self, record: &ConsentState) -> bool {
        let recorded = match (self.basis, record) {
            (Basis::Recorded, ConsentState::Found(r)) => {
                r.epoch == self.epoch && r.decision != Decision::Denied
            }
            (Basis::Recorded, _) => false,
            (Basis::InProcess { decided, .. }, ConsentState::Unreadable) => decided,
            (Basis::InProcess { revision, .. }, ConsentState::Absent) => revision.is_none(),
            (Basis::InProcess { revision, .. }, ConsentState::Found(r)) => {
                revision == Some(r.revision) && r.decision != Decision::Denied
            }
        };
        recorded && self.fence.stands_at(self.epoch)
    }
}

impl<T> Permit<T> {
    pub(super) fn new(content: T, epoch: u64, basis: Basis, fence: &Fence) -> Self {
        Self { content, terms: Terms { epoch, basis, fence: fence.clone() } }
    }

    /// The epoch under which the gate allowed it.
    pub fn epoch(&self) -> u64 {
        self.terms.epoch
    }

    /// Gives out the content, if the record as read now still allows it.
    ///
    /// # Errors
    /// [`Refused`] if consent has been withdrawn since, here or elsewhere, or can no longer be read. The driver
    /// reports it as [`Done::Refused`](super::Done::Refused) with what it read.
    pub fn redeem(self, record: &ConsentState) -> Result<T, Refused> {
        if self.terms.allow(record) { Ok(self.content) } else { Err(Refused) }
    }
}

impl Permit<super::effect::Request> {
    /// Path and query under the endpoint, so that a driver can connect before it redeems.
    pub fn path(&self) -> &str {
        &self.content.path
    }

    /// Length of the body in bytes.
    pub fn body_len(&self) -> usize {
        self.content.body.len()
    }
}

impl<T> fmt::Debug for Permit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("epoch", &self.terms.epoch).finish_non_exhaustive()
    }
}

/// The record no longer allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the consent record no longer allows this")
    }
}

impl core::error::Error for Refused {}

/// A request of the erasure outbox that may be sent. It cannot carry an event, and the record that it is redeemed
/// against is the one that still lists its entry in the same state (C12).
#[must_use = "a permit that is not redeemed does nothing"]
#[derive(Debug)]
pub struct OutboxPermit {
    pub(super) id: alloc::string::String,
    pub(super) state: super::consent::ErasureState,
    pub(super) request: super::effect::Request,
}

impl OutboxPermit {
    /// Path and query under the endpoint, so that a driver can connect before it redeems.
    pub fn path(&self) -> &str {
        &self.request.path
    }

    /// Length of the body in bytes.
    pub fn body_len(&self) -> usize {
        self.request.body.len()
    }

    /// Gives out the request, if the record as read now still lists its entry, and has it come no further.
    ///
    /// # Errors
    /// [`Refused`] if it does not.
    pub fn redeem(self, record: &ConsentState) -> Result<super::effect::Request, Refused> {
        let listed = record.record().is_some_and(|record| {
            record.outbox.iter().any(|entry| entry.id == self.id && entry.state == self.state)
        });
        if listed { Ok(self.request) } else { Err(Refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::consent::ConsentRecord;
    use super::*;

    fn found(decision: Decision, epoch: u64, revision: u64) -> ConsentState {
        ConsentState::Found(ConsentRecord { decision, epoch, revision, ..Default::default() })
    }

    fn redeem(basis: Basis, record: &ConsentState) -> bool {
        let fence = Fence::default();
        fence.raise(3);
        Permit::new((), 3, basis, &fence).redeem(record).is_ok()
    }

    #[test]
    fn c2_a_recorded_permit_needs_the_record_it_was_given_under() {
        assert!(redeem(Basis::Recorded, &found(Decision::Granted, 3, 1)));
        assert!(redeem(Basis::Recorded, &found(Decision::Unset, 3, 1)));
        for refused in [
            found(Decision::Denied, 3, 1),
            found(Decision::Granted, 4, 1),
            found(Decision::Granted, 2, 1),
            ConsentState::Absent,
            ConsentState::Unreadable,
        ] {
            assert!(!redeem(Basis::Recorded, &refused), "{refused:?}");
        }
    }

    #[test]
    fn c2_an_in_process_permit_dies_with_the_first_word_of_the_store() {
        let basis = Basis::InProcess { revision: None, decided: true };
        assert!(redeem(basis, &ConsentState::Unreadable) && redeem(basis, &ConsentState::Absent));
        let undecided = Basis::InProcess { revision: None, decided: false };
        assert!(!redeem(undecided, &ConsentState::Unreadable) && redeem(undecided, &ConsentState::Absent));
        assert!(!redeem(basis, &found(Decision::Granted, 3, 1)));
        let basis = Basis::InProcess { revision: Some(4), decided: false };
        assert!(redeem(basis, &found(Decision::Unset, 1, 4)));
        assert!(
            !redeem(basis, &found(Decision::Unset, 1, 5)) && !redeem(basis, &found(Decision::Denied, 1, 4))
        );
    }

    #[test]
    fn c4_raising_the_fence_kills_permits_that_are_already_out() {
        let fence = Fence::default();
        fence.raise(3);
        let permit = Permit::new((), 3, Basis::Recorded, &fence);
        fence.raise(4);
        assert_eq!(permit.redeem(&found(Decision::Granted, 3, 1)), Err(Refused));
    }
}
