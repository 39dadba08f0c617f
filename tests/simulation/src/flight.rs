//! Replays of flight recordings: the inputs that a client's engine was told, told to a fresh one.
//!
//! The format is described with the recorder, in `refrain::native::flight`. A replay must ask for the same effects, and
//! keep what can be told of the rules from inputs and effects alone.

use refrain::engine::{
    Also, Answer, Call, CallKind, Config, ConsentState, Decision, DefaultConsent, DenyReason, Done, Effect,
    Engine, EventId, IdMerge, Input, Item, ItemKind, Lifecycle, Now, Op, PersonalDataMode, RecordId,
    RecordName, RecordRead, Recovered, RecoveredRecord, Secret, Signals, StoreFault, Verdict,
};
use refrain::json::{Key, Object, Value};
use refrain::native::flight::{digest, said};
use std::fmt;

/// How far a replay has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs that were replayed.
    pub inputs: u64,
    /// Effects that came of them, all as recorded.
    pub effects: u64,
    /// Why the recording ends, in its own word; `None` where it just stops.
    pub end: Option<String>,
    /// Whether it stops in the middle of a line.
    pub torn: bool,
}

/// Where a replay went wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of the recording, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Fault {}

/// Replays a recording; `trace` is told each step.
///
/// # Errors
/// The first line that cannot be read, leads to other effects than were recorded, or breaks a rule.
pub fn replay(recording: &[u8], mut trace: impl FnMut(usize, &str)) -> Result<Replayed, Fault> {
    // What follows the last end of a line was being written when the process was killed.
    let whole = recording.iter().rposition(|byte| *byte == b'\n');
    let (recording, rest) = recording.split_at(whole.unwrap_or_default());
    let torn = if whole.is_some() { rest.len() > 1 } else { !rest.is_empty() };
    let mut lines = recording.split(|byte| *byte == b'\n').enumerate();
    let fault = |at: usize| move |what: String| Fault { line: at + 1, what };
    let header = lines.next().filter(|(_, header)| !header.is_empty());
    let (at, header) = header.ok_or_else(|| fault(0)("there is no header".into()))?;
    let mut flight = members(header).and_then(|header| Flight::begin(&header)).map_err(fault(at))?;
    let mut replayed = Replayed { torn, ..Replayed::default() };
    for (at, line) in lines {
        if replayed.end.is_some() {
            return Err(fault(at)("something follows the end".into()));
        }
        let line = members(line).map_err(fault(at))?;
        if let Some(end) = line.get("end").and_then(Value::string) {
            trace(at + 1, &format!("end: {end}"));
            replayed.end = Some(end);
            continue;
        }
        let effects = flight.step(&line, |step| trace(at + 1, step)).map_err(fault(at))?;
        replayed.inputs += 1;
        replayed.effects += effects;
    }
    Ok(replayed)
}

/// An engine on its way through a recording.
struct Flight {
    engine: Engine,
    jitter: u64,
    /// The newest epoch under which anything was allowed.
    allowed: u64,
    /// Of older epochs nothing may leave: the person has refused.
    floor: u64,
    /// What the last tick has left to be woken for, if that was past already.
    overdue: Option<u64>,
}

impl Flight {
    fn begin(header: &Members<'_>) -> Result<Self, String> {
        let version = integer(header, "v")?;
        if version != 1 {
            return Err(format!("a recording of version {version}; this is for version 1"));
        }
        let config = config(&Members::of(member(header, "config")?.object().ok_or("config is no object")?))?;
        let engine = Engine::new(config).map_err(|error| error.to_string())?;
        let jitter = integer(header, "jitter")?;
        Ok(Self { engine, jitter, allowed: 0, floor: 0, overdue: None })
    }

