//! `xtask-glue INPUT.wasm OUTPUT_DIR NAME`: what the `wasm-bindgen` command would do for target `web`.

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, name] = arguments.as_slice() else {
        bail!("usage: xtask-glue INPUT.wasm OUTPUT_DIR NAME");
    };
    Bindgen::new()
        .input_path(input)
        .web(true)?
        .typescript(true)
        .out_name(name)
        // Names go when the module is optimised, or are read after that as the compiler wrote them.
        .demangle(false)
        .remove_producers_section(true)
        .generate(output)
        .with_context(|| format!("cannot write the glue for {input}"))
}
