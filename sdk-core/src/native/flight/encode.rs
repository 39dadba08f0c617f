//! Inputs as lines of JSON.

use super::digest::said;
use super::redact::Redactor;
#[cfg(feature = "personal-data")]
use crate::engine::PersonalDataMode;
use crate::engine::{
    Also, Answer, CallKind, Config, DefaultConsent, Done, Engine, IdMerge, Input, ItemKind, Now, RecordRead,
    Signals,
};
use crate::json::write;
use std::borrow::Cow;

/// How contents are written down.
pub(super) enum Pen<'r> {
    Keeps,
    Redacts(&'r Redactor),
}

impl Pen<'_> {
    fn draw<'t>(&mut self, text: &'t str, redact: impl FnOnce(&Redactor, &str) -> String) -> Cow<'t, str> {
        match self {
            Self::Keeps => Cow::Borrowed(text),
            Self::Redacts(redactor) => Cow::Owned(redact(redactor, text)),
        }
    }

    /// A member whose value is a name, a user, an id.
    fn text(&mut self, out: &mut String, key: &str, text: &str) {
        write::member(out, key, &self.draw(text, Redactor::text));
    }

    /// A member whose value names a property.
    fn name(&mut self, out: &mut String, key: &str, name: &str) {
        write::member(out, key, &self.draw(name, Redactor::name));
    }

    /// A member whose value is the text of an object.
    fn object(&mut self, out: &mut String, key: &str, text: &str) {
        write::member(out, key, &self.draw(text, Redactor::object));
    }

    /// A member whose value is a list of names of properties.
    fn names(&mut self, out: &mut String, key: &str, names: &[String]) {
        write::key(out, key);
        out.push('[');
        for name in names {
            write::comma(out);
            write::string(out, &self.draw(name, Redactor::name));
        }
        out.push(']');
    }

    fn bits(&mut self, out: &mut String, key: &str, bits: [u8; 16]) {
        let bits = match self {
            Self::Keeps => bits,
            Self::Redacts(redactor) => redactor.bits(bits),
        };
        write::key(out, key);
        hex(out, &bits);
    }

    /// A record as it was read: a string, `null` where there is none, and `false` where it cannot be read.
    fn record(&mut self, out: &mut String, key: &str, read: &RecordRead) {
        write::key(out, key);
        match read {
            RecordRead::Absent => out.push_str("null"),
            RecordRead::Unreadable => out.push_str("false"),
            RecordRead::Content(text) => write::string(out, &self.draw(text, Redactor::record)),
        }
    }
}

fn hex(out: &mut String, bytes: &[u8]) {
    out.push('"');
    write::hex(out, bytes);
    out.push('"');
}

fn number(out: &mut String, key: &str, number: u64) {
    write::key(out, key);
    write::integer(out, number);
}

fn flag(out: &mut String, key: &str, flag: bool) {
    write::key(out, key);
    out.push_str(if flag { "true" } else { "false" });
}

