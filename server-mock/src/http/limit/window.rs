//! A window that slides with the clock.

use std::collections::VecDeque;

/// What was used within the last so many milliseconds.
pub struct Window {
    span: i64,
    /// When, and how much; oldest first.
    uses: VecDeque<(i64, u64)>,
    used: u64,
}

impl Window {
    /// Nothing used yet, in a window of so many milliseconds.
    pub fn new(span: i64) -> Window {
        Window { span, uses: VecDeque::new(), used: 0 }
    }

    /// For how many milliseconds so much more is over the limit: until the oldest uses that are in its way have left the
    /// window. 0: it is within the limit now. What alone is over the limit waits for the whole window.
    pub fn wait(&mut self, amount: u64, limit: f64, now: i64) -> i64 {
        self.slide(now);
        let mut over = self.used.saturating_add(amount) as f64 - limit;
        if over <= 0.0 {
            return 0;
        }
        for (at, used) in &self.uses {
            over -= *used as f64;
            if over <= 0.0 {
                return at + self.span - now;
            }
        }
        self.span
    }

    /// Counts a use.
    pub fn take(&mut self, amount: u64, now: i64) {
        self.slide(now);
        self.used = self.used.saturating_add(amount);
        match self.uses.back_mut() {
            Some((at, used)) if *at == now => *used = used.saturating_add(amount),
            _ => self.uses.push_back((now, amount)),
        }
    }

    fn slide(&mut self, now: i64) {
        while let Some((at, used)) = self.uses.front()
            && *at <= now - self.span
        {
            self.used = self.used.saturating_sub(*used);
            self.uses.pop_front();
        }
        // Uses in a future that the clock has left again do not count either.
        while let Some((at, used)) = self.uses.back()
            && *at > now
        {
            self.used = self.used.saturating_sub(*used);
            self.uses.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_leaves_when_it_is_as_old_as_the_window_is_long() {
        let mut window = Window::new(1000);
        window.take(2, 100);
        window.take(1, 600);
        assert_eq!(window.wait(1, 4.0, 700), 0);
        assert_eq!(window.wait(1, 3.0, 700), 400, "the oldest makes room");
        assert_eq!(window.wait(3, 3.0, 700), 900, "both have to go");
        assert_eq!(window.wait(4, 3.0, 700), 1000, "nothing that goes makes room for this");
        assert_eq!(window.wait(2, 3.0, 1100), 0);
        assert_eq!(window.wait(3, 3.0, 1599), 1);
        assert_eq!(window.wait(3, 3.0, 1600), 0);
    }

    #[test]
    fn a_clock_that_goes_back_frees_what_it_takes_back() {
        let mut window = Window::new(1000);
        window.take(1, 100);
        window.take(1, 900);
        assert_eq!(window.wait(1, 1.0, 500), 600);
        assert_eq!(window.wait(1, 1.0, 50), 0);
    }
}
