//! `refrain-mock serve`.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;

use refrain_mock::{Options, StorePlace};

use super::{FAILED, MEMORY, configuration, fail, is_watched, say};

/// Run the server until SIGTERM or Ctrl-C. A second one does not wait for what is under way.
///
/// When it answers, it prints one line: `refrain-mock ready http://HOST:PORT`. It is meant for this machine: without
/// --control-token the control API and the pages answer no other.
///
/// Exit codes: 0 stopped in an orderly way, 1 could not start or was told twice to stop, 2 wrong usage or configuration.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  refrain-mock serve\n  refrain-mock serve --listen 127.0.0.1:0 --store ./data\n  \
    curl -d '{\"event\":\"A\",\"properties\":{\"token\":\"T\"}}' http://127.0.0.1:8787/track\n  \
    curl http://127.0.0.1:8787/mock/events\n  \
    curl -X PUT -d '{\"advance\":\"P5Y\"}' http://127.0.0.1:8787/mock/clock"
)]
pub struct Arguments {
    /// Address or name to listen on, with a port; port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8787", value_parser = address)]
    listen: SocketAddr,
    /// Where to keep data: `memory`, or a folder.
    #[arg(long, value_name = "memory|PATH", default_value = MEMORY)]
    store: PathBuf,
    /// JSON file with projects, service_accounts, gdpr_oauth and settings. Without it any token makes its project.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Token that has to be shown to use /mock (`Authorization: Bearer T`). With it, other machines may.
    #[arg(long, value_name = "T", env = "REFRAIN_MOCK_CONTROL_TOKEN", hide_env_values = true)]
    control_token: Option<String>,
}

/// Of a name its first IPv4 address, if it has one: `localhost` is 127.0.0.1, as without `--listen`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let all = text.to_socket_addrs().map_err(|error| format!("{error}; it looks like localhost:8787"))?;
    let all: Vec<SocketAddr> = all.collect();
    let first = all.iter().find(|address| address.is_ipv4()).or(all.first());
    first.copied().ok_or_else(|| "the name has no address".to_owned())
}

pub fn run(arguments: Arguments) -> ExitCode {
    let config = match configuration(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let store = if arguments.store.as_os_str() == MEMORY {
        StorePlace::Memory
    } else {
        StorePlace::Folder(arguments.store)
    };
    let control_token = arguments.control_token.filter(|token| !token.is_empty());
    let options = Options { listen: arguments.listen, store, config, control_token, ..Options::default() };
    let served = refrain_mock::serve_until_signal(options, |address| {
        // Whoever does not listen does not need to know; the server runs all the same.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "refrain-mock ready http://{address}").and_then(|()| out.flush());
        if is_watched() {
            say(&format!("pages are at http://{address}/, Ctrl-C stops the server"));
        }
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_name_is_listened_on_as_its_address() {
        for (text, expected) in
            [("localhost:8787", "127.0.0.1:8787"), ("0.0.0.0:0", "0.0.0.0:0"), ("[::1]:80", "[::1]:80")]
        {
            assert_eq!(address(text), Ok(expected.parse().unwrap()), "{text}");
        }
    }
}
