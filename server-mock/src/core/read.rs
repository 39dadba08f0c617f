//! Reading events, as they are shown: canonical ids, nothing that is expired or hidden.

mod gathering;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Core, Resolver, View, window};
use crate::domain::config::RetentionBasis;
use crate::domain::export::{self, Rendered};
use crate::domain::identity;
use crate::store::{Counts, EventRange, KeyRow, Order, StoreError, StoredEvent, Window};
pub use gathering::{Gathered, Gathering};

/// Events, or profiles, that are decrypted and shown at a time.
pub(super) const PIECE: usize = 500;
/// About how many bytes of them; the last one may exceed it.
pub(super) const PIECE_BYTES: usize = 256 * 1024;
/// Events that are looked at for them.
const LOOKED_AT: usize = 5000;

/// In which order events are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sorting {
    /// By receipt.
    #[default]
    Receipt,
    /// The last received first.
    Newest,
    /// By time.
    Time,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// From this time on, in milliseconds.
    pub from: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// Only rows behind this one, in the order that is asked for.
    pub after: Option<i64>,
    /// Only these names.
    pub names: Option<Vec<String>>,
    /// Only these canonical ids.
    pub distinct_ids: Option<Vec<String>>,
    /// Only those under these combinations, whatever the canonical ids.
    pub keys: Option<Vec<KeyRow>>,
    /// Only this `$insert_id`.
    pub insert_id: Option<String>,
    /// In which order.
    pub sorting: Sorting,
    /// `time` in milliseconds.
    pub time_in_ms: bool,
}

/// Events that are being read, piece by piece.
pub struct Reading {
    query: EventQuery,
    range: EventRange,
    /// The rows that are left, where it is about some persons. No index has those of a person in order, and to put all
    /// of them in order for each piece would take a person with very many events for ever.
    rows: Option<std::vec::IntoIter<i64>>,
    resolver: Resolver,
}

/// A place in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    time: i64,
    row: i64,
}

impl EventQuery {
    /// Whether an event has to be opened to know if it is asked for.
    fn looks_inside(&self) -> bool {
        self.names.is_some() || self.insert_id.is_some()
    }

    fn wants(&self, event: &StoredEvent) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(&event.name))
            && self
                .insert_id
                .as_ref()
                .is_none_or(|id| identity::id_text(event.properties.get("$insert_id")).as_ref() == Some(id))
    }
}

impl Core {
    /// The rows among which those are that a query asks for.
    fn range(&mut self, view: &View, query: &EventQuery) -> Result<EventRange, StoreError> {
        let keys = match (&query.keys, &query.distinct_ids) {
            (Some(keys), _) => Some(Arc::new(keys.clone())),
            (None, None) => None,
            (None, Some(ids)) => {
                let mut keys = Vec::new();
                for id in ids {
                    let of_person = self.store.keys_of(view.space, view.project.id_merge, id)?;
                    keys.extend(of_person.into_iter().map(|(key, _)| key));
                }
                Some(Arc::new(keys))
            }
        };
        Ok(EventRange {
            space: view.space,
            window: window(&view.project.settings, view.now),
            from: query.from.unwrap_or(i64::MIN),
            until: query.until.unwrap_or(i64::MAX),
            order: match query.sorting {
                Sorting::Receipt => Order::Receipt(query.after.unwrap_or(0)),
                Sorting::Newest => Order::Newest(query.after.unwrap_or(i64::MAX)),
                Sorting::Time => Order::Time(i64::MIN, query.after.unwrap_or(0)),
            },
            keys,
        })
    }

    /// How many events a query asks for, whatever comes before `after`.
    pub fn count_events(&mut self, view: &View, query: &EventQuery) -> Result<usize, StoreError> {
        if !query.looks_inside() && query.distinct_ids.is_none() && query.keys.is_none() {
            let range = self.range(view, query)?;
            return self.store.count_events(&range);
        }
        let all = EventQuery { after: None, ..query.clone() };
        let mut count = 0;
        self.events(view, &all, &mut |_, _| {
            count += 1;
            true
        })?;
        Ok(count)
    }

