//! The file store: one effect after the other, as the engine asks. It holds no decision.

mod disk;
mod fault;
mod flock;
#[cfg(test)]
mod guarded;
mod instance;
mod layout;
mod record;
#[cfg(test)]
mod tests;
mod wipe;

pub use disk::{Disk, FileLock, Files, Hold};
#[cfg(feature = "simulation")]
pub use disk::{DiskFile, Mode};
pub use layout::Layout;
pub use wipe::Listing;

use crate::engine::{
    Amendment, ConsentState, Done, Entry, Permit, RecordId, RecordName, RecordRead, Recovered,
    RecoveredRecord, StoreFault, WipeScope, captured_ms, wipe_before,
};
use disk::if_there;
use fault::fault;
use instance::{Instance, Loaded};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How long a fence waits for those who hold the sending lock (C5).
pub const FENCE: Duration = Duration::from_secs(5);
/// Queues of others that are taken over at a time. Each costs open files, of which a process may have few.
const ADOPTED: usize = 64;

/// What a sender needs: the record as it reads now, and the lock that a fence waits for. `None`: no data folder.
#[derive(Debug, Clone)]
pub struct Ledger<D: Disk = Files>(Option<Layout<D>>);

impl<D: Disk> Ledger<D> {
    /// The ledger of a data folder.
    pub fn new(layout: Option<Layout<D>>) -> Self {
        Self(layout)
    }

    /// The paths; `None` without a data folder.
    fn layout(&self) -> Option<&Layout<D>> {
        self.0.as_ref()
    }

    /// Everything of this project in the folder, as far as it can be listed.
    pub fn listing(&self) -> Listing {
        self.0.as_ref().map(|layout| wipe::list(layout, &[], WipeScope::Store)).unwrap_or_default()
    }

    /// A record as it reads now.
    pub fn read(&self, name: RecordName) -> RecordRead {
        self.0.as_ref().map_or(RecordRead::Unreadable, |layout| record::read(layout, name))
    }

    /// Takes the sending lock together with others, then reads the consent record.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if a fence is not over in time; or there is no file descriptor to spare.
    pub fn enter(&self) -> io::Result<(Option<D::Lock>, RecordRead)> {
        let Some(layout) = &self.0 else { return Ok((None, RecordRead::Unreadable)) };
        let held = together(|make| layout.disk.lock(&layout.sending_lock(), Hold::Shared, make, FENCE))?;
        let read = record::read(layout, RecordName::Consent);
        Ok((held, read))
    }

    /// Takes the outbox's lock, which one process has at a time: until the record tells of the answer, so that nobody else
    /// asks for the same. A profile's deletion must not arrive a second time, when there may be a new one (C12).
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if another process has it. Where none can be had, one asks without.
    pub fn ask(&self) -> io::Result<Option<D::Lock>> {
        let Some(layout) = &self.0 else { return Ok(None) };
        match layout.disk.lock(&layout.outbox_lock(), Hold::Exclusive, true, Duration::ZERO) {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => Ok(None),
            held => held.map(Some),
        }
    }
}

/// The store of one client.
#[derive(Debug)]
pub struct Store<D: Disk = Files> {
    ledger: Ledger<D>,
    own: Option<Instance<D>>,
    /// Bytes of segments that may be taken over, our own included. The engine would drop what is more, and all of it
    /// would stand in memory before.
    room: u64,
    /// By the number of their queue, ascending.
    adopted: Vec<(u32, Instance<D>)>,
    last_queue: u32,
    /// Of the last wipe: a list names what it was about.
    scope: WipeScope,
    /// For the name of a new instance folder.
    instance_id: [u8; 8],
    /// The records as this process has last seen them.
    seen: [Option<RecordRead>; 2],
}

impl<D: Disk> Store<D> {
    /// The store of a client whose queue's folder has this id in its name.
    pub fn new(ledger: Ledger<D>, instance_id: [u8; 8]) -> Self {
        Self {
            ledger,
            own: None,
            room: u64::MAX,
            adopted: Vec::new(),
            last_queue: 0,
            scope: WipeScope::Store,
            instance_id,
            seen: [None, None],
        }
    }

