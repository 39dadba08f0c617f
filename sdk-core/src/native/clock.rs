//! The two clocks that the engine is told.

#[cfg(feature = "testing")]
use super::testing::VirtualTime;
use crate::engine::Now;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time, and time since the client was made.
#[derive(Debug)]
pub(super) enum Clock {
    System(Instant),
    /// Stands still until a test moves it.
    #[cfg(feature = "testing")]
    Virtual(VirtualTime),
}

impl Clock {
    pub(super) fn system() -> Self {
        Self::System(Instant::now())
    }

    pub(super) fn now(&self) -> Now {
        match self {
            Self::System(start) => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Now { wall_ms: millis(wall), mono_ms: millis(start.elapsed()) }
            }
            #[cfg(feature = "testing")]
            Self::Virtual(time) => time.now(),
        }
    }

    /// Whether waiting in real time brings nothing nearer.
    pub(super) fn is_virtual(&self) -> bool {
        !matches!(self, Self::System(_))
    }

    /// How long a caller that wants to wait so long waits in real time. On a virtual clock it waits until nothing more
    /// happens at this moment, and a slow machine must not end that early.
    pub(super) fn patience(&self, timeout: Duration) -> Duration {
        match self {
            Self::System(_) => timeout,
            #[cfg(feature = "testing")]
            Self::Virtual(_) if timeout.is_zero() => timeout,
            #[cfg(feature = "testing")]
            Self::Virtual(_) => super::testing::HANG,
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