    /// One line; how many effects came of it.
    fn step(&mut self, line: &Members<'_>, trace: impl FnOnce(&str)) -> Result<u64, String> {
        let now = Now { wall_ms: integer(line, "wall")?, mono_ms: integer(line, "mono")? };
        let word = text(line, "in")?;
        let texts = (optional_text(line, "name"), optional_text(line, "text"));
        let input = input(line, &word, &texts)?;
        self.hear(&input);
        let (starts, ticks) = (matches!(input, Input::Start { .. }), matches!(input, Input::Tick { .. }));
        let step = format!("{} ms: {input:?}", now.mono_ms);
        let effects: Vec<Effect> = self.engine.handle(now, input).collect();
        if starts {
            self.engine.reseed(self.jitter);
        }
        let out: Vec<String> = effects.iter().map(digest).collect();
        let (outcome, wake) = (said(self.engine.outcome()), self.engine.next_wakeup());
        trace(&format!("{step} -> {outcome}; {}; wake {wake:?}", out.join(", ")));

        let recorded: Vec<String> =
            member(line, "out")?.elements().map(|effect| effect.string().unwrap_or_default()).collect();
        if out != recorded {
            let at = out.iter().zip(&recorded).take_while(|(here, there)| here == there).count();
            let name = |list: &[String]| list.get(at).map_or("nothing more".into(), |it| format!("`{it}`"));
            return Err(format!(
                "effect {} of {word} is {}, recorded was {}",
                at + 1,
                name(&out),
                name(&recorded)
            ));
        }
        let recorded = text(line, "said")?;
        if outcome != recorded {
            return Err(format!("{word} was answered with `{outcome}`, recorded was `{recorded}`"));
        }
        let recorded = member(line, "wake")?.integer();
        if wake != recorded {
            return Err(format!("the engine wants to be woken at {wake:?}, recorded was {recorded:?}"));
        }
        self.keeps_the_rules(&effects)?;
        self.comes_forward(now, ticks, wake, effects.is_empty())?;
        Ok(effects.len() as u64)
    }

    /// A refusal, made here or read.
    fn hear(&mut self, input: &Input<'_>) {
        let read = match input {
            Input::OptOut { .. } => {
                self.floor = self.floor.max(self.allowed + 1);
                return;
            }
            Input::RecordChanged { name: RecordName::Consent, read } => read,
            Input::Done { result: Done::Opened { consent: read, .. }, .. } => read,
            Input::Done { result: Done::Amended { read, .. } | Done::Refused(read), .. } => read,
            _ => return,
        };
        let state = ConsentState::of(read);
        if let Some(record) = state.record().filter(|record| record.decision == Decision::Denied) {
            self.floor = self.floor.max(record.epoch);
        }
    }

    fn keeps_the_rules(&mut self, effects: &[Effect]) -> Result<(), String> {
        let consent = self.engine.consent();
        for effect in effects {
            let epoch = match effect {
                Effect::Append { permit, .. } => permit.epoch(),
                Effect::Send { permit, .. } => permit.epoch(),
                _ => continue,
            };
            // What is tried again while the record cannot be read is refused with the record.
            let unavailable = Verdict::Deny(DenyReason::StoreUnavailable);
            if let Verdict::Deny(reason) = consent.verdict
                && consent.verdict != unavailable
            {
                return Err(format!("C1: `{}` although {}", digest(effect), reason.as_str()));
            }
            if epoch < self.floor {
                return Err(format!("C6: `{}` is of an epoch that was withdrawn", digest(effect)));
            }
            self.allowed = self.allowed.max(epoch);
        }
        let stats = self.engine.stats();
        if !stats.balance() {
            return Err(format!("C15: the books do not balance: {stats:?}"));
        }
        Ok(())
    }

    /// Two ticks in a row that were due, did nothing, and leave the same to be done at once, are a busy loop.
    fn comes_forward(&mut self, now: Now, ticks: bool, wake: Option<u64>, idle: bool) -> Result<(), String> {
        let overdue = wake.filter(|wake| ticks && idle && *wake <= now.mono_ms);
        let before = std::mem::replace(&mut self.overdue, overdue);
        if overdue.is_some() && before == overdue {
            return Err(format!(
                "two ticks have done nothing, and the next one is due at {overdue:?} already"
            ));
        }
        Ok(())
    }
}

