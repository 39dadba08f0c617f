//! Running a target: one input, or many mutations of a corpus.

use crate::minimize::minimize;
use crate::mutate::mutate;
use crate::targets::Target;
use refrain_simulation::dice::Dice;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// What an input has broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file and line of the panic.
    pub place: String,
    /// What it says.
    pub message: String,
}

/// An input that breaks something.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The input.
    pub data: Vec<u8>,
    /// What it breaks.
    pub failure: Failure,
}

thread_local! {
    static LAST: RefCell<Option<Failure>> = const { RefCell::new(None) };
    static WATCHED: RefCell<bool> = const { RefCell::new(false) };
}

/// Runs one input.
///
/// # Errors
/// The panic that it ends in.
pub fn attempt(target: &Target, data: &[u8]) -> Result<(), Failure> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !WATCHED.with_borrow(|watched| *watched) {
                return usual(info);
            }
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
            let payload = info.payload();
            let formatted = payload.downcast_ref::<String>().map(String::as_str);
            let message = formatted.or(payload.downcast_ref::<&str>().copied()).unwrap_or_default().into();
            LAST.set(Some(Failure { place, message }));
        }));
    });
    WATCHED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
    WATCHED.set(false);
    result.map_err(|_| LAST.take().unwrap_or(Failure { place: String::new(), message: String::new() }))
}

/// Runs mutations of the seeds until one breaks something, or `go_on` has enough of them. The same seed of the dice
/// makes the same inputs.
pub fn fuzz(
    target: &Target,
    seeds: &[Vec<u8>],
    seed: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<u64, Finding> {
    let mut dice = Dice::new(seed);
    let mut inputs = 0;
    while go_on(inputs) {
        let data = mutate(&mut dice, seeds, target.dictionary);
        if let Err(failure) = attempt(target, &data) {
            return Err(Finding { data, failure });
        }
        inputs += 1;
    }
    Ok(inputs)
}

/// A smaller input that breaks the same at the same place.
pub fn smaller(target: &Target, finding: &Finding) -> Finding {
    let place = &finding.failure.place;
    let data = minimize(&finding.data, &mut |data| {
        attempt(target, data).is_err_and(|failure| failure.place == *place)
    });
    match attempt(target, &data) {
        Err(failure) => Finding { data, failure },
        Ok(()) => finding.clone(),
    }
}
