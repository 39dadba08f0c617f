//! HTTP answers of any kind, to an engine with a queue and an erasure outbox: nothing is lost unless it is counted, only
//! the collector's own word counts as delivered, a server that asks for a wait gets it, and nothing spins.
//!
//! An input is the settings, the records, and then what happens in order; behind its end the collector is well, and
//! everything must come to its end.

use crate::bytes::Bytes;
use crate::host::{Host, Waiting};
use crate::tree::Tree;
use refrain::engine::{
    Also, Answer, Call, CallKind, Config, DefaultConsent, Done, Dropped, ErasureKind, ErasureState, EventId,
    Input, Lane, Lifecycle, RecordRead, Secret,
};

pub(super) const DICTIONARY: &[&str] = &[
    "{\"status\":1}",
    "{\"status\":\"OK\",\"code\":200}",
    "{\"status\":0,\"error\":\"a temporary failure occurred\"}",
    "{\"error\":\"token\",\"status\":0}",
    "{\"id\":\"e1\",\"state\":\"accepted\"}",
    "{\"id\":\"e1\",\"state\":\"completed\",\"receipt\":{}}",
    "{\"id\":\"e1\",\"state\":\"refused\"}",
    "{\"id\":\"../e1\",\"state\":\"accepted\"}",
    "\"answer\":",
    "[[[[[[[[[[[[[[[[",
    "]]]]]]]]]]]]]]]]",
    "1.5",
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "99999999999999999999",
    "\\ud800",
];

const STATUSES: [u16; 32] = [
    200, 200, 200, 200, 200, 201, 202, 204, 299, 301, 304, 400, 400, 401, 402, 403, 404, 405, 407, 408, 410,
    413, 413, 418, 422, 425, 429, 500, 501, 503, 0, 65_535,
];
const WAITS: [&str; 12] = [
    "0",
    "1",
    "60",
    "1.5",
    " 2 ",
    "-1",
    "soon",
    "1.x",
    "",
    "99999999999",
    "18446744073709551615",
    "Wed, 21 Oct 2026 07:28:00 GMT",
];
const BODIES: [&str; 20] = [
    "1",
    "1",
    "1\n",
    "0",
    "",
    "<html>log in</html>",
    "{\"status\":1}",
    "{\"code\":200,\"status\":\"OK\"}",
    "{\"error\":\"token, missing or empty\",\"status\":0}",
    "{\"error\":\"a temporary failure occurred\",\"status\":0}",
    "{\"status\":2}",
    "{\"status\":1.0}",
    "{\"status\":0,\"status\":1}",
    "[1]",
    "{\"id\":\"e1\",\"state\":\"accepted\"}",
    "{\"id\":\"e1\",\"state\":\"completed\",\"receipt\":{\"events\":3}}",
    "{\"id\":\"e1\",\"state\":\"refused\"}",
    "{\"id\":\"a/b\",\"state\":\"accepted\"}",
    "{\"id\":1,\"state\":\"accepted\"}",
    "{\"id\":\"e1\",\"state\":\"later\"}",
];
/// Nested deeper an answer is not read.
const DEEPEST: usize = 64;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// More steps than a well collector takes for anything that an input can leave behind.
const MANY: usize = 2_000;

pub(super) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut exchange = Exchange::new(&mut bytes);
    while !bytes.is_empty() {
        exchange.step(&mut bytes);
    }
    exchange.calm_down();
}

struct Exchange {
    host: Host,
    /// Delivered so far, as the answers say.
    delivered: u64,
    /// Before this, on the monotonic clock, nothing may leave, by lane.
    waits: [u64; Lane::ALL.len()],
    /// The same for what the outbox asks for, by kind.
    rests: [u64; 2],
    /// Pages that leave send beside the lanes, and what is under way then may end a wait.
    left: bool,
    made: u32,
}

