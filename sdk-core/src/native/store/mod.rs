//! The file store: one effect after the other, as the engine asks. It holds no decision.

mod fault;
mod instance;
mod layout;
mod lock;
mod record;
mod wipe;

pub(super) use layout::Layout;
pub(super) use lock::Lock;

use crate::engine::{
    Amendment, ConsentState, Done, Entry, Item, Permit, RecordId, RecordName, RecordRead, Recovered,
    RecoveredRecord, StoreFault, WipeScope,
};
use fault::fault;
use instance::{Instance, SEGMENT_BYTES};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

/// How long a fence waits for those who hold the sending lock (C5).
const FENCE: Duration = Duration::from_secs(5);

/// What a sender needs: the record as it reads now, and the lock that a fence waits for. `None`: no data folder.
#[derive(Debug, Clone)]
pub(super) struct Ledger(Option<Layout>);

impl Ledger {
    pub(super) fn new(layout: Option<Layout>) -> Self {
        Self(layout)
    }

    /// The paths; `None` without a data folder.
    pub(super) fn layout(&self) -> Option<&Layout> {
        self.0.as_ref()
    }

    /// Everything of this project in the folder; nothing if it cannot be listed.
    pub(super) fn items(&self) -> Vec<Item> {
        let listed = self.0.as_ref().map(|layout| wipe::list(layout, &[], WipeScope::Store));
        listed.and_then(Result::ok).unwrap_or_default()
    }

    /// A record as it reads now.
    pub(super) fn read(&self, name: RecordName) -> RecordRead {
        self.0.as_ref().map_or(RecordRead::Unreadable, |layout| record::read(layout, name))
    }

    /// Takes the sending lock together with others, then reads the consent record.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if a fence is not over in time.
    pub(super) fn enter(&self) -> io::Result<(Option<Lock>, RecordRead)> {
        let Some(layout) = &self.0 else { return Ok((None, RecordRead::Unreadable)) };
        let held = match Lock::shared(&layout.sending_lock(), FENCE) {
            Ok(held) => Some(held),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
            // Where no lock can be made, no withdrawal can be written either: the record read next says all.
            Err(_) => Lock::shared_if_there(&layout.sending_lock(), FENCE).unwrap_or_default(),
        };
        let read = record::read(layout, RecordName::Consent);
        Ok((held, read))
    }
}

/// The store of one client.
#[derive(Debug)]
pub(super) struct Store {
    ledger: Ledger,
    own: Option<Instance>,
    adopted: BTreeMap<u32, Instance>,
    last_queue: u32,
    /// Of the last wipe: a list names what it was about.
    scope: WipeScope,
    /// For the name of a new instance folder.
    instance_id: [u8; 8],
    /// The records as this process has last seen them.
    seen: [Option<RecordRead>; 2],
}

impl Store {
    pub(super) fn new(ledger: Ledger, instance_id: [u8; 8]) -> Self {
        Self {
            ledger,
            own: None,
            adopted: BTreeMap::new(),
            last_queue: 0,
            scope: WipeScope::Store,
            instance_id,
            seen: [None, None],
        }
    }

    /// Looks, and changes nothing.
    pub(super) fn open(&mut self) -> Done {
        let consent = self.ledger.read(RecordName::Consent);
        let identity = self.ledger.read(RecordName::Identity);
        let data = self.ledger.layout().is_some_and(|layout| wipe::has_data(layout).unwrap_or(true));
        self.seen = [Some(consent.clone()), Some(identity.clone())];
        Done::Opened { consent, identity, data }
    }

