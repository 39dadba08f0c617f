//! The consent record, whatever stands there: what is understood is understood the same again, what is not is a
//! refusal, and a refusal can always be written over it.
//!
//! An input is a byte for the default, one for the signals, and up to two records with a zero byte between them: the
//! two copies of a driver that keeps a mirror.

use crate::bytes::Bytes;
use crate::host::{Host, counted_up};
use crate::tree::Tree;
use refrain::engine::{
    Also, Config, ConsentRecord, ConsentState, Decision, DefaultConsent, DenyReason, Erasure, ErasureKind,
    EventId, Input, RecordRead, Secret, Signals, Verdict,
};

pub(super) const DICTIONARY: &[&str] = &[
    "\0",
    "{\"v\":1,\"decision\":\"granted\",\"revision\":3,\"epoch\":2,\"at\":5}",
    "{\"v\":1,\"decision\":\"denied\",\"revision\":3,\"epoch\":2,\"at\":5}",
    ",\"outbox\":[{\"id\":\"ab\",\"kind\":\"device\",\"device_id\":\"d\",\"secret\":\"s\",\"state\":\"requested\"}]}",
    "{\"id\":\"cd\",\"kind\":\"profile\",\"device_id\":\"d\",\"user\":\"u\",\"state\":\"accepted\",\"answer\":{\"id\":\"x\"}}",
    "\"v\":1",
    "\"v\":2",
    "\"decision\":",
    "\"granted\"",
    "\"denied\"",
    "\"unset\"",
    "\"revision\":",
    "\"epoch\":",
    "\"at\":",
    "\"outbox\":[",
    "\"user\":\"\"",
    "\"answer\":",
    "\"state\":\"completed\"",
    "\"state\":\"refused\"",
    "18446744073709551615",
    "18446744073709551616",
    "9007199254740992",
    "[[[[[[[[",
    "]]]]]]]]",
    "\\u0061",
    "-1",
    "1.0",
    "1e3",
];

pub(super) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut config = Config::new("T");
    config.default_consent =
        bytes.pick(&[DefaultConsent::Granted, DefaultConsent::Pending, DefaultConsent::Denied]);
    let bits = bytes.byte();
    let signals = Signals { gpc: bits & 1 > 0, dnt: bits & 2 > 0, host: bits & 4 > 0 };
    (config.honor_gpc, config.honor_dnt) = (bits & 8 == 0, bits & 16 == 0);
    let mut copies =
        bytes.rest().splitn(2, |byte| *byte == 0).map(|copy| RecordRead::of_bytes(copy.to_vec()));
    let one = copies.next().unwrap_or(RecordRead::Absent);
    let other = copies.next().unwrap_or(RecordRead::Absent);
    for copy in [&one, &other] {
        check_decoding(copy);
        check_verdict(copy, &config, signals);
        check_words(copy, &config);
    }
    check_copies(&one, &other);
}

fn check_decoding(read: &RecordRead) {
    let RecordRead::Content(text) = read else { return };
    let record = ConsentRecord::decode(text);
    match ConsentState::of(read) {
        ConsentState::Found(found) => assert_eq!(record.as_ref(), Some(&found)),
        ConsentState::Unreadable => assert_eq!(record, None),
        ConsentState::Absent => panic!("something stands there"),
    }
    let Some(record) = record else { return };
    let again = record.encode();
    assert_eq!(ConsentRecord::decode(&again).as_ref(), Some(&record), "{again}");
    // What `serde_json` cannot read for a number that is too large, it has no opinion on.
    let Some(tree) = Tree::parse(text) else { return };
    assert_eq!(tree.get("decision").and_then(Tree::as_str), Some(record.decision.as_str()));
    for (key, number) in
        [("revision", record.revision), ("epoch", record.epoch), ("at", record.at_ms), ("v", 1)]
    {
        assert_eq!(tree.get(key), Some(&Tree::Number(number.into())), "{key}");
    }
    let source = tree.get("source").and_then(Tree::as_str);
    assert_eq!(record.source, source.unwrap_or_default());
    let entries = if let Some(Tree::Array(entries)) = tree.get("outbox") { entries.as_slice() } else { &[] };
    assert_eq!(record.outbox.len(), entries.len());
    for (erasure, entry) in record.outbox.iter().zip(entries) {
        check_entry(erasure, entry);
    }
}

fn check_entry(erasure: &Erasure, entry: &Tree) {
    let text = |key| entry.get(key).and_then(Tree::as_str);
    assert_eq!(text("id"), Some(erasure.id.as_str()));
    assert_eq!(text("device_id"), Some(erasure.device_id.as_str()));
    assert_eq!(text("state"), Some(erasure.state.as_str()));
    assert_eq!(text("user").filter(|user| !user.is_empty()), erasure.user.as_deref());
    assert_eq!(text("secret").unwrap_or_default(), erasure.secret);
    assert_eq!(erasure.kind == ErasureKind::Profile, text("kind") == Some("profile"));
    assert_eq!(erasure.answer.as_deref().and_then(Tree::parse).as_ref(), entry.get("answer"));
}

