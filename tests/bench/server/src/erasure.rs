//! Erasing one person among many events, and sweeping them all.

use std::fs::File;
use std::io::Write;
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

/// Median times.
pub struct Measured {
    /// Until a person's data is unreadable for ever.
    pub unreadable: Duration,
    /// Of writing a page and syncing it, in the same folder at the same time: what the disk is like after the filling.
    pub sync: Duration,
}

/// With so many events.
pub fn measure(program: &Path, folder: &Path, events: u64) -> Result<Measured> {
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
    let (mut unreadable, mut gone, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    let mut page = File::create(folder.join("page"))?;
    for person in 0..PERSONS {
        let device = person * devices / PERSONS;
        let asked = json!({"token": "bench", "device_id": batches::id_of(device), "secret": batches::secret_of(device)});
        let request = batches::post(server.address, "/refrain/v1/erasures", &asked.to_string());
        let begun = Instant::now();
        page.write_all(&[person as u8; 4096])?;
        page.sync_data()?;
        syncs.push(begun.elapsed());
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
        "one page written and synced beside each, median of 21",
        &format!("{}, at most {}", millis(median(&syncs)), millis(worst(&syncs))),
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
    Ok(Measured { unreadable: median(&unreadable), sync: median(&syncs) })
}