    /// The records that somebody else has changed since they were last seen here. Nothing before [`Store::open`].
    pub(super) fn changes(&mut self) -> Vec<(RecordName, RecordRead)> {
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

    pub(super) fn amend(&mut self, amendment: Amendment) -> Done {
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
    pub(super) fn append(&mut self, permits: Vec<Permit<Entry>>) -> Vec<Done> {
        let count = permits.len();
        if self.ledger.layout().is_none() {
            return (0..count).map(|_| Done::Failed(StoreFault::Absent)).collect();
        }
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
                    if epoch != chunk.0 || chunk.1 as u64 >= SEGMENT_BYTES {
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
    fn own_instance(&mut self) -> io::Result<&mut Instance> {
        if self.own.as_ref().is_some_and(|own| !layout::owner(own.folder()).exists()) {
            self.own = None;
        }
        match &mut self.own {
            Some(own) => Ok(own),
            none => {
                let Some(layout) = self.ledger.layout() else { return Err(io::ErrorKind::NotFound.into()) };
                let _held = record::lock(layout)?;
                Ok(none.insert(Instance::create(layout.instance(self.instance_id))?))
            }
        }
    }

    pub(super) fn acknowledge(&mut self, records: &[RecordId]) -> Done {
        if self.ledger.layout().is_none() {
            return Done::Failed(StoreFault::Absent);
        }
        let mut queues: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for record in records {
            queues.entry(record.queue).or_default().insert(record.seq);
        }
        let mut result = Ok(());
        for (queue, seqs) in queues {
            let instance = if queue == 0 { self.own.as_mut() } else { self.adopted.get_mut(&queue) };
            if let Some(instance) = instance {
                result = result.and(instance.acknowledge(&seqs));
            }
        }
        done(&result.and(self.release_adopted()))
    }

    /// Makes durable what was written.
    pub(super) fn sync(&mut self) -> Done {
        if self.ledger.layout().is_none() {
            return Done::Failed(StoreFault::Absent);
        }
        let instances = self.own.iter_mut().chain(self.adopted.values_mut());
        done(&instances.map(Instance::sync).fold(Ok(()), io::Result::and))
    }

    /// Records that stand in the queues.
    pub(super) fn kept(&self) -> usize {
        self.own.iter().chain(self.adopted.values()).map(Instance::kept).sum()
    }

    /// Waits until nobody writes or sends any more on a permit that was redeemed before.
    pub(super) fn fence(&mut self) -> Done {
        let Some(layout) = self.ledger.layout() else { return Done::Failed(StoreFault::Absent) };
        match Lock::exclusive_if_there(&layout.sending_lock(), FENCE) {
            Ok(_) => Done::Stored,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Done::Unfenced(wipe::senders(layout)),
            Err(error) => Done::Failed(fault(&error)),
        }
    }

    /// Takes over the queue of this epoch, our own and what has no owner any more.
    pub(super) fn recover(&mut self, epoch: u64) -> Done {
        let result = self.claim_orphans().and_then(|()| self.load(epoch));
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
        let _held = record::lock(layout)?;
        for folder in folders {
            let ours = |instance: &Instance| instance.folder() == folder;
            if self.own.as_ref().is_some_and(ours) || self.adopted.values().any(ours) || !folder.is_dir() {
                continue;
            }
            if let Some(instance) = Instance::claim(folder)? {
                if self.own.is_none() {
                    self.own = Some(instance);
                } else {
                    self.last_queue += 1;
                    self.adopted.insert(self.last_queue, instance);
                }
            }
        }
        Ok(())
    }

    fn load(&mut self, epoch: u64) -> io::Result<Recovered> {
        let mut recovered = Recovered { next_seq: 1, ..Default::default() };
        let adopted = self.adopted.iter_mut().map(|(queue, instance)| (*queue, instance));
        for (queue, instance) in self.own.iter_mut().map(|own| (0, own)).chain(adopted) {
            let loaded = instance.load(epoch)?;
            if queue == 0 {
                recovered.next_seq = loaded.next_seq;
            }
            let id = |seq| RecordId { queue, seq };
            let records = loaded.events.into_iter();
            recovered.records.extend(records.map(|(seq, text)| RecoveredRecord {
                id: id(seq),
                text,
                adopted: queue != 0,
            }));
            recovered.not_before_ms = recovered.not_before_ms.max(loaded.not_before_ms);
            recovered.damaged += loaded.damaged;
            recovered.wiped += loaded.wiped;
        }
        self.release_adopted()?;
        Ok(recovered)
    }

    /// Deletes adopted folders in which nothing is left.
    fn release_adopted(&mut self) -> io::Result<()> {
        let empty: Vec<u32> =
            self.adopted.iter().filter(|(_, i)| i.is_empty()).map(|(queue, _)| *queue).collect();
        if let (false, Some(layout)) = (empty.is_empty(), self.ledger.layout()) {
            let _held = record::lock_if_there(layout)?;
            for queue in empty {
                self.adopted.remove(&queue).map_or(Ok(()), Instance::close)?;
            }
        }
        Ok(())
    }

    /// Deletes the data of older epochs.
    pub(super) fn wipe(&mut self, before: u64, scope: WipeScope) -> Done {
        let Some(layout) = self.ledger.layout() else { return Done::Failed(StoreFault::Absent) };
        self.scope = scope;
        let adopted = std::mem::take(&mut self.adopted);
        let ours: Vec<Instance> = self.own.take().into_iter().chain(adopted.into_values()).collect();
        let result = wipe::wipe(layout, &ours, before, scope);
        for mut instance in ours {
            instance.forget_before(before);
            if instance.is_empty() {
                // What could not be deleted keeps the folder; the list that follows names it.
                let _ = record::lock_if_there(layout).and_then(|_held| instance.close());
            } else if self.own.is_none() {
                self.own = Some(instance);
            } else {
                self.last_queue += 1;
                self.adopted.insert(self.last_queue, instance);
            }
        }
        wipe::remove_empty_queue(layout);
        let [_, identity] = &mut self.seen;
        if identity.is_some() {
            *identity = Some(record::read(layout, RecordName::Identity));
        }
        match result {
            Ok(items) => Done::Wiped { items },
            Err(error) => Done::Failed(fault(&error)),
        }
    }

    /// Names what is left, as the last wipe saw it.
    pub(super) fn list(&self) -> Done {
        let Some(layout) = self.ledger.layout() else { return Done::Failed(StoreFault::Absent) };
        let ours: Vec<_> = self.own.iter().chain(self.adopted.values()).map(Instance::folder).collect();
        match wipe::list(layout, &ours, self.scope) {
            Ok(items) => Done::Listed(items),
            Err(error) => Done::Failed(fault(&error)),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.sync();
        let Some(layout) = self.ledger.layout() else { return };
        if let Ok(_held) = record::lock_if_there(layout) {
            for instance in self.own.take().into_iter().chain(std::mem::take(&mut self.adopted).into_values())
            {
                let _ = instance.close();
            }
        }
        wipe::remove_empty_queue(layout);
    }
}

fn done(result: &io::Result<()>) -> Done {
    match result {
        Ok(()) => Done::Stored,
        Err(error) => Done::Failed(fault(error)),
    }
}