fn input<'t>(
    line: &Members<'_>,
    word: &str,
    texts: &'t (Option<String>, Option<String>),
) -> Result<Input<'t>, String> {
    Ok(match word {
        "start" => Input::Start { secret: Secret(bits(line, "secret")?) },
        "call" => {
            let kind = text(line, "kind")?;
            let kind = one_of(CallKind::ALL, &kind)?;
            let (Some(name), Some(text)) = texts else { return Err("a call without name or text".into()) };
            Input::Call(Call::new(kind, name, text, bits(line, "bits")?))
        }
        "opt_in" => Input::OptIn { id: EventId(bits(line, "id")?), secret: Secret(bits(line, "secret")?) },
        "opt_out" => Input::OptOut {
            also: Also { erase: flag(line, "erase")?, delete_profile: flag(line, "delete_profile")? },
            id: EventId(bits(line, "id")?),
        },
        "signals" => Input::Signals(Signals {
            gpc: flag(line, "gpc")?,
            dnt: flag(line, "dnt")?,
            host: flag(line, "host")?,
        }),
        "flush" => Input::Flush,
        "lifecycle" => {
            use Lifecycle::{Background, Foreground, Leaving, Online, Resumed};
            Input::Lifecycle(one_of(
                [Foreground, Background, Leaving, Online, Resumed],
                &text(line, "state")?,
            )?)
        }
        "tick" => Input::Tick { secret: Secret(bits(line, "secret")?) },
        "record_changed" => Input::RecordChanged {
            name: one_of([RecordName::Consent, RecordName::Identity], &text(line, "name")?)?,
            read: record(line, "read")?,
        },
        "done" => Input::Done { op: Op(integer(line, "op")?), result: done(line)? },
        other => return Err(format!("there is no input `{other}`")),
    })
}

fn done(line: &Members<'_>) -> Result<Done, String> {
    Ok(match text(line, "result")?.as_str() {
        "opened" => Done::Opened {
            consent: record(line, "consent")?,
            identity: record(line, "identity")?,
            data: flag(line, "data")?,
        },
        "recovered" => {
            let records = objects(line, "records", |record| {
                let queue = integer(record, "queue")?;
                let queue = u32::try_from(queue).map_err(|_| format!("there is no queue {queue}"))?;
                Ok(RecoveredRecord {
                    id: RecordId { queue, seq: integer(record, "seq")? },
                    text: text(record, "text")?,
                    adopted: flag(record, "adopted")?,
                })
            })?;
            Done::Recovered(Recovered {
                records,
                next_seq: integer(line, "next_seq")?,
                not_before_ms: line.get("not_before").and_then(Value::integer),
                damaged: integer(line, "damaged")?,
                wiped: integer(line, "wiped")?,
            })
        }
        "amended" => Done::Amended { read: record(line, "read")?, changed: flag(line, "changed")? },
        "stored" => Done::Stored,
        "wiped" => Done::Wiped { items: integer(line, "items")?, before: integer(line, "before")? },
        "listed" => Done::Listed(objects(line, "items", |item| {
            let kind = match text(item, "kind")?.as_str() {
                "consent" => ItemKind::Consent,
                "lock" => ItemKind::Lock,
                "data" => ItemKind::Data(item.get("epoch").and_then(Value::integer)),
                other => return Err(format!("there is no item `{other}`")),
            };
            Ok(Item { name: text(item, "name")?, kind, bytes: integer(item, "bytes")? })
        })?),
        "refused" => Done::Refused(record(line, "read")?),
        "unfenced" => Done::Unfenced(text(line, "who")?),
        "answered" => {
            let status = integer(line, "status")?;
            Done::Answered(Answer::Response {
                status: u16::try_from(status).map_err(|_| format!("there is no status {status}"))?,
                retry_after: line.get("retry_after").and_then(Value::string),
                body: text(line, "body")?,
            })
        }
        "unreachable" => Done::Answered(Answer::Unreachable),
        "timed_out" => Done::Answered(Answer::TimedOut),
        "failed" => {
            use StoreFault::{Absent, Full, Other, ReadOnly, Unreadable};
            let word = text(line, "fault")?;
            let fault =
                [Full, ReadOnly, Unreadable, Absent, Other].into_iter().find(|it| it.as_str() == word);
            Done::Failed(fault.ok_or_else(|| format!("there is no fault `{word}`"))?)
        }
        other => return Err(format!("there is no result `{other}`")),
    })
}

