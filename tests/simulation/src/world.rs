//! One world, and what becomes of it when something happens.

use crate::action::Action;
use crate::collector::{Collector, Mood, marker_text, markers};
use crate::damage;
use crate::dice::Dice;
use crate::disk::{SimDisk, Trouble};
use crate::garbage;
use crate::guest::Guest;
use crate::oracle::Oracle;
use crate::process::{Departure, Process};
use refrain::engine::{
    Answer, Call, CallKind, Config, DefaultConsent, DenyReason, Dropped, Effect, Input, Lane, Lifecycle, Now,
    Outcome, Signals, Stats, Verdict,
};
use refrain::journal::segment::{Found, Records};
use std::collections::BTreeMap;

/// Places for processes on the folder.
pub const PLACES: usize = 3;
/// 2026-09-01.
const WALL_MS: u64 = 1_788_220_800_000;

/// What makes one world another.
#[derive(Debug, Clone)]
pub struct Laws {
    /// The settings of all processes.
    pub config: Config,
    /// The length at which a segment of the queue is closed.
    pub segment_bytes: u64,
    /// Bits of the disk may flip.
    pub flips: bool,
    /// Signals may say no.
    pub signals: bool,
    /// One record in so many is poison; 0: none.
    pub poison: u64,
    /// Clocks may jump by days.
    pub jumps: bool,
    /// The consent record may be deleted by somebody else.
    pub loses: bool,
}

/// The world.
pub struct World {
    /// What makes it this one.
    pub laws: Laws,
    /// The disk.
    pub disk: SimDisk,
    /// The processes, by place.
    pub processes: [Option<Process>; PLACES],
    generations: [u8; PLACES],
    signals: [Signals; PLACES],
    /// Before this, on its own clock, a process must not send in a lane, because the collector has asked it not to.
    waits: BTreeMap<(usize, u8), u64>,
    /// When each process's last request of a lane failed, unless it was told to hurry since.
    failed: BTreeMap<(usize, u8), u64>,
    /// Records that each process has dropped because of a withdrawal: then its waits are over, too.
    withdrawn: [u64; PLACES],
    /// Whether there was data when the person last objected in each process.
    found_data: [bool; PLACES],
    /// Whether a withdrawal has ended well that found data, while another process was open.
    pub withdrawn_beside_others: bool,
    /// Records that a full queue has dropped, by place.
    evicted: [u64; PLACES],
    /// Whether pages that leave have sent beside the lanes.
    left: [bool; PLACES],
    /// The collector.
    pub collector: Collector,
    /// The witness.
    pub oracle: Oracle,
    wall_ms: u64,
    mono_ms: u64,
    dice: Dice,
    /// Whether every action is told.
    pub trace: bool,
    /// Whether what the engines are told is recorded, and replayed in the end.
    pub recorded: bool,
}

impl World {
    /// A world with these laws; chance is only asked where an action leaves something open.
    pub fn new(laws: Laws, dice: Dice) -> Self {
        let mut oracle = Oracle::default();
        oracle.lossy = laws.jumps;
        Self {
            laws,
            disk: SimDisk::new(),
            processes: [const { None }; PLACES],
            generations: [0; PLACES],
            signals: [Signals::default(); PLACES],
            waits: BTreeMap::new(),
            failed: BTreeMap::new(),
            withdrawn: [0; PLACES],
            found_data: [false; PLACES],
            withdrawn_beside_others: false,
            evicted: [0; PLACES],
            left: [false; PLACES],
            collector: Collector::default(),
            oracle,
            wall_ms: WALL_MS,
            mono_ms: 1_000,
            dice,
            trace: false,
            recorded: false,
        }
    }