impl Exchange {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        let mut config = Config::new("T");
        config.default_consent = DefaultConsent::Granted;
        config.batch_size = bytes.pick(&[1, 2, 3, 7, 50, 2_000]);
        config.leading_edge = bytes.flag();
        config.batch_bytes = bytes.pick(&[0, 300, 1_000, 1 << 20]);
        config.leaving_bytes = bytes.pick(&[0, 300, 60 << 10]);
        config.queue_limit_bytes = bytes.pick(&[10 << 20, 10 << 20, 0, 2_000]);
        let host = Host::new(config, RecordRead::Absent).start();
        let mut exchange = Self { host, delivered: 0, waits: [0; 3], rests: [0; 2], left: false, made: 0 };
        if bytes.flag() {
            exchange.host.input(Input::Call(Call::identify("u1", EventId([1; 16]))));
            exchange.run();
        }
        // A withdrawal and a grant leave an outbox beside the queue.
        let also = Also { erase: bytes.flag(), delete_profile: bytes.flag() };
        if also != Also::default() {
            let (out, id, secret) =
                (EventId(exchange.host.bits()), EventId(exchange.host.bits()), Secret(exchange.host.bits()));
            exchange.host.input(Input::OptOut { also, id: out });
            exchange.run();
            exchange.host.input(Input::OptIn { id, secret });
            exchange.run();
        }
        for _ in 0..bytes.below(32) {
            exchange.record(bytes);
        }
        exchange
    }

    fn run(&mut self) {
        self.host.run();
        self.check_waiting();
    }

    fn record(&mut self, bytes: &mut Bytes<'_>) {
        self.made += 1;
        let text = "x".repeat(bytes.pick(&[0, 10, 400]));
        let user = bytes.pick(&["", "u1"]);
        let (kind, properties) = match bytes.below(4) {
            0 | 1 => (CallKind::Track, format!("{{\"n\":{},\"t\":\"{text}\",\"u\":\"{user}\"}}", self.made)),
            2 => (CallKind::Profile, format!("{{\"$set\":{{\"n\":{},\"t\":\"{text}\"}}}}", self.made)),
            _ => {
                let set = format!("\"$set\":{{\"n\":{},\"t\":\"{text}\"}}", self.made);
                (CallKind::Group, format!("{{\"$group_key\":\"g\",\"$group_id\":\"1\",{set}}}"))
            }
        };
        let bits = self.host.bits();
        self.host.input(Input::Call(Call::new(kind, "e", &properties, bits)));
        self.run();
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(16) {
            0..=7 => {
                let answer = answer(bytes);
                let latest = bytes.flag();
                self.depart();
                self.answered(latest, answer);
            }
            8..=10 => self.advance(None),
            11 => self.advance(Some(bytes.pick(&[0, 1, 1_000, 60_000, DAY_MS]))),
            12 => {
                self.host.input(Input::Flush);
            }
            13 => {
                let lifecycle = bytes.pick(&[
                    Lifecycle::Background,
                    Lifecycle::Leaving,
                    Lifecycle::Online,
                    Lifecycle::Foreground,
                ]);
                self.left |= lifecycle == Lifecycle::Leaving;
                self.host.input(Input::Lifecycle(lifecycle));
            }
            14 => self.depart(),
            _ => self.record(bytes),
        }
        self.run();
        self.check_alive();
    }

    /// A request may leave at no earlier moment than the server has asked for.
    fn check_waiting(&mut self) {
        for (_, waiting) in &self.host.waiting {
            let now = self.host.now.mono_ms;
            let (until, left) = match waiting {
                Waiting::Records(permit) => (self.waits[lane_of(permit.path())], self.left),
                Waiting::Outbox(permit) => (self.rests[kind_of(permit.path())], false),
            };
            assert!(left || now >= until, "Retry-After: {now} is before {until}, {waiting:?}");
        }
    }

    fn depart(&mut self) {
        let waiting = self.host.waiting.len();
        assert_eq!(self.host.depart(), waiting > 0, "nobody has withdrawn");
    }

    fn answered(&mut self, latest: bool, answer: Answer) {
        let open = if latest { self.host.open.pop_back() } else { self.host.open.pop_front() };
        let Some((op, request, outbox)) = open else { return };
        let before = self.host.engine.stats();
        let states = self.states();
        self.host.input(Input::Done { op, result: Done::Answered(answer.clone()) });
        let after = self.host.engine.stats();
        let taken = !outbox && is_delivered(&answer);
        let delivered = if taken { request.records as u64 } else { 0 };
        assert_eq!(after.delivered - before.delivered, delivered, "{answer:?}");
        self.delivered += delivered;
        for (reason, goes) in [
            (Dropped::Oversize, status_of(&answer) == Some(413)),
            (Dropped::Refused, !taken && is_refusal(&answer)),
        ] {
            let dropped = after.dropped_for(reason) - before.dropped_for(reason);
            let expected = u64::from(goes && !outbox && request.records == 1);
            assert_eq!(dropped, expected, "{reason:?}: {answer:?}");
        }
        let gone = before.queued - after.queued;
        assert_eq!(gone, after.delivered + after.dropped_total() - before.delivered - before.dropped_total());
        if let (false, false, Some(ms)) = (outbox, taken, asked_ms(&answer)) {
            self.waits[lane_of(&request.path)] = self.host.now.mono_ms.saturating_add(ms);
        } else if !outbox {
            self.waits[lane_of(&request.path)] = 0;
        } else {
            let rest = asked_ms_of_outbox(&answer).unwrap_or(0);
            self.rests[kind_of(&request.path)] = self.host.now.mono_ms.saturating_add(rest);
        }
        self.run();
        self.check_outbox(&states, outbox, &answer);
    }

    fn states(&self) -> Vec<(ErasureKind, ErasureState)> {
        self.host.engine.erasure_outbox().iter().map(|entry| (entry.kind, entry.state)).collect()
    }

    /// C12: an entry is over when the server has said so, and never goes back.
    fn check_outbox(&self, before: &[(ErasureKind, ErasureState)], outbox: bool, answer: &Answer) {
        let after = self.states();
        assert_eq!(before.len(), after.len());
        for ((kind, old), (_, new)) in before.iter().zip(&after) {
            assert!(
                old == new || outbox && !old.is_final() && *new != ErasureState::Requested,
                "{old:?} {new:?}"
            );
            if old == new || !new.is_final() {
                continue;
            }
            let said =
                Tree::parse(body_of(answer)).and_then(|tree| Some(tree.get("state")?.as_str()?.to_owned()));
            let success = status_of(answer).is_some_and(|status| (200..300).contains(&status));
            let done = match kind {
                ErasureKind::Device => success && said.as_deref() == Some("completed"),
                ErasureKind::Profile => is_delivered(answer),
            };
            assert_eq!(*new == ErasureState::Completed, done, "{answer:?}");
        }
    }

    /// Time passes until the engine wants to be woken, or so long.
    fn advance(&mut self, ms: Option<u64>) {
        let due = self.host.engine.next_wakeup();
        let now = self.host.now.mono_ms;
        let ms = match (ms, due) {
            (Some(ms), _) => ms,
            (None, Some(due)) => due.saturating_sub(now),
            (None, None) => 0,
        };
        self.host.now.mono_ms += ms;
        self.host.now.wall_ms += ms;
        for _ in 0..4 {
            if self.host.engine.next_wakeup().is_none_or(|due| due > self.host.now.mono_ms) {
                return;
            }
            self.host.tick();
            self.run();
        }
        panic!("a busy loop: it wants to be woken again and again");
    }

    /// Whoever waits for something is woken, and not after the longest wait that a server may ask for.
    fn check_alive(&self) {
        let engine = &self.host.engine;
        let open = engine.erasure_outbox().iter().any(|entry| !entry.state.is_final());
        let waits = engine.stats().queued > 0 || open;
        if waits && self.host.waiting.is_empty() && self.host.open.is_empty() {
            let due = engine.next_wakeup().expect("something waits, and nothing wakes it");
            assert!(due <= self.host.now.mono_ms + DAY_MS, "{due}");
        }
    }

    /// The collector is well, and everything comes to its end.
    fn calm_down(&mut self) {
        for _ in 0..MANY {
            while !self.host.waiting.is_empty() {
                self.depart();
            }
            while let Some((_, request, _)) = self.host.open.front() {
                let body = match (request.path.starts_with("/refrain/"), request.body.is_empty()) {
                    (false, _) => "1",
                    (true, false) => "{\"id\":\"e1\",\"state\":\"accepted\"}",
                    (true, true) => "{\"id\":\"e1\",\"state\":\"completed\",\"receipt\":{}}",
                };
                self.answered(false, Answer::Response { status: 200, retry_after: None, body: body.into() });
            }
            let engine = &self.host.engine;
            let open = engine.erasure_outbox().iter().any(|entry| !entry.state.is_final());
            if engine.stats().queued == 0 && !open {
                let stats = engine.stats();
                assert_eq!(stats.delivered, self.delivered);
                assert_eq!(stats.tracked, stats.delivered + stats.dropped_total());
                assert_eq!(self.host.records.len(), 0, "what is delivered need not be kept");
                return;
            }
            self.check_alive();
            self.advance(None);
        }
        panic!("it never comes to an end: {:?} {:?}", self.host.engine.stats(), self.states());
    }
}

