//! The server's clock, which a test can set, move and stop.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Real time plus an offset in milliseconds: the clock was at most advanced.
    Real { offset: i64 },
    /// The clock was set; it runs on from there.
    Set { at: i64, since: Instant },
    /// The clock stands still.
    Frozen { at: i64 },
}

/// A clock in one of three modes: real (plus an offset), set, frozen.
#[derive(Debug, Clone)]
pub struct Clock {
    mode: Mode,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { mode: Mode::Real { offset: 0 } }
    }
}

/// A moment by the server's clock, and what client times are by it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now, in milliseconds since 1970.
    pub now: i64,
    /// By how much client times on `/track` have to be moved: clients live in real time, so that on a clock that
    /// was only advanced their times move along. On a clock that was set or frozen they are taken as sent.
    pub client_offset: i64,
}

impl Moment {
    /// A moment for records whose times are taken as sent.
    pub fn as_sent(now: i64) -> Moment {
        Moment { now, client_offset: 0 }
    }

    /// A client's time on the server's clock. Nothing has happened later than now.
    pub fn on_clock(self, client_time: i64) -> i64 {
        (client_time + self.client_offset).min(self.now)
    }
}

impl Clock {
    /// This moment.
    pub fn moment(&self) -> Moment {
        Moment { now: self.now(), client_offset: self.client_offset() }
    }

    /// Now, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        match self.mode {
            Mode::Real { offset } => real_now() + offset,
            Mode::Set { at, since } => at + since.elapsed().as_millis() as i64,
            Mode::Frozen { at } => at,
        }
    }

    /// Whether the clock stands still.
    pub fn is_frozen(&self) -> bool {
        matches!(self.mode, Mode::Frozen { .. })
    }

    fn client_offset(&self) -> i64 {
        match self.mode {
            Mode::Real { offset } => offset,
            _ => 0,
        }
    }

    /// Sets the clock; it keeps standing still if it did.
    pub fn set(&mut self, at: i64) {
        self.mode =
            if self.is_frozen() { Mode::Frozen { at } } else { Mode::Set { at, since: Instant::now() } };
    }

    /// Moves the clock by so many milliseconds, without changing its mode.
    pub fn advance(&mut self, by: i64) {
        match &mut self.mode {
            Mode::Real { offset } => *offset += by,
            Mode::Set { at, .. } => *at += by,
            Mode::Frozen { at } => *at += by,
        }
    }

    /// Stops the clock, or lets a stopped one run on.
    pub fn freeze(&mut self, frozen: bool) {
        match (frozen, self.mode) {
            (true, _) => self.mode = Mode::Frozen { at: self.now() },
            (false, Mode::Frozen { at }) => self.mode = Mode::Set { at, since: Instant::now() },
            (false, _) => {}
        }
    }

    /// Back to real time.
    pub fn reset(&mut self) {
        *self = Clock::default();
    }

    /// How long until the clock shows `due`; `None` while it stands still before that.
    pub fn until(&self, due: i64) -> Option<Duration> {
        let left = due.saturating_sub(self.now());
        if left <= 0 {
            return Some(Duration::ZERO);
        }
        (!self.is_frozen()).then(|| Duration::from_millis(left as u64))
    }
}

fn real_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advanced_clock_moves_client_times_and_a_set_one_does_not() {
        let mut clock = Clock::default();
        clock.advance(60_000);
        assert_eq!(clock.client_offset(), 60_000);
        clock.set(5_000);
        assert_eq!(clock.client_offset(), 0);
        clock.reset();
        assert_eq!(clock.client_offset(), 0);
    }

    #[test]
    fn a_frozen_clock_stands_until_it_is_moved() {
        let mut clock = Clock::default();
        clock.set(1_000_000);
        clock.freeze(true);
        let stopped = clock.now();
        assert!(clock.until(stopped + 1).is_none());
        assert_eq!(clock.until(i64::MIN), Some(Duration::ZERO));
        clock.advance(10);
        assert_eq!(clock.now(), stopped + 10);
        clock.set(7);
        assert_eq!(clock.now(), 7);
        clock.freeze(false);
        assert!(!clock.is_frozen());
        assert!(clock.now() >= 7);
    }
}