    /// Lets something happen, and checks the rules.
    pub fn act(&mut self, action: Action) {
        let epoch = self.oracle.epoch();
        self.perform(action);
        self.bury();
        if self.trace {
            self.tell(action);
        }
        let mut ended_well = false;
        let open = self.processes.iter().flatten().filter(|process| process.engine.is_open()).count();
        for place in 0..PLACES {
            let maker = (place, self.generations[place]);
            if let Some(process) = &mut self.processes[place] {
                let withdrawn = self.oracle.look(maker, process, &self.disk);
                self.withdrawn_beside_others |= withdrawn && self.found_data[place] && open > 1;
                ended_well |= withdrawn;
                let verdict = process.engine.consent().verdict;
                let denies =
                    matches!(verdict, Verdict::Deny(reason) if reason != DenyReason::StoreUnavailable);
                if denies || process.storage.iter().any(|effect| matches!(effect, Effect::Wipe { .. })) {
                    self.oracle.excuse_all();
                }
                let withdrawn = process.engine.stats().dropped_for(Dropped::Withdrawn);
                if withdrawn != self.withdrawn[place] {
                    self.withdrawn[place] = withdrawn;
                    self.waits.retain(|(of, _), _| *of != place);
                    self.failed.retain(|(of, _), _| *of != place);
                }
                for lane in Lane::ALL {
                    assert!(self.left[place] || process.in_lane(lane) <= 1, "two requests in a lane");
                }
            }
        }
        for place in 0..PLACES {
            if let Some(stats) = self.processes[place].as_ref().map(|process| process.engine.stats()) {
                self.look_for_evicted(place, &stats);
            }
        }
        for (place, process) in self.processes.iter().enumerate() {
            if let Some(process) = process {
                process.is_woken();
                if ended_well {
                    self.oracle.writes(process);
                }
                self.oracle.holds((place, self.generations[place]), process);
            }
        }
        if self.oracle.epoch() != epoch {
            // A withdrawal ends every wait with the requests that it was for.
            self.waits.clear();
            self.failed.clear();
        }
        self.oracle.check(&self.disk, &self.collector);
    }

    fn tell(&self, action: Action) {
        println!("{action:?}");
        if let Some(record) = crate::oracle::record_on(&self.disk) {
            let open = record.outbox.iter().filter(|entry| !entry.state.is_final()).count();
            println!(
                "    disk: {:?} {} epoch {}, {open} asked",
                record.decision, record.revision, record.epoch
            );
        }
        for (path, bytes) in self.disk.files() {
            let segment = Records::new(&bytes).map(|records| {
                let seqs = records.clone().map(|found| match found {
                    Found::Record { kind, seq, payload } => {
                        let markers: Vec<_> =
                            markers(std::str::from_utf8(payload).unwrap_or_default()).collect();
                        format!("{kind:?} {seq} {markers:?}")
                    }
                    Found::Damage { len, .. } => format!("{len} damaged"),
                });
                format!("epoch {}: {}", records.header().epoch, seqs.collect::<Vec<_>>().join(", "))
            });
            if path.starts_with("/data/queue") && !bytes.is_empty() {
                println!("    {} {}", path.display(), segment.unwrap_or_default());
            }
        }
        for (place, process) in self.processes.iter().enumerate() {
            let Some(process) = process else { continue };
            let consent = process.engine.consent();
            let stats = process.engine.stats();
            let wants: Vec<String> = process
                .storage
                .iter()
                .map(|effect| {
                    if matches!(effect, Effect::Amend { .. }) {
                        format!("{effect:?}")
                    } else {
                        format!("{effect:?}").chars().take_while(char::is_ascii_alphabetic).collect()
                    }
                })
                .collect();
            println!(
                "    {place}: {} {:?}, {} queued, {} held, {} wait, {} open, wants {}",
                consent.decision.as_str(),
                consent.verdict,
                stats.queued,
                stats.held,
                process.waiting.len(),
                process.open.len(),
                wants.join(" "),
            );
        }
    }