    /// With a limit to what is taken over of others, in bytes.
    pub fn with_room(mut self, bytes: u64) -> Self {
        self.room = bytes;
        self
    }

    /// Looks, and changes nothing.
    pub fn open(&mut self) -> Done {
        let consent = self.ledger.read(RecordName::Consent);
        let identity = self.ledger.read(RecordName::Identity);
        let data = self.ledger.layout().is_some_and(|layout| wipe::has_data(layout).unwrap_or(true));
        let [_, seen] = &mut self.seen;
        // Of a later look the engine takes the consent record only: what is new in this one is for [`Store::changes`] to tell.
        let seen = seen.take().or_else(|| Some(identity.clone()));
        self.seen = [Some(consent.clone()), seen];
        Done::Opened { consent, identity, data }
    }

    /// The records that somebody else has changed since they were last seen here. Nothing before [`Store::open`].
    pub fn changes(&mut self) -> Vec<(RecordName, RecordRead)> {
        let mut changes = Vec::new();
        for (name, seen) in [RecordName::Consent, RecordName::Identity].into_iter().zip(&mut self.seen) {
            let Some(seen) = seen else { continue };
            let read = self.ledger.read(name);
            if *seen != read {
                seen.clone_from(&read);
                changes.push((name, read));
            }
        }
        changes
    }

    /// Whether there is a data folder.
    pub fn has_folder(&self) -> bool {
        self.ledger.layout().is_some()
    }

    /// Applies an amendment under the lock, durably.
    pub fn amend(&mut self, amendment: Amendment) -> Done {
        let Some(layout) = self.ledger.layout() else { return Done::Failed(StoreFault::Absent) };
        let name = amendment.record();
        let done = record::amend(layout, amendment);
        if let Done::Amended { read, .. } = &done {
            let [consent, identity] = &mut self.seen;
            *(match name {
                RecordName::Consent => consent,
                RecordName::Identity => identity,
            }) = Some(read.clone());
        }
        done
    }

    /// Redeems permits against the record as it reads now, and appends what they give out: one write for as many
    /// as fit into a segment. One answer for each permit, in order.
    pub fn append(&mut self, permits: Vec<Permit<Entry>>) -> Vec<Done> {
        let count = permits.len();
        let Some(layout) = self.ledger.layout() else {
            return (0..count).map(|_| Done::Failed(StoreFault::Absent)).collect();
        };
        let most = layout.segment_bytes;
        let (_held, read) = match self.ledger.enter() {
            Ok(entered) => entered,
            Err(error) => return (0..count).map(|_| Done::Failed(fault(&error))).collect(),
        };
        let state = ConsentState::of(&read);
        let mut answers = Vec::with_capacity(count);
        let mut chunk: (u64, usize, Vec<Entry>) = Default::default();
        for permit in permits {
            let epoch = permit.epoch();
            match permit.redeem(&state) {
                Ok(entry) => {
                    if epoch != chunk.0 || chunk.1 as u64 >= most {
                        self.write(&mut chunk, &mut answers);
                    }
                    chunk.0 = epoch;
                    chunk.1 += if let Entry::Record { text, .. } = &entry { text.len() + 32 } else { 32 };
                    chunk.2.push(entry);
                }
                Err(_) => {
                    self.write(&mut chunk, &mut answers);
                    answers.push(Done::Refused(read.clone()));
                }
            }
        }
        self.write(&mut chunk, &mut answers);
        self.compact(&read);
        answers
    }

    fn write(&mut self, chunk: &mut (u64, usize, Vec<Entry>), answers: &mut Vec<Done>) {
        let (epoch, _, entries) = std::mem::take(chunk);
        if !entries.is_empty() {
            let result = self.own_instance().and_then(|own| own.append(epoch, &entries));
            answers.extend(entries.iter().map(|_| done(&result)));
        }
    }

