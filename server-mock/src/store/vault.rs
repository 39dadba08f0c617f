//! The keys that erasure destroys: a file of fixed-size slots, overwritten in place.
//!
//! ```text
//! 0      header, 4096 bytes: magic, version, id of the vault, hash key, key of things that are nobody's, seed of the
//!        key that signs receipts, checksum
//! 4096   slot 0, 64 bytes:   generation u64 · state u64 · key 32 bytes · checksum 16 bytes
//! 4160   slot 1 …
//! ```
//!
//! A slot is written and synced before a row that needs it is committed, so a row without its key cannot come
//! to be; a key without a row can (made ahead, or killed in between), and is destroyed at the next start. A slot is used
//! again only after it was zeroed and synced and the rows that named it are gone, under the next generation.
//! Losing this file means losing all data: a damaged one is refused, never made anew.
//!
//! Overwriting in place reaches the medium on file systems that do not copy on write; on others the file system's
//! own snapshots have to be taken into account.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::{Aead, AeadInOut, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use super::StoreError;

/// Name of the vault in the data folder.
pub const FILE_NAME: &str = "vault.keys";

const MAGIC: &[u8; 8] = b"RFRVAULT";
const VERSION: u32 = 2;
const HEADER: usize = 4096;
const SLOT: usize = 64;
const STATE_FREE: u64 = 0;
const STATE_LIVE: u64 = 0x4c49_5645_4c49_5645;
const NONCE: usize = 24;
const TAG: usize = 16;
/// By how many bytes what is sealed is longer than its text.
pub const SEAL: usize = NONCE + TAG;
/// Slots read at a time at start.
const BLOCK: usize = 1024;
/// Keys made at a time: as many as a page of the file holds.
const AHEAD: usize = 64;

/// Where a key lies, and which use of the place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Index in the file.
    pub index: u32,
    /// How often the place has been used.
    pub generation: u64,
}

/// A secret key; its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    fn random() -> Result<Key, StoreError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|error| StoreError::io("the system's randomness", error))?;
        Ok(Key(bytes))
    }

    /// Encrypts and authenticates; `context` must be the same when it is opened.
    pub fn seal(&self, context: &[u8], text: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce = fresh_nonce()?;
        let cipher = XChaCha20Poly1305::new((&*self.0).into());
        let mut out = Vec::with_capacity(NONCE + text.len() + TAG);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(text);
        let tag = cipher
            .encrypt_inout_detached(&XNonce::from(nonce), context, (&mut out[NONCE..]).into())
            .map_err(|_| StoreError::damaged("a record could not be sealed"))?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Decrypts what [`Key::seal`] made. `None`: not made with this key in this context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let cipher = XChaCha20Poly1305::new((&*self.0).into());
        cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: context }).ok()
    }

    /// A hash that means nothing without this key.
    pub fn hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in [domain.as_bytes()].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut out = [0; 16];
        out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        out
    }
}