    fn perform(&mut self, action: Action) {
        if matches!(action, Action::Agree(_) | Action::Refuse(..)) {
            // Nobody changes their mind twice in a millisecond.
            self.wait(1);
        }
        match action {
            Action::Start(place) => self.start(place),
            Action::Kill(place) => self.kill(place),
            Action::End(place) => self.end(place),
            Action::Stop(place) => {
                if let Some(process) = &mut self.processes[place] {
                    process.stopped = !process.stopped;
                }
            }
            Action::PowerCut => self.cut_power(),
            Action::AtCall(place, calls, mishap) => {
                let quarters = self.dice.below(4);
                if let Some(process) = self.running(place) {
                    process.set_mishap(calls, mishap, quarters);
                }
            }
            Action::Meanwhile(place, calls, other, steps) => self.meanwhile(place, calls, other, steps),
            Action::Disk(trouble) => {
                if trouble == Some(Trouble::Unreadable) {
                    self.oracle.blinded();
                }
                self.disk.set_trouble(trouble);
            }
            Action::Flip => self.flip(),
            Action::LoseRecord(alone) => self.lose_record(alone),
            Action::Mood(mood) => self.collector.mood = Some(mood),
            Action::Wait(ms) => self.wait(ms),
            Action::Record(place, lane) => self.record(place, lane),
            Action::Refuse(place, also) => {
                let maker = (place, self.generations[place]);
                self.found_data[place] = self.disk.holds_data();
                if let Some(process) = self.running(place) {
                    let device = process.engine.device_id();
                    let ticket = process.opt_out(also);
                    self.oracle.refuses(maker, ticket, device, also);
                    self.forget_waits(place);
                }
            }
            Action::Agree(place) => {
                let maker = (place, self.generations[place]);
                if let Some(process) = self.running(place) {
                    let ticket = process.opt_in();
                    self.oracle.agrees(maker, ticket);
                    self.forget_waits(place);
                }
            }
            Action::Signal(place, on) => {
                self.signals[place].gpc = on;
                let signals = self.signals[place];
                self.may_collect(place);
                if let Some(process) = self.running(place) {
                    process.input(Input::Signals(signals));
                    self.forget_waits(place);
                }
            }
            Action::Depart(place) => self.depart(place),
            Action::Answer(place) => self.answer(place, true, false),
            Action::LoseAnswer(place) => self.answer(place, false, false),
            Action::Garbage(place, kind) => self.garbage(place, kind),
            Action::TurnAway(place) => self.turn_away(place),
            Action::Repeat(place) => self.answer(place, true, true),
            Action::Jump(place, minutes) => {
                if let Some(process) = &mut self.processes[place] {
                    process.now.wall_ms = process.now.wall_ms.saturating_add_signed(minutes * 60_000);
                }
            }
            Action::Call(place, kind) => {
                if let Some(process) = self.running(place) {
                    call(process, kind);
                }
            }
            Action::Flush(place) => {
                self.hurry(place);
                if let Some(process) = self.running(place) {
                    process.input(Input::Flush);
                }
            }
            Action::Lifecycle(place, state) => {
                self.left[place] |= state == Lifecycle::Leaving;
                if state == Lifecycle::Resumed {
                    // What it knew is as after a restart.
                    self.forget_waits(place);
                }
                self.hurry(place);
                if let Some(process) = self.running(place) {
                    process.lifecycle(state);
                }
            }
            Action::Watch(place) => {
                if let Some(process) = self.running(place) {
                    process.watch();
                }
            }
            Action::Step(place) => {
                if let Some(process) = self.running(place) {
                    process.step();
                }
            }
            Action::Run(place) => {
                for _ in 0..10_000 {
                    if !self.running(place).is_some_and(Process::step) {
                        return;
                    }
                    self.oracle.watch_decision(&self.disk);
                    if self.trace {
                        self.tell(Action::Step(place));
                    }
                }
                panic!("the engine never comes to rest");
            }
            Action::Sent(place) => {
                if let Some(open) = self.running(place).and_then(|process| process.open.last_mut()) {
                    open.sending = None;
                }
            }
            Action::LoseRequest(place) => {
                if let Some(process) = self.running(place)
                    && !process.open.is_empty()
                {
                    process.answered(0, Answer::Unreachable);
                }
            }
        }
    }

    fn running(&mut self, place: usize) -> Option<&mut Process> {
        self.processes[place].as_mut().filter(|process| !process.stopped)
    }

