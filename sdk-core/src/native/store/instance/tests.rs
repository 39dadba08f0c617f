//! Queues on real files.

use super::super::guarded::{Guarded, Touch};
use super::*;
use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("refrain-queue-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
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
fn what_is_delivered_is_noted_also_where_a_segment_cannot_be_deleted() {
    let folder = Folder::new();
    let (mut instance, _) = folder.open(1);
    for start in [1, 4] {
        instance.append(1, &events(start..start + 3, SEGMENT_BYTES as usize / 3)).unwrap();
    }
    let (first, elsewhere) = (layout::segment(&folder.0, 1), folder.0.join("elsewhere"));
    fs::rename(&first, &elsewhere).unwrap();
    fs::create_dir(&first).unwrap();
    instance.acknowledge(&[1, 2, 3]).unwrap();
    fs::remove_dir(&first).unwrap();
    fs::rename(&elsewhere, &first).unwrap();
    drop(instance);
    let (_instance, loaded) = folder.open(1);
    assert_eq!(loaded_seqs(&loaded), [4, 5, 6]);
}

#[test]
fn what_is_whole_is_read_also_where_damage_cannot_be_mended() {
    let folder = Folder::new();
    let (mut instance, _) = folder.open(1);
    instance.append(1, &events(1..4, 100)).unwrap();
    drop(instance);
    let segment = layout::segment(&folder.0, 1);
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let full = |touch: Touch<'_>| match touch {
        Touch::Look(_) => Ok(()),
        Touch::Change => Err(io::ErrorKind::StorageFull.into()),
    };
    let mut instance = Instance::claim(&Guarded(full), folder.0.clone()).unwrap().unwrap();
    let loaded = instance.load(1).unwrap();
    assert_eq!((loaded_seqs(&loaded), loaded.damaged), (vec![1, 3], 1));
    drop(instance);
    // With room again the next ones go to another segment, or it is mended.
    let (mut instance, loaded) = folder.open(1);
    assert_eq!(loaded_seqs(&loaded), [1, 3]);
    instance.append(1, &events(4..5, 100)).unwrap();
    drop(instance);
    assert_eq!(loaded_seqs(&folder.open(1).1), [1, 3, 4]);
}

