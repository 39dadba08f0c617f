//! Finding the events of some persons, in steps: no index has them in the order of time, and to put very many in order
//! takes long.

use super::{EventQuery, LOOKED_AT, Reading};
use crate::core::{Core, Resolver, Sorting, View};
use crate::domain::time::SECOND;
use crate::store::{Behind, EventPlace, EventRange, KeyRow, StoreError};

/// By how much a copy may have been received before it is stored: it is dated when its request has come, which then waits
/// its turn behind others. Whatever came in that time is looked at, so it is no longer than it has to be.
const LATE: i64 = 60 * SECOND;

/// Events that are being looked for, by time.
pub struct Gathering {
    query: EventQuery,
    range: EventRange,
    /// The combinations that are left, and how far the first of them has been looked through.
    keys: Vec<KeyRow>,
    behind: Behind,
    /// The last event that there was at the begin, and since when copies may have been received that were stored after it,
    /// in milliseconds.
    last: i64,
    since: i64,
    /// Time and row of each.
    found: Vec<(i64, i64)>,
}

/// What has become of a search.
pub enum Gathered {
    /// There is more to look at.
    Some(Gathering),
    /// All are found, and can be read.
    All(Reading),
}

impl Core {
    /// Begins to look for the events that came under some combinations until now.
    pub fn begin_gathering(
        &mut self,
        view: &View,
        keys: &[KeyRow],
        from: Option<i64>,
    ) -> Result<Gathering, StoreError> {
        let keys = keys.to_vec();
        let query =
            EventQuery { from, keys: Some(keys.clone()), sorting: Sorting::Time, ..EventQuery::default() };
        let (range, last) = (self.range(view, &query)?, self.store.last_event()?);
        let since = view.now - LATE;
        Ok(Gathering { query, range, keys, behind: Behind::START, last, since, found: Vec::new() })
    }

    /// Looks at some more of them. What expires before it is read is left out then.
    pub fn gather(&mut self, view: &View, mut gathering: Gathering) -> Result<Gathered, StoreError> {
        let Gathering { range, keys, behind, last, since, found, .. } = &mut gathering;
        let mut take = |place: EventPlace| {
            if place.row <= *last && (range.from..range.until).contains(&place.time) {
                found.push((place.time, place.row));
            }
        };
        let mut left = LOOKED_AT;
        while let (Some(key), true) = (keys.last(), left > 0) {
            let mut looked_at = 1;
            let is_more = self.store.visit_event_places(*key, behind, left, &mut |place| {
                looked_at += 1;
                take(place);
            })?;
            left = left.saturating_sub(looked_at);
            if !is_more {
                keys.pop();
                *behind = Behind::START;
            }
        }
        if !keys.is_empty() {
            return Ok(Gathered::Some(gathering));
        }
        // A copy that came meanwhile may have moved an event to a combination that had been looked through.
        self.store.visit_rewritten_events(range.space, *since, *last, &mut |key, place| {
            if range.keys.as_ref().is_some_and(|keys| keys.contains(&key)) {
                take(place);
            }
        })?;
        let Gathering { query, range, mut found, .. } = gathering;
        found.sort_unstable_by_key(|(_, row)| *row);
        found.dedup_by_key(|(_, row)| *row);
        found.sort_unstable();
        let rows: Vec<i64> = found.into_iter().map(|(_, row)| row).collect();
        let resolver = Resolver::new(view.space, view.project.id_merge);
        Ok(Gathered::All(Reading { query, range, rows: Some(rows.into_iter()), resolver }))
    }
}
