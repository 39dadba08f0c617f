//! Giving back the room that delivered records take behind one that waits.

use super::super::disk::{Disk, if_there};
use super::super::layout::remove_file;
use super::{Instance, Segment, record_len, replace, sync_parent};
use crate::journal::segment::{Found, HEADER_LEN, Kind, Records, encode_record};
use std::collections::BTreeMap;
use std::io;

/// Segments are written anew when so many times a segment's length could be given back.
const COMPACTED_SEGMENTS: u64 = 4;

impl<D: Disk> Instance<D> {
    /// The segments that are not written to any more.
    fn finished(&self) -> &[Segment] {
        self.segments.split_last().map_or(&[], |(_, finished)| finished)
    }

    /// Bytes in these that nobody needs.
    pub(super) fn dead_bytes(&self) -> u64 {
        self.finished().iter().map(Segment::dead_bytes).sum()
    }

    /// Whether what is delivered takes so much room behind a record that is not that [`Instance::compact`] is worth
    /// it. It writes less than it gives back.
    pub(in super::super) fn is_sparse(&self) -> bool {
        let live = self.finished().iter().map(|segment| segment.live_bytes).sum();
        self.dead_bytes() >= (COMPACTED_SEGMENTS * self.segment_bytes).max(live).max(self.retry_at)
    }

    /// Gives back the room of what need no longer be kept. The caller holds the sending lock, and data of epochs
    /// before this one is being deleted: it is not written again.
    pub(in super::super) fn compact(&mut self, before: u64) {
        let result = self.compact_finished(before);
        self.retry_at = match result {
            Ok(()) => 0,
            // The disk is full, or damaged where the next load will look. Not at every record again.
            Err(_) => self.dead_bytes() + COMPACTED_SEGMENTS * self.segment_bytes,
        };
    }

    /// Oldest first, and each durably before the next: that one may hold acknowledgements of those before it, which
    /// nobody needs once nothing dead stands there.
    fn compact_finished(&mut self, before: u64) -> io::Result<()> {
        if self.segments.iter().any(|segment| segment.header.epoch < before) {
            return Ok(());
        }
        self.carry_not_before()?;
        // It is durable before the one that is to go is gone.
        self.sync()?;
        let mut at = 0;
        while at < self.finished().len() {
            let Some(segment) = self.segments.get_mut(at) else { break };
            let kept = match segment.live.is_empty() {
                true => remove_file(&self.disk, &segment.path).map(|_| false)?,
                false if segment.dead_bytes() > 0 => rewrite(&self.disk, segment)?,
                false => true,
            };
            if kept {
                at += 1;
            } else {
                sync_parent(&self.disk, &segment.path)?;
                self.segments.remove(at);
            }
        }
        Ok(())
    }
}

/// Leaves a segment with the events in it that must be kept, and nothing else; `false` if somebody has deleted it.
fn rewrite(disk: &impl Disk, segment: &mut Segment) -> io::Result<bool> {
    let Some(bytes) = if_there(disk.read(&segment.path, segment.bytes.saturating_add(1)))? else {
        return Ok(false);
    };
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let records = Records::new(&bytes).filter(|records| records.header() == segment.header);
    let mut read = HEADER_LEN as u64;
    // Of one that stands there twice the later one counts.
    let mut kept = BTreeMap::new();
    for found in records.ok_or_else(damaged)? {
        let Found::Record { kind, seq, payload } = found else { return Err(damaged()) };
        read += record_len(payload);
        if kind == Kind::Event && segment.live.binary_search_by_key(&seq, |(seq, _)| *seq).is_ok() {
            kept.insert(seq, payload);
        }
    }
    // A later version has written what is skipped here, or somebody else has been at work.
    if read != bytes.len() as u64 || kept.len() != segment.live.len() {
        return Err(damaged());
    }
    let mut whole = segment.header.encode().to_vec();
    kept.iter().for_each(|(seq, payload)| {
        encode_record(&mut whole, segment.header, Kind::Event, *seq, payload);
    });
    replace(disk, &segment.path, &whole)?;
    segment.bytes = whole.len() as u64;
    segment.set_live(kept.iter().map(|(seq, payload)| (*seq, record_len(payload))).collect());
    Ok(true)
}
