//! What a process has for itself, also after a fork.

use super::process;
use once_cell::race::OnceBox;

/// A value that every process has for itself: a forked child gets a new one.
///
/// There is no lock on the way to it, because a child would inherit that too, perhaps held by a thread that it does
/// not have. For the same reason a child never looks into the values of its ancestors.
pub struct PerProcess<T>(OnceBox<Own<T>>);

struct Own<T> {
    process: u32,
    value: T,
    /// The value of a descendant.
    next: OnceBox<Own<T>>,
}

impl<T: Default> PerProcess<T> {
    /// Makes nothing yet.
    #[allow(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Self(OnceBox::new())
    }

    /// The calling process's value.
    pub fn get(&self) -> &T {
        self.of(process::id())
    }

    fn of(&self, process: u32) -> &T {
        let mut place = &self.0;
        loop {
            // Of threads that come here at once one fills the place, for all.
            let own =
                place.get_or_init(|| Box::new(Own { process, value: T::default(), next: OnceBox::new() }));
            if own.process == process {
                return &own.value;
            }
            place = &own.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_process_has_its_own_and_all_its_threads_have_the_same() {
        static NUMBERS: PerProcess<Mutex<Vec<u32>>> = PerProcess::new();
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || NUMBERS.get().lock().unwrap().push(number));
            }
        });
        assert_eq!(NUMBERS.get().lock().unwrap().len(), 8);
        // A thread that a child does not have is in there.
        let _held = NUMBERS.get().lock().unwrap();
        let (child, grandchild) = (process::id() + 1, process::id() + 2);
        NUMBERS.of(child).lock().unwrap().push(1);
        assert!(NUMBERS.of(grandchild).lock().unwrap().is_empty());
        assert_eq!(*NUMBERS.of(child).lock().unwrap(), [1]);
    }
}
