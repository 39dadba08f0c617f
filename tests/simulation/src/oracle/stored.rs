//! What stands on the disk, as whoever looks at it from outside reads it.

use crate::disk::SimDisk;
use refrain::engine::{Config, ConsentRecord, DefaultConsent, Done, Engine, Input, Now, RecordRead, Secret};
use refrain::journal::slot::{self, Slots};
use refrain::json::Object;

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
pub fn record_on(disk: &SimDisk) -> Option<ConsentRecord> {
    let [a, b] = consent_slots(disk);
    match slot::newest(a.as_deref(), b.as_deref()) {
        Slots::Content { payload, .. } => ConsentRecord::decode(std::str::from_utf8(payload).ok()?),
        _ => None,
    }
}

/// Whether a consent record stands there that nobody can read.
pub fn is_damaged_on(disk: &SimDisk) -> bool {
    let slots = consent_slots(disk);
    slots.iter().flatten().any(|slot| !slot.is_empty()) && record_on(disk).is_none()
}

/// What stands in the consent record's two files.
pub(super) fn consent_slots(disk: &SimDisk) -> [Option<Vec<u8>>; 2] {
    [".consent.a", ".consent.b"].map(|end| disk.file(end))
}

/// The text of the identity record on the disk.
pub fn identity_on(disk: &SimDisk) -> Option<String> {
    let [a, b] = [".identity.a", ".identity.b"].map(|end| disk.file(end));
    let Slots::Content { payload, .. } = slot::newest(a.as_deref(), b.as_deref()) else { return None };
    String::from_utf8(payload.to_vec()).ok()
}

/// The user in the text of an identity record.
pub(super) fn user_in(identity: &str) -> Option<String> {
    Object::parse(identity).ok()?.string("user")
}

/// The device that stands on the disk, as an engine reads it; where no record tells of an epoch, that of whichever.
pub(super) fn device_on(disk: &SimDisk) -> Option<String> {
    let text = identity_on(disk)?;
    let epoch = Object::parse(&text).ok()?.integer("epoch")?;
    let consent = record_on(disk).unwrap_or(ConsentRecord { epoch, ..ConsentRecord::default() });
    let mut config = Config::new("T");
    config.default_consent = DefaultConsent::Granted;
    let mut reader = Engine::new(config).ok()?;
    let start = reader.handle(Now::default(), Input::Start { secret: Secret([0; 16]) }).next();
    let op = start.and_then(|effect| effect.op())?;
    let (consent, identity) = (RecordRead::Content(consent.encode()), RecordRead::Content(text));
    let result = Done::Opened { consent, identity, data: false };
    drop(reader.handle(Now::default(), Input::Done { op, result }));
    reader.device_id()
}
