//! Playing the faults that a test asked for.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Reply};
use super::{App, collect, worked_on};
use crate::domain::fault::{Act, Close};
use crate::domain::wire::BODY_LIMIT;

/// How a request ends.
pub enum Outcome {
    /// With an answer.
    Answer(Reply),
    /// With a cut connection.
    Cut,
}

/// The fault that meets a request with so many records, if any does.
pub fn meet(app: &App, call: &Call, records: usize) -> Option<Act> {
    app.shared.faults().meet(&call.method, &call.path, records)
}

/// Does to a request what a rule says.
pub async fn play(app: &Arc<App>, mut call: Call, act: Act) -> Outcome {
    call.terminate_after = act.terminate_after;
    if act.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(act.delay_ms)).await;
    }
    let path = call.path.clone();
    let stores = match (act.close, act.status) {
        (Some(close), _) => close == Close::AfterStore,
        (None, status) => status.is_none(),
    };
    let answer = if stores { Some(worked_on(app, call).await) } else { None };
    let reply = match (act.status, answer) {
        (Some(status), _) => canned(&path, status, &act),
        (None, Some(reply)) if act.close.is_none() => reply,
        _ => return Outcome::Cut,
    };
    let reply = if act.close.is_some() { reply.with("connection", "close") } else { reply };
    Outcome::Answer(match act.truncate {
        Some(bytes) => Reply { body: reply.body.cut(bytes), ..reply },
        None => reply,
    })
}

/// The answer of a rule. Without a body of its own it is shaped as the route's errors are (SPEC §2.4, §18).
fn canned(path: &str, status: u16, act: &Act) -> Reply {
    let path = if path.starts_with("/lookup-tables/") { "/lookup-tables" } else { path };
    let path = path.strip_suffix('/').unwrap_or(path);
    let reply = match &act.body {
        Some(body) => {
            let media_type = match body.trim_start().as_bytes().first() {
                Some(b'{' | b'[') => "application/json",
                Some(b'<') => "text/html",
                _ => "text/plain",
            };
            Reply::new(status, media_type, body.clone())
        }
        None if status < 300 => Reply::new(status, "text/plain", ""),
        None => match (status, path) {
            (413, _) if path.starts_with("/api/") || path.starts_with("/refrain/") => {
                Reply::too_large(BODY_LIMIT)
            }
            (413, _) => collect::too_large(),
            (429, "/track" | "/engage" | "/groups" | "/import" | "/lookup-tables") => collect::rate_limited(),
            (429, "/api/2.0/export") => Reply::new(429, "text/plain", "a fault that was asked for"),
            (500.., "/track" | "/engage" | "/groups") => Reply::zero(status, "a temporary failure occurred"),
            (_, "/import" | "/lookup-tables" | "/record") => {
                Reply::coded(status, "a fault that was asked for")
            }
            _ => Reply::error(status, "a fault that was asked for"),
        },
    };
    match &act.retry_after {
        Some(after) => reply.with("retry-after", after.clone()),
        None => reply,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::core::{Core, Shared};
    use crate::domain::config::Config;
    use crate::server::Patience;
    use crate::store::sqlite::SqliteStore;
    use crate::worker::Worker;

    /// Virtual time stands still while anything is done, and goes on where all only wait.
    #[tokio::test(start_paused = true)]
    async fn an_answer_comes_when_its_delay_is_over() {
        let shared = Arc::new(Shared::new(Config::default(), None));
        let core = Core::new(Box::new(SqliteStore::in_memory().unwrap()), shared.clone()).unwrap();
        let app = Arc::new(App::new(shared, Worker::start(core).unwrap(), Patience::default()));
        let call = Call::asking("GET", "/settings", Vec::new());
        let begun = Instant::now();
        let act = Act { delay_ms: 600_000, ..Act::default() };
        let Outcome::Answer(reply) = play(&app, call, act).await else { panic!("cut") };
        assert_eq!((reply.status, begun.elapsed().as_secs()), (200, 600));
        app.worker.stop();
    }
}
