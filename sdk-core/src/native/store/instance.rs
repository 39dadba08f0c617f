//! One queue on disk: an instance folder that this process owns, and its segments.

use super::disk::{Disk, DiskFile, Files, Hold, Mode, if_there};
use super::layout::{self, QueueFile, queue_files, remove_file};
use crate::engine::Entry;
use crate::journal::segment::{Found, HEADER_LEN, Header, Kind, Records, encode_record};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A segment that has grown to this is closed, and a new one begun.
pub(super) const SEGMENT_BYTES: u64 = 256 << 10;
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
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    header: Header,
    /// Events in it that must still be kept, in order.
    live: Vec<u64>,
    /// Its undamaged length.
    bytes: u64,
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
        }))
    }

    /// Whether nobody has deleted the folder.
    pub(super) fn is_there(&self) -> bool {
        self.disk.len(&layout::owner(&self.folder)).is_ok()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads everything of this epoch, repairs what is damaged, and deletes what is of another epoch, unread.
    pub(super) fn load(&mut self, epoch: u64) -> io::Result<Loaded> {
        self.writer = None;
        self.segments.clear();
        let mut loaded = Loaded { next_seq: 1, ..Default::default() };
        let mut acknowledged = Vec::new();
        let files: Vec<_> = queue_files(&self.disk, &self.folder)?
            .into_iter()
            .filter_map(
                |(path, kind)| {
                    if let QueueFile::Segment(number) = kind { Some((path, number)) } else { None }
                },
            )
            .collect();
        let last = files.last().map(|(_, number)| *number);
        for (path, number) in files {
            let bytes = self.disk.read(&path, u64::MAX)?;
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
        acknowledged.sort_unstable();
        // Of one that stands there twice the later one counts.
        loaded.events.reverse();
        loaded.events.sort_by_key(|(seq, _)| *seq);
        loaded.events.dedup_by_key(|(seq, _)| *seq);
        loaded.events.retain(|(seq, _)| acknowledged.binary_search(seq).is_err());
        self.forget(&acknowledged);
        self.drop_finished()?;
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
        let mut segment = Segment { path, header, live: Vec::new(), bytes: bytes.len() as u64 };
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
                                    segment.live.push(seq);
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
                                loaded.not_before_ms = Some(u64::from_le_bytes(wall_ms));
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
        segment.live.sort_unstable();
        segment.live.dedup();
        if !bad.is_empty() {
            segment.bytes = whole.len() as u64;
            repair(&self.disk, &segment.path, &whole, &bad)?;
        } else if let Some(at) = torn {
            segment.bytes = at;
            let mut file = self.disk.open(&segment.path, Mode::InPlace)?;
            file.set_len(at)?;
            file.sync()?;
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
            if let Entry::Record { seq, .. } = entry
                && let Err(at) = segment.live.binary_search(seq)
            {
                segment.live.insert(at, *seq);
            }
        }
        Ok(())
    }

    /// Notes that these, which stand in order, need no longer be kept, and deletes the segments in which nothing else
    /// stands.
    pub(super) fn acknowledge(&mut self, seqs: &[u64]) -> io::Result<()> {
        self.forget(seqs);
        self.drop_finished()?;
        let Some(last) = self.segments.last() else { return Ok(()) };
        let mut payload = Vec::with_capacity(seqs.len() * 8);
        seqs.iter().for_each(|seq| payload.extend_from_slice(&seq.to_le_bytes()));
        let mut bytes = Vec::new();
        encode_record(&mut bytes, last.header, Kind::Acknowledged, 0, &payload);
        self.write(&bytes)
    }

    fn forget(&mut self, seqs: &[u64]) {
        for segment in &mut self.segments {
            segment.live.retain(|seq| seqs.binary_search(seq).is_err());
        }
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
            if there && last.header.epoch == epoch && last.bytes < SEGMENT_BYTES {
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
        self.segments.push(Segment { path, header, live: Vec::new(), bytes: 0 });
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
                    segment.bytes = segment.bytes.max(SEGMENT_BYTES);
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
        while let Some(first) = self.segments.first() {
            if !first.live.is_empty() {
                break;
            }
            remove_file(&self.disk, &first.path)?;
            self.segments.remove(0);
            if self.segments.is_empty() {
                self.writer = None;
            }
        }
        Ok(())
    }
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

/// Sets damaged bytes aside and leaves the segment without them.
fn repair(disk: &impl Disk, segment: &Path, whole: &[u8], bad: &[u8]) -> io::Result<()> {
    let mut aside = disk.open(&layout::aside(segment), Mode::AppendOrNew)?;
    aside.write_all(bad)?;
    aside.sync()?;
    let repaired = segment.with_extension("log.tmp");
    let mut file = disk.open(&repaired, Mode::Anew)?;
    file.write_all(whole)?;
    file.sync()?;
    disk.rename(&repaired, segment)?;
    sync_parent(disk, segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let name =
                format!("refrain-queue-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            Self(std::env::temp_dir().join(name))
        }

        fn open(&self, epoch: u64) -> (Instance, Loaded) {
            let mut instance = Instance::create(&Files, self.0.clone()).unwrap();
            let loaded = instance.load(epoch).unwrap();
            (instance, loaded)
        }

        fn segments(&self) -> usize {
            queue_files(&Files, &self.0)
                .unwrap()
                .iter()
                .filter(|(_, k)| matches!(k, QueueFile::Segment(_)))
                .count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn events(seqs: std::ops::Range<u64>, bytes: usize) -> Vec<Entry> {
        seqs.map(|seq| Entry::Record { seq, text: "x".repeat(bytes).into() }).collect()
    }

    fn loaded_seqs(loaded: &Loaded) -> Vec<u64> {
        loaded.events.iter().map(|(seq, _)| *seq).collect()
    }

    #[test]
    fn acknowledgements_outlive_the_process_and_finished_segments_go() {
        let folder = Folder::new();
        let (mut instance, _) = folder.open(1);
        for start in [1, 4, 7] {
            instance.append(1, &events(start..start + 3, SEGMENT_BYTES as usize / 3)).unwrap();
        }
        assert_eq!(folder.segments(), 3);
        // The middle one is finished, and the first one half.
        instance.acknowledge(&[1, 4, 5, 6]).unwrap();
        assert_eq!(folder.segments(), 3);
        drop(instance);
        let (mut instance, loaded) = folder.open(1);
        assert_eq!(loaded_seqs(&loaded), [2, 3, 7, 8, 9]);
        assert_eq!(loaded.next_seq, 10);
        instance.acknowledge(&[2, 3]).unwrap();
        assert_eq!(folder.segments(), 1);
        instance.acknowledge(&[7, 8, 9]).unwrap();
        assert_eq!(folder.segments(), 0);
        instance.append(1, &events(10..11, 1)).unwrap();
        drop(instance);
        let (instance, loaded) = folder.open(1);
        assert_eq!(loaded_seqs(&loaded), [10]);
        drop(instance);
    }

    #[test]
    fn c6_segments_of_another_epoch_are_deleted_unread() {
        let folder = Folder::new();
        let (mut instance, _) = folder.open(1);
        instance.append(1, &events(1..3, 9)).unwrap();
        instance.append(2, &events(3..4, 9)).unwrap();
        instance.append(2, &[Entry::NotBefore(77)]).unwrap();
        assert_eq!(folder.segments(), 2);
        drop(instance);
        let (_instance, loaded) = folder.open(2);
        assert_eq!((loaded_seqs(&loaded), loaded.wiped, loaded.not_before_ms), (vec![3], 1, Some(77)));
        assert_eq!(folder.segments(), 1);
    }

    #[test]
    fn a_folder_has_one_owner() {
        let folder = Folder::new();
        let (instance, _) = folder.open(1);
        assert!(Instance::claim(&Files, folder.0.clone()).unwrap().is_none());
        assert!(instance.close().is_ok() && !folder.0.exists());
        assert!(folder.open(1).0.is_empty());
    }

    #[test]
    fn a_segment_that_somebody_has_deleted_is_not_written_to() {
        let folder = Folder::new();
        let (mut instance, _) = folder.open(1);
        instance.append(1, &events(1..2, 9)).unwrap();
        fs::remove_file(layout::segment(&folder.0, 1)).unwrap();
        instance.append(1, &events(2..3, 9)).unwrap();
        drop(instance);
        assert_eq!(loaded_seqs(&folder.open(1).1), [2]);
    }

    #[test]
    fn what_was_never_whole_is_cut_and_what_was_hurt_is_told_apart() {
        let mut record = Vec::new();
        encode_record(&mut record, Header { epoch: 1, number: 1 }, Kind::Event, 1, b"{}");
        assert_eq!(record.len(), RECORD_HEAD + 2);
        assert!((1..record.len()).all(|cut| is_cut_short(&record[..cut])));
        assert!(!is_cut_short(&record));
    }
}
