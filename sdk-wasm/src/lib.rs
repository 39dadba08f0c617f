//! Refrain's engine inside a web page.
//!
//! The engine decides; this crate carries its inputs and effects over the boundary to JavaScript, redeems permits, and
//! reads and writes `localStorage`, where the tab's queue and the consent record's mirror stand. The TypeScript around
//! it (`npm/src`) does what needs promises (IndexedDB, Web Locks, requests, timers) and what is mere bookkeeping, for
//! which it takes less room. Neither holds a rule.
//!
//! What crosses is text, numbers and `undefined`. A record that was read crosses as `string | undefined`: `undefined`
//! says that there is none, an empty string that it could not be read.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod copies;
mod lane;
#[cfg(target_arch = "wasm32")]
mod memory;
mod outward;
mod page;
#[cfg(feature = "personal-data")]
mod personal;
mod report;
mod store;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use lane::Writing;
use refrain::engine::{
    Also, Call, CallKind, Config, DefaultConsent, Effect, Engine, EventId, FlushMark, FlushState, IdMerge,
    Input, Item, Lifecycle, Now, Op, Outcome, Recovered, Secret,
};
use store::PageStore;
use wasm_bindgen::prelude::*;
use web_sys::Storage;

/// Browsers let 64 KiB outlive a page; a request under way may have a part of it, and escaping takes some.
const LEAVING_BYTES: usize = 44 << 10;

/// One client in one page: the engine, the effects that wait to be executed, and the page's part of the store.
///
/// After every call that may have changed something, the driver executes the storage effects one after the other
/// (`step`), and takes the others with `next` until it says 0.
#[wasm_bindgen]
pub struct Core {
    engine: Engine,
    now: Now,
    store: PageStore,
    /// Storage effects, in order. The head is under way.
    lane: VecDeque<Effect>,
    /// Effects of all other kinds, in order.
    outward: VecDeque<Effect>,
    /// Requests under way whose permits were not redeemed yet.
    held: VecDeque<Effect>,
    writing: Option<Writing>,
    /// What JavaScript has found so far for the effect under way.
    recovered: Recovered,
    items: Vec<Item>,
    marks: Vec<(u32, FlushMark)>,
    last_mark: u32,
    /// The number and text that belong to the last answer given to JavaScript.
    number: f64,
    text: String,
}

#[wasm_bindgen]
impl Core {
    /// A client, unless a setting cannot work. `default_consent`: 0 pending, 1 granted, 2 denied; `honored`: 1 Global
    /// Privacy Control, 2 Do Not Track, their sum. An absent storage is one that the browser denies us.
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
        flush_interval_ms: f64,
        batch_size: u32,
        queue_limit_bytes: f64,
        queue_limit_age_ms: f64,
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
        Some(Self {
            engine: Engine::new(config).ok()?,
            now: Now::default(),
            store: PageStore::new(token, local),
            lane: VecDeque::new(),
            outward: VecDeque::new(),
            held: VecDeque::new(),
            writing: None,
            recovered: Recovered::default(),
            items: Vec::new(),
            marks: Vec::new(),
            last_mark: 0,
            number: 0.0,
            text: String::new(),
        })
    }

    /// The moment of whatever is called next, in milliseconds.
    pub fn at(&mut self, wall_ms: f64, mono_ms: f64) {
        self.now = Now { wall_ms: wall_ms as u64, mono_ms: mono_ms as u64 };
    }

    /// A call of the host, by the number of its [`CallKind`], or something that happened to the page: 20 start, 21 the
    /// person agrees, 22 objects (+ 1 erase, + 2 delete the profile), 26 flush, 27 time has passed, 28 the page is
    /// leaving, 29 the network is back. `a` to `d` are fresh random bits; what they and the texts are for depends on
    /// the kind. Answers: 0 nothing to say, 1 accepted, 2 held, 3 rejected (`read` says why), 4 under way (see
    /// `number`: the ticket), 5 flushing (`number`: the mark).
    #[allow(clippy::too_many_arguments, reason = "one narrow door is smaller than one door for each call")]
    pub fn call(&mut self, kind: u32, first: &str, second: &str, a: u32, b: u32, c: u32, d: u32) -> u32 {
        let word = |word: u32, at: u32| u128::from(word) << (32 * at);
        let bits = (word(a, 0) | word(b, 1) | word(c, 2) | word(d, 3)).to_le_bytes();
        let (id, secret) = (EventId(bits), Secret(bits));
        let input = match (kind, CallKind::ALL.get(kind as usize)) {
            (_, Some(kind)) => Input::Call(Call::new(*kind, first, second, bits)),
            (20, _) => Input::Start { secret },
            (21, _) => Input::OptIn { id, secret },
            (22..=25, _) => {
                let also = Also { erase: kind & 1 == 1, delete_profile: kind >= 24 };
                Input::OptOut { also, id }
            }
            (26, _) => Input::Flush,
            (27, _) => Input::Tick { secret },
            (28, _) => Input::Lifecycle(Lifecycle::Leaving),
            _ => Input::Lifecycle(Lifecycle::Online),
        };
        self.feed(input);
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

    /// How far the flush with this mark has come: 0 under way, 1 done, 2 a request has failed.
    pub fn flushed(&mut self, mark: u32) -> u32 {
        for at in 0..self.marks.len() {
            if let Some((number, wanted)) = self.marks.get(at)
                && *number == mark
            {
                let state = self.engine.flush_state(*wanted);
                if state == FlushState::Underway {
                    return 0;
                }
                self.marks.swap_remove(at);
                return if state == FlushState::Failing { 2 } else { 1 };
            }
        }
        1
    }

    /// When `call` wants to hear that time has passed, on the monotonic clock; negative if never.
    pub fn wakeup(&self) -> f64 {
        self.engine.next_wakeup().map_or(-1.0, |at| at as f64)
    }

    /// The number that belongs to the last answer.
    pub fn number(&self) -> f64 {
        self.number
    }
}

impl Core {
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
        for _ in 0..self.held.len() {
            let effect = self.held.pop_front()?;
            match effect {
                Effect::Send { op: held, .. } | Effect::SendErasure { op: held, .. } if held == op => {
                    return Some(effect);
                }
                _ => self.held.push_back(effect),
            }
        }
        None
    }
}
