//! The way in for all calls that record, in plain C: UniFFI's costs a host several times the call, since every structure
//! that crosses takes microseconds of the JVM and of Python, and two copies of the text of Swift.

use crate::exchange::lock;
use crate::outcome::{NO_SUCH_CALL, code};
use refrain::engine::CallKind;
use refrain::native::{self, PerProcess, process};
use std::panic::{self, AssertUnwindSafe};
use std::slice;
use std::sync::Mutex;

/// Clients by number. A number is not an address: one whose client is gone leads nowhere. Nor does a parent's in its forked
/// child, which counts anew: the process stands in it.
static OPEN: PerProcess<Mutex<Open>> = PerProcess::new();

/// In a number, where the process stands that it is of.
const PROCESS: u32 = 32;

#[derive(Default)]
struct Open {
    last: u32,
    /// A process has few.
    clients: Vec<(u64, native::Client)>,
}

impl Open {
    fn place(&self, door: u64) -> Option<usize> {
        self.clients.iter().position(|(number, _)| *number == door)
    }
}

/// A client's number, as long as it lives.
pub(crate) struct Door(u64);

impl Door {
    pub(crate) fn open(client: native::Client) -> Self {
        let mut open = lock(OPEN.get());
        open.last = open.last.wrapping_add(1);
        let number = u64::from(process::id()) << PROCESS | u64::from(open.last);
        open.clients.push((number, client));
        Self(number)
    }

    pub(crate) fn number(&self) -> u64 {
        self.0
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut open = lock(OPEN.get());
        let client = open.place(self.0).map(|place| open.clients.swap_remove(place));
        // To end a client takes other locks.
        drop(open);
        drop(client);
    }
}

/// Any call of the app that records, of the client whose [`Client::door`](crate::Client::door) this is: the number of its
/// kind, and in one text a name (of an event or a property, a user, an alias, a group's key), whose length in bytes is
/// given, and behind it properties or operators as a JSON object, or a group's id; each empty where the kind has none.
/// What became of it is a number, which [`outcome`](crate::outcome()) explains: 0 accepted, 1 held.
///
/// 0 track an event, 1 identify, 2 reset, 3 register, 4 register once, 5 register for the session, 6 unregister,
/// 7 switch user, 8 alias, 9 time an event, 10 update the profile, 11 update a group's profile, 12 set a group,
/// 13 add a group, 14 remove a group.
///
/// # Safety
/// At `text` there are as many bytes as `text_bytes` says, which nobody changes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn refrain_call(
    door: u64,
    kind: u8,
    name_bytes: u32,
    text_bytes: u32,
    text: *const u8,
) -> u8 {
    let text = match (text.is_null(), text_bytes) {
        (true, 0) => &[],
        (true, _) => return NO_SUCH_CALL,
        // SAFETY: the caller's promise.
        (false, bytes) => unsafe { slice::from_raw_parts(text, bytes as usize) },
    };
    panic::catch_unwind(AssertUnwindSafe(|| enter(door, kind, name_bytes, text))).unwrap_or(NO_SUCH_CALL)
}

fn enter(door: u64, kind: u8, name_bytes: u32, text: &[u8]) -> u8 {
    let open = lock(OPEN.get());
    let client = open.place(door).map(|place| open.clients[place].1.clone());
    drop(open);
    let kind = CallKind::ALL.get(usize::from(kind));
    let at = usize::try_from(name_bytes).ok();
    let parts = at.and_then(|at| str::from_utf8(text).ok()?.split_at_checked(at));
    client
        .zip(kind.zip(parts))
        .map_or(NO_SUCH_CALL, |(client, (kind, (name, text)))| code(client.call(*kind, name, text)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Config;
    use crate::transport::{HttpAnswer, HttpRequest, HttpTransport, TransportError};
    use std::sync::Arc;

    pub(crate) struct Nobody;

    impl HttpTransport for Nobody {
        fn send(&self, _: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
            Ok(HttpAnswer::Unreachable)
        }

        fn cancel(&self) -> Result<(), TransportError> {
            Ok(())
        }

        fn notice(&self, _: String) -> Result<(), TransportError> {
            Ok(())
        }

        fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
            Ok(())
        }
    }

    pub(crate) fn config() -> Config {
        Config {
            token: "door".into(),
            endpoint: None,
            data_dir: None,
            default_consent: None,
            honor_gpc: true,
            honor_dnt: true,
            flush_interval: None,
            batch_size: None,
            queue_limit_bytes: None,
            queue_limit_age: None,
            id_merge: None,
            automatic_properties: None,
            deny_list: Vec::new(),
            library: None,
            personal_data: None,
            personal_data_allow: Vec::new(),
            signals: None,
        }
    }

    pub(crate) fn client() -> crate::Client {
        crate::Client::new(config(), Arc::new(Nobody)).unwrap()
    }

    fn call(door: u64, name_bytes: u32, text: &[u8]) -> u8 {
        // SAFETY: a slice has as many bytes as it says.
        unsafe { refrain_call(door, 0, name_bytes, text.len() as u32, text.as_ptr()) }
    }

    #[test]
    fn a_door_leads_to_its_client_as_long_as_that_lives() {
        let client = client();
        let door = client.door();
        assert_eq!(client.door(), door);
        client.opt_in().unwrap();
        assert_eq!(call(door, 7, b"Crossed{}"), 0);
        assert_eq!(client.stats().tracked, 2);
        for (name_bytes, text) in
            [(9, &b"too short"[..]), (10, b"too short"), (1, "ä{}".as_bytes()), (1, b"\xff{}")]
        {
            assert_ne!(call(door, name_bytes, text), 0, "{text:?}");
        }
        // The next ones may be those of other tests.
        assert_eq!(call(u64::MAX, 7, b"Crossed{}"), NO_SUCH_CALL);
        drop(client);
        assert_eq!(call(door, 7, b"Crossed{}"), NO_SUCH_CALL);
    }

    #[test]
    fn a_door_is_of_its_process() {
        let client = client();
        assert_eq!(client.door() >> 32, u64::from(std::process::id()));
        // As a client has it that was inherited from a parent.
        drop(Door(client.door() ^ 1 << 32));
        client.opt_in().unwrap();
        assert_eq!(call(client.door(), 7, b"Crossed{}"), 0);
        assert_eq!(call(client.door() ^ 1 << 32, 7, b"Crossed{}"), NO_SUCH_CALL);
    }

    #[test]
    fn nothing_is_read_where_nothing_is() {
        let client = client();
        client.opt_in().unwrap();
        let call = |kind, bytes| {
            // SAFETY: nothing is read from there.
            unsafe { refrain_call(client.door(), kind, 0, bytes, std::ptr::null()) }
        };
        assert_eq!((call(2, 0), call(2, 1)), (0, NO_SUCH_CALL));
        assert_ne!(call(0, 0), 0, "an event without a name");
    }
}