    fn start(&mut self, place: usize) {
        if self.processes[place].is_some() {
            return;
        }
        self.generations[place] += 1;
        self.evicted[place] = 0;
        let now = Now { wall_ms: self.wall_ms, mono_ms: self.mono_ms };
        let signals = self.signals[place];
        self.may_collect(place);
        let number = place as u8 + 1;
        let mut process = Process::start(
            &self.disk,
            &self.laws,
            signals,
            now,
            number,
            self.generations[place],
            self.recorded,
        );
        // A person may have had a word before the store is open.
        if !self.dice.once_in(4) {
            process.step();
        }
        self.oracle.started(&process);
        self.processes[place] = Some(process);
    }

    /// Where nobody has to be asked, something may be written unless a signal says no (C3).
    fn may_collect(&mut self, place: usize) {
        let granted = self.laws.config.default_consent == DefaultConsent::Granted;
        self.oracle.may_write |= granted && !self.signals[place].gpc;
    }

    fn kill(&mut self, place: usize) {
        if let Some(process) = self.processes[place].take() {
            self.look_for_evicted(place, &process.engine.stats());
            self.oracle.gone((place, self.generations[place]), false);
            self.lost_on_the_way(&process);
            process.kill();
        }
        self.forget_waits(place);
    }

    /// Requests of a dead process may still arrive.
    fn lost_on_the_way(&mut self, process: &Process) {
        for open in &process.open {
            if self.dice.once_in(2) {
                let poison = self.laws.poison;
                self.collector.take(&open.request, &|marker| is_poison(poison, marker));
            }
        }
    }

    fn end(&mut self, place: usize) {
        if let Some(mut process) = self.processes[place].take_if(|process| !process.stopped) {
            while process.step() {
                self.oracle.watch_decision(&self.disk);
            }
            if process.is_dead() {
                self.processes[place] = Some(process);
                return;
            }
            self.look_for_evicted(place, &process.engine.stats());
            self.oracle.look((place, self.generations[place]), &mut process, &self.disk);
            self.oracle.gone((place, self.generations[place]), false);
            self.lost_on_the_way(&process);
            process.replays();
        }
        self.forget_waits(place);
    }

    /// A process takes a step, and after so many disk calls, in the middle of it, another one takes so many.
    fn meanwhile(&mut self, place: usize, calls: u32, other: usize, steps: u32) {
        if place == other || self.running(place).is_none() || self.running(other).is_none() {
            return;
        }
        // Who holds a lock for longer than others wait was stopped.
        let patient = !self.dice.once_in(8);
        let Some(guest) = self.processes[other].take() else { return };
        if let Some(host) = &mut self.processes[place] {
            let (oracle, disk) = (&mut self.oracle, &self.disk);
            self.processes[other] = Some(Guest::visit(host, calls, guest, oracle, disk, (steps, patient)));
        }
    }

    /// Who has died in the middle of a step is dead.
    fn bury(&mut self) {
        for process in self.processes.iter().flatten() {
            if process.was_blind() {
                self.oracle.blinded();
            }
        }
        if !self.disk.is_powered() {
            self.cut_power();
            self.oracle.watch_decision(&self.disk);
        }
        for place in 0..PLACES {
            if self.processes[place].as_ref().is_some_and(Process::is_dead) {
                self.kill(place);
                // What it was about to write it may have written.
                self.oracle.watch_decision(&self.disk);
            }
        }
    }

    fn cut_power(&mut self) {
        for place in 0..PLACES {
            if let Some(process) = self.processes[place].take() {
                self.look_for_evicted(place, &process.engine.stats());
                self.oracle.gone((place, self.generations[place]), true);
                self.lost_on_the_way(&process);
                process.kill();
            }
            self.forget_waits(place);
        }
        self.oracle.gone((PLACES, 0), true);
        self.disk.lose_power(&mut self.dice);
    }

