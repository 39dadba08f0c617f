//! The clock: set, moved, stopped, let go.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Failure, document};
use crate::domain::time;
use crate::http::App;
use crate::http::call::{Call, Reply};

pub fn show(app: &App) -> Reply {
    let clock = app.shared.clock();
    let now = clock.now();
    Reply::json(
        200,
        &json!({"now": time::format_iso(now), "now_s": now.div_euclid(1000), "frozen": clock.is_frozen()}),
    )
}

/// What a `PUT /mock/clock` asks for.
enum Move {
    Stay,
    Set(i64),
    By(i64),
    Duration(String),
}

/// Instants further away than this are typing errors: year 9999.
const FURTHEST: i64 = 253_402_300_799_000;

pub async fn put(app: &Arc<App>, call: &Call) -> Result<Reply, Failure> {
    let document = document(call, &["now", "now_s", "advance", "advance_s", "frozen", "real"])?;
    let wrong = |text: &str| Err(Failure::Reply(Reply::error(400, text)));
    if document.is_empty() {
        return wrong("the clock understands now, now_s, advance, advance_s, frozen and real");
    }
    let seconds =
        |value: &Value| value.as_f64().filter(|s| s.abs() < 1e12).map(|s| (s * 1000.0).round() as i64);
    let mut moves = Vec::new();
    if let Some(value) = document.get("now") {
        match value.as_str().and_then(time::parse_iso) {
            Some(at) => moves.push(Move::Set(at)),
            None => return wrong("now is a text such as \"2026-09-01T00:00:00Z\""),
        }
    }
    if let Some(value) = document.get("now_s") {
        match seconds(value) {
            Some(at) => moves.push(Move::Set(at)),
            None => return wrong("now_s is a number of seconds since 1970"),
        }
    }
    if let Some(value) = document.get("advance") {
        match value.as_str().filter(|text| time::add_duration(0, text).is_some()) {
            Some(duration) => moves.push(Move::Duration(duration.to_owned())),
            None => {
                let hint = "it is an ISO 8601 duration such as \"P5Y\", \"P30D\" or \"PT90S\"";
                return Err(Reply::hinted(
                    400,
                    "advance is not an ISO 8601 duration within the supported range",
                    hint,
                )
                .into());
            }
        }
    }
    if let Some(value) = document.get("advance_s") {
        match seconds(value) {
            Some(by) => moves.push(Move::By(by)),
            None => return wrong("advance_s is a number of seconds"),
        }
    }
    let switch = |name: &str| match document.get(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Reply::error(400, &format!("{name} is true or false"))),
    };
    let (frozen, real) = (switch("frozen")?, switch("real")? == Some(true));
    if moves.len() > 1 || (real && (!moves.is_empty() || frozen == Some(true))) {
        return wrong("say one of now, now_s, advance, advance_s, real");
    }
    let wanted = moves.pop().unwrap_or(Move::Stay);
    let moved = app
        .worker
        .alone(move |core| {
            // What is expired before the move stays expired after it, even where the clock goes back.
            let before = core.shared.now();
            core.run_due(before)?;
            {
                let mut clock = core.shared.clock();
                let mut new = clock.clone();
                if real {
                    new.reset();
                }
                match wanted {
                    Move::Stay => {}
                    Move::Set(at) => new.set(at),
                    Move::By(by) => new.advance(by),
                    Move::Duration(duration) => {
                        let now = new.now();
                        let Some(target) = time::add_duration(now, &duration) else { return Ok(None) };
                        new.advance(target - now);
                    }
                }
                if let Some(frozen) = frozen {
                    new.freeze(frozen);
                }
                if new.now().abs() > FURTHEST {
                    return Ok(None);
                }
                *clock = new;
            }
            core.era += 1;
            let now = core.shared.now();
            Ok(Some(core.run_due(now).map(drop)))
        })
        .await?;
    match moved {
        Some(Ok(())) => Ok(show(app)),
        // Whoever took it for a refusal would move the clock a second time.
        Some(Err(error)) => {
            let hint = "the clock has moved all the same: do not move it again. What fell due is tried again every 5 s";
            Ok(Reply::hinted(503, &error.to_string(), hint))
        }
        None => {
            let hint = "move it by less, or set it with now";
            Err(Reply::hinted(400, "the clock cannot go beyond the year 9999", hint).into())
        }
    }
}
