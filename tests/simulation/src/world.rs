//! One world, and what becomes of it when something happens.

use crate::action::Action;
use crate::collector::{Collector, Mood, marker_text, markers};
use crate::damage;
use crate::dice::Dice;
use crate::disk::{ConsentError, SimDisk};
use crate::garbage;
use crate::guest::Guest;
use crate::oracle::{Maker, Oracle, Said, Whom, objects};
use crate::process::{Departure, Kept, Process};
use refrain::engine::{
    Answer, Call, CallKind, Config, Decision, DefaultConsent, DenyReason, Dropped, Effect, Input, Lane,
    Lifecycle, Now, Outcome, Signals, Stats, Verdict,
};
use refrain::journal::segment::{Found, Records};

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
    /// Settings may be others after a restart.
    pub settings: bool,
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
    /// The settings of whoever lives at a place, and of who will.
    settings: [Config; PLACES],
    next_settings: [Config; PLACES],
    /// Records that each process has dropped because of a withdrawal: then its waits are over, too.
    withdrawn: [u64; PLACES],
    /// Properties and the like that apps have registered.
    said: u64,
    /// Whether there was data when the person last objected in each process.
    found_data: [bool; PLACES],
    /// Whether a withdrawal has ended well that found data, while another process was open.
    pub withdrawn_beside_others: bool,
    /// Records that a full queue has dropped, by place.
    evicted: [u64; PLACES],
    /// Records that have become too old, by place.
    expired: [u64; PLACES],
    /// Calls for which there was no room among those that wait, or in the queue after them, by place.
    overflowed: [u64; PLACES],
    /// Calls that have waited for too long, by place.
    outwaited: [u64; PLACES],
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
        let settings: [Config; PLACES] = std::array::from_fn(|_| laws.config.clone());
        Self {
            laws,
            disk: SimDisk::new(),
            processes: [const { None }; PLACES],
            generations: [0; PLACES],
            signals: [Signals::default(); PLACES],
            next_settings: settings.clone(),
            settings,
            withdrawn: [0; PLACES],
            said: 0,
            found_data: [false; PLACES],
            withdrawn_beside_others: false,
            evicted: [0; PLACES],
            expired: [0; PLACES],
            overflowed: [0; PLACES],
            outwaited: [0; PLACES],
            collector: Collector::default(),
            oracle: Oracle::default(),
            wall_ms: WALL_MS,
            mono_ms: 1_000,
            dice,
            trace: false,
            recorded: false,
        }
    }

    /// Lets something happen, and checks the rules.
    pub fn act(&mut self, action: Action) {
        self.oracle.acting = match action {
            Action::Step(place) | Action::Run(place) | Action::End(place) | Action::Meanwhile(place, ..) => {
                Some(self.maker(place))
            }
            _ => None,
        };
        self.perform(action);
        self.bury();
        if self.trace {
            self.tell(action);
        }
        let mut ended_well = false;
        let open = self.processes.iter().flatten().filter(|process| process.engine.is_open()).count();
        let blind = self.is_blind();
        if blind {
            self.oracle.blinded(self.living().into_iter());
        }
        self.oracle.excuse_troubled(&self.disk);
        let living = self.living();
        let latest = self.processes.iter().flatten().map(|process| process.now.wall_ms).max();
        self.oracle.excuse_expired(latest.unwrap_or_default());
        for place in 0..PLACES {
            let maker = self.maker(place);
            let (objects, denied) = (self.objects(place), self.denied(place));
            if let Some(process) = &mut self.processes[place] {
                let withdrawn = self.oracle.look(maker, process, &self.disk);
                self.withdrawn_beside_others |= withdrawn && self.found_data[place] && open > 1;
                ended_well |= withdrawn;
                let consent = process.engine.consent();
                let holds = consent.verdict == Verdict::Hold && consent.decision == Decision::Unset;
                let denies = matches!(consent.verdict, Verdict::Deny(reason) if reason != DenyReason::StoreUnavailable);
                let wipes = process.storage.iter().any(|effect| matches!(effect, Effect::Wipe { .. }));
                if denies || wipes || holds && process.engine.is_open() {
                    self.oracle.closed(maker, holds, |other| living.contains(&other));
                }
                let stats = process.engine.stats();
                let overflowed =
                    stats.dropped_for(Dropped::HoldFull) + stats.dropped_for(Dropped::Unrecordable);
                if overflowed != self.overflowed[place] {
                    self.overflowed[place] = overflowed;
                    self.oracle.overflowed(maker);
                }
                let outwaited = stats.dropped_for(Dropped::HoldExpired);
                if outwaited != self.outwaited[place] {
                    self.outwaited[place] = outwaited;
                    self.oracle.unheld(maker);
                }
                let withdrawn = stats.dropped_for(Dropped::Withdrawn);
                if withdrawn != self.withdrawn[place] {
                    self.withdrawn[place] = withdrawn;
                    self.oracle.pace.0.forget(place);
                }
                for lane in Lane::ALL {
                    assert!(process.in_lane(lane) <= 1, "two requests in a lane");
                }
                if objects && !blind {
                    self.oracle.under_signal(maker, process);
                }
                self.oracle.excuse_held(maker, process, denied);
            }
        }
        for place in 0..PLACES {
            if let Some(stats) = self.processes[place].as_ref().map(|process| process.engine.stats()) {
                self.look_for_evicted(place, &stats);
            }
        }
        for place in 0..PLACES {
            let maker = self.maker(place);
            if let Some(process) = &self.processes[place] {
                process.is_woken(|| self.oracle.has_read(maker, &self.disk));
                if ended_well {
                    self.oracle.writes(process);
                }
                self.oracle.holds(maker, process);
            }
        }
        self.oracle.check(&self.disk, &self.collector);
    }

    fn maker(&self, place: usize) -> Maker {
        (place, self.generations[place])
    }

    fn living(&self) -> Vec<Maker> {
        (0..PLACES).filter(|place| self.processes[*place].is_some()).map(|place| self.maker(place)).collect()
    }

    /// Whether an honoured signal says no at a place.
    fn objects(&self, place: usize) -> bool {
        objects(self.signals[place], &self.settings[place])
    }

    /// Whether nobody can read what the record says.
    fn is_blind(&self) -> bool {
        self.disk.trouble() == Some(ConsentError::Unreadable)
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
                "    {place}: {} {:?}, {} queued, {} held, {} wait, {} open, dropped {:?}, wants {}",
                consent.decision.as_str(),
                consent.verdict,
                stats.queued,
                stats.held,
                process.waiting.len(),
                process.open.len(),
                stats.dropped,
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
                if trouble.is_some() {
                    // Nobody promises to keep a wait on a disk that is full or cannot be read.
                    self.oracle.pace.0.lost();
                }
                self.disk.set_trouble(trouble);
            }
            Action::Flip => self.flip(),
            Action::LoseRecord(alone) => self.lose_record(alone),
            Action::Mood(mood) => self.collector.mood = Some(mood),
            Action::Wait(ms) => self.wait(ms),
            Action::Record(place, lane) => self.record(place, lane),
            Action::Refuse(place, also) => {
                let maker = self.maker(place);
                self.found_data[place] = self.disk.holds_data();
                if let Some(process) = self.running(place) {
                    let whom = whom(process);
                    let ticket = process.opt_out(also);
                    self.oracle.refuses(maker, ticket, whom, also);
                    self.oracle.pace.0.forget(place);
                }
            }
            Action::Agree(place) => {
                let maker = self.maker(place);
                if let Some(process) = self.running(place) {
                    let (ticket, id) = process.opt_in();
                    self.oracle.agrees(maker, ticket, id);
                    self.oracle.pace.0.forget(place);
                }
            }
            // Who is stopped hears of nothing.
            Action::Signal(place, _) if self.processes[place].as_ref().is_some_and(|it| it.stopped) => {}
            Action::Signal(place, signals) => {
                self.signals[place] = signals;
                self.may_collect(place);
                let (maker, objects) = (self.maker(place), self.objects(place));
                if let Some(process) = self.running(place) {
                    process.input(Input::Signals(signals));
                    let heard = matches!(process.engine.consent().reason(), "gpc" | "dnt" | "host");
                    if objects && heard {
                        self.oracle.silenced(maker);
                    }
                    self.oracle.pace.0.forget(place);
                }
            }
            Action::Settings(place, default, honoured) => {
                let settings = &mut self.next_settings[place];
                settings.default_consent = default;
                (settings.honor_gpc, settings.honor_dnt) = (honoured.gpc, honoured.dnt);
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
                    self.oracle.jumps();
                }
            }
            Action::Call(place, kind) => self.call(place, kind),
            Action::Flush(place) => {
                self.oracle.pace.0.hurry(place);
                if let Some(process) = self.running(place) {
                    process.input(Input::Flush);
                }
            }
            Action::Lifecycle(place, state) => {
                if state == Lifecycle::Resumed {
                    // What it knew is as after a restart.
                    self.oracle.pace.0.forget(place);
                    let maker = self.maker(place);
                    self.oracle.resumes(maker, &self.disk);
                } else if state != Lifecycle::Leaving {
                    self.oracle.pace.0.hurry(place);
                }
                if let Some(process) = self.running(place) {
                    process.lifecycle(state);
                }
            }
            Action::Watch(place) => {
                let blind = self.is_blind();
                let maker = self.maker(place);
                if let Some(process) = self.running(place) {
                    process.watch();
                    if process.engine.is_open() && !blind {
                        self.oracle.reads(maker);
                    }
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
                    let maker = self.maker(place);
                    if let Some(process) = &self.processes[place] {
                        self.oracle.watch_step(maker, process, &self.disk);
                    }
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
        self.expired[place] = 0;
        self.overflowed[place] = 0;
        self.outwaited[place] = 0;
        let now = Now { wall_ms: self.wall_ms, mono_ms: self.mono_ms };
        self.settings[place].clone_from(&self.next_settings[place]);
        let laws = Laws { config: self.settings[place].clone(), ..self.laws.clone() };
        let signals = self.signals[place];
        self.may_collect(place);
        let (maker, living) = (self.maker(place), self.living());
        self.oracle.pace.0.begins(maker, |other| !living.contains(&other));
        if crate::oracle::is_damaged_on(&self.disk) {
            self.oracle.blinded(std::iter::once(maker));
        }
        let number = place as u8 + 1;
        let mut process =
            Process::start(&self.disk, &laws, signals, now, number, self.generations[place], self.recorded);
        // A person may have had a word before the store is open.
        if !self.dice.once_in(4) {
            process.step();
            if !self.is_blind() {
                self.oracle.reads(maker);
            }
        }
        self.oracle.started(&process);
        self.processes[place] = Some(process);
    }

    /// Where nobody has to be asked, something may be written unless a signal says no (C3).
    fn may_collect(&mut self, place: usize) {
        let granted = self.settings[place].default_consent == DefaultConsent::Granted;
        self.oracle.may_write |= granted && !self.objects(place);
    }

    fn kill(&mut self, place: usize) {
        if let Some(process) = self.processes[place].take() {
            self.look_for_evicted(place, &process.engine.stats());
            if process.kept.contains(&Kept::Wiped) {
                self.oracle.wiped(&self.disk);
            }
            self.oracle.gone(self.maker(place), false, &self.disk);
            self.lost_on_the_way(&process);
            process.kill();
        }
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
                self.oracle.watch_step(self.maker(place), &process, &self.disk);
            }
            if process.is_dead() {
                self.processes[place] = Some(process);
                return;
            }
            self.oracle.look(self.maker(place), &mut process, &self.disk);
            self.look_for_evicted(place, &process.engine.stats());
            self.oracle.gone(self.maker(place), false, &self.disk);
            self.lost_on_the_way(&process);
            process.replays();
        }
    }

    /// A process takes a step, and after so many disk calls, in the middle of it, another one takes so many.
    fn meanwhile(&mut self, place: usize, calls: u32, other: usize, steps: u32) {
        if place == other || self.running(place).is_none() || self.running(other).is_none() {
            return;
        }
        // Who holds a lock for longer than others wait was stopped.
        let patient = !self.dice.once_in(8);
        let maker = self.maker(other);
        let Some(guest) = self.processes[other].take() else { return };
        if let Some(host) = &mut self.processes[place] {
            let (oracle, disk) = (&mut self.oracle, &self.disk);
            self.processes[other] =
                Some(Guest::visit(host, calls, (maker, guest), oracle, disk, (steps, patient)));
        }
    }

    /// Who has died in the middle of a step is dead.
    fn bury(&mut self) {
        for place in 0..PLACES {
            if self.processes[place].as_ref().is_some_and(Process::was_blind) {
                self.oracle.blinded(std::iter::once(self.maker(place)));
            }
        }
        // What the dead were about to write they may have written, while they lived.
        self.oracle.watch_decision(&self.disk);
        if !self.disk.is_powered() {
            self.cut_power();
            self.oracle.watch_decision(&self.disk);
        }
        for place in 0..PLACES {
            if self.processes[place].as_ref().is_some_and(Process::is_dead) {
                self.kill(place);
            }
        }
    }

    fn cut_power(&mut self) {
        for place in 0..PLACES {
            if let Some(process) = self.processes[place].take() {
                self.look_for_evicted(place, &process.engine.stats());
                self.oracle.gone(self.maker(place), true, &self.disk);
                self.lost_on_the_way(&process);
                process.kill();
            }
        }
        self.oracle.gone((PLACES, 0), true, &self.disk);
        self.oracle.pace.0.lost();
        self.disk.lose_power(&mut self.dice);
    }

    fn flip(&mut self) {
        let slots = crate::oracle::slots_on(&self.disk);
        let record = crate::oracle::record_on(&self.disk);
        let identity = crate::oracle::identity_on(&self.disk);
        let files = self.disk.files();
        let Some(path) = self.disk.flip(&mut self.dice) else { return };
        crate::oracle::no_other_record(&self.disk, &slots);
        let after = self.disk.files();
        let mut bytes = files.iter().zip(&after).filter(|((name, _), _)| *name == path);
        let Some(((_, before), (_, after))) = bytes.next() else { return };
        let decides = crate::oracle::record_on(&self.disk) != record;
        let identifies = crate::oracle::identity_on(&self.disk) != identity;
        self.oracle.flipped(&damage::lost(&path, before, after), decides || identifies);
        if crate::oracle::record_on(&self.disk).is_none() {
            let living = self.living();
            self.oracle.blinded(living.into_iter());
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
            Lane::Events => {
                let properties = format!(r#"{{"plan":"pro","n":[1,{{"a":"\"}}"}}],"marker":"{name}"}}"#);
                process.track("Read", &properties)
            }
            Lane::Profiles => {
                let operators = format!(r#"{{"$set":{{"{name}":1}}}}"#);
                process.input(Input::Call(Call::new(CallKind::Profile, "", &operators, id)))
            }
            Lane::Groups => {
                let operators = format!(r#"{{"$group_key":"g","$group_id":"1","$set":{{"{name}":1}}}}"#);
                process.input(Input::Call(Call::new(CallKind::Group, "", &operators, id)))
            }
        };
        let (stats, event) = (process.engine.stats(), (lane == Lane::Events).then_some("Read"));
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
        if self.trace {
            println!("    {name}: {outcome:?}");
        }
        let Some(process) = &self.processes[place] else { return };
        match outcome {
            Outcome::Accepted | Outcome::Held => self.oracle.made(maker, process, outcome, refused, event),
            Outcome::Rejected(_) => {}
            other => panic!("a record is answered with {other:?}"),
        }
    }

    /// An app says who it is about. Every value is another one, so that an old one is known.
    fn call(&mut self, place: usize, kind: CallKind) {
        self.said += 1;
        let (maker, number) = (self.maker(place), self.said);
        let other = number.is_multiple_of(2);
        let key = if other { "tier" } else { "visit" };
        let (name, value) = match kind {
            CallKind::Track | CallKind::Profile | CallKind::Group => return,
            CallKind::Identify => (if other { "u1" } else { "u3" }, String::new()),
            CallKind::SwitchUser => ("u2", String::new()),
            CallKind::Alias => ("also", String::new()),
            CallKind::Register | CallKind::RegisterOnce => ("tier", format!("\"v{number}\"")),
            CallKind::RegisterForSession => (key, format!("\"v{number}\"")),
            CallKind::Unregister => (key, String::new()),
            CallKind::TimeEvent => ("Read", String::new()),
            CallKind::SetGroup | CallKind::AddGroup | CallKind::RemoveGroup => {
                ("company", String::from(if other { "acme" } else { "initech" }))
            }
            CallKind::Reset => ("", String::new()),
        };
        let registers =
            matches!(kind, CallKind::Register | CallKind::RegisterOnce | CallKind::RegisterForSession);
        let text = if registers { format!("{{\"{name}\":{value}}}") } else { value.clone() };
        let Some(process) = self.running(place) else { return };
        let outcome = process.call(|bits| Call::new(kind, if registers { "" } else { name }, &text, bits));
        if let (Some(process), Outcome::Accepted | Outcome::Held) = (&self.processes[place], outcome) {
            self.oracle.said(maker, process, Said { kind, name, value }, outcome == Outcome::Held);
        }
    }

    fn depart(&mut self, place: usize) {
        let (maker, objects) = (self.maker(place), self.objects(place));
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        if process.depart() != Departure::Left {
            return;
        }
        let Some(open) = process.open.last() else { return };
        let (oracle, disk) = (&mut self.oracle, &self.disk);
        if open.outbox {
            let carries = open.request.body.contains("\"event\"") || open.request.body.contains("\"$set\"");
            assert!(!carries, "C12: the outbox carries a record");
            let alone = || crate::oracle::asks_once(disk);
            oracle.pace.0.asks(maker, process, &open.request, alone, &mut oracle.tally);
            return;
        }
        // Who cannot read the record can obey nobody else's word.
        if disk.trouble() == Some(ConsentError::Unreadable) {
            return;
        }
        oracle.departed(maker, process, &open.request, objects, disk);
        // What a record had asked for that is gone is asked for again under the same epoch, which others may not have seen
        // yet.
        if !(oracle.renumbered || oracle.in_process()) {
            crate::oracle::stays_behind(oracle, disk, &open.request);
        }
        oracle.paces(maker, process, open.op, &open.request);
    }

    fn answer(&mut self, place: usize, told: bool, twice: bool) {
        let (maker, poison) = (self.maker(place), self.laws.poison);
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        let Some(at) = self.dice.place(process.open.len()) else { return };
        let open = &mut process.open[at];
        open.sending = None;
        let (answer, _) = self.collector.take(&open.request, &|marker| is_poison(poison, marker));
        if twice {
            self.collector.take(&open.request, &|marker| is_poison(poison, marker));
        }
        let answer = if told { answer } else { Answer::TimedOut };
        let (request, outbox, cancelled) = (open.request.clone(), open.outbox, open.cancelled);
        self.oracle.pace.0.hears(maker, process);
        process.answered(at, answer.clone());
        if !cancelled {
            if !outbox || crate::oracle::asks_once(&self.disk) {
                self.oracle.pace.0.told(maker, process, &request, outbox, &answer);
            }
            if !outbox {
                self.oracle.answered(maker, process, &request, &answer);
            }
        }
    }

    fn garbage(&mut self, place: usize, kind: usize) {
        let maker = self.maker(place);
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        let Some(at) = self.dice.place(process.open.len()) else { return };
        let open = &mut process.open[at];
        open.sending = None;
        let (request, outbox, cancelled) = (open.request.clone(), open.outbox, open.cancelled);
        let answer = garbage::garbage(kind, outbox);
        self.oracle.pace.0.hears(maker, process);
        process.answered(at, answer.clone());
        if !cancelled && (!outbox || crate::oracle::asks_once(&self.disk)) {
            self.oracle.pace.0.told(maker, process, &request, outbox, &answer);
        }
    }

    fn turn_away(&mut self, place: usize) {
        let Some(process) = self.processes[place].as_mut().filter(|process| !process.stopped) else { return };
        let Some(at) = process.open.iter().position(|open| open.outbox) else { return };
        process.open[at].sending = None;
        self.oracle.turned_away(&process.open[at].request.body);
        process.answered(at, garbage::refusal());
    }

    /// Records that a full queue has dropped, or that have become too old, are lost without fault.
    fn look_for_evicted(&mut self, place: usize, stats: &Stats) {
        let (maker, living) = (self.maker(place), self.living());
        let lives = |other| living.contains(&other);
        let evicted = stats.dropped_for(Dropped::Evicted);
        if evicted != self.evicted[place] {
            self.evicted[place] = evicted;
            self.oracle.evicted(maker, lives);
        }
        let expired = stats.dropped_for(Dropped::Expired);
        if expired != self.expired[place] {
            self.expired[place] = expired;
            self.oracle.expired(maker, lives);
        }
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
        let poison = self.laws.poison;
        let poison = |marker| is_poison(poison, marker);
        for place in 0..PLACES {
            let (maker, objects) = (self.maker(place), self.objects(place));
            let Some(process) = &self.processes[place] else { continue };
            let stats = process.engine.stats();
            assert!(stats.queued == 0 || self.oracle.is_damaged(), "liveness: {stats:?} stays queued");
            assert!(process.engine.is_settled(), "liveness: a choice is never carried out");
            self.oracle.rests(maker, process, &self.disk, objects, &self.settings[place]);
            let collects = process.engine.consent().verdict == Verdict::Allow;
            self.oracle.delivered(maker, collects, &self.collector, &poison);
            if self.denied(place) {
                self.oracle.purged_by_signal(maker, process, &self.disk);
            }
        }
        let living = self.living();
        self.oracle.announced(&self.collector, |maker| living.contains(&maker));
        self.oracle.one_person(self.processes.iter().flatten(), &self.disk);
        self.oracle.paid(&self.collector, &self.disk);
        // What the dead have left behind is adopted by the next one.
        for place in 0..PLACES {
            self.act(Action::Kill(place));
        }
        self.act(Action::Start(0));
        self.settle();
        let allowed =
            self.processes[0].as_ref().is_some_and(|p| p.engine.consent().verdict == Verdict::Allow);
        if !allowed {
            self.oracle.excuse_all();
        }
        self.oracle.announced(&self.collector, |_| allowed);
        self.oracle.purged(&self.disk, self.denied(0));
        crate::oracle::receipts(&mut self.oracle, &self.disk);
        self.oracle.ended(&self.collector, &poison);
    }

    /// Whether nobody who has not decided may collect at a place.
    fn denied(&self, place: usize) -> bool {
        self.objects(place) || self.settings[place].default_consent == DefaultConsent::Denied
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

/// Whom a process knows.
fn whom(process: &Process) -> Option<Whom> {
    let device = process.engine.device_id()?;
    let user = process.engine.distinct_id().filter(|id| !id.starts_with("$device:"));
    Some(Whom { device, user })
}

/// Some records are refused wherever they are.
pub fn is_poison(one_in: u64, marker: u64) -> bool {
    one_in > 0 && marker % one_in == one_in - 1
}
