//! One queue on disk: an instance folder that this process owns, and its segments.

mod compaction;
#[cfg(test)]
mod tests;

use super::disk::{Disk, DiskFile, Files, Hold, Mode, if_there};
use super::layout::{self, QueueFile, queue_files, remove_file};
use crate::engine::Entry;
use crate::journal::segment::{Found, HEADER_LEN, Header, Kind, Records, encode_record};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A segment that has grown to this is closed, and a new one begun.
pub(super) const SEGMENT_BYTES: u64 = 256 << 10;
/// No segment grows to this, however much is delivered while nothing is recorded: what stands behind was not written by
/// us, and is not read.
const READ_BYTES: u64 = 16 << 20;
/// What stands before a record's payload.
const RECORD_HEAD: usize = 17;

/// An instance folder, and the lock that says that its owner lives.
#[derive(Debug)]
pub(super) struct Instance<D: Disk = Files> {
    disk: D,
    folder: PathBuf,
    _owner: D::Lock,
    /// Oldest first. Only the last one is written to.
    segments: Vec<Segment>,
    writer: Option<D::File>,
    next_number: u64,
    unsynced: bool,
    segment_bytes: u64,
    /// The newest [`Kind::NotBefore`], and the number of the segment that it stands in.
    not_before: Option<(u64, u64)>,
    /// After a compaction that failed: from how many dead bytes on another one is worth trying.
    retry_at: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    header: Header,
    /// Events in it that must still be kept, in order, and the bytes of their records.
    live: Vec<(u64, u64)>,
    /// The bytes of all of these.
    live_bytes: u64,
    /// Its undamaged length.
    bytes: u64,
}

impl Segment {
    fn new(path: PathBuf, header: Header) -> Self {
        Self { path, header, live: Vec::new(), live_bytes: 0, bytes: 0 }
    }

    /// Which of these, that stand in order, this segment may hold.
    fn concerned<'s>(&self, seqs: &'s [u64]) -> &'s [u64] {
        let (Some((first, _)), Some((last, _))) = (self.live.first(), self.live.last()) else { return &[] };
        let from = seqs.partition_point(|seq| seq < first);
        let to = seqs.partition_point(|seq| seq <= last);
        seqs.get(from..to).unwrap_or_default()
    }

    /// Forgets these, that stand in order. Where none of them stands that costs a glance.
    fn forget(&mut self, seqs: &[u64]) {
        let seqs = self.concerned(seqs);
        if !seqs.is_empty() {
            let mut live = std::mem::take(&mut self.live);
            live.retain(|(seq, _)| seqs.binary_search(seq).is_err());
            self.set_live(live);
        }
    }

    fn set_live(&mut self, live: Vec<(u64, u64)>) {
        self.live_bytes = live.iter().map(|(_, bytes)| bytes).sum();
        self.live = live;
    }

    /// Bytes that nobody needs, as long as nothing dead stands in an earlier segment.
    fn dead_bytes(&self) -> u64 {
        self.bytes.saturating_sub(HEADER_LEN as u64 + self.live_bytes)
    }
}

/// What [`Instance::load`] found.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// In order, once all segments are read.
    pub(super) events: Vec<(u64, String)>,
    pub(super) next_seq: u64,
    pub(super) not_before_ms: Option<u64>,
    pub(super) damaged: u64,
    pub(super) wiped: u64,
}

impl<D: Disk> Instance<D> {
    /// Makes a folder of our own. The caller holds the record lock.
    pub(super) fn create(disk: &D, folder: PathBuf) -> io::Result<Self> {
        disk.create_folder(&folder)?;
        let claimed = Self::claim(disk, folder.clone())?;
        sync_parent(disk, &folder)?;
        claimed.ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }

    /// Takes over a folder whose owner is gone; `None` if it lives. The caller holds the record lock.
    pub(super) fn claim(disk: &D, folder: PathBuf) -> io::Result<Option<Self>> {
        let owner = match disk.lock(&layout::owner(&folder), Hold::Exclusive, true, Duration::ZERO) {
            Ok(owner) => owner,
            // It lives, or somebody has deleted it just now.
            Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // It says whom to look at.
        disk.note(&owner, &std::process::id().to_string());
        let numbers = queue_files(disk, &folder)?.into_iter().map(|(_, kind)| match kind {
            QueueFile::Segment(number) => number.saturating_add(1),
            _ => 1,
        });
        let next_number = numbers.max().unwrap_or(1);
        Ok(Some(Self {
            disk: disk.clone(),
            folder,
            _owner: owner,
            segments: Vec::new(),
            writer: None,
            next_number,
            unsynced: false,
            segment_bytes: SEGMENT_BYTES,
            not_before: None,
            retry_at: 0,
        }))
    }

    /// Deletes a folder in which there is nothing but the lock of an owner who is gone. The caller holds the record lock.
    pub(super) fn clear(disk: &D, folder: PathBuf) -> io::Result<()> {
        match &queue_files(disk, &folder)?[..] {
            [(_, QueueFile::Owner)] => Self::claim(disk, folder)?.map_or(Ok(()), Self::close),
            _ => Ok(()),
        }
    }

    /// With segments of another length.
    pub(super) fn with_segments_of(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Whether nobody has deleted the folder. Where it cannot be told it is there: what was not synced must not be forgotten.
    pub(super) fn is_there(&self) -> bool {
        if_there(self.disk.len(&layout::owner(&self.folder))).map_or(true, |found| found.is_some())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads everything of this epoch, repairs what is damaged, and deletes what is of another epoch, unread.
    pub(super) fn load(&mut self, epoch: u64) -> io::Result<Loaded> {
        self.writer = None;
        self.segments.clear();
        self.not_before = None;
        let mut loaded = Loaded { next_seq: 1, ..Default::default() };
        let mut acknowledged = Vec::new();
        let mut files = Vec::new();
        for (path, kind) in queue_files(&self.disk, &self.folder)? {
            match kind {
                QueueFile::Segment(number) => files.push((path, number)),
                // The process was killed before it was whole; the segment that it was to replace is.
                QueueFile::Draft => drop(remove_file(&self.disk, &path)?),
                QueueFile::Aside | QueueFile::Owner => {}
            }
        }
        let last = files.last().map(|(_, number)| *number);
        for (path, number) in files {
            let bytes = self.disk.read(&path, READ_BYTES)?;
            match Header::decode(&bytes) {
                Some(header) if header.epoch == epoch => {
                    self.load_segment(path, &bytes, Some(number) == last, &mut loaded, &mut acknowledged)?;
                }
                // Granted again since the record was last read here: for the next owner.
                Some(header) if header.epoch > epoch => {}
                Some(_) => loaded.wiped += u64::from(remove_file(&self.disk, &path)?),
                // The process was killed before the header was whole: nothing was ever in it.
                None if Some(number) == last && bytes.len() < HEADER_LEN => {
                    remove_file(&self.disk, &path)?;
                }
                None => {
                    self.disk.rename(&path, &layout::aside(&path))?;
                    loaded.damaged += 1;
                }
            }
        }
        if loaded.wiped > 0 {
            // Durably: what a power cut brings back must not meet a record that counts from the beginning again (C6).
            self.disk.sync_folder(&self.folder)?;
        }
        acknowledged.sort_unstable();
        // Of one that stands there twice the later one counts.
        loaded.events.reverse();
        loaded.events.sort_by_key(|(seq, _)| *seq);
        loaded.events.dedup_by_key(|(seq, _)| *seq);
        loaded.events.retain(|(seq, _)| acknowledged.binary_search(seq).is_err());
        self.forget(&acknowledged);
        // What cannot be deleted stays, and is looked at again at the next acknowledgement.
        let _ = self.drop_finished();
        Ok(loaded)
    }

    fn load_segment(
        &mut self,
        path: PathBuf,
        bytes: &[u8],
        last: bool,
        loaded: &mut Loaded,
        acknowledged: &mut Vec<u64>,
    ) -> io::Result<()> {
        let Some(records) = Records::new(bytes) else { return Ok(()) };
        let header = records.header();
        let mut segment = Segment { bytes: bytes.len() as u64, ..Segment::new(path, header) };
        let mut live = Vec::new();
        let mut whole = header.encode().to_vec();
        let mut bad = Vec::new();
        let mut torn = None;
        for found in records {
            match found {
                Found::Record { kind, seq, payload } => {
                    encode_record(&mut whole, header, kind, seq, payload);
                    match kind {
                        Kind::Event => {
                            loaded.next_seq = loaded.next_seq.max(seq.saturating_add(1));
                            match String::from_utf8(payload.to_vec()) {
                                Ok(text) => {
                                    live.push((seq, record_len(payload)));
                                    loaded.events.push((seq, text));
                                }
                                Err(_) => loaded.damaged += 1,
                            }
                        }
                        Kind::Acknowledged => {
                            for seq in payload.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)) {
                                loaded.next_seq = loaded.next_seq.max(seq.saturating_add(1));
                                acknowledged.push(seq);
                            }
                        }
                        Kind::NotBefore => {
                            if let Ok(wall_ms) = payload.try_into() {
                                let wall_ms = u64::from_le_bytes(wall_ms);
                                loaded.not_before_ms = Some(wall_ms);
                                self.not_before = Some((header.number, wall_ms));
                            }
                        }
                    }
                }
                Found::Damage { at, len } => {
                    let stretch = bytes.get(at..at + len).unwrap_or_default();
                    if last && at + len == bytes.len() && is_cut_short(stretch) {
                        torn = Some(at as u64);
                    } else {
                        loaded.damaged += 1;
                        bad.extend_from_slice(stretch);
                    }
                }
            }
        }
        // Of one that stands there twice the later one counts.
        live.reverse();
        live.sort_by_key(|(seq, _)| *seq);
        live.dedup_by_key(|(seq, _)| *seq);
        segment.set_live(live);
        let mended = if !bad.is_empty() {
            segment.bytes = whole.len() as u64;
            repair(&self.disk, &segment.path, &whole, &bad)
        } else if let Some(at) = torn {
            segment.bytes = at;
            cut(&self.disk, &segment.path, at)
        } else {
            Ok(())
        };
        if mended.is_err() {
            // On a full disk, say. What is whole in it was read; it is not written to again.
            segment.bytes = (bytes.len() as u64).max(self.segment_bytes);
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Appends entries with a single write. Nothing of them stands in the file if it fails.
    pub(super) fn append(&mut self, epoch: u64, entries: &[Entry]) -> io::Result<()> {
        let at = self.segment_for(epoch)?;
        let Some(segment) = self.segments.get_mut(at) else { return Err(io::ErrorKind::NotFound.into()) };
        let header = segment.header;
        let mut bytes = if segment.bytes == 0 { header.encode().to_vec() } else { Vec::new() };
        for entry in entries {
            match entry {
                Entry::Record { seq, text } => {
                    encode_record(&mut bytes, header, Kind::Event, *seq, text.as_bytes())
                }
                Entry::NotBefore(wall_ms) => {
                    encode_record(&mut bytes, header, Kind::NotBefore, 0, &wall_ms.to_le_bytes());
                }
            }
        }
        self.write(&bytes)?;
        let Some(segment) = self.segments.last_mut() else { return Ok(()) };
        for entry in entries {
            match entry {
                Entry::Record { seq, text } => {
                    if let Err(at) = segment.live.binary_search_by_key(seq, |(seq, _)| *seq) {
                        let bytes = record_len(text.as_bytes());
                        segment.live.insert(at, (*seq, bytes));
                        segment.live_bytes += bytes;
                    }
                }
                Entry::NotBefore(wall_ms) => self.not_before = Some((header.number, *wall_ms)),
            }
        }
        Ok(())
    }

    /// Notes that these, which stand in order, need no longer be kept, and deletes the segments in which nothing else
    /// stands.
    pub(super) fn acknowledge(&mut self, seqs: &[u64]) -> io::Result<()> {
        self.forget(seqs);
        let dropped = self.drop_finished();
        // Also where a segment could not be deleted: what stands in it would come again.
        let Some(last) = self.segments.last() else { return dropped };
        let mut payload = Vec::with_capacity(seqs.len() * 8);
        seqs.iter().for_each(|seq| payload.extend_from_slice(&seq.to_le_bytes()));
        let mut bytes = Vec::new();
        encode_record(&mut bytes, last.header, Kind::Acknowledged, 0, &payload);
        self.write(&bytes)
    }

    fn forget(&mut self, seqs: &[u64]) {
        self.segments.iter_mut().for_each(|segment| segment.forget(seqs));
    }

    /// Makes durable what was written.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            match (&mut self.writer, self.segments.last()) {
                (Some(file), _) => file.sync()?,
                // A write has failed, and the file was let go of; what stands in it counts even so.
                (None, Some(last)) if last.bytes > 0 => self.disk.open(&last.path, Mode::Append)?.sync()?,
                (None, _) => {}
            }
            self.unsynced = false;
        }
        Ok(())
    }

