//! The vectors as they stand in `vectors.jsonl`: SPEC §22.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use refrain_tests::raw_http::Request;
use serde_json::{Map, Value};

/// The file: the fixtures of its first line, and the vectors of the others, in order.
pub struct Vectors {
    fixtures: Value,
    /// In the order of the file.
    pub all: Vec<Vector>,
}

/// One request and what must be answered to it.
pub struct Vector {
    /// Its name.
    pub id: String,
    /// How it came to be known: `documented`, `captured`, ….
    pub kind: String,
    /// Ids to replay first, each at its own clock.
    pub after: Vec<String>,
    /// The server's clock, in seconds.
    pub clock_s: i64,
    /// How much later than `clock_s` the request comes, in seconds.
    pub advance_s: i64,
    /// Settings that differ from the fixtures'.
    pub settings: Map<String, Value>,
    /// The request, before names in `${}` are filled in.
    pub request: Request,
    /// The expected answer, before names in `${}` are filled in.
    pub response: Map<String, Value>,
    /// The records that the body must decode to.
    pub decoded: Option<Vec<Value>>,
    /// What must be stored afterwards.
    pub state: Map<String, Value>,
}

/// Fields of earlier answers, by name.
pub type Captures = BTreeMap<String, String>;

impl Vectors {
    /// Reads the file. A field that this runner does not know is an error: it would be a check left out.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().context("the file is empty")?;
        let fixtures: Value = serde_json::from_str(first).context("line 1")?;
        ensure!(fixtures["type"] == "fixtures", "line 1 must hold the fixtures");
        let all = lines
            .map(|(index, line)| {
                let value = serde_json::from_str(line).with_context(|| format!("line {}", index + 1))?;
                Vector::parse(value).with_context(|| format!("line {}", index + 1))
            })
            .collect::<Result<Vec<_>>>()?;
        let vectors = Self { fixtures, all };
        let by_id = vectors.by_id();
        ensure!(by_id.len() == vectors.all.len(), "an id stands twice");
        for vector in &vectors.all {
            for earlier in &vector.after {
                ensure!(
                    by_id.contains_key(earlier.as_str()),
                    "{} comes after {earlier}, which is not there",
                    vector.id
                );
            }
        }
        Ok(vectors)
    }

    /// The vectors by name.
    pub fn by_id(&self) -> HashMap<&str, &Vector> {
        self.all.iter().map(|vector| (vector.id.as_str(), vector)).collect()
    }

    /// The server's configuration for a vector: the fixtures with its own settings over them.
    pub fn config(&self, settings: &Map<String, Value>) -> Value {
        let mut config = Map::new();
        for part in ["projects", "service_accounts", "gdpr_oauth", "settings"] {
            config.insert(part.to_owned(), self.fixtures[part].clone());
        }
        if let Some(Value::Object(all)) = config.get_mut("settings") {
            all.extend(settings.clone());
        }
        Value::Object(config)
    }
}