/// The header's line.
pub(super) fn header(out: &mut String, jitter: u64, config: &Config, pen: &mut Pen<'_>) {
    // All of them: a setting that is forgotten here is one in which a replay differs.
    let Config {
        token,
        default_consent,
        honor_gpc,
        honor_dnt,
        flush_interval_ms,
        leading_edge,
        batch_size,
        batch_bytes,
        leaving_bytes,
        queue_limit_bytes,
        queue_limit_age_ms,
        hold_limit,
        hold_limit_bytes,
        hold_limit_age_ms,
        id_merge,
        automatic_properties,
        deny_list,
        #[cfg(feature = "personal-data")]
        personal_data,
        #[cfg(feature = "personal-data")]
        personal_data_allow,
        library,
    } = config;
    out.push_str("{\"v\":1");
    write::member(out, "contents", if matches!(pen, Pen::Keeps) { "kept" } else { "redacted" });
    write::member(out, "version", env!("CARGO_PKG_VERSION"));
    number(out, "jitter", jitter);
    out.push_str(",\"config\":{");
    pen.text(out, "token", token);
    let default = match default_consent {
        DefaultConsent::Granted => "granted",
        DefaultConsent::Denied => "denied",
        DefaultConsent::Pending => "pending",
    };
    write::member(out, "default_consent", default);
    flag(out, "honor_gpc", *honor_gpc);
    flag(out, "honor_dnt", *honor_dnt);
    number(out, "flush_interval_ms", *flush_interval_ms);
    flag(out, "leading_edge", *leading_edge);
    number(out, "batch_size", *batch_size as u64);
    number(out, "batch_bytes", *batch_bytes as u64);
    number(out, "leaving_bytes", *leaving_bytes as u64);
    number(out, "queue_limit_bytes", *queue_limit_bytes);
    number(out, "queue_limit_age_ms", *queue_limit_age_ms);
    number(out, "hold_limit", *hold_limit as u64);
    number(out, "hold_limit_bytes", *hold_limit_bytes as u64);
    number(out, "hold_limit_age_ms", *hold_limit_age_ms);
    let id_merge = match id_merge {
        IdMerge::Simplified => "simplified",
        IdMerge::Original => "original",
    };
    write::member(out, "id_merge", id_merge);
    pen.object(out, "automatic_properties", automatic_properties);
    pen.names(out, "deny_list", deny_list);
    #[cfg(feature = "personal-data")]
    {
        // Nothing in a redacted text looks like what it was.
        let mode = if matches!(pen, Pen::Keeps) { *personal_data } else { PersonalDataMode::Off };
        let mode = match mode {
            PersonalDataMode::Off => "off",
            PersonalDataMode::Observe => "observe",
            PersonalDataMode::Redact => "redact",
            PersonalDataMode::Reject => "reject",
        };
        write::member(out, "personal_data", mode);
        pen.names(out, "personal_data_allow", personal_data_allow);
    }
    write::member(out, "library", library);
    out.push_str("}}\n");
}

/// An input's line, up to its effects.
pub(super) fn input(out: &mut String, now: Now, input: &Input<'_>, pen: &mut Pen<'_>) {
    out.push('{');
    number(out, "wall", now.wall_ms);
    number(out, "mono", now.mono_ms);
    let mut word = |word: &str| write::member(out, "in", word);
    match input {
        Input::Start { secret } => {
            word("start");
            pen.bits(out, "secret", secret.0);
        }
        Input::Call(call) => {
            word("call");
            let (name, text, bits) = call.parts();
            write::member(out, "kind", &format!("{:?}", call.kind()));
            match call.kind() {
                CallKind::Unregister | CallKind::SetGroup | CallKind::AddGroup | CallKind::RemoveGroup => {
                    pen.name(out, "name", name);
                    pen.text(out, "text", text);
                }
                CallKind::Track
                | CallKind::Register
                | CallKind::RegisterOnce
                | CallKind::RegisterForSession
                | CallKind::Profile
                | CallKind::Group => {
                    pen.text(out, "name", name);
                    pen.object(out, "text", text);
                }
                CallKind::Identify
                | CallKind::Reset
                | CallKind::SwitchUser
                | CallKind::Alias
                | CallKind::TimeEvent => {
                    pen.text(out, "name", name);
                    pen.text(out, "text", text);
                }
            }
            pen.bits(out, "bits", bits);
        }
        Input::OptIn { id, secret } => {
            word("opt_in");
            pen.bits(out, "id", id.0);
            pen.bits(out, "secret", secret.0);
        }
        Input::OptOut { also: Also { erase, delete_profile }, id } => {
            word("opt_out");
            flag(out, "erase", *erase);
            flag(out, "delete_profile", *delete_profile);
            pen.bits(out, "id", id.0);
        }
        Input::Signals(Signals { gpc, dnt, host }) => {
            word("signals");
            flag(out, "gpc", *gpc);
            flag(out, "dnt", *dnt);
            flag(out, "host", *host);
        }
        Input::Flush => word("flush"),
        Input::Lifecycle(lifecycle) => {
            word("lifecycle");
            write::member(out, "state", &format!("{lifecycle:?}"));
        }
        Input::Tick { secret } => {
            word("tick");
            pen.bits(out, "secret", secret.0);
        }
        Input::RecordChanged { name, read } => {
            word("record_changed");
            write::member(out, "name", &format!("{name:?}"));
            pen.record(out, "read", read);
        }
        Input::Done { op, result } => {
            word("done");
            number(out, "op", op.0);
            done(out, result, pen);
        }
    }
    write::key(out, "out");
    out.push('[');
}

