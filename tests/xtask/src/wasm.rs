//! `cargo xtask wasm`: the engine as WebAssembly with its JavaScript glue, in `sdk-wasm/npm/wasm/`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::machine::{self, Need};
use crate::project;

/// The compilation target of a browser.
pub const TARGET: &str = "wasm32-unknown-unknown";
const NAME: &str = "refrain_wasm";
const MODULE: &str = "refrain_wasm_bg.wasm";

/// What rustc emits for this target by default; the optimiser must not be stricter than the compiler.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// The command.
pub fn run() -> Result<ExitCode> {
    match build()? {
        Need::Met(folder) => {
            println!("wrote {}", folder.display());
            Ok(ExitCode::SUCCESS)
        }
        Need::Missing(why) => bail!(why),
    }
}

/// The optimised module with the names of its functions, as the compiler mangles them; nothing else needs it.
pub fn with_names() -> Result<Need<PathBuf>> {
    let out = project::target().join("wasm-with-names");
    // Of all crates, because a library's function is named by the crate that it is made for.
    let flags = "-Csymbol-mangling-version=v0 -Clink-arg=--no-demangle";
    Ok(match build_in(out, Some(flags), "--debuginfo")? {
        Need::Met(folder) => Need::Met(folder.join(MODULE)),
        Need::Missing(why) => Need::Missing(why),
    })
}

/// The module as it comes from the compiler, which gets these flags besides.
fn compile(flags: Option<&str>) -> Result<PathBuf> {
    let mut module = command::cargo(["build", "--quiet", "--package", "refrain-wasm", "--lib"]);
    module.args(["--target", TARGET, "--profile", "wasm"]);
    if let Some(flags) = flags {
        module.env("RUSTFLAGS", flags);
    }
    command::run(&mut module)?;
    let compiled = project::target().join(TARGET).join("wasm").join(format!("{NAME}.wasm"));
    if !compiled.is_file() {
        bail!("{} was not built: is `cdylib` among the crate types of refrain-wasm?", compiled.display());
    }
    Ok(compiled)
}

/// Builds the module and its glue, and returns their folder: `refrain_wasm.js`, `refrain_wasm.d.ts`,
/// `refrain_wasm_bg.wasm` (optimised) and its `.d.ts`.
pub fn build() -> Result<Need<PathBuf>> {
    build_in(project::path("sdk-wasm/npm/wasm"), None, "--strip-debug")
}

fn build_in(out: PathBuf, flags: Option<&str>, names: &str) -> Result<Need<PathBuf>> {
    for need in [machine::rust_target(TARGET), machine::node()] {
        if let Need::Missing(why) = need {
            return Ok(Need::Missing(why));
        }
    }
    let compiled = compile(flags)?;
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut glue = command::cargo(["run", "--quiet", "--package", "xtask-glue", "--"]);
    command::run(glue.arg(&compiled).arg(&out).arg(NAME))?;

    let tools = project::path("tests/xtask/wasm-opt");
    machine::npm_packages(&tools)?;
    let wasm = out.join(MODULE);
    let mut optimise = command::program("node", &tools, ["node_modules/binaryen/bin/wasm-opt", "-Oz", names]);
    command::run(optimise.args(FEATURES).arg(&wasm).arg("-o").arg(&wasm))?;
    Ok(Need::Met(out))
}
