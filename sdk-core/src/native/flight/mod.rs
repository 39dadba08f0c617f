//! The flight recorder: writes everything that the [engine](crate::engine) is told to a file that can be replayed.
//!
//! The engine has no clock, no randomness and no environment of its own, so the same settings and the same inputs give
//! the same effects. `cargo xtask simulate --replay FILE` feeds a recording to a fresh engine, and reports where it
//! diverges or breaks a rule.
//!
//! # The file
//!
//! Lines of JSON. The first one is the header: `{"v":1,"contents":…,"version":…,"jitter":…,"config":{…}}`. Each line
//! after it is one input with its moment (`wall`, `mono`), what it was (`in`, with what belongs to it), and what came
//! of it: a summary of the effects (`out`), the outcome (`said`), and when the engine wants to be woken (`wake`). A
//! last line `{"end":…}` says why nothing follows: `closed` with the client, or `full` if the storage thread could not
//! keep up. A process that was killed leaves no such line, and perhaps half of another one.
//!
//! # What it says about people
//!
//! [`Contents::Redacted`]: names, values, users, ids, secrets and answers are replaced by texts of the same length,
//! equal where they were equal, under a key that is drawn for the recording and kept nowhere. What can still be seen is
//! how much was recorded and when (numbers called `time`), what the person chose, lengths, `true`, `false` and `null`,
//! and names of the protocol and those that begin with `$`. Very short texts have few possible replacements. If the
//! detector for personal data rejects calls, those are left out; if it redacts, lengths differ from what was recorded,
//! and a replay may make other batches.
//!
//! [`Contents::Kept`]: everything in full, so **the file is personal data** and contains the secret of the device.
//! Contents are only written while consent allows collection: before a decision they wait in memory. Once consent is
//! withdrawn, wherever that is noticed, the file is replaced by what a redacted recording would have been (which is
//! kept beside it for that purpose, with `.redacted` at the end of its name), and the recording continues redacted. For
//! a withdrawal by `opt_out` this has happened when the call returns. If the recording has ended before, because its
//! client has, the file is deleted as soon as another client of the process on the same data folder notices a
//! withdrawal. Copies of the file, and files left behind by a process that is no longer running, are beyond the
//! client's reach.

mod digest;
mod encode;
mod ended;
mod file;
mod redact;

#[doc(hidden)]
pub use digest::{digest, said};
pub(super) use ended::{ConsentNow, Ended};
pub(super) use file::{FlightFile, Portion};

use crate::engine::{Config, Effect, Engine, Input, Now, Verdict};
#[cfg(feature = "personal-data")]
use crate::engine::{Outcome, Rejection};
use crate::json::write;
use encode::Pen;
use redact::Redactor;
use std::path::PathBuf;

use super::entropy::draw_array;

/// What may wait for the storage thread.
const BUFFER_BYTES: usize = 16 << 20;

/// What becomes of the contents of calls, records and answers in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// They are written as they are: the recording is personal data.
    Kept,
    /// They are replaced by texts of the same length, equal where they were equal. Recommended.
    Redacted,
}

/// A recording that is asked for.
pub(super) struct Flight {
    pub(super) path: PathBuf,
    pub(super) contents: Contents,
}

impl Flight {
    /// Begins it, in memory.
    pub(super) fn begin(self, config: &Config) -> Recording {
        Recording::begin(self, config, u64::from_le_bytes(draw_array()))
    }
}

/// What has been recorded and not been written yet. Lives under the engine's lock, and touches no disk.
#[doc(hidden)]
pub struct Recording {
    path: PathBuf,
    contents: Contents,
    redactor: Redactor,
    jitter: u64,
    redacted: String,
    /// The same with its contents; `None` once there must be none.
    kept: Option<Kept>,
    /// The file with contents must go.
    withdrawn: bool,
    /// The input under way starts the engine.
    started: bool,
    /// The input under way has led to a wipe.
    wiped: bool,
    /// Where the line of the input under way begins, without contents.
    line: usize,
    /// Effects of the input under way.
    effects: usize,
    /// The newest consent epoch seen.
    epoch: u64,
    /// Why nothing follows.
    ended: Option<&'static str>,
}

struct Kept {
    text: String,
    /// So much of it consent has come to allow since.
    allowed: usize,
    /// Whether anything was written already.
    begun: bool,
}

impl Recording {
    fn begin(flight: Flight, config: &Config, jitter: u64) -> Self {
        let Flight { path, contents } = flight;
        let redactor = Redactor::new();
        let mut redacted = String::new();
        encode::header(&mut redacted, jitter, config, &mut Pen::Redacts(&redactor));
        let kept = (contents == Contents::Kept).then(|| {
            let mut text = String::new();
            encode::header(&mut text, jitter, config, &mut Pen::Keeps);
            Kept { text, allowed: 0, begun: false }
        });
        Self {
            path,
            contents,
            redactor,
            jitter,
            redacted,
            kept,
            withdrawn: false,
            started: false,
            wiped: false,
            line: 0,
            effects: 0,
            epoch: 0,
            ended: None,
        }
    }

