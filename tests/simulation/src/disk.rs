//! A disk in memory that does to a store what real ones do: it loses what was not synced, tears writes, fills up,
//! cannot be read, flips bits. What a killed process wrote stays; what a power cut finds unsynced may go, in any
//! combination.

use crate::dice::Dice;
use crate::mishap::{Failure, Fate, Mishap};
use refrain::native::simulation::{Disk, DiskFile, Hold, Mode};
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf, is_separator};
use std::rc::Rc;
use std::time::Duration;

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentError {
    /// So many bytes fit, and no more.
    Full(u64),
    /// Nothing can be changed.
    ReadOnly,
    /// Nothing can be read.
    Unreadable,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    /// What processes see.
    bytes: Vec<u8>,
    /// What a power cut leaves at least.
    durable: Vec<u8>,
    /// Changes since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: new } => {
                if bytes.len() < at + new.len() {
                    bytes.resize(at + new.len(), 0);
                }
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::Length(len) => bytes.resize(*len, 0),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    // Paths are plain texts here: to take them apart at each comparison would be most of what this disk does. They sort as
    // paths do, because no name in a folder begins with the whole name of a folder beside it.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    folders: BTreeSet<String>,
    durable_folders: BTreeSet<String>,
    trouble: Option<ConsentError>,
    /// The power has gone, and the machine has not started again.
    dark: bool,
    /// Who holds which lock: process and whether alone.
    locks: Vec<(String, u64, bool)>,
    next_lock: u64,
    /// Changes of any kind so far.
    changes: u64,
    /// The last bit that has flipped, by file: a second time it would be a repair.
    flipped: BTreeMap<usize, usize>,
}