fn answer(bytes: &mut Bytes<'_>) -> Answer {
    let status = match bytes.byte() {
        255 => return Answer::Unreachable,
        254 => return Answer::TimedOut,
        253 => bytes.short(),
        choice => STATUSES[usize::from(choice) % STATUSES.len()],
    };
    let retry_after = bytes.flag().then(|| bytes.text(&WAITS));
    let mut body = bytes.text(&BODIES);
    // A long one, or a deep one.
    match bytes.below(16) {
        0 => body = deepened(&body, bytes.byte().into()),
        1 => {
            body = body.replacen(
                '{',
                &format!("{{\"pad\":\"{}\",", "x".repeat(usize::from(bytes.short()) % 5_000)),
                1,
            )
        }
        _ => {}
    }
    Answer::Response { status, retry_after, body }
}

/// The same object with a member that is nested so deep.
fn deepened(body: &str, depth: usize) -> String {
    body.replacen('{', &format!("{{\"deep\":{}1{},", "[".repeat(depth), "]".repeat(depth)), 1)
}

fn lane_of(path: &str) -> usize {
    ["/track/", "/engage/", "/groups/"].iter().position(|lane| path.starts_with(lane)).expect("a lane")
}

/// Whose turn it is in the outbox.
fn kind_of(path: &str) -> usize {
    usize::from(path.starts_with("/engage/"))
}

