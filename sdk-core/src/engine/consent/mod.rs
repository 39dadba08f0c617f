//! The person's choice: the record of it, how the record changes, and the verdict that follows from it.

mod change;
mod erasure;
mod record;
mod verdict;

pub(super) use change::ConsentChange;
pub use erasure::{Erasure, ErasureKind, ErasureState};
pub use record::{ConsentRecord, ConsentState, Decision};
pub(super) use record::{MOST, counting_anew};
pub(super) use verdict::verdict;
pub use verdict::{Consent, DenyReason, Signals, Verdict};
