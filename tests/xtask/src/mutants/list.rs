//! The faults. Each names what it breaks; the text that it replaces stands in its file exactly once.

/// A deliberate fault.
pub struct Mutant {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong with it.
    pub fault: &'static str,
    pub edits: &'static [Edit],
}

/// A piece of source, and what takes its place.
pub struct Edit {
    pub file: &'static str,
    pub find: &'static str,
    pub replace: &'static str,
}

const fn edit(file: &'static str, find: &'static str, replace: &'static str) -> Edit {
    Edit { file, find, replace }
}

const CHOICE: &str = "sdk-core/src/engine/choice/mod.rs";
const WITHDRAWAL: &str = "sdk-core/src/engine/choice/withdrawal.rs";
const SENDING: &str = "sdk-core/src/engine/sending.rs";
const CHANGE: &str = "sdk-core/src/engine/consent/change.rs";
const CONSENT_RECORD: &str = "sdk-core/src/engine/consent/record.rs";
const VERDICT: &str = "sdk-core/src/engine/consent/verdict.rs";
const SUBJECT: &str = "sdk-core/src/engine/subject.rs";
const STORE: &str = "sdk-core/src/engine/store.rs";
const PERMIT: &str = "sdk-core/src/engine/permit.rs";
const POLICY: &str = "sdk-core/src/engine/policy.rs";
const OUTBOX: &str = "sdk-core/src/engine/outbox.rs";
const CALLS: &str = "sdk-core/src/engine/calls.rs";
const QUEUE: &str = "sdk-core/src/engine/queue.rs";
const SEGMENT: &str = "sdk-core/src/journal/segment.rs";
const SLOT: &str = "sdk-core/src/journal/slot.rs";
const INSTANCE: &str = "sdk-core/src/native/store/instance.rs";
const COMPACTION: &str = "sdk-core/src/native/store/instance/compaction.rs";
const LEDGER: &str = "sdk-core/src/native/store/mod.rs";
const RECORD: &str = "sdk-core/src/native/store/record.rs";
const WIPE: &str = "sdk-core/src/native/store/wipe.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "fence-left-out",
        fault: "a withdrawal does not wait for those who are sending (C4, C5)",
        edits: &[edit(
            WITHDRAWAL,
            "withdrawal.step = Step::Fencing;\n                    self.work(Work::Withdrawing(withdrawal), |op| Effect::Fence { op });",
            "self.purge(withdrawal);",
        )],
    },
    Mutant {
        name: "purge-before-tombstone",
        fault: "data goes first, the refusal is recorded afterwards (C4)",
        edits: &[
            edit(
                CHOICE,
                "self.subject.forget();\n                self.refuse(self.deny(",
                "self.subject.forget();\n                let op = self.next_op(Pending::Sync);\n                self.effects.push_back(Effect::Wipe { op, before: Some(u64::MAX), scope: WipeScope::Store });\n                self.refuse(self.deny(",
            ),
            edit(
                WITHDRAWAL,
                "                self.purge(withdrawal);\n            }\n            Step::Purging",
                "                self.unclean = Unclean::No;\n                if let Some(ticket) = withdrawal.ticket {\n                    self.settled(ticket, withdrawal.trouble.map_or(Ok(()), Err));\n                }\n            }\n            Step::Purging",
            ),
        ],
    },
    Mutant {
        name: "purge-not-resumed",
        fault: "a withdrawal that a crash cut short is not gone on with (C4)",
        edits: &[edit(STORE, "ConsentState::Found(_) if data => Unclean::Data,", "")],
    },
    Mutant {
        name: "leftovers-not-looked-for",
        fault: "what a purge leaves behind is not noticed (C4)",
        edits: &[edit(
            WITHDRAWAL,
            "epoch.is_none_or(|epoch| epoch < before)",
            "epoch == Some(before) && false",
        )],
    },
    Mutant {
        name: "ring-kept-after-refusal",
        fault: "what was held before a refusal is recorded after a later grant (C6)",
        edits: &[edit(
            WITHDRAWAL,
            "if let Verdict::Deny(reason) = verdict {\n            self.drop_ring();",
            "if let Verdict::Deny(reason) = verdict {",
        )],
    },
    Mutant {
        name: "early-no-forgotten",
        fault: "what was called before the store is open leaves with an early grant, although the record refused (C6)",
        edits: &[edit(STORE, "let dropped = self.ring.drop_before_grant(denied);", "let dropped = 0;")],
    },
    Mutant {
        name: "early-refusal-not-counted",
        fault: "a refusal before the store is open has the epoch that it takes back (C6)",
        edits: &[edit(
            STORE,
            "self.epoch.max(recorded.max(1) + u64::from(refused))",
            "self.epoch.max(recorded + u64::from(refused)).max(1)",
        )],
    },
    Mutant {
        name: "refusal-does-not-stop",
        fault: "opt_out waits for the disk before it stops anything (C4)",
        edits: &[
            edit(CHOICE, "self.stop(self.epoch.saturating_add(1));\n        let ticket", "let ticket"),
            edit(
                WITHDRAWAL,
                "            if reason != DenyReason::StoreUnavailable {\n                self.stop_if_open();\n            } else if ",
                "            if reason == DenyReason::StoreUnavailable && ",
            ),
        ],
    },
    Mutant {
        name: "permit-not-checked",
        fault: "a permit gives out its content whatever the record says (C2)",
        edits: &[edit(
            PERMIT,
            "if self.terms.allow(record) { Ok",
            "if self.terms.allow(record) || true { Ok",
        )],
    },
    Mutant {
        name: "permit-of-any-epoch",
        fault: "a permit of before a withdrawal is good again after the next grant (C2, C6)",
        edits: &[
            edit(PERMIT, "r.epoch == self.epoch && r.decision", "r.decision"),
            edit(PERMIT, "recorded && self.fence.stands_at(self.epoch)", "recorded"),
        ],
    },
    Mutant {
        name: "unreadable-is-absent",
        fault: "a record that cannot be read counts as none (C8)",
        edits: &[edit(
            CONSENT_RECORD,
            "RecordRead::Unreadable => Self::Unreadable,",
            "RecordRead::Unreadable => Self::Absent,",
        )],
    },
    Mutant {
        name: "grant-overrules-anything",
        fault: "a grant on its way takes back a refusal of after it (C9)",
        edits: &[edit(
            CHANGE,
            "if denied && revision != *at_call && later {",
            "if denied && revision != *at_call && later && false {",
        )],
    },
    Mutant {
        name: "refusal-keeps-the-epoch",
        fault: "a refusal does not begin a new epoch (C6)",
        edits: &[edit(CHANGE, "new.epoch = old_epoch.saturating_add(1).max(*epoch);", "let _ = epoch;")],
    },
    Mutant {
        name: "reset-touches-consent",
        fault: "reset() forgets the refusal together with the user (C7)",
        edits: &[edit(
            CALLS,
            "        let verdict = self.gate();\n        if let Verdict::Deny",
            "        if call.kind == CallKind::Reset {\n            self.set_consent(super::ConsentState::Absent);\n        }\n        let verdict = self.gate();\n        if let Verdict::Deny",
        )],
    },
    Mutant {
        name: "announced-every-time",
        fault: "$opt_in is sent also where nothing changed (C11)",
        edits: &[edit(CHOICE, "if changed && granted {", "if granted {")],
    },
    Mutant {
        name: "orphans-kept",
        fault: "data without a consent record is used (C8)",
        edits: &[edit(STORE, "ConsentState::Absent if data => Unclean::Orphans,", "")],
    },
    Mutant {
        name: "identity-of-any-epoch",
        fault: "the device of before a withdrawal comes back (C6)",
        edits: &[
            edit(
                STORE,
                ".filter(|identity| Some(identity.epoch) == record_epoch)",
                ".filter(|_| record_epoch.is_some())",
            ),
            edit(WIPE, "let stays = kept_for_others ||", "let stays = true || kept_for_others ||"),
        ],
    },
    Mutant {
        name: "identity-not-wiped",
        fault: "the device's secret outlives a withdrawal (C3)",
        edits: &[
            edit(WIPE, "let stays = kept_for_others ||", "let stays = true || kept_for_others ||"),
            edit(
                WIPE,
                "items.push(Item { name: layout.name(path), kind, bytes });",
                "if path != layout.slots(RecordName::Identity)[0] && path != layout.slots(RecordName::Identity)[1] {\n                items.push(Item { name: layout.name(path), kind, bytes });\n            }",
            ),
        ],
    },
    Mutant {
        name: "damaged-bytes-not-wiped",
        fault: "what was set aside as damaged outlives a withdrawal (C3)",
        edits: &[
            edit(
                WIPE,
                "            QueueFile::Aside | QueueFile::Draft => Ok(true),",
                "            QueueFile::Draft => Ok(true),\n            QueueFile::Aside => Ok(false),",
            ),
            edit(
                WIPE,
                "QueueFile::Aside | QueueFile::Draft => ItemKind::Data(None),",
                "QueueFile::Draft => ItemKind::Data(None),\n                QueueFile::Aside => ItemKind::Lock,",
            ),
        ],
    },
    Mutant {
        name: "segment-of-any-epoch",
        fault: "records of before a withdrawal are loaded (C6)",
        edits: &[
            edit(
                INSTANCE,
                "Some(header) if header.epoch == epoch => {",
                "Some(header) if header.epoch <= epoch => {",
            ),
            edit(STORE, "ConsentState::Found(_) if data => Unclean::Data,", ""),
        ],
    },
    Mutant {
        name: "acknowledged-off-by-one",
        fault: "the neighbour of a delivered record is crossed off",
        edits: &[edit(
            INSTANCE,
            "seqs.iter().for_each(|seq| payload.extend_from_slice(&seq.to_le_bytes()));",
            "seqs.iter().for_each(|seq| payload.extend_from_slice(&(seq + 1).to_le_bytes()));",
        )],
    },
    Mutant {
        name: "segment-dropped-early",
        fault: "a segment goes while records in it are still to be delivered",
        edits: &[edit(
            INSTANCE,
            "filter(|first| first.live.is_empty())",
            "filter(|first| first.live.len() < 2)",
        )],
    },
    Mutant {
        name: "journal-checksum-ignored",
        fault: "a damaged record passes for a whole one",
        edits: &[edit(
            SEGMENT,
            "(u32_at(self.bytes, at + 4)? == self.header.crc(kind, seq, payload))",
            "(u32_at(self.bytes, at + 4)? == self.header.crc(kind, seq, payload) || kind == 0)",
        )],
    },
    Mutant {
        name: "slot-checksum-ignored",
        fault: "a torn consent record passes for a whole one",
        edits: &[edit(
            SLOT,
            "(payload.len() == len && crc(generation, payload) == sum)",
            "(payload.len() == len && crc(generation, payload) | 1 >= sum & 0)",
        )],
    },
    Mutant {
        name: "one-slot",
        fault: "a record is overwritten where it stands, so that a torn write leaves none",
        edits: &[edit(
            RECORD,
            "if second_is_newest { (first, second) } else { (second, first) }",
            "if second_is_newest { (first.clone(), first) } else { (first.clone(), first) }",
        )],
    },
    Mutant {
        name: "record-not-synced",
        fault: "a decision is called recorded before it is durable (C4, C7)",
        edits: &[edit(
            RECORD,
            "file.set_len(bytes.len() as u64)?;\n    file.sync()",
            "file.set_len(bytes.len() as u64)",
        )],
    },
    Mutant {
        name: "folder-not-synced",
        fault: "a new record's name is not durable (C4, C7)",
        edits: &[
            edit(
                RECORD,
                "        return Err(error);\n    }\n    layout.disk.sync_folder(layout.folder())?;",
                "        return Err(error);\n    }",
            ),
            edit(
                RECORD,
                "        write_slot(&layout.disk, &newer, &[])?;\n    }\n    layout.disk.sync_folder(layout.folder())",
                "        write_slot(&layout.disk, &newer, &[])?;\n    }\n    Ok(())",
            ),
        ],
    },
    Mutant {
        name: "queue-not-synced",
        fault: "a flush says that records are durable, and they are not",
        edits: &[edit(INSTANCE, "        if self.unsynced {", "        if false && self.unsynced {")],
    },
    Mutant {
        name: "orphans-not-adopted",
        fault: "what a process that died has left behind is never sent",
        edits: &[edit(
            LEDGER,
            "if let Some(instance) = Instance::claim(&layout.disk, folder)? {",
            "if let Some(instance) = Instance::claim(&layout.disk, folder)?.filter(|_| self.own.is_none()) {",
        )],
    },
    Mutant {
        name: "retry-after-ignored",
        fault: "the collector asks for a wait and is not heard",
        edits: &[edit(
            SENDING,
            "self.delivery(lane).wait(now, ms, true);\n                        // One wait",
            "self.delivery(lane).wait(now, ms / 50, true);\n                        // One wait",
        )],
    },
    Mutant {
        name: "any-2xx-delivers",
        fault: "a captive portal's page counts as the collector's word",
        edits: &[edit(
            POLICY,
            "200..=299 => judge_body(body.trim_ascii()),",
            "200..=299 if body != \"0\" => Judgement::Delivered,\n        200..=299 => judge_body(body.trim_ascii()),",
        )],
    },
    Mutant {
        name: "poison-costs-its-batch",
        fault: "a refused batch is dropped whole",
        edits: &[edit(
            SENDING,
            "Judgement::Bisect if batch.len() > 1 => {",
            "Judgement::Bisect if batch.len() > 2_000 => {",
        )],
    },
    Mutant {
        name: "too-large-is-dropped",
        fault: "a batch that is too large is dropped, not split",
        edits: &[edit(
            SENDING,
            "Judgement::Split if batch.len() > 1 => {",
            "Judgement::Split if batch.len() > 2_000 => {",
        )],
    },
    Mutant {
        name: "failure-loses-the-batch",
        fault: "records of a request that failed do not go back",
        edits: &[edit(
            SENDING,
            "        self.queue.put_back(batch);\n        self.failures += 1;",
            "        self.failures += 1;",
        )],
    },
    Mutant {
        name: "lane-does-not-wait",
        fault: "a lane sends while its request is under way",
        edits: &[edit(SENDING, "delivery.in_flight = Some(op);", "let _ = op;")],
    },
    Mutant {
        name: "no-pause-after-a-failure",
        fault: "a collector that is down is asked without a pause",
        edits: &[
            edit(SENDING, "self.random_below(bound).max(BACKOFF_FLOOR_MS)", "self.random_below(bound) & 0"),
            edit(
                SENDING,
                "let until = now.mono_ms.saturating_add(ms);",
                "let until = now.mono_ms.saturating_add(if asked { ms } else { 0 });",
            ),
        ],
    },
    Mutant {
        name: "withdrawn-not-counted",
        fault: "records that a withdrawal drops are missing in the books (C15)",
        edits: &[edit(
            WITHDRAWAL,
            "let dropped = self.queue.clear();\n        self.books.drop_records(Dropped::Withdrawn, dropped);",
            "self.queue.clear();",
        )],
    },
    Mutant {
        name: "no-wait-is-obeyed",
        fault: "a server that asks for a retry at once gets it, again and again",
        edits: &[edit(SENDING, "Some(ms) if ms > 0 => {", "Some(ms) => {")],
    },
    Mutant {
        name: "record-lost-with-the-delivered",
        fault: "what waits goes with what is delivered when room is given back",
        edits: &[
            edit(COMPACTION, "(seq, _)| *seq).is_ok() {", "(seq, _)| *seq).is_ok_and(|at| at > 0) {"),
            edit(COMPACTION, " || kept.len() != segment.live.len() {", " {"),
        ],
    },
    Mutant {
        name: "number-used-twice",
        fault: "after a restart a record gets the number of an earlier one",
        edits: &[edit(QUEUE, "self.next_seq = self.next_seq.max(from);", "let _ = from;")],
    },
    Mutant {
        name: "erasure-forgotten",
        fault: "an erasure counts as done once the server has taken it (C12)",
        edits: &[edit(
            OUTBOX,
            "_ => ticket_in(answer).map(|_| ErasureState::Accepted),",
            "_ => ticket_in(answer).map(|_| ErasureState::Completed),",
        )],
    },
    Mutant {
        name: "deletion-forgotten",
        fault: "whoever asks for an erasure and for the deletion of profiles gets the one only (C12)",
        edits: &[edit(
            OUTBOX,
            "(also.delete_profile, ErasureKind::Profile, other)",
            "(also.delete_profile && !also.erase, ErasureKind::Profile, other)",
        )],
    },
    Mutant {
        name: "outbox-lost-at-the-next-refusal",
        fault: "a second refusal overwrites what the first has asked for (C12)",
        edits: &[edit(
            CHANGE,
            "new.entrust(stored.as_ref().unwrap_or(outbox));",
            "new.outbox = outbox.clone();",
        )],
    },
    Mutant {
        name: "outbox-lost-with-an-unwritten-refusal",
        fault: "a refusal that could not be written takes what it asked for with it when another word comes (C12)",
        edits: &[edit(STORE, "            self.outbox.extend(outbox);\n", "            let _ = outbox;\n")],
    },
    Mutant {
        name: "profile-comes-back",
        fault: "an update overtakes the deletion of its profile (C12)",
        edits: &[edit(
            OUTBOX,
            "kind == ErasureKind::Profile && !entry.state.is_final();",
            "kind == ErasureKind::Profile && entry.state.is_final();",
        )],
    },
    Mutant {
        name: "held-dropped-at-the-grant",
        fault: "what was held for a decision is dropped when the person agrees (C1)",
        edits: &[edit(
            CHOICE,
            "            self.replay_ring();\n            self.opened_through",
            "            self.drop_ring();\n            self.opened_through",
        )],
    },
    Mutant {
        name: "granted-holds",
        fault: "nothing is collected although the person has agreed (C1)",
        edits: &[edit(
            VERDICT,
            "Decision::Granted => Verdict::Allow,\n        Decision::Unset =>",
            "Decision::Granted => Verdict::Hold,\n        Decision::Unset =>",
        )],
    },
    Mutant {
        name: "never-announced",
        fault: "$opt_in is never recorded (C11)",
        edits: &[edit(CHOICE, "if changed && granted {", "if changed && granted && false {")],
    },
    Mutant {
        name: "gpc-ignored",
        fault: "Global Privacy Control is not heard (C1)",
        edits: &[edit(
            VERDICT,
            "if self.gpc && config.honor_gpc {",
            "if false && self.gpc && config.honor_gpc {",
        )],
    },
    Mutant {
        name: "signal-does-not-purge",
        fault: "what was collected before a signal says no stays (C3, C4)",
        edits: &[edit(
            WITHDRAWAL,
            "                self.purge(Withdrawal::purge(Some(before), scope));",
            "                if by_person {\n                    self.purge(Withdrawal::purge(Some(before), scope));\n                }",
        )],
    },
    Mutant {
        name: "acknowledgements-not-stored",
        fault: "what is delivered is sent again after a restart",
        edits: &[edit(
            INSTANCE,
            "Kind::Acknowledged, 0, &payload);\n        self.write(&bytes)",
            "Kind::Acknowledged, 0, &payload);\n        Ok(())",
        )],
    },
    Mutant {
        name: "session-outlives-a-withdrawal",
        fault: "session properties and timers of before a withdrawal stand in events of after it (C6)",
        edits: &[edit(
            SUBJECT,
            "        *self = Self::default();\n    }\n\n    /// Makes a call that changes whom",
            "        self.set(None);\n    }\n\n    /// Makes a call that changes whom",
        )],
    },
    Mutant {
        name: "deletion-of-the-device-only",
        fault: "the withdrawn user's profile is not deleted (C12)",
        edits: &[edit(
            OUTBOX,
            "entry.user.iter().map(|user| (user, false))",
            "entry.user.iter().take(0).map(|user| (user, false))",
        )],
    },
    Mutant {
        name: "proof-is-no-secret",
        fault: "an erasure is asked for without proof (C12)",
        edits: &[edit(OUTBOX, "\"secret\", &entry.secret);", "\"secret\", &entry.id);")],
    },
    Mutant {
        name: "outbox-does-not-wait",
        fault: "the outbox asks again at once, whatever the collector says (C12)",
        edits: &[edit(OUTBOX, "self.backoff_ms(attempts).max(rest)", "0")],
    },
    Mutant {
        name: "too-large-again",
        fault: "what was too large is sent again as it was",
        edits: &[edit(SENDING, "limit_bytes(bytes / 2);", "limit_bytes(bytes);")],
    },
    Mutant {
        name: "identity-of-others-not-heard",
        fault: "a process does not hear whom another one has identified (C9)",
        edits: &[edit(
            STORE,
            "new.revision != old.revision || new.secret != old.secret",
            "(new.revision != old.revision || new.secret != old.secret) && false",
        )],
    },
    Mutant {
        name: "wait-forgotten-by-a-restart",
        fault: "a wait that the collector has asked for ends with the process",
        edits: &[edit(STORE, "            self.resume_wait(wall_ms);", "            let _ = wall_ms;")],
    },
    Mutant {
        name: "record-of-the-future-expires",
        fault: "a record that was made by a clock ahead of this one counts as old",
        edits: &[edit(
            QUEUE,
            "and_then(|at| now.wall_ms.checked_sub(at))",
            "map(|at| now.wall_ms.abs_diff(at))",
        )],
    },
    Mutant {
        name: "outbox-lost-over-what-cannot-be-read",
        fault: "a refusal over a record that cannot be read forgets what an earlier one has asked for (C12)",
        edits: &[edit(
            CHANGE,
            "                if absent {\n                    new.entrust(known);\n                }",
            "                let _ = known;",
        )],
    },
    Mutant {
        name: "first-word-torn",
        fault: "who is killed while writing the first word leaves a record that nobody can read (C8)",
        edits: &[edit(
            RECORD,
            "(RecordName::Consent, Slots::Absent | Slots::Unreadable) => write_first",
            "(RecordName::Consent, Slots::Absent) if false => write_first",
        )],
    },
    Mutant {
        name: "record-changed-without-its-lock",
        fault: "two processes change a record at the same time, and one of the changes is lost (C9)",
        edits: &[edit(
            RECORD,
            "let _held = layout.disk.lock(&layout.record_lock(), Hold::Exclusive, true, PATIENCE)?;",
            "let _ = layout.disk.lock(&layout.record_lock(), Hold::Exclusive, true, PATIENCE)?;",
        )],
    },
    Mutant {
        name: "damage-costs-what-follows",
        fault: "behind a damaged record nothing of the segment is read",
        edits: &[edit(
            SEGMENT,
            "while self.at < self.bytes.len() && self.record_at(self.at).is_none() {",
            "while self.at < self.bytes.len() {",
        )],
    },
    Mutant {
        name: "queue-without-end",
        fault: "a queue grows over its bytes",
        edits: &[edit(
            SENDING,
            "let evicted = self.queue.evict(self.config.queue_limit_bytes);",
            "let evicted = self.queue.evict(u64::MAX);",
        )],
    },
    Mutant {
        name: "given-up-not-counted",
        fault: "what a page gives up when it goes on is missing in the books (C15)",
        edits: &[edit(SENDING, "self.books.given_up += self.queue.give_up();", "self.queue.give_up();")],
    },
    Mutant {
        name: "memory-waits-for-a-store",
        fault: "when a page goes on, what no store holds is not sent until something else is recorded",
        edits: &[edit(
            SENDING,
            "            // What lives in memory only waits for no store.\n            self.gather();\n",
            "",
        )],
    },
    Mutant {
        name: "unseen-folder-forgotten",
        fault: "a queue that cannot be looked at for a moment is forgotten, and a flush does not sync it",
        edits: &[edit(
            INSTANCE,
            "map_or(true, |found| found.is_some())",
            "map_or(false, |found| found.is_some())",
        )],
    },
    Mutant {
        name: "hold-without-end",
        fault: "more calls wait for a decision than may",
        edits: &[edit(
            CALLS,
            "let room = if decision { Room::for_decision } else { Room::for_store };",
            "let room = if decision && false { Room::for_decision } else { Room::for_store };",
        )],
    },
];