fn status_of(answer: &Answer) -> Option<u16> {
    if let Answer::Response { status, .. } = answer { Some(*status) } else { None }
}

fn body_of(answer: &Answer) -> &str {
    if let Answer::Response { body, .. } = answer { body } else { "" }
}

/// The collector's word in an object (SPEC §4). Objects that are deeper than any collector sends are not read.
fn word(answer: &Answer) -> Option<Tree> {
    Tree::parse(body_of(answer)).filter(|tree| matches!(tree, Tree::Object(_)) && tree.depth() <= DEEPEST)
}

/// 2xx, and the collector's own word: `1`, or an object whose `status` is 1 or `OK`.
fn is_delivered(answer: &Answer) -> bool {
    let word = word(answer);
    let status = word.as_ref().and_then(|word| word.get("status"));
    let ok = status == Some(&Tree::Number(1u64.into())) || status.and_then(Tree::as_str) == Some("OK");
    let success = status_of(answer).is_some_and(|status| (200..300).contains(&status));
    success && (ok || body_of(answer).trim_ascii() == "1")
}

/// An answer after which one record alone is given up: `0`, or an object whose `status` is 0, but for a failure that
/// passes; or a status that says that the request is at fault, and not who asks, or when.
fn is_refusal(answer: &Answer) -> bool {
    match status_of(answer) {
        Some(200..=299) => {
            let word = word(answer);
            let member = |key| word.as_ref().and_then(|word| word.get(key));
            let zero = member("status") == Some(&Tree::Number(0u64.into()));
            let passes = member("error").and_then(Tree::as_str) == Some("a temporary failure occurred");
            body_of(answer).trim_ascii() == "0" || zero && !passes
        }
        Some(401 | 403 | 404 | 405 | 407 | 408 | 410 | 413 | 425 | 429) => false,
        Some(400..=499) => true,
        _ => false,
    }
}

/// The wait that an answer asks for at least, in milliseconds, where it is one that is obeyed.
fn asked_ms(answer: &Answer) -> Option<u64> {
    let retried = matches!(status_of(answer), Some(408 | 425 | 429 | 500..=599));
    seconds_ms(answer).filter(|_| retried)
}

/// The same of an answer to the outbox: a collector that fails, refuses, or has an erasure under way says when to ask
/// again.
fn asked_ms_of_outbox(answer: &Answer) -> Option<u64> {
    let obeyed = matches!(status_of(answer), Some(202 | 400..=599));
    seconds_ms(answer).filter(|_| obeyed)
}

/// `Retry-After` in seconds, of which tenths count; never more than a day. A date is none of ours (SPEC §8.1).
fn seconds_ms(answer: &Answer) -> Option<u64> {
    let Answer::Response { retry_after: Some(text), .. } = answer else { return None };
    let text = text.trim_ascii();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds = whole.parse::<u64>().ok().filter(|_| !whole.starts_with('+'))?;
    let tenth = part.chars().next().and_then(|digit| digit.to_digit(10)).unwrap_or(0);
    Some(seconds.saturating_mul(1_000).saturating_add(u64::from(tenth) * 100).min(DAY_MS))
}
