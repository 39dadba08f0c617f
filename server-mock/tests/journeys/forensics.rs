//! Looking for what must not be there: raw bytes in every file, and every ciphertext against every key.

use std::collections::HashMap;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rusqlite::Connection;

use crate::tool::tool;

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

/// The columns that hold what is sealed: table, column, the row of its key (0 for the one of what is nobody's), and what
/// it is sealed for.
const SEALED: [[&str; 4]; 9] = [
    ["archive_pieces", "body", "key", "'piece ' || number || ' of an archive'"],
    ["keys", "ids", "id", "'ids'"],
    ["events", "body", "key", "'event'"],
    ["profiles", "body", "key", "'profile'"],
    ["replays", "body", "key", "'replay'"],
    ["archives", "body", "key", "'archive'"],
    ["uses", "body", "key", "'use'"],
    ["projects", "token", "0", "'project'"],
    ["tasks", "about", "0", "'task'"],
];

/// The other columns of bytes: hashes under the vault's key, and in `meta` the vault's id.
const HASHES: &str =
    "accounts.hash barriers.id events.dedupe key_ids.id keys.device keys.lookup keys.user meta.value
    objections.entry objections.id projects.token_hash task_ids.id tasks.device";

/// A column of bytes that is in neither list would be one that nobody searches.
fn every_column_is_known(database: &Connection) {
    let columns = "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
        WHERE t.type = 'table' AND c.type NOT IN ('INTEGER', 'TEXT') AND t.name NOT LIKE 'sqlite_%' ORDER BY 1";
    let mut statement = database.prepare(columns).unwrap();
    let found: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let sealed = SEALED.iter().map(|[table, column, ..]| format!("{table}.{column}"));
    let mut known: Vec<String> = sealed.chain(HASHES.split_whitespace().map(str::to_owned)).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

/// Everything that is sealed in a database: purpose, key row (0 for none), ciphertext. An archive's row is empty where the
/// archive is in pieces.
fn sealed(database: &Connection) -> Vec<(String, i64, Vec<u8>)> {
    every_column_is_known(database);
    let mut all = Vec::new();
    for [table, column, key, purpose] in SEALED {
        let sql = format!("SELECT {purpose}, {key}, {column} FROM {table} WHERE {column} <> x''");
        let mut statement = database.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        all.extend(rows.map(Result::unwrap));
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

/// What the keys open in the rows of a database, and what stays closed: purpose and key row. Each row is tried with every
/// key until one fits; keys that fitted another row of the same owner come first.
fn opened(database: &Connection, keys: &[[u8; 32]]) -> (Vec<Vec<u8>>, Vec<(String, i64)>) {
    let (mut texts, mut closed) = (Vec::new(), Vec::new());
    let mut fitting: HashMap<i64, usize> = HashMap::new();
    for (purpose, row, body) in sealed(database) {
        let known = fitting.get(&row).copied();
        let mut order = known.into_iter().chain((0..keys.len()).filter(|index| Some(*index) != known));
        let found = order.find_map(|index| Some((index, open(&keys[index], &purpose, row, &body)?)));
        match found {
            Some((index, text)) => {
                fitting.insert(row, index);
                texts.push(text);
            }
            None => closed.push((purpose, row)),
        }
    }
    (texts, closed)
}

/// Everything that any of the keys opens in any row of a database.
pub fn readable(folder: &Path, keys: &[[u8; 32]]) -> Vec<Vec<u8>> {
    opened(&Connection::open(folder.join("events.sqlite")).unwrap(), keys).0
}

/// The same with all keys that are left, before something goes: what stays closed by then would be looked for in vain
/// afterwards. Only rows whose key is decided to go may.
pub fn everything(folder: &Path) -> Vec<Vec<u8>> {
    let keys = all_keys(folder);
    let database = Connection::open(folder.join("events.sqlite")).unwrap();
    let (texts, mut closed) = opened(&database, &keys);
    let mut going = database.prepare("SELECT 1 FROM keys WHERE id = ? AND dying IS NOT NULL").unwrap();
    closed.retain(|(_, row)| !going.exists([row]).unwrap());
    assert!(closed.is_empty(), "nothing opens {closed:?}");
    texts
}

/// How many of these keys no row names any more. None of them is in any file.
pub fn destroyed(folder: &Path, before: &[[u8; 32]]) -> usize {
    let named = live_keys(folder);
    let files = files(folder);
    let gone: Vec<_> = before.iter().filter(|key| !named.contains(key)).collect();
    for key in &gone {
        assert_eq!(search(&files, *key), [] as [String; 0], "a destroyed key is nowhere");
    }
    gone.len()
}

/// A text is in no file, and no key that is left opens anything that holds it.
pub fn is_gone(folder: &Path, text: &str) -> bool {
    search_raw(folder, text.as_bytes()).is_empty() && !holds(&readable(folder, &all_keys(folder)), text)
}

/// Whether a text is among what was read.
pub fn holds(texts: &[Vec<u8>], needle: &str) -> bool {
    let needle = memchr::memmem::Finder::new(needle);
    texts.iter().any(|text| needle.find(text).is_some())
}
