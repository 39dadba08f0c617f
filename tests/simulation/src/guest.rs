//! A process that has a turn in the middle of another one's step.

use crate::disk::SimDisk;
use crate::oracle::{Maker, Oracle};
use crate::process::Process;
use std::cell::RefCell;
use std::rc::Rc;

/// The one that has a turn, with the witness of what it does.
pub struct Guest {
    maker: Maker,
    process: Process,
    oracle: Oracle,
    disk: SimDisk,
    steps: u32,
    /// Whether it waits where the other one is in the middle of what it wants to do itself: it goes on when that is over.
    /// Otherwise so much time passes that it gives up.
    patient: bool,
}

impl Guest {
    /// Lets `host` take a step, and in the middle of it, after so many disk calls, `process` so many.
    pub fn visit(
        host: &mut Process,
        calls: u32,
        (maker, process): (Maker, Process),
        oracle: &mut Oracle,
        disk: &SimDisk,
        (steps, patient): (u32, bool),
    ) -> Process {
        let witness = std::mem::take(oracle);
        let guest = Self { maker, process, oracle: witness, disk: disk.clone(), steps, patient };
        let guest = Rc::new(RefCell::new(guest));
        let turn = Rc::clone(&guest);
        host.set_turn(calls, Box::new(move || turn.borrow_mut().take_turn()));
        host.step();
        host.forget_turn();
        let mut guest = Rc::into_inner(guest).expect("nobody has another turn").into_inner();
        // What it has waited for is over.
        if guest.patient {
            guest.take_turn();
        }
        *oracle = guest.oracle;
        guest.process
    }

    fn take_turn(&mut self) {
        // What was written so far the other one has written.
        self.oracle.watch_decision(&self.disk);
        let host = self.oracle.acting.replace(self.maker);
        while self.steps > 0 && !(self.patient && self.process.would_wait()) {
            self.steps -= 1;
            // Others' words arrive at any time.
            self.process.watch();
            self.oracle.watch_step(self.maker, &self.process, &self.disk);
            let stepped = self.process.step();
            // Who has died in the middle of it may have written something.
            self.oracle.watch_step(self.maker, &self.process, &self.disk);
            if !stepped {
                break;
            }
        }
        self.oracle.acting = host;
    }
}
