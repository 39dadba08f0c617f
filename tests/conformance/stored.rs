//! What a vector says about the server afterwards: `decoded` and the parts of `state` that a machine can check,
//! read through the control API.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use refrain_tests::mock_server::MockServer;
use serde_json::{Value, json};

use crate::matching::{contains, equal};
use crate::vector::Vector;

/// Properties that a server may rewrite: the token is taken out, identity is resolved, times are normalised.
const REWRITTEN: [&str; 3] = ["token", "distinct_id", "time"];

/// Checks that the body of the last request was understood as the records that the vector lists.
pub fn check_decoded(server: &MockServer, vector: &Vector, records: &[Value]) -> Result<()> {
    let log = server.control("GET", "/mock/requests", None)?;
    let last = log["requests"].as_array().and_then(|all| all.last()).context("the request log is empty")?;
    ensure!(
        last["records"].as_u64() == Some(records.len() as u64),
        "decoded: {} records, not {last}",
        records.len()
    );
    let path = vector.request.target.split(['?', '/']).nth(1).unwrap_or_default();
    if path != "track" {
        return Ok(());
    }
    let stored = events(server, "")?;
    for record in records {
        let Some(properties) = record["properties"].as_object() else { continue };
        let kept =
            properties.iter().filter(|(name, value)| !REWRITTEN.contains(&name.as_str()) && !value.is_null());
        let wanted = json!({
            "event": record["event"],
            "properties": kept.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>(),
        });
        ensure!(
            stored.iter().any(|event| contains(&wanted, event)),
            "decoded: {wanted} is not among {stored:?}"
        );
    }
    Ok(())
}

/// What a geo lookup would have added (SPEC §20).
const GEO: [&str; 3] = ["$city", "$region", "mp_country_code"];

/// Checks what of `state` has a form that is understood here, and returns which entries were left to a human.
pub fn check_state<'a>(server: &MockServer, vector: &'a Vector) -> Result<Vec<(&'a str, &'a str)>> {
    let mut prose = Vec::new();
    for (what, wanted) in &vector.state {
        let understood =
            entry(server, vector, what, wanted).with_context(|| format!("state {what:?}: {wanted}"))?;
        if !understood {
            prose.push((vector.id.as_str(), what.as_str()));
        }
    }
    Ok(prose)
}