    /// Forgets the segments below an epoch; their files are gone already.
    pub(super) fn forget_before(&mut self, epoch: u64) {
        self.writer = None;
        self.segments.retain(|segment| segment.header.epoch >= epoch);
    }

    /// Whether nothing stands in it that must be kept.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Records that must be kept.
    pub(super) fn kept(&self) -> usize {
        self.segments.iter().map(|segment| segment.live.len()).sum()
    }

    /// Gives the folder up, and deletes it if nothing else stands in it. The caller holds the record lock.
    pub(super) fn close(self) -> io::Result<()> {
        let only_owner =
            queue_files(&self.disk, &self.folder)?.iter().all(|(_, kind)| *kind == QueueFile::Owner);
        if self.is_empty() && only_owner {
            remove_file(&self.disk, &layout::owner(&self.folder))?;
            // A file that is not ours keeps its folder.
            let _ = self.disk.remove_folder(&self.folder);
        }
        Ok(())
    }

    /// The index of a segment that takes records of this epoch.
    fn segment_for(&mut self, epoch: u64) -> io::Result<usize> {
        if let Some(last) = self.segments.last() {
            // Another process may have wiped it.
            let there = last.bytes == 0 || if_there(self.disk.len(&last.path))?.is_some();
            if there && last.header.epoch == epoch && last.bytes < self.segment_bytes {
                return Ok(self.segments.len() - 1);
            }
            if !there {
                self.segments.pop();
            }
            self.sync()?;
            self.writer = None;
        }
        let header = Header { epoch, number: self.next_number };
        let path = layout::segment(&self.folder, header.number);
        self.next_number = self.next_number.saturating_add(1);
        self.segments.push(Segment::new(path, header));
        Ok(self.segments.len() - 1)
    }

