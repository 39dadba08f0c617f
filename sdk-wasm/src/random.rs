//! Random bits, as the browser has them.

use alloc::vec::Vec;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &mut [u8]);
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