    /// Notes in the audit that something was handed out; `export` is the id of one whose begin was noted.
    pub fn note_export(
        &mut self,
        view: &View,
        rule: &str,
        export: Option<&str>,
        counts: Counts,
    ) -> Result<(), StoreError> {
        self.note(view.now, Some(view.space.project), "export", rule, export, counts)
    }

    /// Notes in the audit that something is about to be handed out, piece by piece.
    pub fn note_export_begun(
        &mut self,
        view: &View,
        rule: &str,
        export: Option<&str>,
    ) -> Result<(), StoreError> {
        self.note(view.now, Some(view.space.project), "export.begun", rule, export, Counts::default())
    }

    /// Visits the events of a project that are asked for, rendered, until the visitor returns false.
    pub fn events(
        &mut self,
        view: &View,
        query: &EventQuery,
        visitor: &mut dyn FnMut(&StoredEvent, Rendered) -> bool,
    ) -> Result<(), StoreError> {
        let mut reading = self.begin_reading(view, query.clone())?;
        let mut wants_more = true;
        // In pieces, so that a large project does not have to fit into memory.
        while self.read_on(&mut reading, &mut |event, rendered| {
            wants_more = visitor(event, rendered);
            wants_more
        })? && wants_more
        {}
        Ok(())
    }

    /// Begins to read the events that are asked for. After a change it can be resumed where it is about some persons.
    pub fn begin_reading(&mut self, view: &View, query: EventQuery) -> Result<Reading, StoreError> {
        let range = self.range(view, &query)?;
        let rows = match range.keys {
            Some(_) => Some(self.store.event_rows(&range)?.into_iter()),
            None => None,
        };
        Ok(Reading { query, range, rows, resolver: Resolver::new(view.space, view.project.id_merge) })
    }

    /// Goes on with what was begun before others were served: what has expired since then is not shown any more.
    pub fn resume_reading(&mut self, view: &View, reading: &mut Reading) {
        reading.range.window = window(&view.project.settings, view.now);
        reading.resolver = Resolver::new(view.space, view.project.id_merge);
    }

    /// Visits the next events, as many as should be decrypted at a time, or until the visitor returns false; then there is
    /// nothing more to be read. Answers whether there may be more.
    pub fn read_on(
        &mut self,
        reading: &mut Reading,
        visitor: &mut dyn FnMut(&StoredEvent, Rendered) -> bool,
    ) -> Result<bool, StoreError> {
        let Reading { query, range, rows, resolver } = reading;
        let Some(rows) = rows else { return self.next_events(query, range, resolver, visitor) };
        let mut piece = Piece::default();
        let looked_at = self.store.visit_event_rows(
            range,
            &rows.as_slice()[..rows.len().min(LOOKED_AT)],
            &mut |event| range.window.is_over(&event) || piece.take(query, event),
        )?;
        if looked_at > 0 {
            rows.nth(looked_at - 1);
        }
        self.show(query, resolver, piece.events, visitor)?;
        Ok(rows.len() > 0)
    }

    /// Visits some of the events that are asked for, by time, behind a place: for who gives way to others between them.
    /// Answers the place behind which the rest is, or `None` where there is no more.
    pub fn some_events(
        &mut self,
        view: &View,
        query: &EventQuery,
        behind: Option<Place>,
        visitor: &mut dyn FnMut(&StoredEvent, Rendered) -> bool,
    ) -> Result<Option<Place>, StoreError> {
        let mut range = self.range(view, query)?;
        if let Some(Place { time, row }) = behind {
            range.go_on_behind(time, row);
        }
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        let is_more = self.next_events(query, &mut range, &mut resolver, visitor)?;
        Ok(match range.order {
            Order::Time(time, row) if is_more => Some(Place { time, row }),
            _ => None,
        })
    }

