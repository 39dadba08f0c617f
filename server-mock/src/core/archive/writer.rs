//! The files of an archive: a ZIP that is sealed and kept piece by piece.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::zip::Zip;
use crate::store::{KeyRow, Store, StoreError};

/// About how many bytes of an archive are sealed, and handed out, at a time.
const PIECE: usize = 128 * 1024;

/// Writes files into an archive, piece by piece.
pub struct Writer {
    /// The key that the archive is sealed under.
    pub key: KeyRow,
    zip: Zip,
    /// The number of the next piece.
    next: usize,
    /// Bytes of the file that is open, which are no piece yet.
    waiting: Vec<u8>,
    open: Option<Open>,
    /// What the manifest says about the files.
    pub sums: Map<String, Value>,
}

/// A file that is being written.
struct Open {
    name: &'static str,
    /// The number of the piece for its head, which is known at its end.
    head: usize,
    sum: Sha256,
    crc: flate2::Crc,
    bytes: u64,
}

impl Writer {
    /// Of an archive that is sealed under a key.
    pub fn new(key: KeyRow) -> Writer {
        let (zip, sums) = (Zip::default(), Map::new());
        Writer { key, zip, next: 0, waiting: Vec::new(), open: None, sums }
    }

    /// Begins a file.
    pub fn open(&mut self, name: &'static str) {
        let (sum, crc) = (Sha256::new(), flate2::Crc::new());
        self.open = Some(Open { name, head: self.next, sum, crc, bytes: 0 });
        self.next += 1;
    }

    /// Adds to the file that is open, if one is.
    pub fn write(&mut self, store: &mut dyn Store, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.sum.update(bytes);
        open.crc.update(bytes);
        open.bytes += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE { self.put_waiting(store) } else { Ok(()) }
    }

    fn put_waiting(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        for piece in self.waiting.chunks(PIECE) {
            store.put_archive_piece(self.key, self.next, piece)?;
            self.next += 1;
        }
        self.waiting.clear();
        Ok(())
    }

    /// Ends the file that is open, if one is.
    pub fn close(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        self.put_waiting(store)?;
        let Some(open) = self.open.take() else { return Ok(()) };
        let head = self.zip.head(open.name, open.crc.sum(), open.bytes);
        store.put_archive_piece(self.key, open.head, &head)?;
        let sum: String = open.sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.sums.insert(open.name.to_owned(), json!({"bytes": open.bytes, "sha256": sum}));
        Ok(())
    }

    /// A file of one value.
    pub fn whole(
        &mut self,
        store: &mut dyn Store,
        name: &'static str,
        value: &Value,
    ) -> Result<(), StoreError> {
        self.open(name);
        self.write(store, value.to_string().as_bytes())?;
        self.close(store)
    }

    /// Ends the archive.
    pub fn end(self, store: &mut dyn Store) -> Result<(), StoreError> {
        store.put_archive_piece(self.key, self.next, &self.zip.end())
    }
}