fn config(from: &Members<'_>) -> Result<Config, String> {
    let mut config = Config::new(text(from, "token")?);
    let size = |key| Ok::<_, String>(usize::try_from(integer(from, key)?).unwrap_or(usize::MAX));
    config.default_consent = match text(from, "default_consent")?.as_str() {
        "granted" => DefaultConsent::Granted,
        "denied" => DefaultConsent::Denied,
        "pending" => DefaultConsent::Pending,
        other => return Err(format!("there is no default `{other}`")),
    };
    config.honor_gpc = flag(from, "honor_gpc")?;
    config.honor_dnt = flag(from, "honor_dnt")?;
    config.flush_interval_ms = integer(from, "flush_interval_ms")?;
    config.leading_edge = flag(from, "leading_edge")?;
    config.batch_size = size("batch_size")?;
    config.batch_bytes = size("batch_bytes")?;
    config.leaving_bytes = size("leaving_bytes")?;
    config.queue_limit_bytes = integer(from, "queue_limit_bytes")?;
    config.queue_limit_age_ms = integer(from, "queue_limit_age_ms")?;
    config.hold_limit = size("hold_limit")?;
    config.hold_limit_bytes = size("hold_limit_bytes")?;
    config.hold_limit_age_ms = integer(from, "hold_limit_age_ms")?;
    config.id_merge = match text(from, "id_merge")?.as_str() {
        "simplified" => IdMerge::Simplified,
        "original" => IdMerge::Original,
        other => return Err(format!("there is no way `{other}` to join ids")),
    };
    config.automatic_properties = text(from, "automatic_properties")?;
    config.deny_list = texts(from, "deny_list")?;
    config.personal_data = match text(from, "personal_data")?.as_str() {
        "off" => PersonalDataMode::Off,
        "observe" => PersonalDataMode::Observe,
        "redact" => PersonalDataMode::Redact,
        "reject" => PersonalDataMode::Reject,
        other => return Err(format!("the detector has no mode `{other}`")),
    };
    config.personal_data_allow = texts(from, "personal_data_allow")?;
    config.library = text(from, "library")?;
    Ok(config)
}

/// The members of an object, taken apart once: a line is asked for a dozen of them.
struct Members<'l>(Vec<(Key<'l>, Value<'l>)>);

impl<'l> Members<'l> {
    fn of(object: Object<'l>) -> Self {
        Self(object.members().collect())
    }

    /// As [`Object::get`] finds it.
    fn get(&self, key: &str) -> Option<Value<'l>> {
        self.0.iter().rfind(|(name, _)| name.is(key)).map(|(_, value)| *value)
    }
}

fn members(line: &[u8]) -> Result<Members<'_>, String> {
    let line = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    Object::parse(line).map(Members::of).map_err(|error| error.to_string())
}

fn objects<T>(
    line: &Members<'_>,
    key: &str,
    read: impl Fn(&Members<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let elements = member(line, key)?.elements();
    let none = || format!("{key} holds no objects");
    elements.map(|element| read(&Members::of(element.object().ok_or_else(none)?))).collect()
}

fn texts(line: &Members<'_>, key: &str) -> Result<Vec<String>, String> {
    Ok(member(line, key)?.elements().filter_map(Value::string).collect())
}

fn member<'l>(line: &Members<'l>, key: &str) -> Result<Value<'l>, String> {
    line.get(key).ok_or_else(|| format!("there is no `{key}`"))
}

fn integer(line: &Members<'_>, key: &str) -> Result<u64, String> {
    member(line, key)?.integer().ok_or_else(|| format!("`{key}` is no number"))
}

fn flag(line: &Members<'_>, key: &str) -> Result<bool, String> {
    match member(line, key)?.raw() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{key}` is not true or false")),
    }
}

fn text(line: &Members<'_>, key: &str) -> Result<String, String> {
    member(line, key)?.string().ok_or_else(|| format!("`{key}` is no text"))
}

fn optional_text(line: &Members<'_>, key: &str) -> Option<String> {
    line.get(key).and_then(Value::string)
}

fn bits(line: &Members<'_>, key: &str) -> Result<[u8; 16], String> {
    let bytes = unhex(&text(line, key)?);
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| format!("`{key}` is no 128 bits"))
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn record(line: &Members<'_>, key: &str) -> Result<RecordRead, String> {
    let value = member(line, key)?;
    match (value.raw(), value.string(), value.object()) {
        ("null", _, _) => Ok(RecordRead::Absent),
        ("false", _, _) => Ok(RecordRead::Unreadable),
        (_, Some(text), _) => Ok(RecordRead::Content(text)),
        // How an older recording has what is no text.
        (_, _, Some(object)) if object.get("hex").is_some() => Ok(RecordRead::Unreadable),
        _ => Err(format!("`{key}` is no record")),
    }
}

fn one_of<T: fmt::Debug>(all: impl IntoIterator<Item = T>, word: &str) -> Result<T, String> {
    all.into_iter().find(|it| format!("{it:?}") == word).ok_or_else(|| format!("there is no `{word}`"))
}