    /// Visits events until the visitor returns false or as many are decrypted as should be at a time; leaves the range
    /// behind the last one. Answers whether there may be more.
    fn next_events(
        &mut self,
        query: &EventQuery,
        range: &mut EventRange,
        resolver: &mut Resolver,
        visitor: &mut dyn FnMut(&StoredEvent, Rendered) -> bool,
    ) -> Result<bool, StoreError> {
        let (mut piece, mut last, mut is_cut) = (Piece::default(), None, false);
        self.store.visit_events(range, &mut |event| {
            last = Some((event.time, event.row));
            is_cut = !piece.take(query, event);
            !is_cut
        })?;
        if let Some((time, row)) = self.show(query, resolver, piece.events, visitor)? {
            range.go_on_behind(time, row);
            return Ok(true);
        }
        if let Some((time, row)) = last {
            range.go_on_behind(time, row);
        }
        Ok(is_cut)
    }

    /// Shows events to a visitor. Answers time and row of the one at which it returned false.
    fn show(
        &mut self,
        query: &EventQuery,
        resolver: &mut Resolver,
        events: Vec<StoredEvent>,
        visitor: &mut dyn FnMut(&StoredEvent, Rendered) -> bool,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        for mut event in events {
            let sent = event.distinct_id.as_deref();
            let canonical = resolver.canonical(self.store.as_mut(), &event.ids, sent)?;
            // On original projects a node has several names, of which one was asked for.
            if query
                .distinct_ids
                .as_ref()
                .is_some_and(|ids| !canonical.as_ref().is_some_and(|id| ids.contains(id)))
            {
                continue;
            }
            let own = resolver.own(&event.ids, sent);
            let rendered = export::render(&mut event, canonical.as_deref(), own.as_deref(), query.time_in_ms);
            if !visitor(&event, rendered) {
                return Ok(Some((event.time, event.row)));
            }
        }
        Ok(None)
    }
}

/// What is decrypted at a time.
#[derive(Default)]
struct Piece {
    events: Vec<StoredEvent>,
    bytes: usize,
    looked_at: usize,
}

impl Piece {
    /// Takes an event in, if it is asked for; answers whether there is room for another one.
    fn take(&mut self, query: &EventQuery, event: StoredEvent) -> bool {
        self.looked_at += 1;
        if query.wants(&event) {
            self.bytes += about_bytes_of(&event.properties);
            self.events.push(event);
        }
        self.events.len() < PIECE && self.bytes < PIECE_BYTES && self.looked_at < LOOKED_AT
    }
}

impl Window {
    /// Whether an event is expired.
    fn is_over(&self, event: &StoredEvent) -> bool {
        let dated = match self.basis {
            RetentionBasis::Received => event.received,
            RetentionBasis::EventDate => event.time,
        };
        dated <= self.expired_until
    }
}

impl EventRange {
    /// Leaves out what is not behind an event, in the range's order.
    fn go_on_behind(&mut self, time: i64, row: i64) {
        self.order = match self.order {
            Order::Receipt(_) => Order::Receipt(row),
            Order::Newest(_) => Order::Newest(row),
            Order::Time(..) => {
                // Said twice, so that the index is entered there and not at the beginning.
                self.from = self.from.max(time);
                Order::Time(time, row)
            }
        };
    }
}

/// About how many bytes properties take as text.
pub(super) fn about_bytes_of(properties: &Map<String, Value>) -> usize {
    properties.iter().map(|(name, value)| name.len() + about_bytes(value)).sum()
}

/// About how many bytes a value takes as text.
fn about_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(about_bytes).sum(),
        Value::Object(object) => object.iter().map(|(key, value)| key.len() + about_bytes(value)).sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::core_with_an_event;
    use crate::domain::time::DAY;

    #[test]
    fn what_expires_between_two_pieces_is_not_shown() {
        for (passed, shown) in [(DAY - 1, 1), (DAY, 0)] {
            let mut core = core_with_an_event();
            let view = core.view("T").unwrap().unwrap();
            let query = EventQuery { distinct_ids: Some(vec!["u".into()]), ..EventQuery::default() };
            let mut reading = core.begin_reading(&view, query).unwrap();
            core.shared.clock().advance(passed);
            let view = core.view("T").unwrap().unwrap();
            core.resume_reading(&view, &mut reading);
            let mut seen = 0;
            let mut count = |_: &StoredEvent, _| {
                seen += 1;
                true
            };
            assert!(!core.read_on(&mut reading, &mut count).unwrap());
            assert_eq!(seen, shown);
        }
    }
}
