//! Whether an answer is the expected one: the matchers of SPEC §22.

use anyhow::{Context, Result, bail, ensure};
use refrain_tests::raw_http::Response;
use regex::Regex;
use serde_json::{Map, Value};

use crate::vector::Captures;

/// Checks every matcher of `expected`, and captures what it says.
pub fn check(expected: &Map<String, Value>, response: &Response, captures: &mut Captures) -> Result<()> {
    let text = String::from_utf8_lossy(&response.body);
    ensure!(expected.contains_key("status"), "the vector names no status");
    for (matcher, wanted) in expected {
        one(matcher, wanted, response, &text, captures)
            .with_context(|| format!("{matcher} (status {}, body {})", response.status, shortened(&text)))?;
    }
    Ok(())
}

fn one(
    matcher: &str,
    wanted: &Value,
    response: &Response,
    text: &str,
    captures: &mut Captures,
) -> Result<()> {
    let json = || serde_json::from_str::<Value>(text).context("the body is no JSON");
    match (matcher, wanted) {
        ("status", wanted) => ensure!(wanted.as_u64() == Some(response.status.into()), "wanted {wanted}"),
        ("headers", Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                header(name, wanted, response)?;
            }
        }
        ("body_exact", Value::String(wanted)) => {
            ensure!(response.body == wanted.as_bytes(), "wanted {}", shortened(wanted));
        }
        ("body_regex", Value::String(wanted)) => {
            ensure!(Regex::new(wanted)?.is_match(text), "wanted {wanted}")
        }
        ("json_exact", wanted) => ensure!(equal(wanted, &json()?), "wanted {wanted}"),
        ("json_contains", wanted) => ensure!(contains(wanted, &json()?), "wanted {wanted}"),
        ("json_enum", Value::Object(wanted)) => {
            let json = json()?;
            for (path, allowed) in wanted {
                let found = at(&json, path).with_context(|| format!("nothing at {path}"))?;
                let allowed = allowed.as_array().context("the vector should list values")?;
                ensure!(
                    allowed.iter().any(|it| equal(it, found)),
                    "{path} is {found}, wanted one of {allowed:?}"
                );
            }
        }
        ("json_regex", Value::Object(wanted)) => {
            let json = json()?;
            for (path, pattern) in wanted {
                let found = at(&json, path).with_context(|| format!("nothing at {path}"))?;
                let pattern = pattern.as_str().context("the vector should give a pattern")?;
                ensure!(Regex::new(pattern)?.is_match(&plain(found)), "{path} is {found}, wanted {pattern}");
            }
        }
        ("ndjson_count", wanted) => {
            let found = text.lines().filter(|line| !line.trim().is_empty()).count();
            ensure!(wanted.as_u64() == Some(found as u64), "wanted {wanted} lines, found {found}");
        }
        ("ndjson_contains", Value::Array(wanted)) => {
            let lines = text
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
                .collect::<Result<Vec<Value>>>()?;
            for wanted in wanted {
                ensure!(lines.iter().any(|line| contains(wanted, line)), "no line has {wanted}");
            }
        }
        ("capture", Value::Object(wanted)) => {
            let json = json()?;
            for (name, path) in wanted {
                let path = path.as_str().context("the vector should give a path")?;
                let found = at(&json, path).with_context(|| format!("nothing at {path}"))?;
                captures.insert(name.clone(), plain(found));
            }
        }
        _ => bail!("a matcher that this runner does not know: {wanted}"),
    }
    Ok(())
}

fn header(name: &str, wanted: &Value, response: &Response) -> Result<()> {
    let found = response.header(name);
    match (wanted, found) {
        (Value::Null, None) => Ok(()),
        (Value::Null, Some(found)) => bail!("{name} should be absent, is {found:?}"),
        (Value::String(wanted), Some(found)) => {
            let same = if name.eq_ignore_ascii_case("content-type") {
                media_type(wanted) == media_type(&found)
            } else {
                *wanted == found
            };
            ensure!(same, "{name} is {found:?}, wanted {wanted:?}");
            Ok(())
        }
        (wanted, found) => bail!("{name} is {found:?}, wanted {wanted}"),
    }
}

fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The field at a dotted path; a number is an index into an array.
fn at<'v>(json: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(json, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Equal with types: `true` is not `1`. Numbers are equal by value, however they are written.
pub fn equal(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(wanted), Value::Number(found)) => match (wanted.as_i64(), found.as_i64()) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => wanted.as_f64() == found.as_f64(),
        },
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(wanted, found)| equal(wanted, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .all(|(name, wanted)| found.get(name).is_some_and(|found| equal(wanted, found)))
        }
        _ => wanted == found,
    }
}

/// Objects as subsets, at every depth; arrays element by element with equal length.
pub fn contains(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(name, wanted)| found.get(name).is_some_and(|found| contains(wanted, found)))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(wanted, found)| contains(wanted, found))
        }
        _ => equal(wanted, found),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { status: 200, headers, body: body.as_bytes().to_vec() }
    }

    fn accepts(expected: Value, response: &Response) -> bool {
        let Value::Object(mut expected) = expected else { panic!("an object") };
        expected.entry("status").or_insert(json!(200));
        check(&expected, response, &mut Captures::new()).is_ok()
    }

    #[test]
    fn types_count_and_spelling_of_numbers_does_not() {
        assert!(
            !equal(&json!(1), &json!(true))
                && !equal(&json!("1"), &json!(1))
                && !equal(&json!(null), &json!(0))
        );
        assert!(equal(&json!(5.0), &json!(5)) && !equal(&json!(5), &json!(6)));
        assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": 2})) && !equal(&json!([1]), &json!([1, 1])));
    }

    #[test]
    fn objects_are_subsets_and_arrays_are_not() {
        assert!(contains(&json!({"a": {"b": 1}}), &json!({"a": {"b": 1, "c": 2}, "d": 3})));
        assert!(!contains(&json!({"a": [1]}), &json!({"a": [1, 2]})));
        assert!(contains(&json!([{"a": 1}]), &json!([{"a": 1, "b": 2}])));
    }

    #[test]
    fn headers_match_by_name_in_any_case_and_null_is_absent() {
        let response = answer(&[("content-type", "text/plain; charset=utf-8"), ("x-a", "B")], "");
        assert!(accepts(
            json!({"headers": {"Content-Type": "text/plain", "X-A": "B", "x-b": null}}),
            &response
        ));
        for wrong in [
            json!({"content-type": "text/html"}),
            json!({"x-a": "b"}),
            json!({"x-a": null}),
            json!({"x-b": "c"}),
        ] {
            assert!(!accepts(json!({ "headers": wrong }), &response), "{wrong}");
        }
    }

    #[test]
    fn bodies_match_by_each_matcher() {
        let json = answer(&[], r#"{"results":{"status":"PENDING","ids":["x",7]}}"#);
        assert!(accepts(json!({"json_enum": {"results.status": ["PENDING", "STAGING"]}}), &json));
        assert!(!accepts(json!({"json_enum": {"results.status": ["SUCCESS"]}}), &json));
        assert!(accepts(json!({"json_regex": {"results.ids.1": "^7$"}}), &json));
        assert!(!accepts(json!({"json_regex": {"results.other": "."}}), &json));
        assert!(!accepts(json!({"status": 201}), &json));
        let lines = answer(&[], "{\"a\":1,\"b\":2}\n{\"a\":3}\n");
        assert!(accepts(json!({"ndjson_count": 2, "ndjson_contains": [{"a": 3}, {"b": 2}]}), &lines));
        assert!(
            !accepts(json!({"ndjson_count": 3}), &lines)
                && !accepts(json!({"ndjson_contains": [{"a": 2}]}), &lines)
        );
        assert!(accepts(json!({"body_exact": "1"}), &answer(&[], "1")));
        assert!(!accepts(json!({"body_exact": "1"}), &answer(&[], "1\n")));
        assert!(!accepts(json!({"body_regex": "^2"}), &answer(&[], "1")));
        assert!(!accepts(json!({"something_new": 1}), &answer(&[], "1")));
    }

    #[test]
    fn captures_by_path() {
        let mut captures = Captures::new();
        let expected = json!({"status": 200, "capture": {"ID": "results.task_id"}});
        let Value::Object(expected) = expected else { panic!("an object") };
        check(&expected, &answer(&[], r#"{"results":{"task_id":5}}"#), &mut captures)
            .expect("there is an id");
        assert_eq!(captures["ID"], "5");
        assert!(check(&expected, &answer(&[], "{}"), &mut captures).is_err());
    }
}
