//! The erasure outbox (C12): a lane of its own, whatever the verdict, until the server has done what an entry asks
//! for, or has refused it for good.
//!
//! A device's erasure is posted with its secret; once it is taken the server is asked how far it has come, until it
//! hands out a receipt. A profile's deletion is one request of the collection protocol (SPEC §9.2).
//!
//! How long to wait is known in this process only, also where a server asks for it: a new process asks at once, once.

use super::Engine;
use super::consent::{ConsentChange, Erasure, ErasureKind, ErasureState};
use super::effect::{Answer, Done, Effect, Lane, RecordRead, Request};
use super::identity::Identity;
use super::limits::LEVELS;
use super::permit::OutboxPermit;
use super::policy::{Judgement, judge, retry_after_ms};
use super::store::Pending;
use super::time::EventId;
use crate::json::{Object, Survey, write};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

const PATH: &str = "/refrain/v1/erasures";
/// The largest answer that is kept, in bytes.
const ANSWER_BYTES: usize = 2 << 10;
/// How long a server that has no such endpoint, or does not want this client, is left alone, in milliseconds.
const REST_MS: u64 = 10 * 60 * 1_000;

/// What is known of the outbox in this process only.
#[derive(Default)]
pub(super) struct Outbox {
    under_way: bool,
    waits: Vec<Wait>,
}

/// When an entry may be tried again.
struct Wait {
    id: String,
    not_before: u64,
    attempts: u32,
    /// How far the collector has said it was, whether or not the record has taken note.
    said: Option<ErasureState>,
}

impl Outbox {
    #[cfg(feature = "simulation")]
    pub(super) fn fingerprint(&self, now_ms: u64) -> impl core::fmt::Debug + use<> {
        let wait = |wait: &Wait| (wait.not_before.saturating_sub(now_ms), wait.attempts, wait.said);
        (self.under_way, self.waits.iter().map(wait).collect::<Vec<_>>())
    }

    fn not_before(&self, id: &str) -> u64 {
        self.waits.iter().find(|wait| wait.id == id).map_or(0, |wait| wait.not_before)
    }
}

/// What a withdrawal asks for, to be made entries of where the identity can be read: another process or tab may have
/// changed it since it was last seen here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    also: super::Also,
    id: EventId,
}

impl Asked {
    /// The entries for whom the store knows in this epoch, or in whichever, where no record tells of one; `None` where it
    /// cannot say.
    pub(super) fn of(self, identity: &RecordRead, epoch: Option<u64>) -> Option<Vec<Erasure>> {
        let of_then = |identity: &Identity| epoch.is_none_or(|epoch| identity.epoch == epoch);
        let identity = Identity::of(identity).filter(of_then)?;
        Some(erasures(&identity, self.also, self.id))
    }
}

fn erasures(identity: &Identity, also: super::Also, id: EventId) -> Vec<Erasure> {
    let mut entries = Vec::new();
    // Another id from the same bits.
    let other = EventId((!u128::from_ne_bytes(id.0)).to_ne_bytes());
    for (asked, kind, id) in
        [(also.erase, ErasureKind::Device, id), (also.delete_profile, ErasureKind::Profile, other)]
    {
        if !asked {
            continue;
        }
        let mut entry = Erasure {
            id: id.to_hex(),
            kind,
            device_id: identity.device_id.clone(),
            user: None,
            secret: String::new(),
            state: ErasureState::Requested,
            answer: None,
        };
        match kind {
            ErasureKind::Device => write::hex(&mut entry.secret, &identity.secret.0),
            ErasureKind::Profile => entry.user.clone_from(&identity.user),
        }
        entries.push(entry);
    }
    entries
}

impl Engine {
    /// The entries that a withdrawal asks for, as far as this process knows; none where there is no device to speak of.
    pub(super) fn erasures(&self, also: super::Also, id: EventId) -> Vec<Erasure> {
        self.subject.identity().map_or_else(Vec::new, |identity| erasures(identity, also, id))
    }

    /// The same, for the store to say whom it is about; `None` where the store has not taken yet who is known here.
    pub(super) fn asked(&self, also: super::Also, id: EventId) -> Option<Asked> {
        let names =
            |(_, pending): &(_, Pending)| matches!(pending, Pending::Identity(it) if it.names_somebody());
        let ours = !self.durable() || self.retries.identity_missing || self.pending.iter().any(names);
        (!ours).then_some(Asked { also, id })
    }

    /// When the next request is due, on the monotonic clock.
    pub(super) fn outbox_due(&self) -> Option<u64> {
        self.next_erasure().map(|(due, _)| due)
    }