    /// Our own folder, made when it is first needed, and made again if somebody has deleted it.
    fn own_instance(&mut self) -> io::Result<&mut Instance<D>> {
        if self.own.as_ref().is_some_and(|own| !own.is_there()) {
            self.own = None;
        }
        match &mut self.own {
            Some(own) => Ok(own),
            none => {
                let Some(layout) = self.ledger.layout() else { return Err(io::ErrorKind::NotFound.into()) };
                let _held = record::lock(layout)?;
                let own = Instance::create(&layout.disk, layout.instance(self.instance_id))?;
                Ok(none.insert(own.with_segments_of(layout.segment_bytes)))
            }
        }
    }

    /// Notes that these need no longer be kept.
    pub fn acknowledge(&mut self, records: &[RecordId]) -> Done {
        if self.ledger.layout().is_none() {
            return Done::Failed(StoreFault::Absent);
        }
        let mut result = Ok(());
        let own = self.own.iter_mut().map(|own| (0, own));
        for (queue, instance) in own.chain(self.adopted.iter_mut().map(|(queue, it)| (*queue, it))) {
            let here = records.iter().filter(|record| record.queue == queue);
            let mut seqs: Vec<u64> = here.map(|record| record.seq).collect();
            seqs.sort_unstable();
            seqs.dedup();
            if !seqs.is_empty() {
                result = result.and(instance.acknowledge(&seqs));
            }
        }
        let result = result.and(self.release_adopted());
        if self.instances().any(Instance::is_sparse)
            && let Ok((_held, read)) = self.ledger.enter()
        {
            self.compact(&read);
        }
        done(&result)
    }

    /// Gives back the room of what is delivered, where it has become much. The caller holds the sending lock and has
    /// read the record under it: what a withdrawal deletes must not be written again behind its back.
    fn compact(&mut self, consent: &RecordRead) {
        let Some(before) = wipe_before(None, consent) else { return };
        let instances = self.own.iter_mut().chain(self.adopted.iter_mut().map(|(_, instance)| instance));
        instances.filter(|instance| instance.is_sparse()).for_each(|instance| instance.compact(before));
    }

    fn instances(&self) -> impl Iterator<Item = &Instance<D>> {
        self.own.iter().chain(self.adopted.iter().map(|(_, instance)| instance))
    }

    /// Makes durable what was written.
    pub fn sync(&mut self) -> Done {
        if self.ledger.layout().is_none() {
            return Done::Failed(StoreFault::Absent);
        }
        let instances = self.own.iter_mut().chain(self.adopted.iter_mut().map(|(_, instance)| instance));
        done(&instances.map(Instance::sync).fold(Ok(()), io::Result::and))
    }

    /// Records that stand in the queues.
    pub fn kept(&self) -> usize {
        self.instances().map(Instance::kept).sum()
    }

    /// Waits until nobody writes or sends any more on a permit that was redeemed before.
    pub fn fence(&mut self) -> Done {
        let Some(layout) = self.ledger.layout() else { return Done::Failed(StoreFault::Absent) };
        let alone = layout.disk.lock(&layout.sending_lock(), Hold::Exclusive, false, FENCE);
        match if_there(alone) {
            Ok(_) => Done::Stored,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Done::Unfenced(wipe::senders(layout)),
            Err(_) => Done::Unfenced(layout.name(&layout.sending_lock()) + " cannot be locked"),
        }
    }

    /// Takes over the queue of this epoch, our own and what has no owner any more. Where somebody has meanwhile withdrawn,
    /// nothing is there to be taken over: what a withdrawal deletes must not be repaired, and so written again, behind
    /// its back (C4).
    pub fn recover(&mut self, epoch: u64) -> Done {
        let (_held, read) = match self.ledger.enter() {
            Ok(entered) => entered,
            Err(error) => return Done::Failed(fault(&error)),
        };
        if wipe_before(None, &read).is_some_and(|before| before > epoch) {
            return Done::Recovered(Recovered::default());
        }
        let claimed = self.claim_orphans();
        // Also where nothing is recorded yet: whoever purges for its own sake alone sees by it that somebody lives here who
        // may have an identity (C9).
        let _ = self.own_instance();
        let result = claimed.and_then(|()| self.load(epoch));
        match result {
            Ok(recovered) => Done::Recovered(recovered),
            Err(error) => Done::Failed(fault(&error)),
        }
    }

