//! Refrain's engine inside a web page.
//!
//! The engine decides; this crate carries its inputs and effects over the boundary to JavaScript, redeems permits, and
//! reads and writes `localStorage`, where the tab's queue and the consent record's mirror stand. The TypeScript around
//! it (`npm/src`) does what needs promises (IndexedDB, Web Locks, requests, timers) and what is mere bookkeeping, for
//! which it takes less room. Neither holds a rule.
//!
//! What crosses is text, numbers and `undefined`, through one door ([`Core::turn`]): each function that JavaScript sees
//! brings code of its own on either side. A record that was read crosses as `string | undefined`: `undefined` says that
//! there is none, an empty string that it could not be read.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod copies;
mod lane;
#[cfg(target_arch = "wasm32")]
mod memory;
mod outward;
#[cfg(feature = "personal-data")]
mod personal;
mod random;
mod report;
mod store;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use lane::{Refusal, Writing};
use random::Random;
use refrain::engine::{
    Also, Call, CallKind, Config, DefaultConsent, Effect, Engine, EventId, FlushMark, FlushState, IdMerge,
    Input, Item, Lifecycle, Now, Op, Outcome, Recovered, Secret, Signals,
};
use store::PageStore;
use wasm_bindgen::prelude::*;
use web_sys::Storage;

/// Browsers let 64 KiB outlive a page; a request under way may have a part of it, and escaping takes some.
const LEAVING_BYTES: usize = 44 << 10;

/// One client in one page: the engine, the effects that wait to be executed, and the page's part of the store.
///
/// After every turn that may have changed something, the driver executes the storage effects one after the other
/// (`step`), and takes the others with `next` until it says 0.
#[wasm_bindgen]
pub struct Core {
    engine: Engine,
    now: Now,
    random: Random,
    store: PageStore,
    /// Storage effects, in order. The head is under way.
    lane: VecDeque<Effect>,
    /// Effects of all other kinds, in order.
    outward: VecDeque<Effect>,
    /// Requests under way whose permits were not redeemed yet.
    held: Vec<Effect>,
    writing: Option<Writing>,
    /// A refusal that stands in the mirror only, as yet.
    refusal: Option<Refusal>,
    /// What JavaScript has found so far for the effect under way.
    recovered: Recovered,
    items: Vec<Item>,
    marks: Vec<(u32, FlushMark)>,
    last_mark: u32,
    /// The number and text that belong to the last answer given to JavaScript.
    number: f64,
    text: String,
    /// Where the request goes that was redeemed last.
    path: String,
}

#[wasm_bindgen]
impl Core {
    /// A client, unless a setting cannot work. `default_consent`: 0 pending, 1 granted, 2 denied; `honored`: 1 Global
    /// Privacy Control, 2 Do Not Track, their sum; `signals` as in the method of that name; each name of
    /// `deny_list` ends with a line break. An absent storage is one that we are denied.
    #[allow(
        clippy::too_many_arguments,
        reason = "reading an object of options would take more room than all of these"
    )]
    pub fn open(
        token: &str,
        local: Option<Storage>,
        default_consent: u32,
        original: bool,
        honored: u32,
        signals: u32,
        flush_interval_ms: f64,
        batch_size: u32,
        queue_limit_bytes: f64,
        queue_limit_age_ms: f64,
        deny_list: &str,
    ) -> Option<Core> {
        let mut config = Config::new(token);
        config.library = String::from("refrain-web");
        config.leading_edge = true;
        config.leaving_bytes = LEAVING_BYTES;
        config.default_consent = match default_consent {
            0 => DefaultConsent::Pending,
            1 => DefaultConsent::Granted,
            _ => DefaultConsent::Denied,
        };
        if original {
            config.id_merge = IdMerge::Original;
        }
        config.honor_gpc = honored & 1 != 0;
        config.honor_dnt = honored & 2 != 0;
        config.flush_interval_ms = flush_interval_ms as u64;
        config.batch_size = batch_size as usize;
        config.queue_limit_bytes = queue_limit_bytes as u64;
        config.queue_limit_age_ms = queue_limit_age_ms as u64;
        for name in deny_list.split_terminator('\n') {
            config.deny_list.push(String::from(name));
        }
        let mut core = Self {
            engine: Engine::new(config).ok()?,
            now: Now::default(),
            random: Random::default(),
            store: PageStore::new(token, local),
            lane: VecDeque::new(),
            outward: VecDeque::new(),
            held: Vec::new(),
            writing: None,
            refusal: None,
            recovered: Recovered::default(),
            items: Vec::new(),
            marks: Vec::new(),
            last_mark: 0,
            number: 0.0,
            text: String::new(),
            path: String::new(),
        };
        core.signals(signals);
        Some(core)
    }

    /// Everything else. What is meant has a number, of which `npm/src/turns.ts` has the names; what the texts and
    /// numbers are for, and what the answer says, is told at the functions called here.
    pub fn turn(&mut self, what: u32, one: Option<String>, two: Option<String>, x: f64, y: f64) -> f64 {
        let text = |text: Option<String>| text.unwrap_or_default();
        match what {
            0..40 => self.call(what, &text(one), &text(two)).into(),
            // The moment of whatever comes next, in milliseconds.
            40 => {
                self.now = Now { wall_ms: x as u64, mono_ms: y as u64 };
                0.0
            }
            41 => self.next_outward().into(),
            // The number that belongs to the last answer.
            42 => self.number,
            43 => self.flushed(x as u32, y).into(),
            // When to tell that time has passed, on the monotonic clock; negative if never.
            44 => self.engine.next_wakeup().map_or(-1.0, |at| at as f64),
            45 => self.answer(|core| core.read(x as u32)),
            46 => self.step().into(),
            47 => {
                self.tab(x as usize, text(one));
                0.0
            }
            48 => self.found(x as u32, y as u64, text(one)).into(),
            49 => {
                self.item(text(one), x, y);
                0.0
            }
            50 => self.answer(|core| core.amend(one, two)),
            51 => {
                self.queue(one, x > 0.0);
                0.0
            }
            52 => self.stale(one, two).into(),
            53 => self.answer(|core| core.redeem(Op(x as u64), one, y > 0.0)),
            54 => {
                self.signals(x as u32);
                0.0
            }
            55 => self.answer(|core| core.agree(one)),
            // Whether an erasure is on its way.
            56 => self.engine.is_erasing().into(),
            // Without the detector this is an answer to no request, and 0.
            #[cfg(feature = "personal-data")]
            57 => {
                self.personal_data(x as u32, &text(one));
                1.0
            }
            _ => {
                self.tell(what, one, two, x, y);
                0.0
            }
        }
    }

    /// The text that belongs to the last answer, once.
    pub fn text(&mut self) -> String {
        core::mem::take(&mut self.text)
    }
}