/// A nonce that was never used before: random for each process, and a count.
fn fresh_nonce() -> Result<[u8; NONCE], StoreError> {
    static PROCESS: OnceLock<[u8; 16]> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let process = match PROCESS.get() {
        Some(process) => process,
        None => {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(|error| StoreError::io("the system's randomness", error))?;
            PROCESS.get_or_init(|| random)
        }
    };
    let mut nonce = [0; NONCE];
    nonce[..16].copy_from_slice(process);
    nonce[16..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Ok(nonce)
}

/// The vault of a data folder, or one in memory.
pub struct Vault {
    bytes: Bytes,
    id: [u8; 16],
    hash_key: Key,
    common_key: Key,
    signing_key: SigningKey,
    slots: u32,
    free: Vec<u32>,
    /// Keys that were made ahead, so that one sync is enough for many.
    ready: Vec<(Slot, Key)>,
    unsynced: bool,
}

enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl Vault {
    /// A vault that ends with the process.
    pub fn in_memory() -> Result<Vault, StoreError> {
        let header = new_header()?;
        Vault::from_header(Bytes::Memory(header.to_vec()), &header)
    }

    /// Makes the vault of a new data folder, all at once: it is there whole or not at all.
    pub fn create(folder: &Path) -> Result<Vault, StoreError> {
        let header = new_header()?;
        let (temporary, path) = (folder.join("vault.new"), folder.join(FILE_NAME));
        let failed = |error| StoreError::io("the vault could not be made", error);
        // Nobody else on the machine may read the keys.
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(failed)?;
        file.write_all(&header[..]).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&temporary, &path).map_err(failed)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Vault::open(folder)
    }

    /// Opens the vault of a data folder.
    pub fn open(folder: &Path) -> Result<Vault, StoreError> {
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| StoreError::io("vault.keys could not be opened", error))?;
        let mut header = Zeroizing::new([0; HEADER]);
        file.read_exact_at(&mut header[..], 0)
            .map_err(|_| StoreError::damaged("vault.keys is damaged: its header is cut off"))?;
        let whole = header[HEADER - 32..] == blake3::hash(&header[..HEADER - 32]).as_bytes()[..];
        if !header.starts_with(MAGIC) || !whole {
            return Err(StoreError::damaged("vault.keys is damaged: its header does not match its checksum"));
        }
        if header[8..12] != VERSION.to_le_bytes() {
            return Err(StoreError::damaged("vault.keys was written by another version of this program"));
        }
        Vault::from_header(Bytes::File(file), &header)
    }

    fn from_header(bytes: Bytes, header: &[u8; HEADER]) -> Result<Vault, StoreError> {
        let key = |at: usize| {
            let mut key = Zeroizing::new([0; 32]);
            key.copy_from_slice(&header[at..at + 32]);
            Key(key)
        };
        let mut id = [0; 16];
        id.copy_from_slice(&header[16..32]);
        let mut vault = Vault {
            bytes,
            id,
            hash_key: key(32),
            common_key: key(64),
            signing_key: SigningKey::from_bytes(&key(96).0),
            slots: 0,
            free: Vec::new(),
            ready: Vec::new(),
            unsynced: false,
        };
        vault.slots = (vault.length()?.saturating_sub(HEADER as u64) / SLOT as u64) as u32;
        Ok(vault)
    }

    /// Tells this vault from others, so that a database is not opened with a foreign one.
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Whether no slot was ever used.
    pub fn is_unused(&self) -> bool {
        self.slots == 0
    }

    /// A keyed hash, by which rows are found.
    pub fn hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 16] {
        self.hash_key.hash(domain, parts)
    }

    /// The key of what belongs to no person: project tokens, task descriptions.
    pub fn common_key(&self) -> &Key {
        &self.common_key
    }

    /// Signs a text (Ed25519).
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.signing_key.sign(text).to_bytes()
    }

    /// The key that verifies what [`Vault::sign`] made.
    pub fn public_key(&self) -> [u8; 32] {
        self.signing_key.verifying_key().to_bytes()
    }

    /// A key that was not used before. The vault has to be synced before anything relies on it.
    pub fn allocate(&mut self) -> Result<(Slot, Key), StoreError> {
        if self.ready.is_empty() {
            for _ in 0..AHEAD {
                match self.make() {
                    Ok(made) => self.ready.push(made),
                    // Where the disk is full, what was made is enough for now.
                    Err(_) if !self.ready.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
            self.ready.reverse();
        }
        self.ready.pop().ok_or_else(|| StoreError::damaged("no key could be made"))
    }

    /// Makes a key in a free slot.
    fn make(&mut self) -> Result<(Slot, Key), StoreError> {
        let (index, generation) = match self.free.last() {
            Some(index) => (*index, self.raw_slot(*index)?.0 + 1),
            None => (self.slots, 1),
        };
        let slot = Slot { index, generation };
        let key = Key::random()?;
        self.write_slot(slot, STATE_LIVE, &key)?;
        self.unsynced = true;
        if self.free.pop().is_none() {
            self.slots += 1;
        }
        Ok((slot, key))
    }

    /// Reads a key.
    pub fn key(&self, slot: Slot) -> Result<Key, StoreError> {
        match self.live_key(slot)? {
            Some(key) => Ok(key),
            None => Err(lost_key(slot)),
        }
    }

    fn live_key(&self, slot: Slot) -> Result<Option<Key>, StoreError> {
        if slot.index >= self.slots {
            return Ok(None);
        }
        let (generation, state, key, whole) = self.raw_slot(slot.index)?;
        Ok((whole && state == STATE_LIVE && generation == slot.generation).then_some(key))
    }

    /// Makes sure that keys made so far survive a crash.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced {
            if let Bytes::File(file) = &self.bytes {
                file.sync_data().map_err(|error| StoreError::io("vault.keys could not be synced", error))?;
            }
            self.unsynced = false;
        }
        Ok(())
    }

    /// Destroys keys and syncs. A slot that is already in a later use is left alone, so that this can be repeated
    /// after a crash.
    pub fn destroy(&mut self, slots: &[Slot]) -> Result<(), StoreError> {
        let nothing = Key(Zeroizing::new([0; 32]));
        let known = self.slots;
        for slot in slots.iter().filter(|slot| slot.index < known) {
            if self.raw_slot(slot.index)?.0 <= slot.generation {
                self.write_slot(*slot, STATE_FREE, &nothing)?;
                self.unsynced = true;
            }
        }
        self.sync()
    }

    /// Gives destroyed slots back for use; only when no row names them any more.
    pub fn release(&mut self, slots: &[Slot]) {
        self.free.extend(slots.iter().map(|slot| slot.index).filter(|index| *index < self.slots));
    }

    /// Brings the vault in line with the rows, at start: every live row's key must be readable, and every key
    /// that no such row names is destroyed. `dying` are those of rows that are still to be deleted: not free before they
    /// are released.
    pub fn reconcile(&mut self, mut live: Vec<Slot>, dying: &[Slot]) -> Result<(), StoreError> {
        let dying: HashSet<u32> = dying.iter().map(|slot| slot.index).collect();
        live.sort_by_key(|slot| slot.index);
        let mut orphans = Vec::new();
        let mut named = live.iter().peekable();
        self.free.clear();
        self.ready.clear();
        let mut block = Zeroizing::new(Vec::new());
        for index in 0..self.slots {
            let within = index as usize % BLOCK;
            if within == 0 {
                block.resize(BLOCK.min((self.slots - index) as usize) * SLOT, 0);
                self.read_at(slot_offset(index), &mut block)?;
            }
            let (generation, state, _, whole) = parse_slot(index, &block[within * SLOT..][..SLOT]);
            match named.next_if(|slot| slot.index == index) {
                Some(slot) if whole && state == STATE_LIVE && generation == slot.generation => {}
                Some(slot) => return Err(lost_key(*slot)),
                None => {
                    if state != STATE_FREE || !whole {
                        orphans.push(Slot { index, generation });
                    }
                    if !dying.contains(&index) {
                        self.free.push(index);
                    }
                }
            }
        }
        if let Some(slot) = named.next() {
            return Err(lost_key(*slot));
        }
        // The first one is used first, so that the file stays as short as it can.
        self.free.reverse();
        self.destroy(&orphans)
    }

    fn raw_slot(&self, index: u32) -> Result<(u64, u64, Key, bool), StoreError> {
        let mut bytes = Zeroizing::new([0; SLOT]);
        self.read_at(slot_offset(index), &mut bytes[..])?;
        Ok(parse_slot(index, &bytes[..]))
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), StoreError> {
        match &self.bytes {
            Bytes::File(file) => file
                .read_exact_at(out, at)
                .map_err(|error| StoreError::io("vault.keys could not be read", error)),
            Bytes::Memory(memory) => {
                out.copy_from_slice(&memory[at as usize..at as usize + out.len()]);
                Ok(())
            }
        }
    }

    fn write_slot(&mut self, slot: Slot, state: u64, key: &Key) -> Result<(), StoreError> {
        let mut bytes = Zeroizing::new([0; SLOT]);
        bytes[..8].copy_from_slice(&slot.generation.to_le_bytes());
        if state != STATE_FREE {
            bytes[8..16].copy_from_slice(&state.to_le_bytes());
            bytes[16..48].copy_from_slice(&*key.0);
            let checksum = slot_checksum(slot.index, &bytes[..48]);
            bytes[48..].copy_from_slice(&checksum);
        }
        let at = slot_offset(slot.index);
        match &mut self.bytes {
            Bytes::File(file) => file
                .write_all_at(&bytes[..], at)
                .map_err(|error| StoreError::io("vault.keys could not be written", error)),
            Bytes::Memory(memory) => {
                let end = at as usize + SLOT;
                if memory.len() < end {
                    memory.resize(end, 0);
                }
                memory[at as usize..end].copy_from_slice(&bytes[..]);
                Ok(())
            }
        }
    }

    fn length(&self) -> Result<u64, StoreError> {
        match &self.bytes {
            Bytes::File(file) => file
                .metadata()
                .map(|data| data.len())
                .map_err(|error| StoreError::io("vault.keys could not be read", error)),
            Bytes::Memory(memory) => Ok(memory.len() as u64),
        }
    }
}

