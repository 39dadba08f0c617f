//! The project's commands. `cargo xtask` without arguments lists them.

mod bench;
mod bindings;
mod browser;
mod command;
mod demo;
mod fuzz;
mod kotlin;
mod machine;
mod mutants;
mod parts;
mod project;
mod python;
mod report;
mod simulate;
mod size;
mod small_std;
mod swift;
mod test;
mod wasm;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo [--once]                  a small shop, its visitors and its collector in a browser page; --once checks it and ends
cargo xtask test [--all] [--only ROW]...   every test; --all adds Swift and WebKit, --only runs the rows whose names contain ROW
cargo xtask bench client [--rounds N]        the native client beside other published ones, and the Python, Kotlin and Swift packages
cargo xtask bench browser [--rounds N]       the browser package beside other published ones
cargo xtask bench server [--large] [--only PART]
                                           the server's speed and size, beside a plain insert and beside other mock servers
cargo xtask simulate [--worlds N] [--from SEED] | --seed SEED [--trace] | --search DEPTH | --replay FILE [--trace]
                                           worlds of chance around the engine and the store, one of them again, all short histories,
                                           or what a client's flight recorder has written
cargo xtask mutants [NAME]...              puts deliberate faults into a copy of the core; the simulation must notice each
cargo xtask fuzz TARGET [--seconds N]      mutations of a target's corpus until something breaks; `fuzz` alone lists targets and options
cargo xtask size                           sizes of the browser package and of the mobile library, against their budgets, and what each part costs
cargo xtask swift                          build the native library and its Swift bindings into sdk-ffi/swift/native/
cargo xtask wasm [--features personal-data]  build the WebAssembly module and its glue into sdk-wasm/npm/wasm/
cargo xtask kotlin                         build the native library and its Kotlin bindings into sdk-ffi/kotlin/target/native/
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let Some((name, options)) = arguments.split_first() else {
        print!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    match name.as_str() {
        "test" => test::run(&test::Options::parse(options)?),
        "demo" => match options {
            [] => demo::run(false),
            [once] if once == "--once" => demo::run(true),
            _ => anyhow::bail!("`demo` takes --once or nothing, got {options:?}"),
        },
        "bench" => bench::run(options),
        "simulate" => simulate::run(options),
        "mutants" => mutants::run(options),
        "fuzz" => fuzz::run(options),
        "size" => no_options(name, options).and_then(|()| size::run()),
        "swift" => no_options(name, options).and_then(|()| swift::run()),
        "wasm" => wasm::run(options),
        "kotlin" => no_options(name, options).and_then(|()| kotlin::run()),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        unknown => anyhow::bail!("no command `{unknown}`; there are:\n{USAGE}"),
    }
}

fn no_options(name: &str, options: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(options.is_empty(), "`{name}` takes no options, got {options:?}");
    Ok(())
}
