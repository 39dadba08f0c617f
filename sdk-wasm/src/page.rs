//! What the page and the browser say: privacy signals and whether anybody looks.

use super::Core;
use alloc::string::String;
use refrain::engine::{Input, Lifecycle, Signals};
use wasm_bindgen::prelude::*;
use web_sys::{Document, Navigator};

#[wasm_bindgen]
extern "C" {
    /// A navigator with the two signals. `web-sys` does not know the first one, and takes the second one for a string
    /// where browsers answer `null`.
    #[wasm_bindgen(extends = Navigator, typescript_type = "Navigator")]
    pub type SignalingNavigator;

    #[wasm_bindgen(method, getter, structural, js_name = globalPrivacyControl)]
    fn global_privacy_control(this: &SignalingNavigator) -> JsValue;

    #[wasm_bindgen(method, getter, structural, js_name = doNotTrack)]
    fn do_not_track(this: &SignalingNavigator) -> Option<String>;
}

#[wasm_bindgen]
impl Core {
    /// Reads the browser's privacy signals.
    pub fn signals(&mut self, navigator: &SignalingNavigator) {
        let gpc = navigator.global_privacy_control().is_truthy();
        let dnt = navigator.do_not_track().is_some_and(|value| value == "1" || value == "yes");
        self.feed(Input::Signals(Signals { gpc, dnt, host: false }));
    }

    /// The page came into view or went out of it. Says whether it is out of view.
    pub fn visibility(&mut self, document: &Document) -> bool {
        let hidden = document.hidden();
        self.feed(Input::Lifecycle(if hidden { Lifecycle::Background } else { Lifecycle::Foreground }));
        hidden
    }
}
