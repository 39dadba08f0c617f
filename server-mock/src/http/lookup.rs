//! `/lookup-tables` (SPEC §11). A table is checked and not kept: nothing that this server answers reads one.

use serde_json::{Value, json};

use super::App;
use super::auth;
use super::call::{Call, Reply};
use super::collect::{larger_than, rate_limited};
use crate::domain::wire::{self, DecodeError, TABLE_LIMIT};

/// Faults that an answer lists at most.
const FAULTS: usize = 10;

pub fn answer(app: &App, call: &Call, id: Option<&str>) -> Reply {
    let method = if id.is_some() { "PUT" } else { "GET" };
    if call.method == method { table(app, call, id) } else { Reply::method_not_allowed(method) }
}

/// Bytes that are kept of a body: none without credentials, so that nobody fills the memory who may not send a table.
pub fn body_limit(app: &App, call: &Call) -> usize {
    let may_send =
        call.method == "PUT" && auth::lookup(&app.shared.config(), call, &call.query_params()).is_ok();
    if may_send { TABLE_LIMIT } else { 0 }
}

fn table(app: &App, call: &Call, id: Option<&str>) -> Reply {
    let config = app.shared.config();
    let project = match auth::lookup(&config, call, &call.query_params()) {
        Ok(project) => project,
        Err(text) => return Reply::coded(401, text),
    };
    if call.oversize {
        return larger_than(TABLE_LIMIT);
    }
    let Some(id) = id else {
        let tables = project.lookup_tables.iter().map(|(id, name)| json!({"id": id, "name": name}));
        let tables: Vec<Value> = tables.collect();
        return Reply::json(200, &json!({"code": 200, "status": "OK", "results": tables}));
    };
    if !project.lookup_tables.iter().any(|(known, _)| known == id) {
        let shown: String = id.chars().take(64).collect();
        let text = format!("Lookup table with id '{shown}' was not found.");
        return Reply::coded(404, &text);
    }
    let checked = match wire::decompress(call.raw(), TABLE_LIMIT) {
        Err(DecodeError::TooLarge) => larger_than(TABLE_LIMIT),
        Err(error) => Reply::coded(400, error.text()),
        Ok(body) => check(&String::from_utf8_lossy(&body)),
    };
    // Only what would replace a table counts.
    if checked.status == 200
        && let Err(retry) = app.limits.lookup.admit(&project, || app.shared.now())
    {
        return rate_limited().with("retry-after", retry.header());
    }
    checked
}

fn check(csv: &str) -> Reply {
    let rows = first_fields(csv);
    let blank = rows.iter().enumerate().skip(1).filter(|(_, key)| key.trim().is_empty());
    let faults: Vec<Value> = blank
        .take(FAULTS)
        .map(|(index, _)| json!({"index": index, "message": "primary key is required and cannot be blank"}))
        .collect();
    if faults.is_empty() {
        return Reply::json(200, &json!({"code": 200, "status": "OK"}));
    }
    Reply::json(
        400,
        &json!({
            "code": 400,
            "error": "Some data points in the request failed validation.",
            "status": "Bad Request",
            "failed_records": faults,
        }),
    )
}

/// The first field of each row; a quoted field may hold commas and line ends.
fn first_fields(csv: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let (mut field, mut quoted, mut in_first, mut any) = (String::new(), false, true, false);
    for character in csv.chars().chain(std::iter::once('\n')) {
        match character {
            '"' => quoted = !quoted,
            '\n' if !quoted => {
                if any {
                    rows.push(std::mem::take(&mut field));
                }
                field.clear();
                (in_first, any) = (true, false);
                continue;
            }
            ',' if !quoted => in_first = false,
            '\r' => continue,
            other if in_first => field.push(other),
            _ => {}
        }
        any = true;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::Body;

    #[test]
    fn a_row_needs_its_key() {
        assert_eq!(first_fields("id,a\n1,2\n\n\"x,\ny\",3\r\n,4"), ["id", "1", "x,\ny", ""]);
        assert_eq!(check("id,a\n1,2\n").status, 200);
        let refused = check("id,a\n1,2\n ,3\n");
        assert_eq!(refused.status, 400);
        let Body::Full(body) = refused.body else { panic!() };
        assert!(String::from_utf8_lossy(&body).contains("\"index\":2"));
    }
}