/// The disk as one process sees it.
#[derive(Clone)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
    /// Whether the process lives, and what happens in the middle of its steps. What a dead one still tries does nothing.
    fate: Rc<Fate>,
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self { state: Rc::default(), fate: Rc::default() }
    }

    /// The same disk for a new process.
    pub fn process(&self) -> Self {
        Self { state: Rc::clone(&self.state), fate: Rc::default() }
    }

    /// The process is gone; the system takes its locks back as they are dropped.
    pub fn kill(&self) {
        self.fate.kill();
    }

    /// Whether the process lives, and there is power.
    pub fn is_alive(&self) -> bool {
        !self.fate.is_dead() && self.is_powered()
    }

    /// Whether there is power: it may have gone in the middle of a step, and nothing more has happened since.
    pub fn is_powered(&self) -> bool {
        !self.state.borrow().dark
    }

    /// What happens in the middle of this process's steps.
    pub(crate) fn fate(&self) -> &Fate {
        &self.fate
    }

    /// Whether somebody holds a lock of this name, alone unless `shared` will do.
    pub fn is_locked(&self, name: impl Fn(&str) -> bool, shared: bool) -> bool {
        let named = |path: &str| path.rsplit(is_separator).next().is_some_and(&name);
        self.state.borrow().locks.iter().any(|(path, _, alone)| (shared || *alone) && named(path))
    }

    /// Makes the disk misbehave, or behave.
    pub fn set_trouble(&self, trouble: Option<ConsentError>) {
        self.state.borrow_mut().trouble = trouble;
    }

    /// Whether it misbehaves.
    pub fn trouble(&self) -> Option<ConsentError> {
        self.state.borrow().trouble
    }

    /// So many bytes stand on it.
    pub fn used(&self) -> u64 {
        self.state.borrow().used()
    }

    /// How often it was changed.
    pub fn changes(&self) -> u64 {
        self.state.borrow().changes
    }

    /// Every file with its bytes, as processes see them.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state.borrow();
        state.names.iter().map(|(path, inode)| (path.into(), state.inodes[*inode].bytes.clone())).collect()
    }

    /// What tells this disk from others: what processes see, and what a power cut may leave of it.
    pub fn fingerprint(&self) -> String {
        let state = self.state.borrow();
        let inode = |number: &usize| {
            let Inode { bytes, durable, unsynced } = &state.inodes[*number];
            (bytes, durable, unsynced)
        };
        let named = |names: &BTreeMap<String, usize>| {
            let files = names.iter().map(|(path, number)| format!("{path:?} {:?}", inode(number)));
            files.collect::<Vec<_>>().join(" ")
        };
        let durable =
            if state.durable_names == state.names { None } else { Some(named(&state.durable_names)) };
        let folders = (&state.folders, &state.durable_folders);
        format!("{} {durable:?} {folders:?} {:?}", named(&state.names), state.trouble)
    }

    /// The bytes of the first file whose path ends so.
    pub fn file(&self, end: &str) -> Option<Vec<u8>> {
        self.state.borrow().file(end).map(<[u8]>::to_vec)
    }

    /// Whether that file holds these bytes; `None`: whether there is none.
    pub fn file_is(&self, end: &str, bytes: Option<&[u8]>) -> bool {
        self.state.borrow().file(end) == bytes
    }

    /// Whether anything stands in a queue.
    pub fn holds_data(&self) -> bool {
        let state = self.state.borrow();
        let in_queue = |path: &str| path.ends_with(".log");
        state.names.iter().any(|(path, inode)| in_queue(path) && !state.inodes[*inode].bytes.is_empty())
    }

    /// Whether these bytes stand in any file.
    pub fn holds(&self, needle: &[u8]) -> Option<PathBuf> {
        let state = self.state.borrow();
        let found = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        state.names.iter().find(|(_, inode)| found(&state.inodes[**inode].bytes)).map(|(path, _)| path.into())
    }

    /// The power goes. Of what was not synced each change may be there or not, and the last one in part; of names that
    /// were made, changed or deleted since their folder was synced each may be as before or as after.
    pub fn lose_power(&self, dice: &mut Dice) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        for inode in &mut state.inodes {
            let mut bytes = std::mem::take(&mut inode.durable);
            let reached = dice.below(inode.unsynced.len() as u64 + 1) as usize;
            for (index, change) in inode.unsynced.drain(..).enumerate() {
                match change {
                    // A write that was under way: its beginning, its end, or nothing.
                    Change::Write { at, bytes: new } if index == reached => {
                        let cut = dice.below(new.len() as u64 + 1) as usize;
                        let (at, part) =
                            if dice.once_in(4) { (at + cut, &new[cut..]) } else { (at, &new[..cut]) };
                        Change::Write { at, bytes: part.to_vec() }.apply(&mut bytes);
                    }
                    change if index < reached || dice.once_in(4) => change.apply(&mut bytes),
                    _ => {}
                }
            }
            inode.bytes.clone_from(&bytes);
            inode.durable = bytes;
        }
        let mut names = BTreeMap::new();
        let paths: BTreeSet<String> = state.names.keys().chain(state.durable_names.keys()).cloned().collect();
        for path in paths {
            let (before, after) = (state.durable_names.get(&path), state.names.get(&path));
            let chosen = if before == after || dice.once_in(2) { after } else { before };
            names.extend(chosen.map(|inode| (path, *inode)));
        }
        state.folders.retain(|folder| state.durable_folders.contains(folder) || dice.once_in(2));
        // What stands in a folder has kept it.
        let above = names.keys().flat_map(|path| Path::new(path).ancestors().skip(1));
        state.folders.extend(above.map(|folder| text(folder).to_owned()));
        state.durable_names.clone_from(&names);
        state.names = names;
        state.locks.clear();
        state.changes += 1;
        state.dark = false;
    }

    /// Deletes a file, as somebody else would, durably.
    pub fn delete(&self, path: &Path) {
        let mut state = self.state.borrow_mut();
        state.names.remove(text(path));
        state.durable_names.remove(text(path));
        state.changes += 1;
    }

    /// Flips a bit of a file; says which file.
    pub fn flip(&self, dice: &mut Dice) -> Option<PathBuf> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let filled: Vec<_> =
            state.names.iter().filter(|(_, inode)| !state.inodes[**inode].bytes.is_empty()).collect();
        let (path, inode) = filled[dice.place(filled.len())?];
        let (number, inode) = (*inode, &mut state.inodes[*inode]);
        let bits = inode.bytes.len() * 8;
        let mut bit = dice.below(bits as u64) as usize;
        if state.flipped.insert(number, bit) == Some(bit) {
            bit = (bit + 1) % bits;
        }
        inode.bytes[bit / 8] ^= 1 << (bit % 8);
        inode.durable.clone_from(&inode.bytes);
        inode.unsynced.clear();
        Some(path.into())
    }

    /// A call begins. How much of it is done, in quarters, where something goes wrong with it.
    fn call(&self) -> Result<(), (io::Error, u64)> {
        if !self.is_alive() {
            return Err((ErrorKind::BrokenPipe.into(), 0));
        }
        let Some((mishap, quarters)) = self.fate.call() else { return Ok(()) };
        let error = match mishap {
            Mishap::Fail(Failure::Broken) => io::Error::other("input/output error"),
            Mishap::Fail(Failure::Full) => ErrorKind::StorageFull.into(),
            Mishap::Fail(Failure::Descriptors) => {
                io::Error::from_raw_os_error(if cfg!(windows) { 4 } else { 24 })
            }
            Mishap::Kill => {
                self.fate.kill();
                ErrorKind::BrokenPipe.into()
            }
            Mishap::PowerCut => {
                self.state.borrow_mut().dark = true;
                // What there will be of it is chosen with all else that is not durable.
                return Err((ErrorKind::BrokenPipe.into(), 4));
            }
        };
        Err((error, quarters))
    }

    /// A call that looks.
    fn looking(&self) -> io::Result<RefMut<'_, State>> {
        match self.call() {
            Ok(()) => Ok(self.state.borrow_mut()),
            Err((error, _)) => {
                if self.is_alive() {
                    self.fate.blind();
                }
                Err(error)
            }
        }
    }

    /// A call that changes something, or makes it durable.
    fn acting(&self) -> io::Result<RefMut<'_, State>> {
        self.call().map_err(|(error, _)| error)?;
        Ok(self.state.borrow_mut())
    }

    /// A call that changes something.
    fn changing(&self) -> io::Result<RefMut<'_, State>> {
        changed(self.acting()?)
    }
}

