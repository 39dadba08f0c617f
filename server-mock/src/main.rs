//! The command line of the mock collection server.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use refrain_mock::{Config, Options, StorePlace};

/// A mock collection server that speaks Mixpanel's protocol and keeps privacy promises.
#[derive(Parser)]
#[command(version, about, long_about = None, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM or Ctrl-C. Prints `refrain-mock ready http://HOST:PORT` when it answers.
    ///
    /// Exit codes: 0 stopped in an orderly way, 1 could not start, 2 wrong usage or configuration.
    #[command(
        after_help = "Examples:\n  refrain-mock serve\n  refrain-mock serve --listen 127.0.0.1:0 --store ./data\n  \
        curl -d '{\"event\":\"A\",\"properties\":{\"token\":\"T\"}}' http://127.0.0.1:8787/track\n  \
        curl http://127.0.0.1:8787/mock/events"
    )]
    Serve {
        /// Address to listen on; port 0 picks a free one.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
        listen: SocketAddr,
        /// Where to keep data: `memory`, or a folder.
        #[arg(long, value_name = "memory|PATH", default_value = "memory")]
        store: PathBuf,
        /// JSON file with projects, service_accounts, gdpr_oauth and settings.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Token that has to be shown to use /mock (`Authorization: Bearer T`).
        #[arg(long, value_name = "T", env = "REFRAIN_MOCK_CONTROL_TOKEN", hide_env_values = true)]
        control_token: Option<String>,
    },
}

fn main() -> ExitCode {
    let Command::Serve { listen, store, config, control_token } = Arguments::parse().command;
    let config = match config.map_or_else(|| Ok(Config::default()), |path| read_config(&path)) {
        Ok(config) => config,
        Err(text) => return fail(2, &text),
    };
    let store = if store.as_os_str() == "memory" { StorePlace::Memory } else { StorePlace::Folder(store) };
    match refrain_mock::serve_until_signal(
        Options { listen, store, config, control_token, ..Options::default() },
        |address| {
            // Whoever does not listen does not need to know; the server runs all the same.
            let mut out = std::io::stdout();
            let _ = writeln!(out, "refrain-mock ready http://{address}").and_then(|()| out.flush());
        },
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

fn read_config(path: &std::path::Path) -> Result<Config, String> {
    let text = std::fs::read(path)
        .map_err(|error| format!("cannot read the configuration {}: {error}", path.display()))?;
    let document = refrain_mock::domain::json::value(&text)
        .map_err(|_| format!("the configuration {} is not JSON", path.display()))?;
    Config::from_json(&document).map_err(|error| format!("the configuration {}: {error}", path.display()))
}

fn fail(code: u8, text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "refrain-mock: {text}");
    ExitCode::from(code)
}