    /// The entry whose turn it is, and when.
    fn next_erasure(&self) -> Option<(u64, &Erasure)> {
        if self.recorded_outbox().is_empty()
            || self.outbox.under_way
            || self.is_noting()
            || !self.is_settled()
        {
            return None;
        }
        let mut next: Option<(u64, &Erasure)> = None;
        for entry in self.recorded_outbox() {
            let open = match entry.state {
                ErasureState::Requested => true,
                ErasureState::Accepted => ticket(entry).is_some(),
                ErasureState::Completed | ErasureState::Refused => false,
            };
            let due = self.outbox.not_before(&entry.id);
            if open && next.is_none_or(|(soonest, _)| due < soonest) {
                next = Some((due, entry));
            }
        }
        next
    }

    /// Whether something of the outbox is on its way, about to leave, or being noted. No flush waits for it.
    pub fn is_erasing(&self) -> bool {
        let due = |(due, _)| due <= self.now.mono_ms;
        self.outbox.under_way || self.is_noting() || self.next_erasure().is_some_and(due)
    }

    /// Whether a change of the outbox is on its way into the record.
    pub(crate) fn is_noting(&self) -> bool {
        self.pending.iter().any(|(_, pending)| matches!(pending, Pending::Outbox))
    }

    pub(super) fn send_erasures(&mut self) {
        let Some((due, entry)) = self.next_erasure() else { return };
        if due > self.now.mono_ms {
            return;
        }
        let (path, body) = match (entry.kind, entry.state) {
            (ErasureKind::Profile, _) => (String::from(Lane::Profiles.path()), self.deletion(entry)),
            (ErasureKind::Device, ErasureState::Requested) => (String::from(PATH), self.proof(entry)),
            (ErasureKind::Device, _) => {
                let mut path = String::from(PATH);
                path.push('/');
                path.push_str(&ticket(entry).unwrap_or_default());
                (path, String::new())
            }
        };
        let (id, state) = (entry.id.clone(), entry.state);
        self.outbox.under_way = true;
        let request = Request { path, body, records: 0, leaving: false };
        let permit = Box::new(OutboxPermit { id: id.clone(), state, request });
        let op = self.next_op(Pending::Erasure { id, state });
        self.effects.push_back(Effect::SendErasure { op, permit });
    }

    /// `POST /refrain/v1/erasures`: revealing the secret proves that the asker is the device.
    fn proof(&self, entry: &Erasure) -> String {
        let mut body = String::from("{");
        write::member(&mut body, "token", &self.config.token);
        write::member(&mut body, "device_id", &entry.device_id);
        write::member(&mut body, "secret", &entry.secret);
        body.push('}');
        body
    }

    /// `$delete` of the profiles of the withdrawn ids. The device's is its own one, from before it was linked to anybody:
    /// without a word the collector takes that of the first user of the device, who may be somebody else (SPEC §9).
    fn deletion(&self, entry: &Erasure) -> String {
        let mut device = String::from("$device:");
        device.push_str(&entry.device_id);
        let mut body = String::from("[");
        for (id, literal) in entry.user.iter().map(|user| (user, false)).chain([(&device, true)]) {
            write::comma(&mut body);
            body.push('{');
            write::member(&mut body, "$token", &self.config.token);
            write::member(&mut body, "$distinct_id", id);
            if literal {
                write::key(&mut body, "$ignore_alias");
                body.push_str("true");
            }
            write::member(&mut body, "$delete", "");
            body.push('}');
        }
        body.push(']');
        body
    }

    /// A request of the outbox has ended.
    pub(super) fn erasure_done(&mut self, id: &str, before: ErasureState, result: &Done) {
        self.outbox.under_way = false;
        // Also while the record cannot be read: the collector has said when it may be asked again.
        let mut entries = self.recorded_outbox().iter().chain(&self.retries.outbox);
        let kind = entries.find(|entry| entry.id == id).map(|entry| entry.kind);
        let mut rest = 0;
        let noted = match (kind, result) {
            (Some(kind), Done::Answered(answer)) => {
                rest = retry_after_ms(answer).unwrap_or(0);
                match answer {
                    Answer::Response { status: 401 | 404 | 405 | 407 | 501, .. } => {
                        rest = rest.max(REST_MS);
                        None
                    }
                    Answer::Response { status, body, .. } => match kind {
                        ErasureKind::Device => judge_erasure(*status, body, before),
                        ErasureKind::Profile => judge_deletion(answer),
                    },
                    _ => None,
                }
            }
            _ => None,
        };
        self.wait_for(id, noted.filter(|state| *state != before), rest);
        if let (Some(state), true) = (noted, noted != Some(before)) {
            let answer = match result {
                Done::Answered(Answer::Response { body, .. }) => kept(body),
                _ => None,
            };
            let op = self.next_op(Pending::Outbox);
            let amendment = self.amendment(ConsentChange::Erasure { id: id.into(), state, answer });
            self.effects.push_back(Effect::Amend { op, amendment });
        } else if let Done::Refused(read) = result {
            self.observe_consent(read);
        }
    }