    /// A recording that is never written, for the project's own simulation.
    #[cfg(feature = "simulation")]
    pub fn in_memory(contents: Contents, config: &Config, jitter: u64) -> Self {
        Self::begin(Flight { path: PathBuf::new(), contents }, config, jitter)
    }

    /// What has been recorded so far: without contents, and with them, where they may stay.
    #[cfg(feature = "simulation")]
    pub fn texts(&self) -> (&str, Option<&str>) {
        (&self.redacted, self.kept.as_ref().map(|kept| kept.text.as_str()))
    }

    /// Where it is written, and where its redacted twin is.
    pub(super) fn paths(&self) -> [PathBuf; 2] {
        [self.path.clone(), file::beside(&self.path)]
    }

    /// The consent epoch under which its contents were allowed last.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The place that the storage thread writes it to.
    pub(super) fn file(&self) -> FlightFile {
        FlightFile::new(self.path.clone(), self.contents)
    }

    /// Before an input.
    pub fn input(&mut self, now: Now, input: &Input<'_>) {
        (self.started, self.wiped, self.effects) = (matches!(input, Input::Start { .. }), false, 0);
        if self.waiting() > BUFFER_BYTES {
            self.finish("full");
        }
        if self.ended.is_some() {
            return;
        }
        self.line = self.redacted.len();
        encode::input(&mut self.redacted, now, input, &mut Pen::Redacts(&self.redactor));
        if let Some(kept) = &mut self.kept {
            encode::input(&mut kept.text, now, input, &mut Pen::Keeps);
        }
        self.append("");
    }

    /// An effect that it has led to.
    pub fn effect(&mut self, effect: &Effect) {
        self.wiped |= matches!(effect, Effect::Wipe { .. });
        let mut text = String::from(if self.effects == 0 { "\"" } else { ",\"" });
        text.push_str(&digest(effect));
        text.push('"');
        self.effects += 1;
        self.append(&text);
    }

    /// After an input and its effects. Whether the storage thread is to hurry.
    pub fn end(&mut self, engine: &mut Engine) -> bool {
        if self.started {
            engine.reseed(self.jitter);
        }
        let mut text = String::from("]");
        encode::result(&mut text, engine);
        text.push_str("}\n");
        self.append(&text);
        #[cfg(feature = "personal-data")]
        if engine.outcome() == Outcome::Rejected(Rejection::PersonalData)
            && self.effects == 0
            && self.ended.is_none()
        {
            // Redacted, it would be no reason to refuse the call, which has changed nothing.
            self.redacted.truncate(self.line);
        }
        self.obey(engine)
    }

    /// Contents stay only while they may.
    fn obey(&mut self, engine: &Engine) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        let verdict = engine.consent().verdict;
        // A higher epoch tells of a withdrawal although somebody has agreed again meanwhile.
        let before = std::mem::replace(&mut self.epoch, engine.epoch());
        let withdrawn = self.wiped || before != 0 && self.epoch > before;
        match verdict {
            Verdict::Allow if !withdrawn => kept.allowed = kept.text.len(),
            Verdict::Hold if !withdrawn => {}
            _ => self.withdraw(),
        }
        self.withdrawn
    }

    fn withdraw(&mut self) {
        self.kept = None;
        self.withdrawn = true;
    }

    /// What is to be written now. The last time, when the client ends.
    pub(super) fn take(&mut self, last: bool) -> Portion {
        if last {
            self.finish("closed");
            // What nobody has allowed in the end is not written.
            match &mut self.kept {
                Some(kept) if kept.allowed == 0 && !kept.begun => self.withdraw(),
                // Its end stands behind what was allowed, unless it has ended before.
                Some(kept) if kept.allowed < kept.text.len() => {
                    kept.text.truncate(kept.allowed);
                    kept.text.push_str(&end_line(self.ended.unwrap_or_default()));
                    kept.allowed = kept.text.len();
                }
                _ => {}
            }
        }
        let kept = self.kept.as_mut().map(|kept| {
            let rest = kept.text.split_off(kept.allowed);
            kept.begun |= kept.allowed > 0;
            kept.allowed = 0;
            std::mem::replace(&mut kept.text, rest)
        });
        Portion {
            redacted: std::mem::take(&mut self.redacted),
            kept: kept.unwrap_or_default(),
            withdrawn: std::mem::take(&mut self.withdrawn),
            last,
        }
    }

    fn waiting(&self) -> usize {
        self.redacted.len() + self.kept.as_ref().map_or(0, |kept| kept.text.len())
    }

    fn append(&mut self, text: &str) {
        if self.ended.is_some() {
            return;
        }
        self.redacted.push_str(text);
        if let Some(kept) = &mut self.kept {
            kept.text.push_str(text);
        }
    }

    fn finish(&mut self, why: &'static str) {
        self.append(&end_line(why));
        self.ended.get_or_insert(why);
    }
}

fn end_line(why: &str) -> String {
    let mut text = String::from("{");
    write::member(&mut text, "end", why);
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests;
