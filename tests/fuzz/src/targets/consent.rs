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
    ErasureState, EventId, Input, RecordRead, Secret, Signals, Verdict,
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
    check_own(&mut bytes.clone());
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
    // What `serde_json` cannot read for a number that is too large, it has no opinion on.
    if let Some(tree) = Tree::parse(text) {
        let (mut bare, expected) = (record.clone(), understood(&tree));
        let entries = bare.iter_mut().flat_map(|record| &mut record.outbox);
        let answers: Vec<_> = entries.map(|entry| entry.answer.take()).collect();
        assert_eq!(bare, expected, "C8: a record of ours is read, and nothing else");
        let answers: Vec<_> = answers.iter().map(|answer| Tree::parse(answer.as_deref()?)).collect();
        let entries = answers.iter().zip(elements(&tree));
        entries.for_each(|(answer, entry)| assert_eq!(answer.as_ref(), entry.get("answer")));
    }
    let Some(record) = record else { return };
    let again = record.encode();
    assert_eq!(ConsentRecord::decode(&again).as_ref(), Some(&record), "{again}");
}

/// The entries of a record's outbox; none where there is no list.
fn elements(tree: &Tree) -> &[Tree] {
    if let Some(Tree::Array(entries)) = tree.get("outbox") { entries } else { &[] }
}

/// What a text means, but for the answers in it, worked out a second time; `None` where it is no record of this version.
fn understood(tree: &Tree) -> Option<ConsentRecord> {
    let text = |tree: &Tree, key| tree.get(key).and_then(Tree::as_str).map(str::to_owned);
    let number = |key| if let Some(Tree::Number(number)) = tree.get(key) { number.as_u64() } else { None };
    let counted = |key| number(key).filter(|number| *number <= 1 << 53);
    if !matches!(tree, Tree::Object(_)) || tree.depth() > 64 || number("v") != Some(1) {
        return None;
    }
    let decision = match text(tree, "decision")?.as_str() {
        "unset" => Decision::Unset,
        "granted" => Decision::Granted,
        "denied" => Decision::Denied,
        _ => return None,
    };
    let entry = |entry: &Tree| {
        let state = text(entry, "state")?;
        let state = STATES.into_iter().find(|(word, _)| *word == state)?.1;
        let profile = text(entry, "kind").as_deref() == Some("profile");
        Some(Erasure {
            id: text(entry, "id")?,
            kind: if profile { ErasureKind::Profile } else { ErasureKind::Device },
            device_id: text(entry, "device_id")?,
            user: text(entry, "user").filter(|user| !user.is_empty()),
            secret: text(entry, "secret").unwrap_or_default(),
            state,
            answer: None,
        })
    };
    Some(ConsentRecord {
        decision,
        revision: counted("revision")?,
        epoch: counted("epoch")?,
        at_ms: number("at")?,
        source: text(tree, "source").unwrap_or_default(),
        outbox: elements(tree).iter().map(entry).collect::<Option<_>>()?,
    })
}

const STATES: [(&str, ErasureState); 4] = [
    ("requested", ErasureState::Requested),
    ("accepted", ErasureState::Accepted),
    ("completed", ErasureState::Completed),
    ("refused", ErasureState::Refused),
];

/// A record as any input makes one, and its text as it has always been written: each is made of the other.
fn check_own(bytes: &mut Bytes<'_>) {
    let counted = |bytes: &mut Bytes<'_>| bytes.number() % ((1 << 53) + 1);
    let (word, decision) = bytes.pick(&[
        ("unset", Decision::Unset),
        ("granted", Decision::Granted),
        ("denied", Decision::Denied),
    ]);
    let (revision, epoch, at_ms) = (counted(bytes), counted(bytes), bytes.number());
    let source = bytes.text(&["", "refrain", "a \"library\""]);
    let quoted = |text: &str| serde_json::to_string(text).expect("a text");
    let (mut outbox, mut entries) = (Vec::new(), Vec::new());
    for _ in 0..bytes.below(4) {
        let (id, device_id) = (bytes.text(&["", "ab", "cd"]), bytes.text(&["d", ""]));
        let (kind_word, kind) =
            bytes.pick(&[("device", ErasureKind::Device), ("profile", ErasureKind::Profile)]);
        let user = Some(bytes.text(&["", "u1"])).filter(|user| !user.is_empty());
        let secret = bytes.text(&["", "00ff"]);
        let (state_word, state) = bytes.pick(&STATES);
        let answers = [None, Some("{}"), Some("{\"id\":\"e1\",\"receipt\":{\"events\":[1,2.5,null]}}")];
        let answer = bytes.pick(&answers);
        let mut text = format!("{{\"id\":{},\"kind\":\"{kind_word}\"", quoted(&id));
        text += &format!(",\"device_id\":{}", quoted(&device_id));
        text += &user.as_ref().map(|user| format!(",\"user\":{}", quoted(user))).unwrap_or_default();
        if !secret.is_empty() {
            text += &format!(",\"secret\":{}", quoted(&secret));
        }
        text += &format!(",\"state\":\"{state_word}\"");
        text += &answer.map(|answer| format!(",\"answer\":{answer}")).unwrap_or_default();
        entries.push(text + "}");
        let answer = answer.map(str::to_owned);
        outbox.push(Erasure { id, kind, device_id, user, secret, state, answer });
    }
    let mut text = format!("{{\"v\":1,\"decision\":\"{word}\",\"revision\":{revision},\"epoch\":{epoch}");
    text += &format!(",\"at\":{at_ms},\"source\":{}", quoted(&source));
    if !entries.is_empty() {
        text += &format!(",\"outbox\":[{}]", entries.join(","));
    }
    text += "}";
    let record = ConsentRecord { decision, revision, epoch, at_ms, source, outbox };
    assert_eq!(ConsentRecord::decode(&text).as_ref(), Some(&record), "{text}");
    assert_eq!(Tree::parse(&record.encode()), Tree::parse(&text));
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
