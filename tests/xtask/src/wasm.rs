//! `cargo xtask wasm`: the engine as WebAssembly with its JavaScript glue, and as JavaScript, in `sdk-wasm/npm/wasm/`.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::machine::{self, Need};
use crate::project;
use crate::small_std;

/// The compilation target of a browser.
pub const TARGET: &str = "wasm32-unknown-unknown";
const NAME: &str = "refrain_wasm";
const MODULE: &str = "refrain_wasm_bg.wasm";
/// The module as JavaScript.
pub const PLAIN: &str = "plain.js";

/// What rustc emits for this target by default; the optimiser must not be stricter than the compiler.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// What takes few bytes, found by trial: the control flow is taken apart and put together anew, and what that leaves is
/// optimised twice; functions that are called often have short numbers. The lowest kilobyte of memory is the far end of
/// the stack, so an address that counts from there is a real one.
const SMALL: [&str; 8] = [
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--reorder-functions",
    "--low-memory-unused",
    "--strip-producers",
    "--strip-target-features",
];

/// Nothing recurses but the writing of a number, digit by digit, so that little stack will do; what lies behind it has
/// short addresses. The few objects of the page take less room in a list of the glue's than in a table of the module's own.
const LEAN: [&str; 2] = ["-Clink-arg=-zstack-size=65536", "-Ctarget-feature=-reference-types,-multivalue"];

/// A feature of the module that a page's default entry does without: the detector for personal data.
pub const PERSONAL_DATA: &str = "personal-data";

/// The command.
pub fn run(options: &[String]) -> Result<ExitCode> {
    println!("wrote {}", build(features(options)?)?.met()?.display());
    Ok(ExitCode::SUCCESS)
}

/// The features that the command line names, as Cargo takes them; nothing for none.
fn features(options: &[String]) -> Result<&str> {
    match options {
        [] => Ok(""),
        [name, features] if name == "--features" && features == PERSONAL_DATA => Ok(features),
        _ => bail!("`wasm` takes --features {PERSONAL_DATA} or nothing, got {options:?}"),
    }
}

/// The optimised module with the names of its functions, as the compiler mangles them, and no function put into its
/// caller: half as large again as what ships, but it tells what is whose. Nothing else needs it.
pub fn with_names() -> Result<Need<PathBuf>> {
    let out = project::target().join("wasm-with-names");
    // Of all crates, because a library's function is named by the crate that it is made for.
    let flags =
        ["-Csymbol-mangling-version=v0", "-Clink-arg=--no-demangle", "-Cllvm-args=-inline-threshold=-50000"];
    let apart =
        ["--debuginfo", "--one-caller-inline-max-function-size=0", "--flexible-inline-max-function-size=0"];
    module_in(build_in(out, "", &flags, &apart)?)
}

/// The optimised module with these features, in a place of its own.
pub fn with_features(features: &str) -> Result<Need<PathBuf>> {
    let out = project::target().join("wasm-with-features");
    module_in(build_in(out, features, &[], &["--strip-debug"])?)
}

fn module_in(folder: Need<PathBuf>) -> Result<Need<PathBuf>> {
    Ok(match folder {
        Need::Met(folder) => Need::Met(folder.join(MODULE)),
        Need::Missing(why) => Need::Missing(why),
    })
}

/// The module with these features as it comes from the compiler, which gets these flags besides.
fn compile(features: &str, flags: &[&str]) -> Result<PathBuf> {
    let mut module = command::cargo(["build", "--quiet", "--package", "refrain-wasm", "--lib"]);
    module.args(["--target", TARGET, "--profile", "wasm", "--features", features]);
    let mut flags = [&LEAN, flags].concat();
    if small_std::build_along(&mut module, "core,alloc", "optimize_for_size", "the browser's module")
        && small_std::panics_at_once()
    {
        // A panic ends the module either way; so it does without a message for nobody.
        flags.extend(small_std::PANIC_AT_ONCE);
    }
    module.env("RUSTFLAGS", flags.join(" "));
    command::run(&mut module)?;
    let compiled = project::target().join(TARGET).join("wasm").join(format!("{NAME}.wasm"));
    if !compiled.is_file() {
        bail!("{} was not built: is `cdylib` among the crate types of refrain-wasm?", compiled.display());
    }
    Ok(compiled)
}

/// Builds the module with these features, and its glue, and returns their folder: `refrain_wasm.js`, `refrain_wasm.d.ts`,
/// `refrain_wasm_bg.wasm` (optimised), `plain.js` in its place, and their `.d.ts`.
pub fn build(features: &str) -> Result<Need<PathBuf>> {
    let built = build_in(project::path("sdk-wasm/npm/wasm"), features, &[], &["--strip-debug"])?;
    if let Need::Met(folder) = &built {
        let (module, glue) = (folder.join(MODULE), folder.join(format!("{NAME}.js")));
        shorten(&module, &glue)?;
        rewrite(&glue, |glue| {
            replace_once(glue, INSTANTIATE, "const instance = module(__wbg_get_imports());")
        })?;
        without_assembly(&module, folder)?;
    }
    Ok(built)
}