    fn flip(&mut self) {
        let (slots, files) = (crate::oracle::slots_on(&self.disk), self.disk.files());
        let Some(path) = self.disk.flip(&mut self.dice) else { return };
        crate::oracle::no_other_record(&self.disk, &slots);
        let after = self.disk.files();
        let mut bytes = files.iter().zip(&after).filter(|((name, _), _)| *name == path);
        match bytes.next().and_then(|((_, before), (_, after))| damage::lost(&path, before, after)) {
            Some(lost) => self.oracle.excuse(&lost),
            None => self.oracle.damaged = true,
        }
        if crate::oracle::record_on(&self.disk).is_none() {
            self.oracle.blinded();
        }
    }

    fn lose_record(&mut self, alone: bool) {
        if alone {
            (0..PLACES).for_each(|place| self.kill(place));
        }
        if crate::oracle::record_on(&self.disk).is_none() || self.disk.trouble().is_some() {
            return;
        }
        for (path, _) in self.disk.files() {
            if path.to_string_lossy().contains(".consent.") {
                self.disk.delete(&path);
            }
        }
        self.oracle.record_lost(self.processes.iter().all(Option::is_none));
        self.waits.clear();
        self.failed.clear();
    }

    fn wait(&mut self, ms: u64) {
        self.wall_ms += ms;
        self.mono_ms += ms;
        for process in self.processes.iter_mut().flatten() {
            process.now.wall_ms += ms;
            process.now.mono_ms += ms;
            for _ in 0..3 {
                if process.stopped {
                    break;
                }
                let before = process.effects;
                if process.engine.next_wakeup().is_none_or(|at| at > process.now.mono_ms) {
                    break;
                }
                process.tick();
                let idle = process.effects == before
                    && process.engine.next_wakeup().is_some_and(|at| at <= process.now.mono_ms);
                assert!(!idle, "a busy loop: it wants to be woken, and does nothing");
            }
        }
    }

