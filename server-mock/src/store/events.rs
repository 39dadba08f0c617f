//! Events.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{EventText, KeyRow, Space, StoreError};
use crate::domain::config::RetentionBasis;
use crate::domain::identity::Ids;

/// An event to be stored: what it is found by, and its text.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whose it is.
    pub ids: Ids,
    /// The distinct id as sent.
    pub distinct_id: Option<String>,
    /// When it happened, in milliseconds.
    pub time: i64,
    /// What makes two events the same.
    pub dedupe: Option<Vec<u8>>,
    /// What is sealed.
    pub text: EventText,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Stored,
    /// It replaced an equal one.
    Duplicate,
}

/// A stored event.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Number in the order of receipt.
    pub row: i64,
    /// The combination that it came under.
    pub key: KeyRow,
    /// The ids of that combination.
    pub ids: Ids,
    /// Its name.
    pub name: String,
    /// The distinct id as sent.
    pub distinct_id: Option<String>,
    /// When it happened, in milliseconds.
    pub time: i64,
    /// When it was received, in milliseconds.
    pub received: i64,
    /// Everything else, until it is rendered.
    pub properties: Map<String, Value>,
}

/// From when on rows of a project are expired: those at or before the bound are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// What the bound is compared with.
    pub basis: RetentionBasis,
    /// The bound in milliseconds; `i64::MIN` keeps everything.
    pub expired_until: i64,
}

/// In which order events are visited, and where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By receipt, after this row.
    Receipt(i64),
    /// The last received first, before this row.
    Newest(i64),
    /// By time, and then by receipt, after this time and row.
    Time(i64, i64),
}

/// Which events to visit.
#[derive(Debug, Clone)]
pub struct EventRange {
    /// Of which space.
    pub space: Space,
    /// What is expired.
    pub window: Window,
    /// From this time on, in milliseconds.
    pub from: i64,
    /// Before this time.
    pub until: i64,
    /// In which order.
    pub order: Order,
    /// Only those under these combinations.
    pub keys: Option<Arc<Vec<KeyRow>>>,
}

/// Where an event stands, for who does not open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPlace {
    /// Number in the order of receipt.
    pub row: i64,
    /// When it happened, in milliseconds.
    pub time: i64,
}

/// How far the events of one combination have been gone through, in the order of their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// Those that are equal to no other one come first: behind this row.
    Row(i64),
    /// Behind the one with this hash of what makes two the same.
    Dedupe(Vec<u8>),
}

impl Behind {
    /// Before the first one.
    pub const START: Behind = Behind::Row(0);
}

/// Keeps events.
pub trait Events {
    /// Stores an event that was received at an instant; one with the same key is replaced.
    fn put_event(&mut self, space: Space, event: &NewEvent, received: i64) -> Result<Put, StoreError>;
    /// Visits events in order, until the visitor returns false.
    fn visit_events(
        &mut self,
        range: &EventRange,
        visitor: &mut dyn FnMut(StoredEvent) -> bool,
    ) -> Result<(), StoreError>;
    /// The rows of a range, in its order.
    fn event_rows(&mut self, range: &EventRange) -> Result<Vec<i64>, StoreError>;
    /// The row of the event that was received last; 0 where there is none.
    fn last_event(&mut self) -> Result<i64, StoreError>;
    /// Visits the next events of a combination, expired ones too, at most so many, and moves on behind them. Answers
    /// whether there may be more.
    fn visit_event_places(
        &mut self,
        key: KeyRow,
        behind: &mut Behind,
        limit: usize,
        visitor: &mut dyn FnMut(EventPlace),
    ) -> Result<bool, StoreError>;
    /// Visits the events of a space up to a row whose last copy was received at an instant or later, with their keys.
    fn visit_rewritten_events(
        &mut self,
        space: Space,
        since: i64,
        last: i64,
        visitor: &mut dyn FnMut(KeyRow, EventPlace),
    ) -> Result<(), StoreError>;
    /// Visits the events in some rows of a range, until the visitor returns false. Answers how many rows were gone through.
    fn visit_event_rows(
        &mut self,
        range: &EventRange,
        rows: &[i64],
        visitor: &mut dyn FnMut(StoredEvent) -> bool,
    ) -> Result<usize, StoreError>;
    /// How many events there are in a range, whatever its order.
    fn count_events(&mut self, range: &EventRange) -> Result<usize, StoreError>;
    /// What the window of the space's oldest event is compared with, in milliseconds.
    fn oldest_event(&mut self, space: Space, basis: RetentionBasis) -> Result<Option<i64>, StoreError>;
    /// Deletes what is expired, at most so many; answers how many went.
    fn delete_expired_events(
        &mut self,
        space: Space,
        window: Window,
        limit: usize,
    ) -> Result<usize, StoreError>;
}
