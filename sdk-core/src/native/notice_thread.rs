//! The thread on which the app hears what its client has to say. There is one only while there is something to say. None of
//! the client's threads waits for it, and of the app's only who shuts the client down: so the app may do anything there,
//! also wait for the client, or shut it down.

use super::shared::Shared;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

thread_local! {
    static THIS_ONE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is such a thread, of whatever client.
pub(super) fn is_this_one() -> bool {
    THIS_ONE.get()
}

/// Says everything that waits to be said, one after the other. The caller has set `telling`.
pub(super) fn start(shared: &Arc<Shared>) {
    let own = Arc::clone(shared);
    if thread::Builder::new().name("refrain-notice".into()).spawn(move || tell(&own)).is_err() {
        // It is tried again when the storage thread looks next.
        shared.lock().telling = false;
        shared.announce_progress();
    }
}

fn tell(shared: &Shared) {
    THIS_ONE.set(true);
    loop {
        let mut core = shared.lock();
        let notices = std::mem::take(&mut core.notices);
        if notices.is_empty() {
            core.telling = false;
            drop(core);
            return shared.announce_progress();
        }
        drop(core);
        for notice in notices {
            if let Some(hook) = &shared.on_notice {
                let _ = catch_unwind(AssertUnwindSafe(|| hook(&notice)));
            }
        }
    }
}