    /// Writes to the last segment, wholly or not at all.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(segment) = self.segments.last_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let result = append_to(&self.disk, &mut self.writer, segment, bytes);
        self.unsynced = true;
        if result.is_err() {
            // What a full disk has cut short must not stand between this record and the next.
            if let Some(mut file) = self.writer.take() {
                if segment.bytes == 0 {
                    let _ = remove_file(&self.disk, &segment.path);
                } else if file.set_len(segment.bytes).is_err() {
                    // It is not written to again.
                    segment.bytes = segment.bytes.max(self.segment_bytes);
                }
            }
            if segment.bytes == 0 {
                self.segments.pop();
            }
        }
        result
    }

    /// Deletes finished segments from the front. One in the middle stays: it may hold acknowledgements of earlier ones.
    fn drop_finished(&mut self) -> io::Result<()> {
        let anything_lives = self.segments.iter().any(|segment| !segment.live.is_empty());
        while let Some(first) = self.segments.first().filter(|first| first.live.is_empty()) {
            if anything_lives && self.not_before.is_some_and(|(number, _)| number == first.header.number) {
                // On a full disk it is lost: what is deleted makes room.
                let _ = self.carry_not_before();
            }
            let Some(first) = self.segments.first() else { break };
            remove_file(&self.disk, &first.path)?;
            self.segments.remove(0);
            if self.segments.is_empty() {
                self.writer = None;
            }
        }
        Ok(())
    }

    /// Writes the newest [`Kind::NotBefore`] to the last segment, if it stands in an earlier one that is to go.
    fn carry_not_before(&mut self) -> io::Result<()> {
        let (Some((number, wall_ms)), Some((last, earlier))) = (self.not_before, self.segments.split_last())
        else {
            return Ok(());
        };
        let header = last.header;
        let stands = |segment: &Segment| segment.header == Header { number, ..header };
        if !earlier.iter().any(stands) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        encode_record(&mut bytes, header, Kind::NotBefore, 0, &wall_ms.to_le_bytes());
        self.write(&bytes)?;
        self.not_before = Some((header.number, wall_ms));
        Ok(())
    }
}