/// A path as the disk keeps it.
fn text(path: &Path) -> &str {
    path.to_str().expect("a store's paths are texts")
}

/// The name of what stands in this folder itself.
fn name_in<'p>(folder: &Path, path: &'p str) -> Option<&'p str> {
    // The root ends with its separator.
    let folder = text(folder).trim_end_matches(is_separator);
    let name = path.strip_prefix(folder)?.strip_prefix(is_separator)?;
    (!name.is_empty() && !name.contains(is_separator)).then_some(name)
}

/// The state, about to be changed.
fn changed(mut state: RefMut<'_, State>) -> io::Result<RefMut<'_, State>> {
    if state.trouble == Some(ConsentError::ReadOnly) {
        return Err(ErrorKind::ReadOnlyFilesystem.into());
    }
    state.changes += 1;
    Ok(state)
}

impl State {
    fn file(&self, end: &str) -> Option<&[u8]> {
        let (_, inode) = self.names.iter().find(|(path, _)| path.ends_with(end))?;
        Some(&self.inodes[*inode].bytes)
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].bytes.len() as u64).sum()
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(text(path)).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn make(&mut self, path: &Path) -> io::Result<usize> {
        if path.parent().is_some_and(|folder| !self.folders.contains(text(folder))) {
            return Err(ErrorKind::NotFound.into());
        }
        if matches!(self.trouble, Some(ConsentError::Full(most)) if self.used() > most) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.names.insert(text(path).into(), inode);
        Ok(inode)
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let state = self.looking()?;
        let inode = state.inode(path)?;
        if state.trouble == Some(ConsentError::Unreadable) {
            return Err(io::Error::other("input/output error"));
        }
        let bytes = &state.inodes[inode].bytes;
        Ok(bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))].to_vec())
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<SimFile> {
        let mut state = self.changing()?;
        let there = state.inode(path).ok();
        let inode = match (mode, there) {
            (Mode::Append, None) => return Err(ErrorKind::NotFound.into()),
            (Mode::AppendNew, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (_, Some(inode)) => inode,
            (_, None) => state.make(path)?,
        };
        if mode == Mode::Anew {
            let file = &mut state.inodes[inode];
            file.bytes.clear();
            file.unsynced.push(Change::Length(0));
        }
        let at = matches!(mode, Mode::InPlace | Mode::Anew).then_some(0);
        drop(state);
        Ok(SimFile { disk: self.clone(), inode, at })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        let inode = state.inode(from)?;
        state.names.remove(text(from));
        state.names.insert(text(to).into(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        state.inode(path)?;
        state.names.remove(text(path));
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        let inside = |other: &String| name_in(path, other).is_some();
        if state.names.keys().any(inside) || state.folders.iter().any(inside) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        if state.folders.remove(text(path)) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, bool)>> {
        let state = self.looking()?;
        if !state.folders.contains(text(folder)) {
            return Err(ErrorKind::NotFound.into());
        }
        if state.trouble == Some(ConsentError::Unreadable) {
            return Err(io::Error::other("input/output error"));
        }
        let name = |path| name_in(folder, path).map(String::from);
        let files = state.names.keys().filter_map(|path| Some((name(path)?, false)));
        let folders = state.folders.iter().filter_map(|path| Some((name(path)?, true)));
        Ok(files.chain(folders).collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let state = self.looking()?;
        let inode = state.inode(path)?;
        Ok(state.inodes[inode].bytes.len() as u64)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let state = self.acting()?;
        if state.folders.contains(text(path)) {
            return Ok(());
        }
        let mut state = changed(state)?;
        state.folders.extend(path.ancestors().map(|folder| text(folder).to_owned()));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.acting()?;
        let state = &mut *state;
        if !state.folders.contains(text(path)) {
            return Err(ErrorKind::NotFound.into());
        }
        let inside = |other: &String| name_in(path, other).is_some();
        state.durable_names.retain(|name, _| !inside(name));
        let named = state.names.iter().filter(|(name, _)| inside(name));
        state.durable_names.extend(named.map(|(name, inode)| (name.clone(), *inode)));
        state.durable_folders.retain(|name| !inside(name));
        let folders: Vec<_> = state.folders.iter().filter(|name| inside(name)).cloned().collect();
        state.durable_folders.extend(folders);
        Ok(())
    }

    fn lock(&self, path: &Path, hold: Hold, make: bool, _patience: Duration) -> io::Result<SimLock> {
        let mut state = self.acting()?;
        if make && state.inode(path).is_err() {
            state = changed(state)?;
            state.make(path)?;
        }
        state.inode(path)?;
        let alone = hold == Hold::Exclusive;
        // Nobody else goes on meanwhile: whoever holds it now holds it for as long as one is willing to wait.
        if state.locks.iter().any(|(other, _, held_alone)| other == text(path) && (alone || *held_alone)) {
            return Err(ErrorKind::TimedOut.into());
        }
        state.next_lock += 1;
        let number = state.next_lock;
        state.locks.push((text(path).into(), number, alone));
        Ok(SimLock { state: Rc::clone(&self.state), number })
    }

    fn note(&self, _lock: &SimLock, _text: &str) {}
}

/// A file that a process has open.
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// Where to write; `None`: at the end.
    at: Option<usize>,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimFile")
    }
}

impl DiskFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (error, quarters) = match self.disk.call() {
            Ok(()) => (None, 4),
            Err((error, 0)) => return Err(error),
            Err((error, quarters)) => (Some(error), quarters as usize),
        };
        let mut state = changed(self.disk.state.borrow_mut())?;
        let bytes = &bytes[..bytes.len() * quarters / 4];
        let full = match state.trouble {
            Some(ConsentError::Full(most)) => Some(most.saturating_sub(state.used()) as usize),
            _ => None,
        };
        let inode = &mut state.inodes[self.inode];
        let at = self.at.unwrap_or(inode.bytes.len());
        let grows = (at + bytes.len()).saturating_sub(inode.bytes.len());
        // What fits is written before the error is seen.
        let written = match full {
            Some(room) if grows > room => bytes.len() - (grows - room),
            _ => bytes.len(),
        };
        let change = Change::Write { at, bytes: bytes[..written].to_vec() };
        change.apply(&mut inode.bytes);
        inode.unsynced.push(change);
        if let Some(at) = &mut self.at {
            *at += written;
        }
        match error {
            Some(error) => Err(error),
            None if written < bytes.len() => Err(ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.changing()?;
        let change = Change::Length(len as usize);
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.bytes);
        inode.unsynced.push(change);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.acting()?;
        let inode = &mut state.inodes[self.inode];
        inode.durable.clone_from(&inode.bytes);
        inode.unsynced.clear();
        Ok(())
    }
}

/// A lock, until it is dropped.
pub struct SimLock {
    state: Rc<RefCell<State>>,
    number: u64,
}

impl std::fmt::Debug for SimLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimLock")
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.borrow_mut().locks.retain(|(_, number, _)| *number != self.number);
    }
}
