//! Erasing one person among many events, and sweeping them all.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::batches::{self, BATCH, BATCHES_OF_A_DEVICE};
use crate::connection::Connection;
use crate::figures::{line, median, millis, thousands};
use crate::load;
use crate::servers::Server;

/// Persons that are erased, one after the other.
const PERSONS: u64 = 21;
/// Requests that are made at a time.
const MADE: u64 = 2_000;

/// With so many events. Answers the median time until a person's data is unreadable.
pub fn measure(program: &Path, folder: &Path, events: u64) -> Result<Duration> {
    let server = Server::ours(program, folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let batches = events / BATCH;
    let begun = Instant::now();
    for start in (0..batches).step_by(MADE as usize) {
        let end = batches.min(start + MADE);
        let requests: Vec<_> =
            (start..end).map(|batch| batches::request(server.address, batch, now)).collect();
        load::as_fast_as_it_goes(server.address, &requests)?;
    }
    let filled = begun.elapsed();

    let mut connection = Connection::open(server.address)?;
    let devices = batches / BATCHES_OF_A_DEVICE;
    let (mut unreadable, mut gone) = (Vec::new(), Vec::new());
    for person in 0..PERSONS {
        let device = person * devices / PERSONS;
        let asked = json!({"token": "bench", "device_id": batches::id_of(device), "secret": batches::secret_of(device)});
        let request = batches::post(server.address, "/refrain/v1/erasures", &asked.to_string());
        let begun = Instant::now();
        connection.send_well(&request)?;
        unreadable.push(begun.elapsed());
        let task: Value = serde_json::from_slice(connection.body())?;
        let check = batches::message(
            server.address,
            "GET",
            &format!("/refrain/v1/erasures/{}", task["id"].as_str().context("no id")?),
            "",
        );
        let receipt = loop {
            connection.send_well(&check)?;
            let task: Value = serde_json::from_slice(connection.body())?;
            if task["receipt"].is_object() {
                break task["receipt"].clone();
            }
        };
        gone.push(begun.elapsed());
        let expected = BATCH * BATCHES_OF_A_DEVICE;
        ensure!(receipt["counts"]["events"] == expected, "{receipt} does not count {expected} events");
    }
    let worst = |times: &[Duration]| times.iter().copied().max().unwrap_or_default();
    line(
        "filled, durable, over loopback",
        &format!("{} events/s", thousands(events as f64 / filled.as_secs_f64())),
    );
    line(
        "one person unreadable for ever (answered), median of 21",
        &format!("{}, at most {}", millis(median(&unreadable)), millis(worst(&unreadable))),
    );
    line(
        "rows deleted too, receipt signed, median of 21",
        &format!("{}, at most {}", millis(median(&gone)), millis(worst(&gone))),
    );

    server.tell("PUT", "/mock/config", &json!({"settings": {"retention_events_days": 30}}).to_string())?;
    let begun = Instant::now();
    server.tell("PUT", "/mock/clock", &json!({"advance": "P31D"}).to_string())?;
    let swept = begun.elapsed();
    let stats: Value = serde_json::from_slice(&server.tell("GET", "/mock/stats", "")?)?;
    let expired = stats["expired"].as_u64().unwrap_or_default();
    ensure!(expired == events - PERSONS * BATCH * BATCHES_OF_A_DEVICE, "{stats} does not count what expired");
    line(
        "all the others swept by retention",
        &format!(
            "{:.2} s, {} events/s",
            swept.as_secs_f64(),
            thousands(expired as f64 / swept.as_secs_f64())
        ),
    );
    Ok(median(&unreadable))
}