/// The bytes of the segments in a folder, drafts included, which go when it is loaded. None where it cannot be looked into.
pub(super) fn stock(disk: &impl Disk, folder: &Path) -> u64 {
    let files = queue_files(disk, folder).unwrap_or_default().into_iter();
    let segments = files.filter(|(_, kind)| matches!(kind, QueueFile::Segment(_) | QueueFile::Draft));
    // One that is empty is to go, too.
    segments.map(|(path, _)| disk.len(&path).map_or(1, |len| len.max(1))).sum()
}

/// The bytes of a record with this payload.
fn record_len(payload: &[u8]) -> u64 {
    (RECORD_HEAD + payload.len()) as u64
}

/// Puts other content into a segment: all of it or nothing, whatever happens meanwhile.
fn replace(disk: &impl Disk, segment: &Path, whole: &[u8]) -> io::Result<()> {
    let draft = layout::draft(segment);
    let written = disk.open(&draft, Mode::Anew).and_then(|mut file| {
        file.write_all(whole)?;
        file.sync()?;
        disk.rename(&draft, segment)
    });
    if written.is_err() {
        let _ = remove_file(disk, &draft);
    }
    written?;
    sync_parent(disk, segment)
}

fn append_to<D: Disk>(
    disk: &D,
    writer: &mut Option<D::File>,
    segment: &mut Segment,
    bytes: &[u8],
) -> io::Result<()> {
    if writer.is_none() {
        let is_new = segment.bytes == 0;
        *writer = Some(disk.open(&segment.path, if is_new { Mode::AppendNew } else { Mode::Append })?);
        if is_new {
            sync_parent(disk, &segment.path)?;
        }
    }
    if let Some(file) = writer {
        file.write_all(bytes)?;
        segment.bytes += bytes.len() as u64;
    }
    Ok(())
}

fn sync_parent(disk: &impl Disk, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| disk.sync_folder(folder))
}

/// Whether these bytes are the beginning of a record whose rest was never written.
fn is_cut_short(bytes: &[u8]) -> bool {
    match bytes.first_chunk() {
        Some(len) => bytes.len() < RECORD_HEAD.saturating_add(u32::from_le_bytes(*len) as usize),
        None => true,
    }
}

/// Leaves a segment with its first bytes.
fn cut(disk: &impl Disk, segment: &Path, at: u64) -> io::Result<()> {
    let mut file = disk.open(segment, Mode::InPlace)?;
    file.set_len(at)?;
    file.sync()
}

/// Sets damaged bytes aside and leaves the segment without them.
fn repair(disk: &impl Disk, segment: &Path, whole: &[u8], bad: &[u8]) -> io::Result<()> {
    let mut aside = disk.open(&layout::aside(segment), Mode::AppendOrNew)?;
    aside.write_all(bad)?;
    aside.sync()?;
    replace(disk, segment, whole)
}
