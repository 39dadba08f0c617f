//! Answers that no sound collector gives: of portals, proxies and broken servers. Nothing of what was asked has arrived.

use refrain::engine::Answer;

/// To any request. None of them says that anything is taken, or is refused for good.
const TO_ANY: [(u16, &str); 14] = [
    (200, ""),
    (200, "<html>log in</html>"),
    (200, "{}"),
    (200, "[1]"),
    (200, "{\"status\":2}"),
    (200, "{\"status\":1"),
    (200, "\"1\""),
    (200, "11"),
    (204, ""),
    (302, "1"),
    (500, "1"),
    (502, "{\"status\":\"OK\"}"),
    (407, "0"),
    (999, "1"),
];
/// To the outbox: no word of an erasure that is taken.
const TO_THE_OUTBOX: [(u16, &str); 8] = [
    (202, "{}"),
    (202, "{\"id\":7,\"state\":\"accepted\"}"),
    (202, "{\"state\":\"accepted\"}"),
    (202, "{\"id\":\"\",\"state\":\"accepted\"}"),
    (202, "{\"id\":\"../e1\",\"state\":\"accepted\"}"),
    (200, "{\"id\":\"e1\"}"),
    (403, "<html>no</html>"),
    (429, "{\"id\":\"e1\",\"state\":\"completed\"}"),
];

/// So many kinds there are.
pub const KINDS: usize = TO_ANY.len() + TO_THE_OUTBOX.len();

/// One of them; to records what would be a word about records is another one.
pub fn garbage(kind: usize, outbox: bool) -> Answer {
    let (status, body) = match TO_THE_OUTBOX.get(kind.wrapping_sub(TO_ANY.len())) {
        Some(answer) if outbox => *answer,
        _ => TO_ANY[kind % TO_ANY.len()],
    };
    Answer::Response { status, retry_after: None, body: body.into() }
}

/// The collector does not do what the outbox asks for, and never will.
pub fn refusal() -> Answer {
    Answer::Response { status: 422, retry_after: None, body: "{\"error\":\"no\",\"status\":0}".into() }
}
