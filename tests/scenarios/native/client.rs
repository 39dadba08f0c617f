//! A client in a process of its own: this program again, which does what it is told in lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use refrain::engine::{Dropped, FlushState, Outcome, Signals};
use refrain::native::{Profile, Settings};
use refrain::{Client, OptOut};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value, json};

/// In this variable's presence the program plays the client.
const PART: &str = "REFRAIN_SCENARIO_CLIENT";
/// Long enough for any machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client that is closed has to deliver what is queued.
const CLOSING: Duration = Duration::from_secs(20);

/// The process, seen from the scenario.
pub struct Process {
    child: Child,
    /// Its end is that of the process.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it; there is no client in it yet.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(PART, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the client's process does not start")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, input, output })
    }

    /// Has it do something; what came of it.
    pub fn ask(&mut self, what: Value) -> Result<Value> {
        let input = self.input.as_mut().context("no standard input")?;
        writeln!(input, "{what}").context("the client's process is gone")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("the client's process has said {line:?} to {what}"))?;
        match answer.get("error") {
            Some(error) => bail!("{error}"),
            None => Ok(answer["done"].take()),
        }
    }

    /// Has it end, and waits until it has.
    pub fn wait(mut self) -> Result<()> {
        drop(self.input.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the client's process ended with {status}");
        Ok(())
    }

    /// Ends it as SIGKILL does.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

/// Whether this process is a client's; it has been one when this returns.
pub fn was_played() -> bool {
    if std::env::var_os(PART).is_none() {
        return false;
    }
    let mut client = None;
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let said =
            serde_json::from_str(&line).map_err(Into::into).and_then(|asked| obey(&mut client, &asked));
        let answer = match said {
            Ok(done) => json!({ "done": done }),
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        println!("{answer}");
    }
    true
}

fn obey(slot: &mut Option<Client>, asked: &Value) -> Result<Value> {
    let flag = |name: &str| asked[name].as_bool().unwrap_or(false);
    let signals = || {
        let says = |name: &str| asked["signals"][name].as_bool().unwrap_or(false);
        Signals { gpc: says("gpc"), dnt: says("dnt"), host: says("host") }
    };
    let what = asked["do"].as_str().context("what is to be done?")?;
    if what == "start" {
        let settings: Settings = serde_json::from_value(asked["settings"].clone())?;
        let client = Client::builder_from(settings).signals(signals()).build()?;
        ensure!(client.ready(PATIENCE), "the store was not read: {:?}", client.audit());
        *slot = Some(client);
        return Ok(Value::Null);
    }
    let client = slot.as_ref().context("it was not started")?;
    match what {
        "call" => call(client, asked),
        "opt_in" => Ok(json!(client.opt_in()?)),
        "opt_out" => {
            let how = OptOut::default().erase(flag("erase")).delete_profile(flag("delete_profile"));
            Ok(json!(client.opt_out(how)?))
        }
        "signals" => Ok(json!(client.signals(signals()))),
        "flush" => Ok(json!(client.flush(PATIENCE) == FlushState::Done)),
        "state" => state(client),
        "shutdown" => {
            client.shutdown(CLOSING);
            Ok(Value::Null)
        }
        _ => bail!("`{what}` is not known"),
    }
}

fn call(client: &Client, asked: &Value) -> Result<Value> {
    let method = asked["method"].as_str().context("which method?")?;
    let arguments = asked["with"].as_array().context("with what?")?;
    let outcome = match (method.split_once('.'), arguments.as_slice()) {
        (None, arguments) => plain(client, method, arguments)?,
        (Some(("profile", operator)), arguments) => profile(&client.profile(), operator, arguments)?,
        (Some(("group", operator)), [Value::String(key), Value::String(id), arguments @ ..]) => {
            profile(&client.group(key, id), operator, arguments)?
        }
        _ => bail!("there is no {method}{arguments:?}"),
    };
    Ok(match outcome {
        Outcome::Accepted => json!("accepted"),
        Outcome::Held => json!("held"),
        Outcome::Rejected(rejection) => {
            ensure!(!rejection.hint().is_empty(), "{rejection:?} has no hint");
            json!({"rejected": rejection.as_str()})
        }
        other => bail!("{method} came to {other:?}"),
    })
}

fn plain(client: &Client, method: &str, arguments: &[Value]) -> Result<Outcome> {
    use Value::String as Text;
    Ok(match (method, arguments) {
        ("track", [Text(name)]) => client.track(name, ()),
        ("track", [Text(name), properties]) => client.track(name, Said(properties)),
        ("identify", [Text(user)]) => client.identify(user),
        ("switch_user", [Text(user)]) => client.switch_user(user),
        ("alias", [Text(alias)]) => client.alias(alias),
        ("reset", []) => client.reset(),
        ("register", [properties]) => client.register(Said(properties)),
        ("register_once", [properties]) => client.register_once(Said(properties)),
        ("register_for_session", [properties]) => client.register_for_session(Said(properties)),
        ("unregister", [Text(name)]) => client.unregister(name),
        ("time_event", [Text(name)]) => client.time_event(name),
        ("set_group", [Text(key), Text(id)]) => client.set_group(key, id),
        ("add_group", [Text(key), Text(id)]) => client.add_group(key, id),
        ("remove_group", [Text(key), Text(id)]) => client.remove_group(key, id),
        _ => bail!("there is no {method}{arguments:?}"),
    })
}

fn profile(profile: &Profile<'_>, operator: &str, arguments: &[Value]) -> Result<Outcome> {
    Ok(match (operator, arguments) {
        ("set", [properties]) => profile.set(Said(properties)),
        ("set_once", [properties]) => profile.set_once(Said(properties)),
        ("add", [numbers]) => profile.add(Said(numbers)),
        ("append", [values]) => profile.append(Said(values)),
        ("union", [lists]) => profile.union(Said(lists)),
        ("remove", [values]) => profile.remove(Said(values)),
        ("unset", names) => profile.unset(&names.iter().filter_map(Value::as_str).collect::<Vec<_>>()),
        ("delete", []) => profile.delete(),
        _ => bail!("there is no {operator}{arguments:?} of a profile"),
    })
}

/// A value whose `@number` is one that JSON does not have.
struct Said<'a>(&'a Value);

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(list) => {
                let mut out = serializer.serialize_seq(Some(list.len()))?;
                for one in list {
                    out.serialize_element(&Said(one))?;
                }
                out.end()
            }
            Value::Object(object) => {
                if let Some(Value::String(number)) = object.get("@number") {
                    let number = number.parse().map_err(serde::ser::Error::custom)?;
                    return serializer.serialize_f64(number);
                }
                let mut out = serializer.serialize_map(Some(object.len()))?;
                for (name, value) in object {
                    out.serialize_entry(name, &Said(value))?;
                }
                out.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

/// Everything that the client says of itself.
fn state(client: &Client) -> Result<Value> {
    let (consent, stats, audit) = (client.consent(), client.stats(), client.audit());
    let dropped: Map<String, Value> = Dropped::ALL
        .iter()
        .map(|reason| (reason.as_str().to_owned(), json!(stats.dropped_for(*reason))))
        .collect();
    let mut outbox = Vec::new();
    for entry in &audit.outbox {
        let answer = entry.answer.as_deref().map(serde_json::from_str::<Value>).transpose()?;
        outbox.push(json!({"kind": entry.kind, "state": entry.state, "answer": answer}));
    }
    let mut ids = Map::new();
    let known = [("device_id", client.device_id()), ("distinct_id", client.distinct_id())];
    for (name, id) in known.into_iter().filter_map(|(name, id)| Some((name, id?))) {
        ids.insert(name.to_owned(), json!(id));
    }
    Ok(json!({
        "consent": {
            "decision": consent.decision.as_str(),
            "verdict": consent.verdict.as_str(),
            "reason": consent.reason(),
            "sentence": consent.sentence(),
        },
        "has_opted_out": client.has_opted_out(),
        "ids": ids,
        "stats": {
            "tracked": stats.tracked,
            "recovered": stats.recovered,
            "adopted": stats.adopted,
            "delivered": stats.delivered,
            "queued": stats.queued,
            "held": stats.held,
            "dropped": dropped,
            "given_up": stats.given_up,
            "queued_bytes": stats.queued_bytes,
            "damaged": stats.damaged,
            "wiped": stats.wiped,
            "rejected": stats.rejected,
        },
        "outbox": outbox,
        // What a refusal must not leave, and the kinds of the files.
        "audit": {
            "ids": [audit.device_id, audit.distinct_id],
            "super_properties": audit.super_properties,
            "counts": [audit.queued_records, audit.held_records, audit.timers as u64],
            "files": audit.files.iter().filter(|file| file.bytes > 0).map(|file| file.kind).collect::<Vec<_>>(),
        },
    }))
}