/// The table, worked out a second time.
fn expected(state: &ConsentState, config: &Config, signals: Signals) -> Verdict {
    let decision = match state {
        ConsentState::Unreadable => return Verdict::Deny(DenyReason::StoreUnavailable),
        ConsentState::Absent => Decision::Unset,
        ConsentState::Found(record) => record.decision,
    };
    let no = [
        (signals.gpc && config.honor_gpc, DenyReason::Gpc),
        (signals.dnt && config.honor_dnt, DenyReason::Dnt),
        (signals.host, DenyReason::Host),
        (config.default_consent == DefaultConsent::Denied, DenyReason::Default),
    ];
    match (decision, no.into_iter().find(|(says_no, _)| *says_no)) {
        (Decision::Denied, _) => Verdict::Deny(DenyReason::Person),
        (Decision::Granted, _) => Verdict::Allow,
        (Decision::Unset, Some((_, reason))) => Verdict::Deny(reason),
        (Decision::Unset, None) if config.default_consent == DefaultConsent::Granted => Verdict::Allow,
        (Decision::Unset, None) => Verdict::Hold,
    }
}

fn check_verdict(read: &RecordRead, config: &Config, signals: Signals) {
    let mut host = Host::new(config.clone(), read.clone());
    host.input(Input::Signals(signals));
    let host = host.start();
    let expected = expected(&ConsentState::of(read), config, signals);
    assert_eq!(host.engine.consent().verdict, expected);
    if matches!(expected, Verdict::Deny(DenyReason::StoreUnavailable)) {
        assert_eq!(host.engine.consent().reason(), "store_unavailable");
    }
    if expected != Verdict::Allow {
        assert!(host.consent == *read, "C10: reading changes nothing");
        assert!(host.waiting.iter().all(|(_, waiting)| matches!(waiting, crate::host::Waiting::Outbox(_))));
        assert_eq!((host.engine.device_id(), host.records.len()), (None, 0));
    }
}

/// Whatever stands there, the person's word is written over it, and the next process reads it.
fn check_words(read: &RecordRead, config: &Config) {
    let mut host = Host::new(config.clone(), read.clone()).start();
    let before = ConsentState::of(read);
    if counted_up(&before) {
        return;
    }
    let known = before.record().cloned().unwrap_or_default();
    let id = EventId(host.bits());
    host.input(Input::OptOut { also: Also::default(), id });
    host.run();
    let refused = host.state();
    let refused = refused.record().expect("a refusal is always written").clone();
    assert_eq!(refused.decision, Decision::Denied);
    assert!(refused.revision > known.revision && refused.epoch > known.epoch, "{known:?} {refused:?}");
    let open = known.outbox.iter().filter(|entry| !entry.state.is_final()).count();
    let left = refused.outbox.iter().filter(|entry| !entry.state.is_final()).count();
    assert_eq!(open, left, "C12: the outbox outlives everything");
    let next = Host::new(config.clone(), host.consent.clone()).start();
    assert_eq!(next.engine.consent().verdict, Verdict::Deny(DenyReason::Person));

    let (id, secret) = (EventId(host.bits()), Secret(host.bits()));
    host.input(Input::OptIn { id, secret });
    host.run();
    let granted = host.state();
    let granted = granted.record().expect("it was readable").clone();
    assert_eq!(granted.decision, Decision::Granted);
    assert!(granted.outranks(&refused) && granted.epoch >= refused.epoch);
    assert_eq!(host.engine.consent().verdict, Verdict::Allow);
}

/// C5: of two copies the stricter one counts, whichever is read first.
fn check_copies(one: &RecordRead, other: &RecordRead) {
    let (first, second) = (ConsentState::of(one), ConsentState::of(other));
    let both = ConsentState::of_copies(one, other);
    let turned = ConsentState::of_copies(other, one);
    let decision = |state: &ConsentState| state.record().map(|record| record.decision);
    let rank = |state: &ConsentState| state.record().map(|record| (record.decision, record.revision));
    assert_eq!(rank(&both), rank(&turned));
    let denied = |state: &ConsentState| decision(state) == Some(Decision::Denied);
    if denied(&first) || denied(&second) {
        assert!(denied(&both), "the refusal wins");
    } else if [&first, &second].contains(&&ConsentState::Unreadable) {
        assert_eq!(both, ConsentState::Unreadable);
    }
    let config = Config::new("T");
    let strictest = |state: &ConsentState| match expected(state, &config, Signals::default()) {
        Verdict::Allow => 0,
        Verdict::Hold => 1,
        Verdict::Deny(_) => 2,
    };
    // A copy that is missing has no say.
    if first != ConsentState::Absent && second != ConsentState::Absent {
        assert!(strictest(&both) >= strictest(&first).min(strictest(&second)));
    }
}
