//! Reading events, as they are shown: canonical ids, nothing that is expired or hidden.

use std::rc::Rc;

use super::{Core, Resolver, View, window};
use crate::domain::export::{self, Rendered};
use crate::domain::identity;
use crate::store::{Counts, EventRange, Order, StoreError, StoredEvent};

/// Events that are decrypted and shown at a time.
const PIECE: usize = 500;

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
    /// Only this `$insert_id`.
    pub insert_id: Option<String>,
    /// In which order.
    pub sorting: Sorting,
    /// `time` in milliseconds.
    pub time_in_ms: bool,
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
        let keys = match &query.distinct_ids {
            None => None,
            Some(ids) => {
                let mut keys = Vec::new();
                for id in ids {
                    let of_person = self.store.keys_of(view.space, view.project.id_merge, id)?;
                    keys.extend(of_person.into_iter().map(|(key, _)| key));
                }
                Some(Rc::new(keys))
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
        if !query.looks_inside() && query.distinct_ids.is_none() {
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

    /// Notes in the audit that something was handed out.
    pub fn note_export(&mut self, view: &View, rule: &str, counts: Counts) -> Result<(), StoreError> {
        self.note(view.now, Some(view.space.project), "export", rule, None, counts)
    }

    /// Visits the events of a project that are asked for, rendered, until the visitor returns false.
    pub fn events(
        &mut self,
        view: &View,
        query: &EventQuery,
        visitor: &mut dyn FnMut(&StoredEvent, Rendered) -> bool,
    ) -> Result<(), StoreError> {
        let mut range = self.range(view, query)?;
        let mut resolver = Resolver::new(view.space, view.project.id_merge);
        // In pieces, so that a large project does not have to fit into memory.
        loop {
            let (mut piece, mut last) = (Vec::new(), None);
            self.store.visit_events(&range, &mut |event| {
                last = Some((event.time, event.row));
                if query.wants(&event) {
                    piece.push(event);
                }
                piece.len() < PIECE
            })?;
            let is_whole = piece.len() < PIECE;
            for event in piece {
                let sent = event.distinct_id.as_deref();
                let canonical = resolver.canonical(self.store.as_mut(), event.key, &event.ids, sent)?;
                // On original projects a node has several names, of which one was asked for.
                if query
                    .distinct_ids
                    .as_ref()
                    .is_some_and(|ids| !canonical.as_ref().is_some_and(|id| ids.contains(id)))
                {
                    continue;
                }
                let own = resolver.own(&event.ids, sent);
                let rendered = export::render(&event, canonical.as_deref(), own.as_deref(), query.time_in_ms);
                if !visitor(&event, rendered) {
                    return Ok(());
                }
            }
            match last {
                Some((time, row)) if !is_whole => {
                    range.order = match range.order {
                        Order::Receipt(_) => Order::Receipt(row),
                        Order::Newest(_) => Order::Newest(row),
                        Order::Time(..) => Order::Time(time, row),
                    };
                }
                _ => return Ok(()),
            }
        }
    }
}