fn done(out: &mut String, result: &Done, pen: &mut Pen<'_>) {
    let mut word = |word: &str| write::member(out, "result", word);
    match result {
        Done::Opened { consent, identity, data } => {
            word("opened");
            pen.record(out, "consent", consent);
            pen.record(out, "identity", identity);
            flag(out, "data", *data);
        }
        Done::Recovered(recovered) => {
            word("recovered");
            write::key(out, "records");
            out.push('[');
            for record in &recovered.records {
                write::comma(out);
                out.push('{');
                number(out, "queue", record.id.queue.into());
                number(out, "seq", record.id.seq);
                write::member(out, "text", &pen.draw(&record.text, Redactor::queued));
                flag(out, "adopted", record.adopted);
                out.push('}');
            }
            out.push(']');
            number(out, "next_seq", recovered.next_seq);
            if let Some(wall_ms) = recovered.not_before_ms {
                number(out, "not_before", wall_ms);
            }
            number(out, "damaged", recovered.damaged);
            number(out, "wiped", recovered.wiped);
        }
        Done::Amended { read, changed } => {
            word("amended");
            pen.record(out, "read", read);
            flag(out, "changed", *changed);
        }
        Done::Stored => word("stored"),
        Done::Wiped { items, before } => {
            word("wiped");
            number(out, "items", *items);
            number(out, "before", *before);
        }
        Done::Listed(items) => {
            word("listed");
            write::key(out, "items");
            out.push('[');
            for item in items {
                write::comma(out);
                out.push('{');
                pen.text(out, "name", &item.name);
                match item.kind {
                    ItemKind::Consent => write::member(out, "kind", "consent"),
                    ItemKind::Lock => write::member(out, "kind", "lock"),
                    ItemKind::Data(epoch) => {
                        write::member(out, "kind", "data");
                        if let Some(epoch) = epoch {
                            number(out, "epoch", epoch);
                        }
                    }
                }
                number(out, "bytes", item.bytes);
                out.push('}');
            }
            out.push(']');
        }
        Done::Refused(read) => {
            word("refused");
            pen.record(out, "read", read);
        }
        Done::Unfenced(who) => {
            word("unfenced");
            pen.text(out, "who", who);
        }
        Done::Answered(Answer::Response { status, retry_after, body }) => {
            word("answered");
            number(out, "status", (*status).into());
            if let Some(text) = retry_after {
                write::member(out, "retry_after", &pen.draw(text, Redactor::retry_after));
            }
            write::member(out, "body", &pen.draw(body, Redactor::answer));
        }
        Done::Answered(Answer::Unreachable) => word("unreachable"),
        Done::Answered(Answer::TimedOut) => word("timed_out"),
        Done::Failed(fault) => {
            word("failed");
            write::member(out, "fault", fault.as_str());
        }
    }
}

/// What the engine says after an input.
pub(super) fn result(out: &mut String, engine: &Engine) {
    write::member(out, "said", &said(engine.outcome()));
    write::key(out, "wake");
    match engine.next_wakeup() {
        Some(mono_ms) => write::integer(out, mono_ms),
        None => out.push_str("null"),
    }
}
