//! What calls get to hear.

use refrain::engine;
use std::fmt;

/// What became of a call that records.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Outcome {
    /// Recorded.
    Accepted,
    /// Kept in memory until the person decides.
    Held,
    /// Not recorded.
    Rejected {
        /// Why: a stable word.
        reason: String,
        /// One sentence that says what to do about it.
        hint: String,
    },
}

impl From<engine::Outcome> for Outcome {
    fn from(outcome: engine::Outcome) -> Self {
        match outcome {
            engine::Outcome::Held => Self::Held,
            engine::Outcome::Rejected(rejection) => {
                Self::Rejected { reason: rejection.as_str().into(), hint: rejection.hint().into() }
            }
            engine::Outcome::Accepted
            | engine::Outcome::Nothing
            | engine::Outcome::Pending(_)
            | engine::Outcome::Flushing(_) => Self::Accepted,
        }
    }
}

/// A consent call that did not end as it should.
#[derive(Debug, uniffi::Error)]
pub enum ConsentError {
    /// The decision could not be written. A refusal holds for this process all the same.
    NotRecorded {
        /// What is wrong with the store.
        reason: String,
    },
    /// A refusal was given elsewhere after this grant, and counts.
    Overruled {
        /// In words.
        reason: String,
    },
    /// The refusal is durable, but a sender did not let go in time.
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

impl From<engine::Trouble> for ConsentError {
    fn from(trouble: engine::Trouble) -> Self {
        let reason = trouble.to_string();
        match trouble {
            engine::Trouble::Overruled => Self::Overruled { reason },
            engine::Trouble::NotFenced(_) => Self::NotFenced { reason },
            engine::Trouble::NotPurged(_) => Self::NotPurged { reason },
            _ => Self::NotRecorded { reason },
        }
    }
}
