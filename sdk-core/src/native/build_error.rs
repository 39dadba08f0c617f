//! Why a client could not be built.

use crate::engine::ConfigError;
use std::fmt;

/// Why a client could not be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting that cannot work.
    Config(ConfigError),
    /// The endpoint is not an `http://` or `https://` address.
    Endpoint,
    /// The path of the data folder is not one a folder can have.
    DataDir {
        /// Why.
        fault: &'static str,
    },
    /// A duration is negative, not a number, or too long.
    Duration {
        /// Its name.
        setting: &'static str,
    },
    /// The queue would have no room for anything.
    NoRoom {
        /// The setting that is 0.
        setting: &'static str,
    },
    /// A client for this token and folder is already open in this process, with another value.
    Conflict {
        /// The setting that differs.
        setting: &'static str,
    },
    /// The crate was built without the feature `http`, and no transport was given.
    NoTransport,
    /// The operating system did not provide a thread.
    Threads,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Endpoint => f.write_str(
                "endpoint is not an address: pass scheme and host, as in https://api.mixpanel.com, without a query",
            ),
            Self::DataDir { fault } => {
                write!(f, "data_dir {fault}: pass the path of a folder, or leave it out to remember nothing")
            }
            Self::Duration { setting } => {
                write!(f, "{setting} must be between 0 and 10^16 seconds")
            }
            Self::NoRoom { setting } => write!(f, "{setting} must be greater than 0"),
            Self::Conflict { setting } => {
                // Whether two of them are the same nobody can tell.
                let same = if matches!(*setting, "transport" | "on_notice") { "none" } else { "the same value" };
                write!(
                    f,
                    "a client with another {setting} is open on this data folder: pass {same}, or use that client"
                )
            }
            Self::NoTransport => f.write_str("no transport: pass one, or build with the feature `http`"),
            Self::Threads => f.write_str("could not start a thread: raise the process's thread limit"),
        }
    }
}

impl std::error::Error for BuildError {}