impl Vector {
    fn parse(value: Value) -> Result<Self> {
        let Value::Object(mut fields) = value else { bail!("not an object") };
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Ok(text),
            other => bail!("`{name}` should be text, is {other:?}"),
        };
        ensure!(text("type")? == "vector", "every line but the first is a vector");
        let (id, kind) = (text("id")?, text("kind")?);
        text("title")?;
        text("source")?;
        let clock_s = fields.remove("clock_s").as_ref().and_then(Value::as_i64).context("`clock_s`")?;
        let advance_s =
            fields.remove("advance_s").map_or(Some(0), |it| it.as_i64()).context("`advance_s`")?;
        let request = request(&mut object(&mut fields, "request")?)?;
        let response = object(&mut fields, "response")?;
        let settings = object(&mut fields, "settings")?;
        let state = object(&mut fields, "state")?;
        let decoded = match fields.remove("decoded") {
            None => None,
            Some(Value::Array(records)) => Some(records),
            Some(other) => bail!("`decoded` should be an array, is {other}"),
        };
        let after = match fields.remove("after") {
            None => Vec::new(),
            Some(ids) => serde_json::from_value(ids).context("`after`")?,
        };
        fields.remove("notes");
        ensure!(
            fields.is_empty(),
            "fields that this runner does not know: {:?}",
            fields.keys().collect::<Vec<_>>()
        );
        Ok(Self { id, kind, after, clock_s, advance_s, settings, request, response, decoded, state })
    }

    /// The request with captured fields in the place of their names.
    pub fn request(&self, captures: &Captures) -> Result<Request> {
        let mut request = self.request.clone();
        request.target = fill(&request.target, captures)?;
        for (_, value) in &mut request.headers {
            *value = fill(value, captures)?;
        }
        if let Some(body) = &request.body
            && let Ok(text) = std::str::from_utf8(body)
        {
            request.body = Some(fill(text, captures)?.into_bytes());
        }
        Ok(request)
    }

    /// The expected answer with captured fields in the place of their names.
    pub fn response(&self, captures: &Captures) -> Result<Map<String, Value>> {
        self.response.iter().map(|(name, wanted)| Ok((name.clone(), fill_value(wanted, captures)?))).collect()
    }
}

fn object(fields: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>> {
    match fields.remove(name) {
        None => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(other) => bail!("`{name}` should be an object, is {other}"),
    }
}

fn request(fields: &mut Map<String, Value>) -> Result<Request> {
    let method = fields.remove("method").as_ref().and_then(Value::as_str).context("`method`")?.to_owned();
    let target = fields.remove("target").as_ref().and_then(Value::as_str).context("`target`")?.to_owned();
    let mut headers = Vec::new();
    for (name, value) in object(fields, "headers")? {
        headers.push((name, value.as_str().context("a header")?.to_owned()));
    }
    let body = match (fields.remove("body"), fields.remove("body_b64")) {
        (None, None) => None,
        (Some(Value::String(text)), None) => Some(text.into_bytes()),
        (None, Some(Value::String(base64))) => {
            Some(base64::engine::general_purpose::STANDARD.decode(base64)?)
        }
        other => bail!("the body should be one text, is {other:?}"),
    };
    ensure!(fields.is_empty(), "parts of a request that this runner does not know: {:?}", fields.keys());
    Ok(Request { method, target, headers, body })
}

/// Puts captured fields in the place of `${NAME}`; a name that was not captured is an error.
fn fill(text: &str, captures: &Captures) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let end = start + rest[start..].find('}').context("`${` without `}`")?;
        let name = &rest[start + 2..end];
        filled.push_str(&rest[..start]);
        filled.push_str(captures.get(name).with_context(|| format!("nothing was captured as {name}"))?);
        rest = &rest[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

fn fill_value(value: &Value, captures: &Captures) -> Result<Value> {
    Ok(match value {
        Value::String(text) => Value::String(fill(text, captures)?),
        Value::Array(items) => items.iter().map(|item| fill_value(item, captures)).collect::<Result<_>>()?,
        Value::Object(fields) => {
            let filled = fields.iter().map(|(name, field)| Ok((name.clone(), fill_value(field, captures)?)));
            Value::Object(filled.collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

#[test]
fn captured_fields_replace_their_names() {
    let captures = Captures::from([("ID".to_owned(), "42".to_owned())]);
    assert_eq!(fill("/a/${ID}?b=${ID}", &captures).expect("both are known"), "/a/42?b=42");
    assert_eq!(fill("$5 {}", &captures).expect("nothing to fill"), "$5 {}");
    assert!(fill("${OTHER}", &captures).is_err());
    let value = serde_json::json!({"a": [{"b": "x${ID}"}, 1]});
    assert_eq!(
        fill_value(&value, &captures).expect("it is known"),
        serde_json::json!({"a": [{"b": "x42"}, 1]})
    );
}
