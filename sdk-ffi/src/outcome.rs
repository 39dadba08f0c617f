//! The results of calls.

use refrain::engine::{self, Rejection};
use std::fmt;

/// The result of a recording call.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Outcome {
    /// The call was recorded.
    Accepted,
    /// The call is kept in memory until the person decides.
    Held,
    /// The call was not recorded.
    Rejected {
        /// Why: a stable word.
        reason: String,
        /// One sentence that says what to do about it.
        hint: String,
    },
}

const ACCEPTED: u8 = 0;
const HELD: u8 = 1;
/// From here on, rejections in the order of [`Rejection::ALL`].
const REJECTED: u8 = 2;
/// The call itself made no sense.
pub(crate) const NO_SUCH_CALL: u8 = u8::MAX;

/// Decodes the number that a call has returned.
#[uniffi::export]
pub fn outcome(code: u8) -> Outcome {
    let rejection = code.checked_sub(REJECTED).and_then(|place| Rejection::ALL.get(usize::from(place)));
    match (code, rejection) {
        (ACCEPTED, _) => Outcome::Accepted,
        (HELD, _) => Outcome::Held,
        (_, Some(rejection)) => {
            Outcome::Rejected { reason: rejection.as_str().into(), hint: rejection.hint().into() }
        }
        (_, None) => Outcome::Rejected { reason: "no_such_call".into(), hint: "see refrain_call".into() },
    }
}

/// Encodes the result of a call as a number.
pub(crate) fn code(outcome: engine::Outcome) -> u8 {
    match outcome {
        engine::Outcome::Held => HELD,
        engine::Outcome::Rejected(rejection) => {
            let place = Rejection::ALL.iter().position(|other| *other == rejection);
            place.and_then(|place| u8::try_from(place).ok()).map_or(NO_SUCH_CALL, |place| REJECTED + place)
        }
        engine::Outcome::Accepted
        | engine::Outcome::Nothing
        | engine::Outcome::Pending(_)
        | engine::Outcome::Flushing(_) => ACCEPTED,
    }
}

/// A consent call that could not be fully carried out.
#[derive(Debug, uniffi::Error)]
pub enum ConsentError {
    /// The decision could not be written. A refusal holds for this process all the same.
    NotRecorded {
        /// What is wrong with the store.
        reason: String,
    },
    /// The person has refused elsewhere since this grant was given, and the refusal counts.
    Overruled {
        /// A description.
        reason: String,
    },
    /// The refusal is durable, but a sender did not release its request in time.
    NotFenced {
        /// Who.
        reason: String,
    },
    /// The refusal is durable, but some data could not be deleted.
    NotPurged {
        /// What.
        reason: String,
    },
}

impl fmt::Display for ConsentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotRecorded { reason }
        | Self::Overruled { reason }
        | Self::NotFenced { reason }
        | Self::NotPurged { reason }) = self;
        f.write_str(reason)
    }
}

impl std::error::Error for ConsentError {}

impl From<engine::ConsentError> for ConsentError {
    fn from(trouble: engine::ConsentError) -> Self {
        let reason = trouble.to_string();
        match trouble {
            engine::ConsentError::Overruled => Self::Overruled { reason },
            engine::ConsentError::NotFenced(_) => Self::NotFenced { reason },
            engine::ConsentError::NotPurged(_) => Self::NotPurged { reason },
            _ => Self::NotRecorded { reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_objects_hears_what_is_left() {
        let left = vec!["queue".to_owned(), "a.identity.a".to_owned()];
        let ConsentError::NotPurged { reason } = engine::ConsentError::NotPurged(left).into() else {
            panic!()
        };
        assert!(reason.ends_with(": queue, a.identity.a"), "{reason}");
    }

    #[test]
    fn a_number_says_what_the_outcome_was() {
        for rejection in Rejection::ALL {
            let Outcome::Rejected { reason, hint } = outcome(code(engine::Outcome::Rejected(*rejection)))
            else {
                panic!("{rejection:?} is none");
            };
            assert_eq!((reason.as_str(), hint.as_str()), (rejection.as_str(), rejection.hint()));
        }
        assert_eq!(outcome(code(engine::Outcome::Accepted)), Outcome::Accepted);
        assert_eq!(outcome(code(engine::Outcome::Held)), Outcome::Held);
        assert!(
            matches!(outcome(NO_SUCH_CALL), Outcome::Rejected { reason, .. } if reason == "no_such_call")
        );
    }
}
