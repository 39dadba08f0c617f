//! What the browser of an end user says beside the records: Global Privacy Control, Do Not Track, an opt-out cookie.

use super::call::Call;
use crate::core::Dropped;
use crate::domain::config::Settings;

/// The signals of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signals {
    gpc: bool,
    dnt: bool,
    cookie: bool,
}

impl Signals {
    /// Reads them. Other values than the ones that mean "no" are none.
    pub fn of(call: &Call) -> Signals {
        let cookies = call.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
        let refusal = |pair: &str| {
            let (name, value) = pair.trim().split_once('=').unwrap_or((pair.trim(), "1"));
            name == "mp_optout" && !matches!(value, "" | "0")
        };
        Signals {
            gpc: call.header("sec-gpc").trim() == "1",
            dnt: call.header("dnt").trim() == "1",
            cookie: cookies.flat_map(|line| line.split(';')).any(refusal),
        }
    }

    /// Why a project that honours some of them drops what comes with these.
    pub fn refuse(self, settings: &Settings) -> Option<Dropped> {
        if self.gpc && settings.honor_gpc {
            Some(Dropped::Gpc)
        } else if self.dnt && settings.honor_dnt {
            Some(Dropped::Dnt)
        } else if self.cookie && settings.honor_optout_cookie {
            Some(Dropped::OptOutCookie)
        } else {
            None
        }
    }
}
