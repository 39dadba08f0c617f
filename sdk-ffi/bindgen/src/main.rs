//! Writes the Kotlin, Swift and Python sources that belong to `refrain-ffi`, from the metadata in its library.
//!
//! ```text
//! cargo build -p refrain-ffi --profile ffi
//! cargo run -p refrain-bindgen -- generate --no-format --language python --out-dir DIR target/ffi/librefrain_ffi.a
//! ```

fn main() {
    uniffi::uniffi_bindgen_main();
}