    fn claim_orphans(&mut self) -> io::Result<()> {
        let Some(layout) = self.ledger.layout() else { return Ok(()) };
        let folders = layout.instances()?;
        if folders.is_empty() {
            return Ok(());
        }
        let (disk, _held) = (layout.disk.clone(), record::lock(layout)?);
        let mut taken: u64 = self.instances().map(|ours| instance::stock(&disk, ours.folder())).sum();
        for folder in folders {
            // The rest is for the next start: by then these are empty and gone.
            if self.adopted.len() >= ADOPTED {
                break;
            }
            if self.instances().any(|instance| instance.folder() == folder) {
                continue;
            }
            let stock = instance::stock(&disk, &folder);
            if stock == 0 {
                // It takes nobody's place: what is set aside in it, or not ours, may stay there for ever.
                let _ = Instance::clear(&disk, folder);
            } else if taken == 0 || taken.saturating_add(stock) <= self.room {
                let before = self.instances().count();
                // One that cannot be taken over keeps nobody from the others.
                let _ = self.claim(folder);
                taken += stock * (self.instances().count() - before) as u64;
            }
        }
        Ok(())
    }

    /// Takes over a folder whose owner is gone: as our own, if we have none.
    fn claim(&mut self, folder: PathBuf) -> io::Result<()> {
        let Some(layout) = self.ledger.layout() else { return Ok(()) };
        if let Some(instance) = Instance::claim(&layout.disk, folder)? {
            let instance = instance.with_segments_of(layout.segment_bytes);
            if self.own.is_none() {
                self.own = Some(instance);
            } else {
                self.last_queue += 1;
                self.adopted.push((self.last_queue, instance));
            }
        }
        Ok(())
    }

    fn load(&mut self, epoch: u64) -> io::Result<Recovered> {
        let mut recovered = Recovered::default();
        let mut records = Vec::new();
        let mut add = |queue, loaded: Loaded| {
            // What came later in a queue stays behind, whatever a clock said.
            let mut since = 0;
            for (seq, text) in loaded.events {
                since = since.max(captured_ms(&text).unwrap_or_default());
                let id = RecordId { queue, seq };
                records.push((since, RecoveredRecord { id, text, adopted: queue != 0 }));
            }
            recovered.not_before_ms = recovered.not_before_ms.max(loaded.not_before_ms);
            recovered.damaged += loaded.damaged;
            recovered.wiped += loaded.wiped;
        };
        let mut next_seq = 1;
        match self.own.as_mut().map(|own| own.load(epoch)) {
            Some(Ok(loaded)) => {
                next_seq = loaded.next_seq;
                add(0, loaded);
            }
            Some(Err(error)) if self.has_begun() || record::is_out_of_descriptors(&error) => {
                return Err(error);
            }
            // Somebody else's, of which a part cannot be read, is no place to write to. It stays for a later start.
            Some(Err(_)) => self.own = None,
            None => {}
        }
        // One that cannot be read is let go of.
        self.adopted
            .retain_mut(|(queue, instance)| instance.load(epoch).map(|loaded| add(*queue, loaded)).is_ok());
        recovered.next_seq = next_seq;
        // Of several queues, what was captured first goes first: what a profile says in the end depends on it (SPEC §9).
        records.sort_by_key(|(since, _)| *since);
        recovered.records = records.into_iter().map(|(_, record)| record).collect();
        // A folder that cannot be deleted is for the next start, too.
        let _ = self.release_adopted();
        if self.own.is_none() {
            let _ = self.own_instance();
        }
        Ok(recovered)
    }

