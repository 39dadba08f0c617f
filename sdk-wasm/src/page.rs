//! What the page and the browser say: privacy signals, and random bits.

use alloc::string::String;
use alloc::vec::Vec;
use refrain::engine::Signals;
use wasm_bindgen::prelude::*;
use web_sys::Navigator;

#[wasm_bindgen]
extern "C" {
    /// A navigator with the two signals. `web-sys` does not know the first one, and takes the second one for a string
    /// where browsers answer `null`.
    #[wasm_bindgen(extends = Navigator, typescript_type = "Navigator")]
    pub type SignalingNavigator;

    #[wasm_bindgen(method, getter, structural, js_name = globalPrivacyControl)]
    fn global_privacy_control(this: &SignalingNavigator) -> Option<bool>;

    #[wasm_bindgen(method, getter, structural, js_name = doNotTrack)]
    fn do_not_track(this: &SignalingNavigator) -> Option<String>;

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &mut [u8]);
}

impl SignalingNavigator {
    /// The browser's privacy signals.
    pub fn signals(&self) -> Signals {
        let gpc = self.global_privacy_control() == Some(true);
        let dnt = self.do_not_track().is_some_and(|value| value == "1" || value == "yes");
        Signals { gpc, dnt, host: false }
    }
}

/// Random bits from the operating system, fetched for many calls at once.
#[derive(Default)]
pub struct Random {
    pool: Vec<[u8; 16]>,
}

impl Random {
    /// Bits that nobody has had.
    pub fn bits(&mut self) -> [u8; 16] {
        if self.pool.is_empty() {
            self.pool.resize(64, [0; 16]);
            fill_random(self.pool.as_flattened_mut());
        }
        self.pool.pop().unwrap_or_default()
    }
}
