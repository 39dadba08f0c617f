//! The detector for personal data, in a module that was built with it.

use super::Core;
use alloc::string::String;
use alloc::vec::Vec;
use refrain::engine::PersonalDataMode;

impl Core {
    /// What is done from now on about e-mail addresses, card numbers, IBANs and tokens in what is recorded: 0 nothing,
    /// 1 they are counted, 2 counted and replaced by a placeholder, 3 counted and the call rejected. `allow`: names of
    /// properties and kinds of groups that may hold them on purpose, each of which ends with a line break.
    pub(super) fn personal_data(&mut self, mode: u32, allow: &str) {
        let mode = match mode {
            0 => PersonalDataMode::Off,
            1 => PersonalDataMode::Observe,
            2 => PersonalDataMode::Redact,
            _ => PersonalDataMode::Reject,
        };
        let mut names = Vec::new();
        for name in allow.split_terminator('\n') {
            names.push(String::from(name));
        }
        self.engine.set_personal_data(mode, names);
    }
}
