//! The detector for personal data, in a module that was built with it.

use super::Core;
use alloc::string::String;
use alloc::vec::Vec;
use refrain::engine::PersonalDataMode;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
impl Core {
    /// What is done from now on about e-mail addresses, card numbers, IBANs and tokens in what is recorded: 0 nothing,
    /// 1 they are counted, 2 counted and replaced by a placeholder, 3 counted and the call rejected. `allow`: names of
    /// properties and kinds of groups that may hold them on purpose.
    #[wasm_bindgen(js_name = personalData)]
    pub fn personal_data(&mut self, mode: u32, allow: Vec<String>) {
        let mode = match mode {
            0 => PersonalDataMode::Off,
            1 => PersonalDataMode::Observe,
            2 => PersonalDataMode::Redact,
            _ => PersonalDataMode::Reject,
        };
        self.engine.set_personal_data(mode, allow);
    }

    /// How many of them were found: e-mail addresses, card numbers, IBANs, tokens.
    #[wasm_bindgen(js_name = personalDataFound)]
    pub fn personal_data_found(&self) -> Vec<f64> {
        self.engine.stats().personal_data.into_iter().map(|count| count as f64).collect()
    }
}