    fn record(&mut self, place: usize, lane: Lane) {
        let marker = self.oracle.next_marker();
        let maker = (place, self.generations[place]);
        let early = self.running(place).is_some_and(|process| !process.engine.is_open());
        let refused = early && self.oracle.stands_refused(&self.disk);
        let Some(process) = self.running(place) else { return };
        let name = marker_text(marker);
        let id = process.bits();
        let idle = process.waiting.is_empty() && process.open.is_empty();
        let outcome = match lane {
            Lane::Events => process.track(&name, r#"{"plan":"pro","n":[1,{"a":"\"}"}]}"#),
            Lane::Profiles => {
                let operators = format!(r#"{{"$set":{{"{name}":1}}}}"#);
                process.input(Input::Call(Call::new(CallKind::Profile, "", &operators, id)))
            }
            Lane::Groups => {
                let operators = format!(r#"{{"$group_key":"g","$group_id":"1","$set":{{"{name}":1}}}}"#);
                process.input(Input::Call(Call::new(CallKind::Group, "", &operators, id)))
            }
        };
        let (stats, asked) = (process.engine.stats(), process.asked.clone());
        // No request carries anything: nothing keeps the queue from being within its bytes.
        if idle && process.waiting.is_empty() {
            let most = process.limits.queue_limit_bytes;
            assert!(stats.queued_bytes <= most, "{} bytes are queued, over {most}", stats.queued_bytes);
        }
        let undecided = process.engine.consent().verdict == Verdict::Hold && process.engine.is_open();
        if undecided && outcome == Outcome::Held {
            let (held, most) = (process.engine.held_calls(), process.limits.hold_limit);
            assert!(held <= most, "{held} calls wait for a decision, over {most}");
        }
        match outcome {
            Outcome::Accepted => self.oracle.made(maker, &asked, refused),
            Outcome::Held => self.oracle.made(maker, &[], refused),
            Outcome::Rejected(_) => {}
            other => panic!("a record is answered with {other:?}"),
        }
    }

    fn depart(&mut self, place: usize) {
        let maker = (place, self.generations[place]);
        let lossy = self.oracle.lossy;
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        if process.depart() != Departure::Left {
            return;
        }
        let Some(open) = process.open.last() else { return };
        if open.outbox {
            let carries = open.request.body.contains("\"event\"") || open.request.body.contains("\"$set\"");
            assert!(!carries, "C12: the outbox carries a record");
            return;
        }
        // Who cannot read the record can obey nobody else's word.
        if self.disk.trouble() == Some(Trouble::Unreadable) {
            return;
        }
        self.oracle.departed(maker, process, &open.request);
        // What a record had asked for that is gone is asked for again under the same epoch, which others may not have seen
        // yet.
        if !(self.oracle.renumbered || self.oracle.in_process) {
            crate::oracle::stays_behind(&self.disk, &open.request);
        }
        let lane = lane_of(&open.request.path);
        let leaves = self.left[place];
        if let Some(at) = self.failed.remove(&(place, lane)) {
            let pause = process.now.mono_ms - at;
            assert!(pause >= 100 || leaves, "a collector that fails is asked again after {pause} ms");
        }
        if let Some(until) = self.waits.get(&(place, lane)) {
            assert!(process.now.mono_ms >= *until || lossy || leaves, "Retry-After was not honoured");
        }
    }

    fn answer(&mut self, place: usize, told: bool, twice: bool) {
        let poison = self.laws.poison;
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        let Some(at) = self.dice.place(process.open.len()) else { return };
        let open = &mut process.open[at];
        open.sending = None;
        let (answer, _) = self.collector.take(&open.request, &|marker| is_poison(poison, marker));
        if twice {
            self.collector.take(&open.request, &|marker| is_poison(poison, marker));
        }
        open.stored = true;
        let lane = lane_of(&open.request.path);
        let outbox = open.outbox;
        let answer = if told { answer } else { Answer::TimedOut };
        if let (false, Answer::Response { retry_after: Some(seconds), .. }) = (outbox, &answer) {
            let ms = seconds.parse::<u64>().unwrap_or_default() * 1_000;
            self.waits.insert((place, lane), process.now.mono_ms + ms);
        }
        if !outbox && is_failure(&answer) {
            self.failed.insert((place, lane), process.now.mono_ms);
        }
        process.answered(at, answer);
    }

    fn garbage(&mut self, place: usize, kind: usize) {
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        let Some(at) = self.dice.place(process.open.len()) else { return };
        let open = &mut process.open[at];
        open.sending = None;
        let (outbox, lane) = (open.outbox, lane_of(&open.request.path));
        let answer = garbage::garbage(kind, outbox);
        if !outbox && is_failure(&answer) {
            self.failed.insert((place, lane), process.now.mono_ms);
        }
        process.answered(at, answer);
    }

    fn turn_away(&mut self, place: usize) {
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        let Some(at) = process.open.iter().position(|open| open.outbox) else { return };
        process.open[at].sending = None;
        self.oracle.turned_away(&process.open[at].request.body);
        process.answered(at, garbage::refusal());
    }

    /// Records that a full queue has dropped are lost without fault.
    fn look_for_evicted(&mut self, place: usize, stats: &Stats) {
        let evicted = stats.dropped_for(Dropped::Evicted);
        if evicted != self.evicted[place] {
            self.evicted[place] = evicted;
            self.oracle.excuse_all();
        }
    }

    fn forget_waits(&mut self, place: usize) {
        self.waits.retain(|(of, _), _| *of != place);
        self.hurry(place);
    }

    /// A process is told not to wait for the interval.
    fn hurry(&mut self, place: usize) {
        self.failed.retain(|(of, _), _| *of != place);
    }

    /// The world calms down: the disk and the collector are well, whoever is stopped goes on, and time passes until
    /// nothing is left to do. Then everything must have been delivered that had to be.
    pub fn calm_down(&mut self) {
        self.act(Action::Disk(None));
        self.act(Action::Mood(Mood::Well));
        for process in self.processes.iter_mut().flatten() {
            process.stopped = false;
            process.forget_mishap();
        }
        self.settle();
        for process in self.processes.iter().flatten() {
            let stats = process.engine.stats();
            assert!(stats.queued == 0 || self.oracle.damaged, "liveness: {stats:?} stays queued");
            assert!(process.engine.is_settled(), "liveness: a choice is never carried out");
        }
        // One device for all, where anybody may collect (C9).
        let devices: Vec<_> = self.processes.iter().flatten().filter_map(|p| p.engine.device_id()).collect();
        let same = devices.windows(2).all(|pair| pair[0] == pair[1]);
        assert!(same || self.oracle.damaged || self.oracle.in_process, "C9: {devices:?}");
        self.oracle.paid(&self.collector, &self.disk);
        // What the dead have left behind is adopted by the next one.
        for place in 0..PLACES {
            self.act(Action::Kill(place));
        }
        self.act(Action::Start(0));
        self.settle();
        let poison = self.laws.poison;
        let allowed =
            self.processes[0].as_ref().is_some_and(|p| p.engine.consent().verdict == Verdict::Allow);
        if !allowed {
            self.oracle.excuse_all();
        }
        self.oracle.purged(&self.disk);
        crate::oracle::receipts(&self.disk);
        self.oracle.ended(&self.collector, &|marker| is_poison(poison, marker));
    }

    fn settle(&mut self) {
        let (mut quiet, mut rounds) = (0, 0);
        for _ in 0..300 {
            let mut busy = false;
            for place in 0..PLACES {
                if self.processes[place].is_none() {
                    continue;
                }
                self.act(Action::Watch(place));
                self.act(Action::Run(place));
                for _ in 0..4 {
                    self.act(Action::Depart(place));
                    self.act(Action::Sent(place));
                }
                while self.processes[place].as_ref().is_some_and(|process| !process.open.is_empty()) {
                    self.act(Action::Answer(place));
                }
                self.act(Action::Run(place));
                let Some(process) = &self.processes[place] else { continue };
                busy |= process.engine.stats().queued > 0
                    || !process.waiting.is_empty()
                    || !process.engine.is_settled()
                    || process.engine.erasure_outbox().iter().any(|entry| !entry.state.is_final());
            }
            // Some more, so that what failed is tried again, and everybody has seen what the others did last.
            busy |= rounds < 20 && self.processes.iter().flatten().any(|p| p.engine.next_wakeup().is_some());
            rounds += 1;
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet > 1 {
                return;
            }
            let due = self.processes.iter().flatten().filter_map(|process| {
                process.engine.next_wakeup().map(|at| at.saturating_sub(process.now.mono_ms))
            });
            let ms = due.min().unwrap_or(1_000).clamp(1, 24 * 60 * 60 * 1_000);
            self.act(Action::Wait(ms));
        }
    }
}

/// Whether an answer says that the collector, or the way there, is not well. What it does not like about the records
/// is another matter.
fn is_failure(answer: &Answer) -> bool {
    match answer {
        Answer::Response { status, .. } => !matches!(status, 200 | 400 | 413),
        _ => true,
    }
}

fn call(process: &mut Process, kind: CallKind) {
    let (name, text) = match kind {
        CallKind::Track | CallKind::Profile | CallKind::Group => return,
        CallKind::Identify => ("u1", ""),
        CallKind::SwitchUser => ("u2", ""),
        CallKind::Alias => ("also", ""),
        CallKind::Register | CallKind::RegisterOnce | CallKind::RegisterForSession => {
            ("", r#"{"plan":"super"}"#)
        }
        CallKind::Unregister => ("plan", ""),
        CallKind::TimeEvent => ("Read", ""),
        CallKind::SetGroup | CallKind::AddGroup | CallKind::RemoveGroup => ("company", "acme"),
        CallKind::Reset => ("", ""),
    };
    process.call(|bits| Call::new(kind, name, text, bits));
}

fn lane_of(path: &str) -> u8 {
    Lane::ALL
        .iter()
        .position(|lane| path.starts_with(["/track/", "/engage/", "/groups/"][*lane as usize]))
        .unwrap_or(9) as u8
}

/// Some records are refused wherever they are.
pub fn is_poison(one_in: u64, marker: u64) -> bool {
    one_in > 0 && marker % one_in == one_in - 1
}
