//! Which process this is, without asking the system for it at every call.
//!
//! Asking takes a tenth of a microsecond, and half of one where nothing of it is in the processor's caches: half of what
//! a call may cost its caller. So the answer is kept, and the C library, which makes the child of a fork, has it
//! forgotten there. Beside `store/flock.rs` this is the only unsafe code of the crate.

/// The process's id. A child hears its parent's if it is not made by the C library's `fork` (but by `_Fork` or the bare
/// system call), and if it was made in the very moment when its parent asked for the first time; in other libraries'
/// fork handlers it may hear it, too.
pub fn id() -> u32 {
    kept::id()
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "the C library has no other way to be told")]
mod kept {
    use std::process;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

    /// No process has this id.
    const UNKNOWN: u32 = 0;
    static ID: AtomicU32 = AtomicU32::new(UNKNOWN);
    /// Whether a child forgets, which its own children inherit.
    static FORGETS: AtomicBool = AtomicBool::new(false);

    type Handler = Option<extern "C" fn()>;

    // SAFETY: as POSIX declares it.
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> i32;
    }

    /// Runs in a child before `fork` returns there. It only stores a number, which is safe at that point.
    extern "C" fn forget() {
        ID.store(UNKNOWN, SeqCst);
    }

    #[inline]
    pub(super) fn id() -> u32 {
        match ID.load(Relaxed) {
            UNKNOWN => learn(),
            id => id,
        }
    }

    #[cold]
    fn learn() -> u32 {
        if !FORGETS.load(SeqCst) {
            // Threads that come here at once may both register: to forget twice does no harm.
            // SAFETY: the handler is a function of this library, and takes no lock and no memory. A C library forgets
            // it when the library is unloaded.
            let registered = unsafe { pthread_atfork(None, None, Some(forget)) } == 0;
            if !registered {
                return process::id();
            }
            FORGETS.store(true, SeqCst);
        }
        let id = process::id();
        ID.store(id, SeqCst);
        id
    }
}

#[cfg(not(unix))]
mod kept {
    /// Without forks it is a constant.
    pub(super) fn id() -> u32 {
        std::process::id()
    }
}

#[cfg(all(test, unix))]
#[allow(unsafe_code, reason = "the standard library does not fork")]
mod tests {
    use crate::engine::{Decision, Outcome, Rejection};
    use crate::native::{Client, OptOut};
    use std::process;

    // SAFETY: as POSIX declares them.
    unsafe extern "C" {
        fn fork() -> i32;
        fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(status: i32) -> !;
    }

    /// Whether it holds in a child. It should not take memory: another thread may have been at it when the child was made.
    fn holds_in_child(condition: impl FnOnce() -> bool) -> bool {
        let mut status = -1;
        // SAFETY: the child does no more than it may, and ends without running what belongs to its parent.
        unsafe {
            match fork() {
                0 => _exit(i32::from(!condition())),
                child => assert_eq!(waitpid(child, &raw mut status, 0), child),
            }
        }
        status == 0
    }

    #[test]
    fn a_child_and_its_child_know_who_they_are() {
        let knows = || super::id() == process::id();
        assert!(knows() && knows());
        assert!(holds_in_child(|| knows() && knows() && holds_in_child(knows)));
        assert!(knows());
    }

    #[test]
    fn a_child_is_refused_from_its_first_call_on() {
        let client = Client::builder("T").build().unwrap();
        client.opt_in().unwrap();
        let track = || client.track_json("e", "{}");
        assert_eq!(track(), Outcome::Accepted);
        assert!(holds_in_child(|| track() == Outcome::Rejected(Rejection::Closed)));
        assert_eq!(track(), Outcome::Accepted);
    }

    #[test]
    fn c8_a_child_never_takes_a_no_for_nothing() {
        let folder = std::env::temp_dir().join(format!("refrain-fork-{}", process::id()));
        let stored = Client::builder("T").data_dir(&folder).build().unwrap();
        stored.opt_out(OptOut::default()).unwrap();
        let says = |decision, reason| {
            let consent = stored.consent();
            (consent.decision, consent.reason()) == (decision, reason)
        };
        // A child may take memory here: the C library's `fork` leaves its own in order.
        assert!(holds_in_child(|| says(Decision::Denied, "person") && stored.has_opted_out()));
        stored.opt_in().unwrap();
        assert!(holds_in_child(|| says(Decision::Granted, "store_unavailable")));
        stored.shutdown(std::time::Duration::from_secs(30));
        std::fs::remove_dir_all(folder).unwrap();

        let unstored = Client::builder("T").build().unwrap();
        assert!(unstored.opt_out(OptOut::default()).is_err());
        assert!(holds_in_child(|| unstored.has_opted_out()));
    }
}
