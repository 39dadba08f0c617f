//! Faults: rules that are tried in order on everything that clients send.

use super::{Failure, value};
use crate::domain::fault::Rule;
use crate::http::App;
use crate::http::call::{Call, Reply};

pub fn show(app: &App) -> Reply {
    Reply::json(200, &app.shared.faults().to_json())
}

pub fn add(app: &App, call: &Call) -> Result<Reply, Failure> {
    let rules = Rule::read_all(&value(call)?).map_err(|text| {
        let hint = "for example {\"match\":{\"path\":\"/track\",\"count\":3},\"act\":{\"status\":503,\"retry_after\":2}}";
        Reply::hinted(400, &text, hint)
    })?;
    app.shared.faults().append(rules);
    app.shared.changed();
    Ok(show(app))
}

pub fn clear(app: &App) -> Reply {
    app.shared.faults().clear();
    app.shared.changed();
    show(app)
}
