//! The verdict: what may be done now, and why.

use super::record::{ConsentState, Decision};
use crate::engine::config::{Config, DefaultConsent};

/// What the environment says. `true` means "do not track".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// Global Privacy Control.
    pub gpc: bool,
    /// Do Not Track.
    pub dnt: bool,
    /// A signal supplied by the host application.
    pub host: bool,
}

impl Signals {
    /// The union of two sets of signals.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { gpc: self.gpc || other.gpc, dnt: self.dnt || other.dnt, host: self.host || other.host }
    }

    /// Which of those that are honoured says no.
    pub(in crate::engine) fn refusal(self, config: &Config) -> Option<DenyReason> {
        if self.gpc && config.honor_gpc {
            Some(DenyReason::Gpc)
        } else if self.dnt && config.honor_dnt {
            Some(DenyReason::Dnt)
        } else {
            self.host.then_some(DenyReason::Host)
        }
    }
}

/// Why nothing is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DenyReason {
    /// The person said no.
    Person,
    /// The consent record cannot be read, or there is nowhere to keep one.
    StoreUnavailable,
    /// Global Privacy Control.
    Gpc,
    /// Do Not Track.
    Dnt,
    /// The host application's signal.
    Host,
    /// Nobody has decided, and the default is "no".
    Default,
}

impl DenyReason {
    /// The name used in bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::StoreUnavailable => "store_unavailable",
            Self::Gpc => "gpc",
            Self::Dnt => "dnt",
            Self::Host => "host",
            Self::Default => "default",
        }
    }

    /// One sentence to show to the person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Person => "Not collecting: you have objected.",
            Self::StoreUnavailable => {
                "Not collecting: there is no readable record of a choice, so none is assumed."
            }
            Self::Gpc => "Not collecting: this browser sends Global Privacy Control.",
            Self::Dnt => "Not collecting: this browser sends Do Not Track.",
            Self::Host => "Not collecting: this app has passed on your wish not to be tracked.",
            Self::Default => "Not collecting: you have not agreed.",
        }
    }
}

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Collect and send.
    Allow,
    /// Keep calls in memory until the person decides.
    Hold,
    /// Do nothing.
    Deny(DenyReason),
}

impl Verdict {
    /// The name used in bindings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny(_) => "deny",
        }
    }
}

/// The table that everything else follows from. `in_process` is a decision that the store could not take.
pub(in crate::engine) fn verdict(
    record: &ConsentState,
    in_process: Option<Decision>,
    signals: Signals,
    config: &Config,
) -> Verdict {
    let decision = match (in_process, record) {
        (Some(decision), _) => decision,
        (None, ConsentState::Unreadable) => return Verdict::Deny(DenyReason::StoreUnavailable),
        (None, ConsentState::Absent) => Decision::Unset,
        (None, ConsentState::Found(record)) => record.decision,
    };
    match decision {
        Decision::Denied => Verdict::Deny(DenyReason::Person),
        Decision::Granted => Verdict::Allow,
        Decision::Unset => match (signals.refusal(config), config.default_consent) {
            (Some(reason), _) => Verdict::Deny(reason),
            (None, DefaultConsent::Granted) => Verdict::Allow,
            (None, DefaultConsent::Denied) => Verdict::Deny(DenyReason::Default),
            (None, DefaultConsent::Pending) => Verdict::Hold,
        },
    }
}

/// Where consent stands, for the host to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    /// What the person chose.
    pub decision: Decision,
    /// What may be done now.
    pub verdict: Verdict,
}

impl Consent {
    /// Why: `person`, `gpc`, `dnt`, `host`, `default` or `store_unavailable`.
    pub const fn reason(&self) -> &'static str {
        match (self.verdict, self.decision) {
            (Verdict::Deny(reason), _) => reason.as_str(),
            (_, Decision::Unset) => "default",
            _ => "person",
        }
    }

    /// One sentence to show to the person.
    pub const fn sentence(&self) -> &'static str {
        match (self.verdict, self.decision) {
            (Verdict::Deny(reason), _) => reason.sentence(),
            (Verdict::Hold, _) => "Waiting: nothing is stored or sent until you decide.",
            (Verdict::Allow, Decision::Granted) => "Collecting: you have agreed.",
            (Verdict::Allow, _) => "Collecting: you have not objected.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::ConsentRecord;
    use super::*;

    fn found(decision: Decision) -> ConsentState {
        ConsentState::Found(ConsentRecord { decision, revision: 1, epoch: 1, ..Default::default() })
    }

    #[test]
    fn the_verdict_table_row_by_row() {
        use DenyReason as R;
        let mut config = Config::new("t");
        let mut check = |state: &ConsentState, default, signals, expected| {
            config.default_consent = default;
            assert_eq!(verdict(state, None, signals, &config), expected, "{state:?} {default:?} {signals:?}");
        };
        let (quiet, gpc) = (Signals::default(), Signals { gpc: true, ..Default::default() });
        for default in [DefaultConsent::Granted, DefaultConsent::Denied, DefaultConsent::Pending] {
            for signals in [quiet, gpc] {
                check(&ConsentState::Unreadable, default, signals, Verdict::Deny(R::StoreUnavailable));
                check(&found(Decision::Denied), default, signals, Verdict::Deny(R::Person));
                check(&found(Decision::Granted), default, signals, Verdict::Allow);
            }
            check(&ConsentState::Absent, default, gpc, Verdict::Deny(R::Gpc));
            check(&found(Decision::Unset), default, Signals { dnt: true, ..quiet }, Verdict::Deny(R::Dnt));
            check(&found(Decision::Unset), default, Signals { host: true, ..quiet }, Verdict::Deny(R::Host));
        }
        check(&ConsentState::Absent, DefaultConsent::Granted, quiet, Verdict::Allow);
        check(&ConsentState::Absent, DefaultConsent::Denied, quiet, Verdict::Deny(R::Default));
        check(&ConsentState::Absent, DefaultConsent::Pending, quiet, Verdict::Hold);
        config.honor_gpc = false;
        config.default_consent = DefaultConsent::Granted;
        assert_eq!(verdict(&ConsentState::Absent, None, gpc, &config), Verdict::Allow);
    }
}