    /// Whether our own folder is one that was made here: numbers may be under way that it has not been told yet.
    fn has_begun(&self) -> bool {
        let made = self.ledger.layout().map(|layout| layout.instance(self.instance_id));
        self.own.as_ref().map(Instance::folder) == made.as_deref()
    }

    /// Deletes adopted folders in which nothing is left.
    fn release_adopted(&mut self) -> io::Result<()> {
        if !self.adopted.iter().any(|(_, instance)| instance.is_empty()) {
            return Ok(());
        }
        let Some(layout) = self.ledger.layout() else { return Ok(()) };
        let _held = record::lock_if_there(layout)?;
        let (empty, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.adopted).into_iter().partition(|(_, instance)| instance.is_empty());
        self.adopted = rest;
        empty.into_iter().try_for_each(|(_, instance)| instance.close())
    }

    /// Deletes the data of older epochs.
    pub fn wipe(&mut self, before: Option<u64>, scope: WipeScope) -> Done {
        let Some(layout) = self.ledger.layout() else { return Done::Failed(StoreFault::Absent) };
        self.scope = scope;
        let adopted = std::mem::take(&mut self.adopted);
        let adopted = adopted.into_iter().map(|(_, instance)| instance);
        let ours: Vec<Instance<D>> = self.own.take().into_iter().chain(adopted).collect();
        let result = wipe::wipe(layout, &ours, before, scope);
        for mut instance in ours {
            instance.forget_before(result.as_ref().map_or(before, |(_, before)| Some(*before)).unwrap_or(0));
            if instance.is_empty() {
                // What could not be deleted keeps the folder; the list that follows names it.
                let _ = record::lock_if_there(layout).and_then(|_held| instance.close());
            } else if self.own.is_none() {
                self.own = Some(instance);
            } else {
                self.last_queue += 1;
                self.adopted.push((self.last_queue, instance));
            }
        }
        wipe::remove_empty_queue(layout);
        let [_, identity] = &mut self.seen;
        if identity.is_some() {
            *identity = Some(record::read(layout, RecordName::Identity));
        }
        match result {
            Ok((items, before)) => Done::Wiped { items, before },
            Err(error) => Done::Failed(fault(&error)),
        }
    }

    /// Names what is left, as the last wipe saw it.
    pub fn list(&self) -> Done {
        let Some(layout) = self.ledger.layout() else { return Done::Failed(StoreFault::Absent) };
        let ours: Vec<_> = self.instances().map(Instance::folder).collect();
        Done::Listed(wipe::list(layout, &ours, self.scope).suspicious())
    }
}

impl<D: Disk> Drop for Store<D> {
    fn drop(&mut self) {
        let _ = self.sync();
        let Some(layout) = self.ledger.layout() else { return };
        if let Ok(_held) = record::lock_if_there(layout) {
            let adopted = std::mem::take(&mut self.adopted).into_iter().map(|(_, instance)| instance);
            for instance in self.own.take().into_iter().chain(adopted) {
                let _ = instance.close();
            }
        }
        wipe::remove_empty_queue(layout);
    }
}

/// A lock that others share, made if it is not there. `None` where none can be made: no withdrawal can be written there
/// either, and the record that is read next says all. Who is out of descriptors cannot say that of others, nor who may not
/// open one that is there: somebody else may withdraw under it.
fn together<L>(lock: impl Fn(bool) -> io::Result<L>) -> io::Result<Option<L>> {
    let passes =
        |error: &io::Error| error.kind() == io::ErrorKind::TimedOut || record::is_out_of_descriptors(error);
    let made = lock(true).map(Some);
    let found = if made.as_ref().is_err_and(|error| !passes(error)) { if_there(lock(false)) } else { made };
    let is_anothers = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    found.or_else(|error| if passes(&error) || is_anothers(&error) { Err(error) } else { Ok(None) })
}

fn done(result: &io::Result<()>) -> Done {
    match result {
        Ok(()) => Done::Stored,
        Err(error) => Done::Failed(fault(error)),
    }
}
