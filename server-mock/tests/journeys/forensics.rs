//! Looking for what must not be there: raw bytes in every file, and every ciphertext against every key.

use std::collections::HashMap;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rusqlite::Connection;

use crate::support::tool;

/// The bytes of a file, read by another process: when this one closes a file of a database, it lets go of the locks that
/// its own connections to that database hold.
fn bytes_of(path: &Path) -> Vec<u8> {
    tool("cat", &[path])
}

/// Copies a file, by another process for the same reason.
pub fn copy(from: &Path, to: &Path) {
    tool("cp", &[from, to]);
}

/// The files of a folder: name and bytes.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), bytes_of(&path))).collect()
}

/// Where a needle lies in files.
pub fn search(files: &[(String, Vec<u8>)], needle: &[u8]) -> Vec<String> {
    let holding = files.iter().filter(|(_, bytes)| memchr::memmem::find(bytes, needle).is_some());
    holding.map(|(name, _)| name.clone()).collect()
}

/// Where a needle lies in the files of a folder.
pub fn search_raw(folder: &Path, needle: &[u8]) -> Vec<String> {
    search(&files(folder), needle)
}

/// The keys of a vault by their places, by the layout that its documentation gives.
fn slots(folder: &Path) -> HashMap<u32, [u8; 32]> {
    let bytes = std::fs::read(folder.join("vault.keys")).unwrap();
    let slots = bytes[4096..].chunks_exact(64).enumerate().filter(|(_, slot)| slot[8..16] != [0; 8]);
    slots.map(|(place, slot)| (place as u32, slot[16..48].try_into().unwrap())).collect()
}

/// The keys that rows name. The vault has others, which were made ahead.
pub fn live_keys(folder: &Path) -> Vec<[u8; 32]> {
    let slots = slots(folder);
    let database = Connection::open(folder.join("events.sqlite")).unwrap();
    let mut named = database.prepare("SELECT slot FROM keys WHERE dying IS NULL").unwrap();
    let places = named.query_map([], |row| row.get::<_, u32>(0)).unwrap();
    places.map(|place| slots[&place.unwrap()]).collect()
}

/// All keys that are left, with those of the header: the one of hashes, and the one of what is nobody's.
pub fn all_keys(folder: &Path) -> Vec<[u8; 32]> {
    let bytes = std::fs::read(folder.join("vault.keys")).unwrap();
    let mut keys: Vec<_> = slots(folder).into_values().collect();
    keys.extend([32, 64, 96].map(|at| <[u8; 32]>::try_from(&bytes[at..at + 32]).unwrap()));
    keys
}

/// Everything that is sealed in a database: purpose, key row (0 for none), ciphertext.
fn sealed(database: &Connection) -> Vec<(String, i64, Vec<u8>)> {
    let mut all = Vec::new();
    let pieces = "SELECT key, number, body FROM archive_pieces";
    let mut statement = database.prepare(pieces).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let number: i64 = row.get(1).unwrap();
        all.push((format!("piece {number} of an archive"), row.get(0).unwrap(), row.get(2).unwrap()));
    }
    for (purpose, sql) in [
        ("ids", "SELECT id, ids FROM keys"),
        ("event", "SELECT key, body FROM events"),
        ("profile", "SELECT key, body FROM profiles"),
        ("replay", "SELECT key, body FROM replays"),
        ("archive", "SELECT key, body FROM archives"),
        ("use", "SELECT key, body FROM uses"),
        ("project", "SELECT 0, token FROM projects"),
        ("task", "SELECT 0, about FROM tasks"),
    ] {
        let mut statement = database.prepare(sql).unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
        all.extend(rows.map(|row| {
            let (key, body) = row.unwrap();
            (purpose.to_owned(), key, body)
        }));
    }
    all
}

/// Opens a ciphertext with a key.
fn open(key: &[u8; 32], purpose: &str, row: i64, sealed: &[u8]) -> Option<Vec<u8>> {
    let context = match row {
        0 => purpose.as_bytes().to_vec(),
        row => [purpose.as_bytes(), &row.to_le_bytes()].concat(),
    };
    let nonce: [u8; 24] = sealed.get(..24)?.try_into().ok()?;
    let payload = Payload { msg: &sealed[24..], aad: &context };
    XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(nonce), payload).ok()
}

/// Everything that any of the keys opens in any row of a database. Each row is tried with every key until one fits; keys
/// that fitted another row of the same owner come first.
pub fn readable(folder: &Path, keys: &[[u8; 32]]) -> Vec<Vec<u8>> {
    let database = Connection::open(folder.join("events.sqlite")).unwrap();
    let mut texts = Vec::new();
    let mut fitting: HashMap<i64, usize> = HashMap::new();
    for (purpose, row, body) in sealed(&database) {
        let known = fitting.get(&row).copied();
        let order = known.into_iter().chain((0..keys.len()).filter(|index| Some(*index) != known));
        for index in order {
            if let Some(text) = open(&keys[index], &purpose, row, &body) {
                fitting.insert(row, index);
                texts.push(text);
                break;
            }
        }
    }
    texts
}

/// Whether a text is among what was read.
pub fn holds(texts: &[Vec<u8>], needle: &str) -> bool {
    let needle = memchr::memmem::Finder::new(needle);
    texts.iter().any(|text| needle.find(text).is_some())
}
