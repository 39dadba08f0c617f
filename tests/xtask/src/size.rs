//! `cargo xtask size`: what a page or an app has to load, against its budget.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::bindings;
use crate::browser;
use crate::command;
use crate::parts;
use crate::project;
use crate::wasm;

const KB: u64 = 1024;

/// What one thing weighs, in bytes. Several files are compressed one by one, as they travel.
#[derive(Clone, Copy, Default)]
struct Weight {
    raw: u64,
    gzip: u64,
    brotli: u64,
}

/// The figure that counts for a budget.
enum Budget {
    Raw(u64),
    Gzip(u64),
    /// Shown for orientation; the sum has the budget.
    None,
}

struct Row {
    what: &'static str,
    weight: Weight,
    budget: Budget,
}

/// The command.
pub fn run() -> Result<ExitCode> {
    // Before what ships is built, in the same places.
    let parts = parts()?;
    let detector = wasm::with_features(wasm::PERSONAL_DATA)?.met()?;
    let package = browser::build()?.met()?;
    let loaded = Loaded::from_entry(&entry(&package)?)?;
    let library = bindings::library(&[])?;
    let of = |paths: &BTreeSet<PathBuf>, keep: fn(&Path) -> bool| {
        weigh(&paths.iter().filter(|path| keep(path)).cloned().collect::<Vec<_>>())
    };
    let rows = [
        Row {
            what: "browser: before the first call",
            weight: of(&loaded.at_once, |_| true)?,
            budget: Budget::Gzip(KB),
        },
        Row { what: "browser: WebAssembly", weight: of(&loaded.all, is_wasm)?, budget: Budget::None },
        Row {
            what: "browser: JavaScript",
            weight: of(&loaded.all, |path| !is_wasm(path))?,
            budget: Budget::None,
        },
        Row { what: "browser: all", weight: of(&loaded.all, |_| true)?, budget: Budget::Gzip(16 * KB) },
        Row {
            what: "browser: WebAssembly, with the detector",
            weight: weigh(&[detector])?,
            budget: Budget::None,
        },
        Row {
            what: "browser: in place of WebAssembly",
            weight: of(&loaded.instead, |_| true)?,
            budget: Budget::None,
        },
        Row {
            what: "mobile library, without HTTP",
            weight: weigh(&[library])?,
            budget: Budget::Raw(500 * KB),
        },
    ];
    print!("\n{}\n{parts}", render(&rows));
    let over = rows.iter().any(|row| verdict(row) == "OVER");
    Ok(if over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn verdict(row: &Row) -> &'static str {
    let fits = |size: u64, budget: u64| if size <= budget { "fits" } else { "OVER" };
    match row.budget {
        Budget::Raw(budget) => fits(row.weight.raw, budget),
        Budget::Gzip(budget) => fits(row.weight.gzip, budget),
        Budget::None => "",
    }
}

fn render(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$} {:>9} {:>9} {:>9}   {:15} verdict\n",
        "bytes", "raw", "gzip -9", "brotli", "budget"
    );
    for row in rows {
        let Weight { raw, gzip, brotli } = row.weight;
        let budget = match row.budget {
            Budget::Raw(bytes) => format!("{} raw", bytes),
            Budget::Gzip(bytes) => format!("{} gzip", bytes),
            Budget::None => String::new(),
        };
        let line =
            format!("{:width$} {raw:>9} {gzip:>9} {brotli:>9}   {budget:15} {}", row.what, verdict(row));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn is_wasm(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "wasm")
}

/// What each part costs in the browser's module and in the library.
fn parts() -> Result<String> {
    let named = bindings::library(&["-Cstrip=none"])?;
    let library = std::fs::read(&named).with_context(|| format!("cannot read {}", named.display()))?;
    let module = wasm::with_names()?.met()?;
    let module = std::fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    match parts::table(&[("browser, kept apart", &module), ("mobile library", &library)]) {
        Ok(table) => Ok(table),
        Err(why) => Ok(format!("no parts: {why:#}\n")),
    }
}

/// The file behind the package's default entry.
fn entry(package: &Path) -> Result<PathBuf> {
    let script = "const it = require('./package.json').exports['.']; \
        const at = (it) => typeof it === 'string' ? it : at(it.import ?? it.browser ?? it.default); \
        console.log(at(it))";
    let entry = command::read(&mut command::program("node", package, ["-e", script]))?;
    let path = package.join(entry.trim_start_matches("./"));
    path.canonicalize().with_context(|| format!("the package's entry {}", path.display()))
}