impl Core {
    /// Says whether there is a text, which is kept to be asked for.
    fn answer(&mut self, ask: impl FnOnce(&mut Self) -> Option<String>) -> f64 {
        let text = ask(self);
        let there = text.is_some();
        self.text = text.unwrap_or_default();
        there.into()
    }

    /// A call of the host, by the number of its [`CallKind`], or something that happened to the page: 20 start, 21
    /// flush, 22 time has passed, 23 the person agrees, 24 objects (+ 1 erase, + 2 delete the profile), 28 the page is
    /// leaving, 29 the network is back, 30 the page came into view, 31 went out of it, 32 goes on after it was frozen.
    /// Answers: 0 nothing to say, 1 accepted, 2 held, 3 rejected (`read` says why), 4 under way (`number`: the ticket), 5
    /// flushing (`number`: the mark).
    fn call(&mut self, kind: u32, first: &str, second: &str) -> u32 {
        let bits = self.random.bits();
        let (id, secret) = (EventId(bits), Secret(bits));
        let input = match (kind, CallKind::ALL.get(kind as usize)) {
            (_, Some(kind)) => Input::Call(Call::new(*kind, first, second, bits)),
            (20, _) => Input::Start { secret },
            (21, _) => Input::Flush,
            (22, _) => Input::Tick { secret },
            // Drawn anew: the id leaves with the event, and the secret stays on the device (C12).
            (23, _) => Input::OptIn { id, secret: Secret(self.random.bits()) },
            (24..=27, _) => {
                let also = Also { erase: kind & 1 != 0, delete_profile: kind & 2 != 0 };
                Input::OptOut { also, id }
            }
            (28, _) => Input::Lifecycle(Lifecycle::Leaving),
            (29, _) => Input::Lifecycle(Lifecycle::Online),
            (30, _) => Input::Lifecycle(Lifecycle::Foreground),
            (31, _) => Input::Lifecycle(Lifecycle::Background),
            _ => Input::Lifecycle(Lifecycle::Resumed),
        };
        let refuses = matches!(input, Input::OptOut { .. });
        self.feed(input);
        if refuses {
            self.mirror_refusal();
        }
        match self.engine.outcome() {
            Outcome::Nothing => 0,
            Outcome::Accepted => 1,
            Outcome::Held => 2,
            Outcome::Rejected(_) => 3,
            Outcome::Pending(ticket) => {
                self.number = ticket.0 as f64;
                4
            }
            Outcome::Flushing(mark) => {
                self.last_mark += 1;
                self.marks.push((self.last_mark, mark));
                self.number = f64::from(self.last_mark);
                5
            }
        }
    }

    /// How far the flush with this mark has come: 0 under way, 1 done, 2 a request has failed, or none is due until this
    /// moment.
    fn flushed(&mut self, mark: u32, until: f64) -> u32 {
        let Some(at) = self.marks.iter().position(|(number, _)| *number == mark) else { return 1 };
        let Some((_, mark)) = self.marks.get(at) else { return 1 };
        let Some(end) = self.engine.flush_end(*mark, until as u64) else { return 0 };
        self.marks.swap_remove(at);
        if end == FlushState::Done { 1 } else { 2 }
    }

    /// What says no from now on, besides the person: 1 Global Privacy Control, 2 Do Not Track, 4 the page, their sum.
    fn signals(&mut self, signals: u32) {
        self.feed(Input::Signals(Signals {
            gpc: signals & 1 != 0,
            dnt: signals & 2 != 0,
            host: signals & 4 != 0,
        }));
    }

    /// Hands an input to the engine and sorts what it wants done.
    fn feed(&mut self, input: Input<'_>) {
        let _ = self.engine.handle(self.now, input);
        while let Some(effect) = self.engine.next_effect() {
            match effect {
                Effect::Cancel { op } => {
                    self.take_held(op);
                    self.outward.push_back(effect);
                }
                Effect::Send { .. } | Effect::SendErasure { .. } | Effect::Notify(_) => {
                    self.outward.push_back(effect);
                }
                _ => self.lane.push_back(effect),
            }
        }
    }

    /// A request whose permit was not redeemed yet.
    fn take_held(&mut self, op: Op) -> Option<Effect> {
        let at = self.held.iter().position(|effect| effect.op() == Some(op))?;
        Some(self.held.remove(at))
    }
}
