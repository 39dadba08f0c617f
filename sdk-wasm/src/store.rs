//! The page's part of the store: the tab's queue and the consent record's mirror, in `localStorage`.
//!
//! | key | holds |
//! |---|---|
//! | `refrain:<token>:consent` | the mirror of the consent record |
//! | `refrain:<token>:no` | a refusal that neither tells of yet: its number as an input (`npm/src/driver.ts`) |
//! | `refrain:<token>:q:<tab>:<seq>` | a record: `epoch\|text` |
//! | `refrain:<token>:nb:<tab>` | when sending may go on: `epoch\|wall milliseconds` |
//! | `refrain:<token>:tab` (`sessionStorage`) | the tab's name, so that a reload finds its queue again |
//!
//! A tab writes its own keys only. Everything is read anew when it is asked for; nothing is cached. What stands there
//! is looked through in `npm/src/queue.ts`.

use alloc::string::String;
use alloc::vec::Vec;
use refrain::engine::{Entry, RecordId, RecordRead, StoreFault};
use refrain::json::write;
use web_sys::Storage;

pub struct PageStore {
    local: Option<Storage>,
    prefix: String,
    /// Whose queues they are: queue 0 is this tab's own, the others are of tabs that are gone.
    pub tabs: Vec<String>,
}

impl PageStore {
    pub fn new(token: &str, local: Option<Storage>) -> Self {
        let mut prefix = String::from("refrain:");
        prefix.push_str(token);
        prefix.push(':');
        Self { local, prefix, tabs: Vec::new() }
    }

    /// The mirror of the consent record.
    pub fn mirror(&self) -> RecordRead {
        let Some(local) = &self.local else { return RecordRead::Unreadable };
        match local.get_item(&self.key("consent", "")) {
            Ok(Some(text)) => RecordRead::Content(text),
            Ok(None) => RecordRead::Absent,
            Err(_) => RecordRead::Unreadable,
        }
    }

    /// Writes the mirror. One that cannot be written must at least not say what no longer holds, and leaves room for what
    /// does.
    pub fn set_mirror(&self, text: &str) {
        let key = self.key("consent", "");
        if self.set(&key, text).is_err() {
            self.remove(&key);
            let _ = self.set(&key, text);
        }
    }

    /// Writes an entry of the own queue.
    pub fn append(&self, epoch: u64, entry: &Entry) -> Result<(), StoreFault> {
        let mut value = String::new();
        write::integer(&mut value, epoch);
        value.push('|');
        let key = match entry {
            Entry::Record { seq, text } => {
                value.push_str(text);
                self.record_key(RecordId { queue: 0, seq: *seq })
            }
            Entry::NotBefore(wall_ms) => {
                write::integer(&mut value, *wall_ms);
                self.key("nb:", self.tab(0))
            }
        };
        self.set(&key, &value)
    }

    /// Deletes records that need no longer be kept.
    pub fn acknowledge(&self, records: &[RecordId]) {
        for record in records {
            self.remove(&self.record_key(*record));
        }
    }

    fn record_key(&self, record: RecordId) -> String {
        let mut key = self.key("q:", self.tab(record.queue));
        key.push(':');
        write::integer(&mut key, record.seq);
        key
    }

    fn tab(&self, queue: u32) -> &str {
        self.tabs.get(queue as usize).map_or("", String::as_str)
    }

    fn key(&self, kind: &str, tab: &str) -> String {
        let mut key = self.prefix.clone();
        key.push_str(kind);
        key.push_str(tab);
        key
    }

    fn set(&self, key: &str, value: &str) -> Result<(), StoreFault> {
        let Some(local) = &self.local else { return Err(StoreFault::ReadOnly) };
        // What is reachable and does not take a value has no room for it.
        local.set_item(key, value).map_err(|_| StoreFault::Full)
    }

    fn remove(&self, key: &str) {
        if let Some(local) = &self.local {
            let _ = local.remove_item(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> PageStore {
        PageStore::new("T", None)
    }

    #[test]
    fn a_record_has_the_key_of_the_tab_it_came_from() {
        let mut store = store();
        store.tabs.extend(["me", "gone"].map(String::from));
        assert_eq!(store.record_key(RecordId { queue: 0, seq: 3 }), "refrain:T:q:me:3");
        assert_eq!(store.record_key(RecordId { queue: 1, seq: 4 }), "refrain:T:q:gone:4");
    }

    #[test]
    fn c8_without_storage_nothing_can_be_read() {
        assert_eq!(store().mirror(), RecordRead::Unreadable);
        assert_eq!(store().append(1, &Entry::NotBefore(1)), Err(StoreFault::ReadOnly));
    }
}