/// Generation, state, key, and whether the slot is what was written last.
fn parse_slot(index: u32, bytes: &[u8]) -> (u64, u64, Key, bool) {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&bytes[16..48]);
    let whole = bytes[48..] == slot_checksum(index, &bytes[..48])
        || (number(8) == STATE_FREE && bytes[8..].iter().all(|byte| *byte == 0));
    (number(0), number(8), Key(key), whole)
}

fn lost_key(slot: Slot) -> StoreError {
    StoreError::damaged(format!(
        "vault.keys is damaged: slot {} does not hold its key; restore the whole data folder from a backup, \
         or choose an empty folder to start anew",
        slot.index
    ))
}

fn slot_offset(index: u32) -> u64 {
    HEADER as u64 + u64::from(index) * SLOT as u64
}

fn slot_checksum(index: u32, bytes: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&index.to_le_bytes());
    hasher.update(bytes);
    let mut out = [0; 16];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    out
}

fn new_header() -> Result<Zeroizing<[u8; HEADER]>, StoreError> {
    let mut header = Zeroizing::new([0; HEADER]);
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    getrandom::fill(&mut header[16..128])
        .map_err(|error| StoreError::io("the system's randomness", error))?;
    let checksum = blake3::hash(&header[..HEADER - 32]);
    header[HEADER - 32..].copy_from_slice(checksum.as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::ScratchFolder;

    fn bytes_in(folder: &ScratchFolder) -> Vec<u8> {
        std::fs::read(folder.path().join(FILE_NAME)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_in_its_context_only() {
        let mut vault = Vault::in_memory().unwrap();
        let (slot, key) = vault.allocate().unwrap();
        let (_, other) = vault.allocate().unwrap();
        let sealed = key.seal(b"a", b"text").unwrap();
        assert_ne!(sealed, key.seal(b"a", b"text").unwrap(), "no nonce is used twice");
        assert_eq!(vault.key(slot).unwrap().open(b"a", &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(key.open(b"b", &sealed), None);
        assert_eq!(other.open(b"a", &sealed), None);
        assert_eq!(key.open(b"a", &sealed[..10]), None);
    }

    #[test]
    fn a_destroyed_key_is_gone_from_the_file_and_its_place_is_used_under_the_next_generation() {
        let folder = ScratchFolder::new("vault-destroy");
        let mut vault = Vault::create(folder.path()).unwrap();
        let (slot, key) = vault.allocate().unwrap();
        let kept = vault.allocate().unwrap().0;
        vault.sync().unwrap();
        let secret = *key.0;
        assert!(bytes_in(&folder).windows(32).any(|part| part == secret));
        vault.destroy(&[slot]).unwrap();
        assert!(!bytes_in(&folder).windows(32).any(|part| part == secret));
        assert!(vault.key(slot).is_err());
        assert!(vault.key(kept).is_ok());
        vault.release(&[slot]);
        let again = (0..AHEAD).map(|_| vault.allocate().unwrap().0).find(|again| again.index == slot.index);
        let again = again.expect("its place is used again");
        assert_eq!(again.generation, slot.generation + 1);
        assert!(vault.key(slot).is_err(), "the old use does not see the new key");
        vault.destroy(&[slot]).unwrap();
        assert!(vault.key(again).is_ok(), "repeating an erasure leaves a later use alone");
    }

    #[test]
    fn a_key_that_no_row_names_does_not_survive_the_next_start() {
        let folder = ScratchFolder::new("vault-orphan");
        let mut vault = Vault::create(folder.path()).unwrap();
        let (named, _) = vault.allocate().unwrap();
        let (orphan, key) = vault.allocate().unwrap();
        let secret = *key.0;
        drop(vault);
        let mut vault = Vault::open(folder.path()).unwrap();
        vault.reconcile(vec![named], &[]).unwrap();
        assert!(!bytes_in(&folder).windows(32).any(|part| part == secret));
        assert_eq!(vault.allocate().unwrap().0.index, orphan.index);
    }

    #[test]
    fn one_sync_is_enough_for_many_keys() {
        let mut vault = Vault::in_memory().unwrap();
        vault.allocate().unwrap();
        assert!(vault.unsynced);
        vault.sync().unwrap();
        for _ in 1..AHEAD {
            vault.allocate().unwrap();
        }
        assert!(!vault.unsynced);
        vault.allocate().unwrap();
        assert!(vault.unsynced);
    }

    #[test]
    fn a_destroyed_key_is_synced_too() {
        let mut vault = Vault::in_memory().unwrap();
        let (slot, _) = vault.allocate().unwrap();
        vault.sync().unwrap();
        vault.destroy(&[slot]).unwrap();
        assert!(!vault.unsynced);
    }

    /// A device for which there is nothing to sync says so, where a sync that is left out says nothing.
    #[cfg(target_os = "linux")]
    #[test]
    fn to_sync_is_to_ask_the_system() {
        let mut vault = Vault::in_memory().unwrap();
        vault.bytes = Bytes::File(OpenOptions::new().write(true).open("/dev/null").unwrap());
        vault.sync().unwrap();
        vault.unsynced = true;
        assert!(vault.sync().is_err());
        assert!(vault.unsynced, "and it is tried again");
    }

    #[test]
    fn a_slot_torn_while_it_was_made_or_destroyed_is_free_unless_a_row_names_it() {
        for torn in 1..SLOT - 8 {
            let mut vault = Vault::in_memory().unwrap();
            let (slot, _) = vault.allocate().unwrap();
            let Bytes::Memory(memory) = &mut vault.bytes else { panic!() };
            // The first bytes of the slot are those of the new state, the rest are not yet written.
            memory[HEADER + torn..].fill(0);
            assert!(vault.reconcile(vec![slot], &[]).is_err(), "{torn}");
            vault.reconcile(Vec::new(), &[]).unwrap();
            let (again, _) = vault.allocate().unwrap();
            assert_eq!(again.index, slot.index);
            assert!(vault.key(again).is_ok());
        }
    }

    #[test]
    fn a_file_that_ends_within_a_slot_is_extended_over_it() {
        let folder = ScratchFolder::new("vault-short");
        let mut vault = Vault::create(folder.path()).unwrap();
        let mut named: Vec<Slot> = (0..AHEAD).map(|_| vault.allocate().unwrap().0).collect();
        drop(vault);
        let bytes = bytes_in(&folder);
        std::fs::write(folder.path().join(FILE_NAME), &bytes[..bytes.len() - 30]).unwrap();
        let mut vault = Vault::open(folder.path()).unwrap();
        let cut = named.pop().unwrap();
        vault.reconcile(named, &[]).unwrap();
        let (next, _) = vault.allocate().unwrap();
        assert_eq!(next.index, cut.index);
        assert!(vault.key(next).is_ok());
    }
}