#[test]
fn who_forgets_records_looks_only_where_they_may_stand() {
    let folder = Folder::new();
    let (mut instance, _) = folder.open(1);
    for start in [1, 11, 21, 31] {
        instance.append(1, &events(start..start + 10, SEGMENT_BYTES as usize / 10)).unwrap();
    }
    let concerned = |instance: &Instance, seqs: &[u64]| -> Vec<usize> {
        instance.segments.iter().map(|segment| segment.concerned(seqs).len()).collect()
    };
    assert_eq!(concerned(&instance, &[5]), [1, 0, 0, 0]);
    assert_eq!(concerned(&instance, &[9, 10, 11, 40]), [2, 1, 0, 1]);
    instance.acknowledge(&[19, 20, 21, 22]).unwrap();
    assert_eq!(concerned(&instance, &[19, 20, 21, 22, 23, 50]), [0, 0, 1, 0]);
    let kept: Vec<u64> = (1..19).chain(23..41).collect();
    let live = instance.segments.iter().flat_map(|segment| segment.live.iter().map(|(seq, _)| *seq));
    assert_eq!(live.collect::<Vec<_>>(), kept);
    let bytes = |segment: &Segment| segment.live.iter().map(|(_, bytes)| bytes).sum::<u64>();
    assert!(instance.segments.iter().all(|segment| segment.live_bytes == bytes(segment)));
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

const SHORT: u64 = 1 << 10;

/// Short segments: event 1 waits, one in ten of the others too, and the rest is delivered.
fn sparse<D: Disk>(disk: &D, folder: &Folder) -> (Instance<D>, Vec<u64>) {
    let mut instance = Instance::create(disk, folder.0.clone()).unwrap().with_segments_of(SHORT);
    instance.load(1).unwrap();
    instance.append(1, &[Entry::NotBefore(5)]).unwrap();
    for seq in 1..=60 {
        instance.append(1, &events(seq..seq + 1, 100)).unwrap();
        if seq % 10 != 1 {
            instance.acknowledge(&[seq]).unwrap();
        }
        if seq == 20 {
            instance.append(1, &[Entry::NotBefore(77), Entry::NotBefore(66)]).unwrap();
        }
    }
    assert!(instance.is_sparse());
    (instance, (1..60).step_by(10).collect())
}

fn bytes(folder: &Folder) -> u64 {
    let files = queue_files(&Files, &folder.0).unwrap().into_iter();
    files.map(|(path, _)| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_is_delivered_is_given_back_behind_a_record_that_waits() {
    let folder = Folder::new();
    let (mut instance, live) = sparse(&Files, &folder);
    let before = bytes(&folder);
    instance.compact(1);
    assert!(!instance.is_sparse() && instance.dead_bytes() == 0);
    assert!(bytes(&folder) < before / 4, "{before} before, {} after", bytes(&folder));
    instance.acknowledge(&live[2..3]).unwrap();
    drop(instance);
    let (instance, loaded) = folder.open(1);
    assert_eq!(loaded_seqs(&loaded), [&live[..2], &live[3..]].concat());
    assert_eq!((loaded.not_before_ms, loaded.damaged), (Some(66), 0));
    drop(instance);
}

#[test]
fn a_wait_outlives_the_segment_it_stood_in() {
    let folder = Folder::new();
    let (mut instance, _) = folder.open(1);
    let mut entries = events(1..2, SEGMENT_BYTES as usize);
    entries.push(Entry::NotBefore(77));
    instance.append(1, &entries).unwrap();
    instance.append(1, &events(2..3, 9)).unwrap();
    instance.acknowledge(&[1]).unwrap();
    assert_eq!(folder.segments(), 1);
    drop(instance);
    let (mut instance, loaded) = folder.open(1);
    assert_eq!((loaded_seqs(&loaded), loaded.not_before_ms), (vec![2], Some(77)));
    // It stands in the second of two that go at once.
    instance.append(1, &events(3..4, SEGMENT_BYTES as usize)).unwrap();
    instance.append(1, &[events(4..5, SEGMENT_BYTES as usize), vec![Entry::NotBefore(88)]].concat()).unwrap();
    instance.append(1, &events(5..6, 9)).unwrap();
    instance.acknowledge(&[2, 3, 4]).unwrap();
    drop(instance);
    let (mut instance, loaded) = folder.open(1);
    assert_eq!((loaded_seqs(&loaded), loaded.not_before_ms), (vec![5], Some(88)));
    instance.acknowledge(&[5]).unwrap();
    assert_eq!(folder.segments(), 0, "nothing is left to wait for");
}

#[test]
fn what_is_being_deleted_is_not_written_again() {
    let folder = Folder::new();
    let (mut instance, _) = sparse(&Files, &folder);
    let before = bytes(&folder);
    instance.compact(2);
    assert_eq!(bytes(&folder), before);
}

#[test]
fn damage_is_left_to_the_next_load() {
    let folder = Folder::new();
    let (mut instance, live) = sparse(&Files, &folder);
    let first = layout::segment(&folder.0, 1);
    let mut hurt = fs::read(&first).unwrap();
    *hurt.last_mut().unwrap() ^= 1;
    fs::write(&first, &hurt).unwrap();
    instance.compact(1);
    assert_eq!(fs::read(&first).unwrap(), hurt);
    assert!(!instance.is_sparse(), "it is not tried at every record");
    drop(instance);
    let (_instance, loaded) = folder.open(1);
    assert!(loaded.damaged == 1 && live.iter().all(|seq| loaded_seqs(&loaded).contains(seq)));
}

#[test]
fn a_kill_at_any_moment_of_a_compaction_costs_and_revives_nothing() {
    for steps in 0.. {
        let folder = Folder::new();
        let left = Rc::new(Cell::new(u32::MAX));
        let disk = mortal(left.clone());
        let (mut instance, live) = sparse(&disk, &folder);
        left.set(steps);
        instance.compact(1);
        let survived = left.get() > 0;
        drop(instance);
        let (instance, loaded) = folder.open(1);
        assert_eq!(loaded_seqs(&loaded), live, "killed after {steps} steps");
        assert_eq!((loaded.not_before_ms, loaded.damaged), (Some(66), 0));
        let drafts = queue_files(&Files, &folder.0).unwrap();
        assert!(drafts.iter().all(|(_, kind)| *kind != QueueFile::Draft));
        drop(instance);
        if survived {
            assert!(steps > 20, "only {steps} steps");
            return;
        }
    }
}

/// A disk on which a process makes so many changes, and is killed.
fn mortal(left: Rc<Cell<u32>>) -> Guarded<impl Fn(Touch<'_>) -> io::Result<()> + Clone> {
    Guarded(move |touch: Touch<'_>| {
        if let Touch::Change = touch {
            left.set(left.get().checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?);
        }
        Ok(())
    })
}

#[test]
fn c3_a_number_that_outgrows_its_digits_is_still_a_segment() {
    let folder = Folder::new();
    let (mut instance, _) = folder.open(1);
    instance.append(1, &events(1..2, 9)).unwrap();
    drop(instance);
    fs::rename(layout::segment(&folder.0, 1), layout::segment(&folder.0, 9_999_999_999_999_999)).unwrap();
    let (mut instance, loaded) = folder.open(1);
    // Its header has another number; the next one is counted from its name.
    instance.append(1, &events(loaded.next_seq..9, SEGMENT_BYTES as usize)).unwrap();
    instance.append(1, &events(9..10, 9)).unwrap();
    assert_eq!(folder.segments(), 2);
    drop(instance);
    assert_eq!(loaded_seqs(&folder.open(1).1), (1..10).collect::<Vec<_>>());
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