/// Gives short names to what the module and its glue call in each other; wasm-bindgen's are long, some with a hash.
fn shorten(wasm: &Path, glue: &Path) -> Result<()> {
    let mut rename = binaryen("wasm-opt");
    rename.arg("--minify-imports-and-exports-and-modules").args(FEATURES);
    // Lists `["module", "import", "short"]` and `["export", "short"]`.
    let renamed = command::read(rename.arg(wasm).arg("-o").arg(wasm))?;
    let mut names = vec![(format!("\"./{NAME}_bg.js\""), "\"a\"".to_owned())];
    for line in renamed.lines() {
        match line.split('"').skip(1).step_by(2).collect::<Vec<_>>()[..] {
            [_, import, short] => names.push((format!(" {import}:"), format!(" {short}:"))),
            [export, short] => names.push((format!("wasm.{export}"), format!("wasm.{short}"))),
            _ => {}
        }
    }
    // One may begin as a shorter one does.
    names.sort_by_key(|(name, _)| Reverse(name.len()));
    rewrite(glue, |script| {
        Ok(names.iter().fold(script.to_owned(), |script, (name, short)| script.replace(name, short)))
    })
}

/// How the glue makes the instance. In its place whoever loads the module does, since it need not be WebAssembly.
const INSTANTIATE: &str = "const imports = __wbg_get_imports();
    if (!(module instanceof WebAssembly.Module)) {
        module = new WebAssembly.Module(module);
    }
    const instance = new WebAssembly.Instance(module, imports);";

/// Writes the module as JavaScript, for pages whose policy forbids WebAssembly.
fn without_assembly(module: &Path, folder: &Path) -> Result<()> {
    let (lowered, plain) = (folder.join("lowered.wasm"), folder.join(PLAIN));
    // What the translation does not know is put in other words first.
    let mut lower = binaryen("wasm-opt");
    lower.args(["--llvm-nontrapping-fptoint-lowering", "--signext-lowering"]).args(FEATURES);
    command::run(lower.arg(module).arg("-o").arg(&lowered))?;
    let mut translate = binaryen("wasm2js");
    translate.args(["--enable-bulk-memory", "--enable-mutable-globals", "-Oz"]);
    // It prints the module.
    command::read(translate.arg(&lowered).arg("-o").arg(&plain))?;
    std::fs::remove_file(&lowered).with_context(|| format!("cannot remove {}", lowered.display()))?;
    rewrite(&plain, |script| {
        let script = replace_once(script, "import * as a from 'a';", "")?;
        // The glue knows memory that has grown by its old buffer being detached.
        let grown = "structuredClone(buffer, { transfer: [buffer] });\n   buffer = newBuffer;";
        let script = replace_once(&script, "buffer = newBuffer;", grown)?;
        let (function, _) = script.split_once("var retasmFunc").context("wasm2js writes in another way")?;
        Ok(format!("{function}export default (imports) => ({{ exports: asmFunc(imports) }});\n"))
    })?;
    let types = "declare const instantiate: (imports: WebAssembly.Imports) => Pick<WebAssembly.Instance, 'exports'>;\n\
        export default instantiate;\n";
    std::fs::write(folder.join("plain.d.ts"), types).context("cannot write plain.d.ts")
}

fn rewrite(file: &Path, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = change(&text).with_context(|| format!("cannot change {}", file.display()))?;
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn replace_once(text: &str, from: &str, to: &str) -> Result<String> {
    if text.matches(from).count() != 1 {
        bail!("`{from}` stands there {} times, not once", text.matches(from).count());
    }
    Ok(text.replacen(from, to, 1))
}

fn binaryen(tool: &str) -> Command {
    let tools = project::path("tests/xtask/wasm-opt");
    command::program("node", &tools, [format!("node_modules/binaryen/bin/{tool}")])
}

fn build_in(out: PathBuf, features: &str, flags: &[&str], options: &[&str]) -> Result<Need<PathBuf>> {
    for need in [machine::rust_target(TARGET), machine::node()] {
        if let Need::Missing(why) = need {
            return Ok(Need::Missing(why));
        }
    }
    let compiled = compile(features, flags)?;
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut glue = command::cargo(["run", "--quiet", "--package", "xtask-glue", "--"]);
    command::run(glue.arg(&compiled).arg(&out).arg(NAME))?;

    machine::npm_packages(&project::path("tests/xtask/wasm-opt"))?;
    let wasm = out.join(MODULE);
    let mut optimise = binaryen("wasm-opt");
    command::run(optimise.args(SMALL).args(options).args(FEATURES).arg(&wasm).arg("-o").arg(&wasm))?;
    Ok(Need::Met(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_one_feature_there_is_or_none() {
        let features = |options: &[&str]| {
            let options: Vec<String> = options.iter().copied().map(String::from).collect();
            super::features(&options).map(str::to_owned).ok()
        };
        assert_eq!(features(&[]).as_deref(), Some(""));
        assert_eq!(features(&["--features", PERSONAL_DATA]).as_deref(), Some(PERSONAL_DATA));
        assert_eq!(features(&["--features", "native"]), None);
        assert_eq!(features(&["--features"]), None);
    }
}