/// The files that a page loads for the default entry.
struct Loaded {
    /// The entry and what it imports statically: needed before the first call can be made.
    at_once: BTreeSet<PathBuf>,
    /// Those, and all that they name otherwise: dynamic imports, and the WebAssembly module.
    all: BTreeSet<PathBuf>,
    /// What a page loads in place of that module where its policy forbids it.
    instead: BTreeSet<PathBuf>,
}

impl Loaded {
    fn from_entry(entry: &Path) -> Result<Self> {
        let at_once = reachable(entry, |before| before.ends_with("from") || before.ends_with("import"))?;
        let (instead, all) =
            reachable(entry, |_| true)?.into_iter().partition(|path| path.ends_with(wasm::PLAIN));
        Ok(Self { at_once, all, instead })
    }
}

/// The entry and every script or module that it names, directly or not, as a quoted relative path. `follow` sees
/// the text before the quotation mark.
fn reachable(entry: &Path, follow: fn(&str) -> bool) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![entry.to_path_buf()];
    while let Some(file) = waiting.pop() {
        if !found.insert(file.clone()) || is_wasm(&file) {
            continue;
        }
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let folder = file.parent().context("a file has a folder")?;
        for name in named_files(&text, follow) {
            let named = folder.join(name).components().collect::<PathBuf>();
            if let Ok(named) = named.canonicalize() {
                waiting.push(named);
            }
        }
    }
    Ok(found)
}

fn named_files(script: &str, follow: fn(&str) -> bool) -> Vec<&str> {
    let mut names = Vec::new();
    for quote in ['"', '\'', '`'] {
        let mut rest = 0;
        while let Some(start) = script[rest..].find(quote).map(|it| rest + it + 1) {
            let Some(end) = script[start..].find([quote, '\n']).map(|it| start + it) else { break };
            let name = &script[start..end];
            let is_file = (name.ends_with(".js") || name.ends_with(".wasm")) && !name.contains("://");
            if is_file && follow(script[..start - 1].trim_end()) {
                names.push(name);
            }
            rest = if is_file { end + 1 } else { start };
        }
    }
    names
}

fn weigh(files: &[PathBuf]) -> Result<Weight> {
    // Node compresses with a zlib of its own, whose results differ from those of `gzip` by some bytes.
    let script = "const fs = require('fs'), zlib = require('zlib'); \
        for (const file of process.argv.slice(1)) console.log(zlib.brotliCompressSync(fs.readFileSync(file)).length)";
    let mut node = command::program("node", &project::root(), ["-e", script]);
    let brotli = command::read(node.args(files))?;
    let mut sum =
        Weight { brotli: brotli.lines().map(str::parse::<u64>).sum::<Result<_, _>>()?, ..Weight::default() };
    for file in files {
        let mut gzip = command::program("gzip", &project::root(), ["-9", "--no-name", "--stdout"]);
        let packed = gzip.arg(file).output().context("cannot start `gzip`")?;
        if !packed.status.success() {
            bail!(
                "`gzip` cannot read {}: {}",
                file.display(),
                String::from_utf8_lossy(&packed.stderr).trim()
            );
        }
        sum.raw += file.metadata()?.len();
        sum.gzip += packed.stdout.len() as u64;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_files_that_a_script_names() {
        let script = r#"import{a as b}from"./a.js";import './b.js';
            const later = () => import("./c.js"), m = new URL('x_bg.wasm', import.meta.url), u = "https://a.b/c.js""#;
        assert_eq!(named_files(script, |_| true), ["./a.js", "./c.js", "./b.js", "x_bg.wasm"]);
        let at_once = named_files(script, |before| before.ends_with("from") || before.ends_with("import"));
        assert_eq!(at_once, ["./a.js", "./b.js"]);
    }

    #[test]
    fn judges_by_the_figure_that_counts() {
        let weight = Weight { raw: 3000, gzip: 1025, brotli: 900 };
        let row = |budget| Row { what: "it", weight, budget };
        assert_eq!(verdict(&row(Budget::Gzip(1024))), "OVER");
        assert_eq!(verdict(&row(Budget::Gzip(1025))), "fits");
        assert_eq!(verdict(&row(Budget::Raw(2999))), "OVER");
        assert_eq!(verdict(&row(Budget::None)), "");
    }
}
