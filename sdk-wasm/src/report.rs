//! What the page may ask: where consent stands, the books, what is held. Asking changes nothing (C10).

use super::Core;
use alloc::string::String;
use refrain::engine::{Outcome, Rejection};
use refrain::json::write;

impl Core {
    /// A text: 0 where the request goes that was redeemed last; 1 why the last call was rejected, in a word, 2 what to do about it;
    /// where consent stands: 3 decision, 4 verdict, 5 reason, 6 sentence; 7 what goes as `distinct_id` now, 8 the
    /// device id; 9 requests under way, running timers and the books (C15), as numbers in the order of `Stats`, and in a module with the detector what it has found; 10 the erasure outbox
    /// (C14), as a JSON array.
    pub(super) fn read(&self, kind: u32) -> Option<String> {
        let consent = self.engine.consent();
        Some(String::from(match kind {
            0 => self.path.as_str(),
            1 => self.rejection()?.as_str(),
            2 => self.rejection()?.hint(),
            3 => consent.decision.as_str(),
            4 => consent.verdict.as_str(),
            5 => consent.reason(),
            6 => consent.sentence(),
            7 => return self.engine.distinct_id(),
            8 => return self.engine.device_id(),
            9 => return Some(self.books()),
            _ => return Some(self.outbox()),
        }))
    }

    fn rejection(&self) -> Option<Rejection> {
        match self.engine.outcome() {
            Outcome::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }

    fn books(&self) -> String {
        let stats = self.engine.stats();
        let mut out = String::new();
        let mut add = |number: u64| {
            write::integer(&mut out, number);
            out.push(',');
        };
        for number in &[
            self.engine.in_flight() as u64,
            self.engine.timers() as u64,
            stats.tracked,
            stats.recovered,
            stats.adopted,
            stats.delivered,
            stats.queued,
            stats.held,
            stats.given_up,
            stats.queued_bytes,
            stats.damaged,
            stats.wiped,
            stats.rejected,
        ] {
            add(*number);
        }
        for number in &stats.dropped {
            add(*number);
        }
        #[cfg(feature = "personal-data")]
        for number in &stats.personal_data {
            add(*number);
        }
        out
    }

    /// Without the proofs.
    fn outbox(&self) -> String {
        let mut out = String::from("[");
        for erasure in self.engine.erasure_outbox() {
            write::comma(&mut out);
            out.push('{');
            write::member(&mut out, "id", &erasure.id);
            write::member(&mut out, "kind", erasure.kind.as_str());
            write::member(&mut out, "state", erasure.state.as_str());
            write::key(&mut out, "answer");
            out.push_str(erasure.answer.as_deref().unwrap_or("null"));
            out.push('}');
        }
        out.push(']');
        out
    }
}

#[cfg(test)]
mod tests {
    use refrain::engine::Dropped;

    /// `npm/src/books.ts` has the same words in this order.
    #[test]
    fn c15_drops_are_counted_in_the_order_that_the_page_names_them_in() {
        let words = Dropped::ALL.map(Dropped::as_str).join(",");
        assert_eq!(words, "withdrawn,hold_full,hold_expired,evicted,expired,oversize,refused,unrecordable");
        let page = include_str!("../npm/src/books.ts");
        assert!(page.contains(&words));
    }
}
