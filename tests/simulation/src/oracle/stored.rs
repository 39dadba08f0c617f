//! What stands on the disk, as whoever looks at it from outside reads it.

use super::Whom;
use crate::disk::SimDisk;
use refrain::engine::{Config, ConsentRecord, DefaultConsent, Done, Engine, Input, Now, RecordRead, Secret};
use refrain::journal::slot::{self, Slots};
use refrain::json::Object;
use std::cell::RefCell;
use std::rc::Rc;

/// The beginning of every secret, as a file holds it.
pub const SECRET: &str = "a5a5a5a5a5a5";

/// What each slot of the consent record holds.
pub fn slots_on(disk: &SimDisk) -> Vec<Vec<u8>> {
    let slots = disk.files().into_iter().filter(|(path, _)| path.to_string_lossy().contains(".consent."));
    let content = |bytes: Vec<u8>| match slot::newest(Some(&bytes), None) {
        Slots::Content { payload, .. } => Some(payload.to_vec()),
        _ => None,
    };
    slots.filter_map(|(_, bytes)| content(bytes)).collect()
}

/// C8: what a bit that flips has made of a slot is no record.
pub fn no_other_record(disk: &SimDisk, before: &[Vec<u8>]) {
    let other = slots_on(disk).into_iter().find(|payload| !before.contains(payload));
    assert_eq!(other, None, "C8: a damaged record passes for a whole one");
}

/// The consent record that stands on the disk.
pub fn record_on(disk: &SimDisk) -> Option<Rc<ConsentRecord>> {
    consent_on(disk).1
}

/// Whether a consent record stands there that nobody can read.
pub fn is_damaged_on(disk: &SimDisk) -> bool {
    let (slots, record) = consent_on(disk);
    slots.iter().flatten().any(|slot| !slot.is_empty()) && record.is_none()
}

/// What stands in a record's two files.
pub(super) type Pair = [Option<Vec<u8>>; 2];

/// What was read last, and from what. The witness looks after every step, most steps write no record, and to read one is
/// most of the work of looking: it is read again where its files hold other bytes.
struct Last<T>(RefCell<(Rc<Pair>, T)>);

impl<T: Clone + Default> Last<T> {
    fn new() -> Self {
        Self(RefCell::default())
    }

    fn read(&self, disk: &SimDisk, ends: [&str; 2], read: impl FnOnce(&Pair) -> T) -> (Rc<Pair>, T) {
        let mut last = self.0.borrow_mut();
        let same = |(end, bytes): (&str, &Option<Vec<u8>>)| disk.file_is(end, bytes.as_deref());
        if !ends.into_iter().zip(&*last.0).all(same) {
            let pair = ends.map(|end| disk.file(end));
            let value = read(&pair);
            *last = (Rc::new(pair), value);
        }
        last.clone()
    }
}

/// A consent record and an identity record, and whom they tell of.
type Known = ([Rc<Pair>; 2], Option<Whom>);

thread_local! {
    static CONSENT: Last<Option<Rc<ConsentRecord>>> = Last::new();
    static IDENTITY: Last<Option<Rc<str>>> = Last::new();
    static WHOM: RefCell<Known> = RefCell::default();
}

/// What stands in the consent record's two files, and the record.
pub(super) fn consent_on(disk: &SimDisk) -> (Rc<Pair>, Option<Rc<ConsentRecord>>) {
    CONSENT.with(|last| {
        last.read(disk, [".consent.a", ".consent.b"], |[a, b]| {
            match slot::newest(a.as_deref(), b.as_deref()) {
                Slots::Content { payload, .. } => {
                    ConsentRecord::decode(std::str::from_utf8(payload).ok()?).map(Rc::new)
                }
                _ => None,
            }
        })
    })
}

/// What stands in the identity record's two files, and its text.
fn identity_files(disk: &SimDisk) -> (Rc<Pair>, Option<Rc<str>>) {
    IDENTITY.with(|last| {
        last.read(disk, [".identity.a", ".identity.b"], |[a, b]| {
            let Slots::Content { payload, .. } = slot::newest(a.as_deref(), b.as_deref()) else {
                return None;
            };
            std::str::from_utf8(payload).ok().map(Rc::from)
        })
    })
}

/// The text of the identity record on the disk.
pub fn identity_on(disk: &SimDisk) -> Option<Rc<str>> {
    identity_files(disk).1
}

/// The device that stands on the disk, with its user.
pub(super) fn whom_on(disk: &SimDisk) -> Option<Whom> {
    let ((consents, consent), (identities, identity)) = (consent_on(disk), identity_files(disk));
    WHOM.with_borrow_mut(|known| {
        let read_from = [consents, identities];
        if known.0 != read_from {
            let whom = identity.and_then(|identity| {
                let device = device_in(&identity, consent.as_deref())?;
                let user = Object::parse(&identity).ok().and_then(|identity| identity.string("user"));
                Some(Whom { device, user })
            });
            *known = (read_from, whom);
        }
        known.1.clone()
    })
}

/// The device in the text of an identity record, as an engine reads it; where no record tells of an epoch, that of whichever.
fn device_in(identity: &str, consent: Option<&ConsentRecord>) -> Option<String> {
    let epoch = Object::parse(identity).ok()?.integer("epoch")?;
    let anybodys = ConsentRecord { epoch, ..ConsentRecord::default() };
    let consent = consent.unwrap_or(&anybodys);
    let mut config = Config::new("T");
    config.default_consent = DefaultConsent::Granted;
    let mut reader = Engine::new(config).ok()?;
    let start = reader.handle(Now::default(), Input::Start { secret: Secret([0; 16]) }).next();
    let op = start.and_then(|effect| effect.op())?;
    let (consent, identity) = (RecordRead::Content(consent.encode()), RecordRead::Content(identity.into()));
    let result = Done::Opened { consent, identity, data: false };
    drop(reader.handle(Now::default(), Input::Done { op, result }));
    reader.device_id()
}
