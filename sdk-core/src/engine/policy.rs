//! The delivery policy: what each answer means, in one table.

use super::effect::Answer;
use crate::json::{Object, whole};

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The collector has it.
    Delivered,
    /// Once more, later.
    Retry,
    /// Once more in smaller pieces; a single record that is too large goes.
    Split,
    /// One record is poison: halve until it stands alone, then it goes.
    Bisect,
    /// This client is not welcome: rest long, keep everything, tell the host.
    Pause,
}

/// Reads an answer. *Delivered* takes 2xx **and** the collector's own word for it: anything else that says 2xx or
/// 3xx is a captive portal or a proxy.
pub(super) fn judge(answer: &Answer) -> Judgement {
    let Answer::Response { status, body, .. } = answer else { return Judgement::Retry };
    match status {
        200..=299 => judge_body(body.trim_ascii()),
        300..=399 => Judgement::Retry,
        408 | 425 | 429 | 500..=599 => Judgement::Retry,
        413 => Judgement::Split,
        400 | 422 => Judgement::Bisect,
        401 | 403 | 404 | 405 | 407 | 410 => Judgement::Pause,
        402..=499 => Judgement::Bisect,
        _ => Judgement::Retry,
    }
}

fn judge_body(body: &str) -> Judgement {
    match body {
        "1" => return Judgement::Delivered,
        "0" => return Judgement::Bisect,
        _ => {}
    }
    let Ok(object) = Object::parse(body) else { return Judgement::Retry };
    let temporary = || object.get("error").is_some_and(|e| e.raw() == "\"a temporary failure occurred\"");
    match object.get("status").map(|status| status.raw()) {
        Some("1" | "\"OK\"") => Judgement::Delivered,
        Some("0") if !temporary() => Judgement::Bisect,
        _ => Judgement::Retry,
    }
}

/// The longest wait that a server may ask for, in milliseconds.
pub(super) const ASKED_CAP_MS: u64 = 24 * 60 * 60 * 1_000;

/// Reads `Retry-After` as seconds, whole or decimal; in milliseconds, at most a day. A collector says it when it
/// fails or has accepted an erasure; whatever else says it is not the collector.
pub(super) fn retry_after_ms(answer: &Answer) -> Option<u64> {
    let Answer::Response { status: 202 | 400.., retry_after: Some(text), .. } = answer else { return None };
    let text = text.trim_ascii().as_bytes();
    let (seconds, part) = text.split_at(text.iter().position(|byte| *byte == b'.').unwrap_or(text.len()));
    // More than can be counted is a number even so.
    let seconds = match whole(seconds) {
        None if seconds.iter().all(u8::is_ascii_digit) && !seconds.is_empty() => ASKED_CAP_MS,
        counted => counted?.min(ASKED_CAP_MS),
    };
    let tenth = part.get(1).map_or(0, |b| u64::from(b.wrapping_sub(b'0').min(9)));
    Some((seconds * 1_000 + tenth * 100).min(ASKED_CAP_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Answer {
        Answer::Response { status, retry_after: None, body: body.into() }
    }

    #[test]
    fn the_policy_row_by_row() {
        use Judgement as J;
        for (status, body, judgement) in [
            (200, "1", J::Delivered),
            (200, "1\n", J::Delivered),
            (200, r#"{"error":null,"status":1}"#, J::Delivered),
            (200, r#"{"code":200,"status":"OK"}"#, J::Delivered),
            (204, "", J::Retry),
            (200, "<html>log in</html>", J::Retry),
            (200, r#"{"ok":true}"#, J::Retry),
            (302, "1", J::Retry),
            (200, "0", J::Bisect),
            (200, r#"{"error":"token, missing or empty","status":0}"#, J::Bisect),
            (200, r#"{"error":"a temporary failure occurred","status":0}"#, J::Retry),
            (400, "", J::Bisect),
            (422, "", J::Bisect),
            (418, "", J::Bisect),
            (413, "", J::Split),
            (408, "", J::Retry),
            (425, "", J::Retry),
            (429, "", J::Retry),
            (500, "1", J::Retry),
            (503, "", J::Retry),
            (401, "", J::Pause),
            (403, "", J::Pause),
            (404, "", J::Pause),
            (405, "", J::Pause),
            (407, "", J::Pause),
            (410, "", J::Pause),
        ] {
            assert_eq!(judge(&response(status, body)), judgement, "{status} {body}");
        }
        assert_eq!(judge(&Answer::Unreachable), J::Retry);
        assert_eq!(judge(&Answer::TimedOut), J::Retry);
    }

    #[test]
    fn retry_after_in_seconds() {
        let after = |text: &str| {
            retry_after_ms(&Answer::Response { status: 503, retry_after: Some(text.into()), body: "".into() })
        };
        assert_eq!(after("2"), Some(2_000));
        assert_eq!(after(" 1.5 "), Some(1_500));
        assert_eq!(after("99999999999"), Some(86_400_000));
        assert_eq!(after("99999999999999999999999"), Some(86_400_000));
        assert_eq!(after("99999999999999999999999x"), None);
        assert_eq!(after(".5"), None);
        assert_eq!(after("soon"), None);
        assert_eq!(retry_after_ms(&Answer::Unreachable), None);
        for (status, asked) in [(200, None), (202, Some(2_000)), (302, None), (404, Some(2_000))] {
            let answer = Answer::Response { status, retry_after: Some("2".into()), body: "<html>".into() };
            assert_eq!(retry_after_ms(&answer), asked, "{status}");
        }
    }
}
