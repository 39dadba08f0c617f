//! How a stored event is shown (SPEC §12).

use serde_json::{Map, Value};

use crate::store::StoredEvent;

/// An event in the export's format.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The canonical id, if it belongs to somebody.
    pub distinct_id: Option<String>,
    /// `properties` of the export.
    pub properties: Map<String, Value>,
}

/// Puts time and canonical id in front of what was sent, and takes that from the event: it may be large.
pub fn render(
    event: &mut StoredEvent,
    canonical: Option<&str>,
    own: Option<&str>,
    time_in_ms: bool,
) -> Rendered {
    let mut properties = Map::new();
    let time = if time_in_ms { event.time } else { event.time.div_euclid(1000) };
    properties.insert("time".into(), time.into());
    properties.insert("distinct_id".into(), canonical.unwrap_or_default().into());
    if let (Some(canonical), Some(own)) = (canonical, own)
        && canonical != own
    {
        properties.insert("$distinct_id_before_identity".into(), own.into());
    }
    for (name, value) in std::mem::take(&mut event.properties) {
        properties.entry(name).or_insert(value);
    }
    Rendered { distinct_id: canonical.map(str::to_owned), properties }
}
