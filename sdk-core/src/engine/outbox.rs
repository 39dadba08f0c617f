//! The erasure outbox (C12): a lane of its own, whatever the verdict, until the server has taken the request or
//! refused it for good.

use super::Engine;
use super::choice::amend;
use super::consent::{ConsentChange, ErasureState};
use super::effect::{Answer, Done, Effect, Request};
use super::permit::OutboxPermit;
use super::store::Pending;
use crate::json::write;
use alloc::string::String;

const PATH: &str = "/refrain/v1/erasures";

#[derive(Default)]
pub(super) struct Lane {
    under_way: bool,
    not_before: u64,
    attempts: u32,
}

impl Engine {
    /// When the next request is due, on the monotonic clock.
    pub(super) fn outbox_due(&self) -> Option<u64> {
        let waiting = self.is_settled() && !self.outbox.under_way && self.next_erasure().is_some();
        waiting.then_some(self.outbox.not_before)
    }

    fn next_erasure(&self) -> Option<&super::Erasure> {
        self.outbox().iter().find(|erasure| erasure.state == ErasureState::Requested)
    }

    pub(super) fn send_erasures(&mut self) {
        if self.outbox_due().is_none_or(|due| due > self.now.mono_ms) {
            return;
        }
        let Some(erasure) = self.next_erasure() else { return };
        let id = erasure.id.clone();
        let mut body = String::from("{");
        for (key, text) in
            [("token", &self.config.token), ("device_id", &erasure.device_id), ("secret", &erasure.secret)]
        {
            write::key(&mut body, key);
            write::string(&mut body, text);
        }
        body.push('}');
        self.outbox.under_way = true;
        let permit = OutboxPermit {
            id: id.clone(),
            request: Request { path: PATH, body, records: 0, leaving: false },
        };
        let op = self.next_op(Pending::Erasure { id });
        self.effects.push_back(Effect::SendErasure { op, permit });
    }

    pub(super) fn erasure_done(&mut self, id: String, result: Done) {
        self.outbox.under_way = false;
        let state = match result {
            Done::Answered(Answer::Response { status: 200..=299, .. }) => Some(ErasureState::Accepted),
            Done::Answered(Answer::Response { status: 400 | 403 | 422, .. }) => Some(ErasureState::Refused),
            _ => None,
        };
        // Also after an answer: it is only noted once the record says so.
        self.outbox.not_before = self.now.mono_ms.saturating_add(self.backoff_ms(self.outbox.attempts));
        self.outbox.attempts = self.outbox.attempts.saturating_add(1);
        if let Some(state) = state {
            self.outbox.attempts = 0;
            let op = self.next_op(Pending::ErasureNoted);
            self.effects.push_back(amend(op, ConsentChange::Erasure { id, state }));
        } else if let Done::Refused(read) = result {
            self.observe_consent(&read);
        }
    }
}
