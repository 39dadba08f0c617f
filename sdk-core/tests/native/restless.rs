//! A process that does everything an app can do, in an order that chance has chosen, and keeps a diary of when it begins
//! and ends what. It is made to be killed.

use crate::diary::Diary;
use crate::dice::Dice;
use crate::player::say;
use crate::records;
use crate::support::{PATIENCE, names};
use refrain::engine::{Decision, Outcome};
use refrain::native::{Builder, Client, OptOut};
use std::path::{Path, PathBuf};

/// The environment variables of a life: its name, which its seed is made of, and its diary.
pub const NAME: &str = "REFRAIN_TEST_LIFE";
pub const DIARY: &str = "REFRAIN_TEST_DIARY";
/// The most that it does before it shuts down.
const STEPS: u64 = 8;

/// Lives once.
pub fn live(builder: Builder) {
    Life::new().live(builder);
}

/// Records and sends without a rest, until somebody objects; then says how it stands.
pub fn work(client: &Client) {
    let mut life = Life::new();
    assert!(client.sync(PATIENCE));
    say("ready");
    while !is_denied(client) {
        if life.dice.below(2) > 0 {
            let text = "x".repeat(2_000);
            life.during("track", || {
                for _ in 0..20 {
                    client.track("theirs", serde_json::json!({ "text": text }));
                }
                client.sync(PATIENCE);
            });
        } else {
            life.during("flush", || client.flush(PATIENCE));
        }
    }
    client.sync(PATIENCE);
    let stats = client.stats();
    say(&format!("denied, {} queued, {}", stats.queued, if stats.balance() { "balanced" } else { "off" }));
}

struct Life {
    name: String,
    diary: Diary,
    folder: PathBuf,
    dice: Dice,
    /// Names that it has given.
    made: u64,
}

impl Life {
    fn new() -> Self {
        let name = std::env::var(NAME).unwrap();
        let seed = name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(251).wrapping_add(byte.into()));
        Self {
            name,
            diary: Diary::at(std::env::var_os(DIARY).unwrap().into()),
            folder: std::env::var_os("REFRAIN_TEST_DATA").unwrap().into(),
            dice: Dice::new(seed),
            made: 0,
        }
    }

    fn note(&self, words: &str) {
        self.diary.note(&self.name, words);
    }

    /// Does something whose beginning and end the diary tells.
    fn during<T>(&self, phase: &str, act: impl FnOnce() -> T) -> T {
        self.note(&format!("begin {phase}"));
        let done = act();
        self.note(&format!("end {phase}"));
        done
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        format!("{}/{}/", self.name, self.made)
    }

    fn live(&mut self, builder: Builder) {
        let client = self.during("start", || builder.build().unwrap());
        self.during("recovery", || assert!(client.sync(PATIENCE)));
        if is_denied(&client) {
            self.note(&format!("left {}", left(&self.folder)));
        } else {
            let device = client.device_id().unwrap_or_default();
            let user = client.distinct_id().filter(|id| !id.starts_with("$device:"));
            self.note(&format!("found {device} {}", user.as_deref().unwrap_or("-")));
        }
        self.note(&format!("damaged {}", client.stats().damaged));
        for _ in 0..self.dice.below(STEPS) {
            self.step(&client);
        }
        assert!(client.stats().balance());
        self.during("shutdown", || client.shutdown(PATIENCE));
        self.note("over");
    }

    fn step(&mut self, client: &Client) {
        if is_denied(client) {
            return match self.dice.below(4) {
                0 => self.track(client),
                _ => self.during("opt_in", || client.opt_in().unwrap()),
            };
        }
        match self.dice.below(16) {
            0..=5 => self.track(client),
            6 | 7 => drop(self.during("flush", || client.flush(PATIENCE))),
            8 | 9 => {
                let user = self.new_name();
                self.during(&format!("identify {user}"), || {
                    client.identify(&user);
                    assert!(client.sync(PATIENCE));
                });
            }
            10 | 11 => self.during("reset", || {
                client.reset();
                assert!(client.sync(PATIENCE));
            }),
            12 => self.opt_out(client, "opt_out", OptOut::default()),
            13 => self.opt_out(client, "opt_out_erase", OptOut::default().erase(true)),
            14 => self.opt_out(client, "opt_out_delete", OptOut::default().delete_profile(true)),
            _ => self.opt_out(client, "opt_out_both", OptOut::default().erase(true).delete_profile(true)),
        }
    }

    /// Some events, and which epoch they belong to: not before the one that is read before the call, nor behind the one
    /// that is read after it.
    fn track(&mut self, client: &Client) {
        let epoch = || records::consent(&self.folder).epoch;
        let before = epoch();
        // What another process's withdrawal has overtaken is dropped.
        let dropped = client.stats().dropped_total();
        self.note("begin track");
        let mut taken = Vec::new();
        for _ in 0..=self.dice.below(8) {
            self.made += 1;
            let name = format!("{}/{}/", self.name, self.made);
            if client.track(&name, ()) == Outcome::Accepted {
                self.note(&format!("tracked {name} {}", epoch()));
                taken.push(name);
            }
        }
        let stored = client.sync(PATIENCE);
        self.note("end track");
        if stored && before == epoch() && dropped == client.stats().dropped_total() {
            taken.iter().for_each(|name| self.note(&format!("took {name} {before}")));
        }
    }

    /// Waits afterwards until the test has looked at what has arrived.
    fn opt_out(&mut self, client: &Client, phase: &str, how: OptOut) {
        self.note("looks");
        let device = client.device_id().unwrap_or_default();
        let (secret, user) = records::identity(&self.folder).unwrap_or_default();
        let (secret, user) = (if secret.is_empty() { "-" } else { &secret }, user.as_deref().unwrap_or("-"));
        let id = self.new_name();
        self.during(&format!("{phase} {id} {device} {secret} {user}"), || client.opt_out(how).unwrap());
        say(&format!("out {id}"));
        std::io::stdin().lines().next();
    }
}

fn is_denied(client: &Client) -> bool {
    client.consent().decision == Decision::Denied
}

/// What a refusal does not allow to be there (C3), by name. A lock says only who lives, or lived.
pub fn left(folder: &Path) -> String {
    let mut left = names(folder);
    left.retain(|name| !name.contains(".consent.") && name != "owner");
    left.join(",")
}
