//! Profiles of people and groups (SPEC §9, §10).

use super::client::Client;
use crate::engine::Outcome;
use crate::json::write;
use serde::Serialize;

/// The profile of a group, or of the person who is current at each call. Each call is a record of its own.
///
/// ```no_run
/// # let client = refrain::Client::builder("T").build()?;
/// use serde_json::json;
///
/// client.identify("u1");
/// client.profile().set(json!({"plan": "pro"}));
/// client.profile().add(json!({"logins": 1}));
/// client.group("company", "acme").union(json!({"products": ["umbrella"]}));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Profile<'c> {
    client: &'c Client,
    group: Option<(&'c str, &'c str)>,
}

impl<'c> Profile<'c> {
    pub(super) fn new(client: &'c Client, group: Option<(&'c str, &'c str)>) -> Self {
        Self { client, group }
    }

    /// Sets properties.
    pub fn set(&self, properties: impl Serialize) -> Outcome {
        self.apply("$set", properties)
    }

    /// Sets those properties that are not set yet.
    pub fn set_once(&self, properties: impl Serialize) -> Outcome {
        self.apply("$set_once", properties)
    }

    /// Adds numbers to properties; a missing property counts as 0. If the response to a request is lost, the request is
    /// sent again, and collectors do not tell the two apart.
    pub fn add(&self, numbers: impl Serialize) -> Outcome {
        self.apply("$add", numbers)
    }

    /// Appends a value to each of the named lists.
    pub fn append(&self, values: impl Serialize) -> Outcome {
        self.apply("$append", values)
    }

    /// Appends those values to each of the named lists that are not in it yet.
    pub fn union(&self, lists: impl Serialize) -> Outcome {
        self.apply("$union", lists)
    }

    /// Removes a value from each of the named lists.
    pub fn remove(&self, values: impl Serialize) -> Outcome {
        self.apply("$remove", values)
    }

    /// Removes properties.
    pub fn unset(&self, names: &[&str]) -> Outcome {
        self.apply("$unset", names)
    }

    /// Deletes the profile. This erases no events.
    pub fn delete(&self) -> Outcome {
        self.apply("$delete", "")
    }

    fn apply(&self, operator: &str, value: impl Serialize) -> Outcome {
        self.client.serialised(value, |text| {
            let mut operators = String::from("{");
            if let Some((key, id)) = self.group {
                write::member(&mut operators, "$group_key", key);
                write::member(&mut operators, "$group_id", id);
            }
            write::key(&mut operators, operator);
            operators.push_str(text);
            operators.push('}');
            self.client.update_json(&operators)
        })
    }
}