fn entry(server: &MockServer, vector: &Vector, what: &str, wanted: &Value) -> Result<bool> {
    if what == "events" {
        let found = server.control("GET", "/mock/events", None)?;
        ensure!(equal(wanted, &found["total"]), "there are {}", found["total"]);
    } else if what == "events after completion" {
        server.control("PUT", "/mock/clock", Some(&json!({"advance": "P30D"})))?;
        let found = server.control("GET", "/mock/events", None)?;
        ensure!(equal(wanted, &found["total"]), "there are {}", found["total"]);
    } else if let Some(id) = what.strip_prefix("events of ") {
        let found = server.control("GET", &format!("/mock/events?distinct_id={id}"), None)?;
        ensure!(equal(wanted, &found["total"]), "there are {}", found["total"]);
    } else if what == "time" || what == "time_ms" {
        let ms = only(events(server, "")?)?["time_ms"].as_i64().context("the event has no time_ms")?;
        let found = if what == "time" { ms.div_euclid(1000) } else { ms };
        ensure!(wanted.as_i64() == Some(found), "it is {found}");
    } else if let Some(name) = what.strip_prefix("len(").and_then(|it| it.strip_suffix(')')) {
        let event = only(events(server, "")?)?;
        let found = event["properties"][name].as_str().context("it is no text")?.chars().count();
        ensure!(wanted.as_u64() == Some(found as u64), "it is {found}");
    } else if let Some(names) = what.strip_prefix("export distinct_id of ") {
        for name in names.split(',') {
            property_of_all(server, name, "distinct_id", wanted)?;
        }
    } else if what == "job" {
        let all = server.control("GET", "/mock/tasks", None)?;
        let task = only(all["tasks"].as_array().cloned().context("no list of tasks")?)?;
        ensure!(equal(wanted, &task["status"]), "it is {}", task["status"]);
    } else if what == "geo" && wanted == "none (ip=0)" {
        let event = only(events(server, "")?)?;
        ensure!(GEO.iter().all(|name| event["properties"].get(name).is_none()), "there is {event}");
    } else if let Some(id) = what.strip_prefix("cluster ") {
        let person = person(server, id)?;
        let ids = person["ids"].as_array().context("no list of ids")?.iter().filter_map(Value::as_str);
        // Each may be that of a device as well.
        let ids: BTreeSet<&str> = ids.map(|id| id.trim_start_matches("$device:")).collect();
        ensure!(equal(wanted, &json!(ids)), "it is {ids:?}");
    } else if what.starts_with("$device:")
        && let Some(user) = wanted.as_str().and_then(|it| it.strip_prefix("still "))
    {
        let person = person(server, what)?;
        ensure!(person["distinct_id"] == user, "it is {person}");
    } else if vector.request.target.starts_with("/engage") {
        return profile(server, what, wanted);
    } else if let Some((key, id)) = what.trim_start_matches("group ").split_once('/') {
        let all = server.control("GET", "/mock/groups", None)?;
        let group = only(all["groups"].as_array().cloned().context("no list of groups")?)?;
        ensure!(group["group_key"] == key && group["group_id"] == id, "there is {group}");
        ensure!(contains(wanted, &group["properties"]), "it is {group}");
    } else if let Some((event, property)) = what.split_once('.') {
        property_of_all(server, event, property, wanted)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// `state` of a vector that changes one profile: the profile by its id, or its properties by name.
fn profile(server: &MockServer, what: &str, wanted: &Value) -> Result<bool> {
    if what.contains(' ') {
        return Ok(false);
    }
    let all = server.control("GET", "/mock/profiles", None)?;
    let profiles = all["profiles"].as_array().context("no list of profiles")?;
    if wanted == "absent" && profiles.is_empty() {
        return Ok(true);
    }
    let profile = only(profiles.clone())?;
    let is_named = profile["distinct_id"] == what;
    let properties = &profile["properties"];
    match wanted {
        wanted if wanted == "absent" => {
            ensure!(!is_named && properties.get(what).is_none(), "it is there: {profile}");
        }
        wanted if is_named => ensure!(contains(wanted, properties), "it is {properties}"),
        wanted => {
            let found = properties.get(what).with_context(|| format!("it is not in {properties}"))?;
            ensure!(equal(wanted, found), "it is {found}");
        }
    }
    Ok(true)
}

/// The person behind an id, in the one project that has data.
fn person(server: &MockServer, id: &str) -> Result<Value> {
    let projects = server.control("GET", "/mock/projects", None)?;
    let projects = projects["projects"].as_array().context("no list of projects")?;
    let tokens = projects.iter().filter_map(|project| project["project"].as_str());
    let found = tokens.filter_map(|token| {
        let target = format!("/mock/person?project={token}&distinct_id={id}");
        server.control("GET", &target, None).ok()
    });
    only(found.collect())
}

fn events(server: &MockServer, query: &str) -> Result<Vec<Value>> {
    let found = server.control("GET", &format!("/mock/events{query}"), None)?;
    found["events"].as_array().cloned().context("no list of events")
}

fn only(mut items: Vec<Value>) -> Result<Value> {
    ensure!(items.len() == 1, "there should be one: {items:?}");
    items.pop().context("there is none")
}

fn property_of_all(server: &MockServer, event: &str, property: &str, wanted: &Value) -> Result<()> {
    let found = events(server, &format!("?event={event}"))?;
    ensure!(!found.is_empty(), "no event {event}");
    for event in &found {
        ensure!(equal(wanted, &event["properties"][property]), "it is {event}");
    }
    Ok(())
}