    /// Entries whose record somebody has deleted go into the one that stands there now, unless they stand in it already.
    pub(super) fn entrust(&mut self) {
        let Some(record) = self.consent.record() else { return };
        self.retries.outbox.retain(|lost| !record.outbox.iter().any(|entry| entry.id == lost.id));
        if !self.retries.outbox.is_empty() && !self.is_noting() {
            let op = self.next_op(Pending::Outbox);
            let amendment = self.amendment(ConsentChange::Entrust(self.retries.outbox.clone()));
            self.effects.push_back(Effect::Amend { op, amendment });
        }
    }

    /// Also after an answer that is to be noted: the next step begins only once the record says so. Where it never does,
    /// the same answer again is no progress.
    fn wait_for(&mut self, id: &str, advanced: Option<ErasureState>, rest: u64) {
        let known = self.outbox.waits.iter().position(|wait| wait.id == id);
        let known = known.map(|at| self.outbox.waits.remove(at));
        let (attempts, said) = known.map_or((0, None), |wait| (wait.attempts, wait.said));
        let attempts = if advanced.is_some() && advanced != said { 0 } else { attempts };
        let not_before = self.now.mono_ms.saturating_add(self.backoff_ms(attempts).max(rest));
        let attempts = attempts.saturating_add(1);
        self.outbox.waits.push(Wait { id: id.into(), not_before, attempts, said: advanced.or(said) });
    }

    /// What records of a later time must not overtake: the withdrawn user, as a text holds it, of every profile that
    /// is still to be deleted (C12), also while no record says so.
    pub(super) fn held_behind(&self) -> Vec<String> {
        let mut users = Vec::new();
        for entry in self.recorded_outbox().iter().chain(&self.retries.outbox) {
            let open = entry.kind == ErasureKind::Profile && !entry.state.is_final();
            if open && let Some(user) = &entry.user {
                let mut text = String::new();
                write::string(&mut text, user);
                users.push(text);
            }
        }
        users
    }
}

/// What is kept of an answer: all of it, if the record stays small and readable with it; of any other what to ask by.
fn kept(body: &str) -> Option<String> {
    let mut survey = Survey::default();
    let answer = Object::survey(body, &mut survey).ok()?;
    if answer.as_str().len() <= ANSWER_BYTES && survey.depth <= LEVELS {
        return Some(String::from(answer.as_str()));
    }
    let mut out = String::from("{");
    write::member(&mut out, "id", &ticket_in(answer)?);
    out.push('}');
    Some(out)
}

fn ticket(entry: &Erasure) -> Option<String> {
    ticket_in(Object::parse(entry.answer.as_deref()?).ok()?)
}

/// The server's word for an erasure that it has taken: what to ask by. One that would not stand in a path is none.
fn ticket_in(answer: Object<'_>) -> Option<String> {
    let id = answer.string("id")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (!id.is_empty() && id.len() <= 100 && id.bytes().all(plain)).then_some(id)
}

fn judge_erasure(status: u16, body: &str, before: ErasureState) -> Option<ErasureState> {
    match status {
        // Anything else that says 2xx is a captive portal or a proxy.
        200..=299 => {
            let answer = Object::parse(body).ok()?;
            answer.string("id")?;
            match ErasureState::from_word(&answer.string("state")?) {
                Some(state) if state.is_final() => Some(state),
                // Without a word to ask by nobody would ever hear of it again.
                _ => ticket_in(answer).map(|_| ErasureState::Accepted),
            }
        }
        // Wrong proof, or a request that makes no sense there: asking again would not help.
        400 | 403 | 410 | 422 if before == ErasureState::Requested && is_word(body) => {
            Some(ErasureState::Refused)
        }
        _ => None,
    }
}

/// Whether a collector speaks. A proxy or a captive portal that refuses says so in another way, and does not for good.
fn is_word(body: &str) -> bool {
    body.trim_ascii() == "0" || Object::parse(body).is_ok()
}

fn judge_deletion(answer: &Answer) -> Option<ErasureState> {
    match judge(answer) {
        Judgement::Delivered => Some(ErasureState::Completed),
        Judgement::Bisect if matches!(answer, Answer::Response { body, .. } if is_word(body)) => {
            Some(ErasureState::Refused)
        }
        _ => None,
    }
}
