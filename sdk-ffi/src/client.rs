//! The client.

use crate::config::{Config, ConfigError};
use crate::door::Door;
use crate::host::HostTransport;
use crate::outcome::ConsentError;
use crate::state::{Audit, Consent, Stats};
use crate::transport::HttpTransport;
use refrain::engine::{FlushState, Lifecycle, Signals};
use refrain::native;
use std::sync::Arc;
use std::time::Duration;

/// How long a query waits for the folder to be read; it only takes that long if the disk is stuck.
const READING: Duration = Duration::from_secs(5);

/// A client that records what happens, as far as the person's choice allows.
#[derive(uniffi::Object)]
pub struct Client {
    native: native::Client,
    door: Door,
}

#[uniffi::export]
impl Client {
    /// Makes a client. Returns at once: files are read on one of the client's threads.
    ///
    /// # Errors
    /// A setting has a value that cannot work.
    #[uniffi::constructor]
    pub fn new(config: Config, transport: Arc<dyn HttpTransport>) -> Result<Self, ConfigError> {
        let transport = HostTransport::new(transport);
        let (log, sender) = (transport.clone(), transport.clone());
        let builder = config.builder().transport_if_first(transport);
        let builder = builder.on_end(move || sender.leave());
        let native = builder.on_notice(move |notice| log.tell(notice)).build()?;
        let door = Door::open(native.clone());
        Ok(Self { native, door })
    }

    /// Counts a call in [`Stats::rejected`] that the host has rejected itself, because no text can hold what it was
    /// given.
    pub fn count_rejected(&self) {
        self.native.count_rejected();
    }

    /// The number by which [`refrain_call`](crate::refrain_call), through which everything is recorded, finds this
    /// client.
    pub fn door(&self) -> u64 {
        self.door.number()
    }

    /// The person agrees. Waits until it is recorded.
    ///
    /// # Errors
    /// It could not be recorded.
    pub fn opt_in(&self) -> Result<(), ConsentError> {
        Ok(self.native.opt_in()?)
    }

    /// The person objects. With `erase` the server is also asked to erase what this device has sent under its current
    /// id; with `delete_profile`, to delete the profiles of this device and its user, which erases no events. Both need
    /// a data folder, in which the request stays until it is answered. Waits until the refusal is durable, what was
    /// collected is deleted, and no request with records can start any more.
    ///
    /// # Errors
    /// One of the steps failed. Even so, nothing is collected or sent by this process any more.
    #[uniffi::method(default(erase = false, delete_profile = false))]
    pub fn opt_out(&self, erase: bool, delete_profile: bool) -> Result<(), ConsentError> {
        Ok(self.native.opt_out(native::OptOut::default().erase(erase).delete_profile(delete_profile))?)
    }

    /// Where consent stands. The first call may wait for the folder to be read. Reading changes nothing. After
    /// [`shutdown`](Self::shutdown) the decision is the one in the folder.
    pub fn consent(&self) -> Consent {
        self.native.ready(READING);
        self.native.consent().into()
    }

    /// Sets what the environment says; `true` means "do not track".
    pub fn signals(&self, gpc: bool, dnt: bool, host: bool) {
        self.native.signals(Signals { gpc, dnt, host });
    }

    /// Counts what became of every record.
    pub fn stats(&self) -> Stats {
        self.native.stats().into()
    }

    /// Lists everything that the client holds now.
    pub fn audit(&self) -> Audit {
        self.native.ready(READING);
        self.native.audit().into()
    }

    /// The `distinct_id` that records carry; `None` while no identifier exists.
    pub fn distinct_id(&self) -> Option<String> {
        self.native.ready(READING);
        self.native.distinct_id()
    }

    /// The device's id; `None` while none exists.
    pub fn device_id(&self) -> Option<String> {
        self.native.ready(READING);
        self.native.device_id()
    }

    /// Tells the client that the app has gone to the background (`true`), or come back. Queued records are sent at
    /// once, and [`flush`](Self::flush) waits for them. In the background the client looks for changes by other
    /// processes only when it has something to do or is asked, for example by [`consent`](Self::consent).
    pub fn in_background(&self, is_there: bool) {
        self.native.lifecycle(if is_there { Lifecycle::Background } else { Lifecycle::Foreground });
    }

    /// Sends what is queued, and waits for it at most `timeout` seconds. Returns whether everything that was queued at
    /// the call has left the queue: delivered, or refused by the collector and dropped, as [`stats`](Self::stats)
    /// tells. Calls that are held until a decision are not queued.
    pub fn flush(&self, timeout: f64) -> bool {
        self.native.flush(seconds(timeout)) == FlushState::Done
    }

    /// Sends what is queued, and what an objection has asked the server for, waiting at most `timeout` seconds, and
    /// ends the client. What could not be sent is kept in the folder. The result is that of [`flush`](Self::flush).
    /// Afterwards no sending thread is in the host's code, except on behalf of another client on the folder, or one that
    /// has not come back within four more seconds. A host whose runtime ends before the process does needs
    /// [`detach`](crate::detach) too.
    pub fn shutdown(&self, timeout: f64) -> bool {
        self.native.shutdown(seconds(timeout)) == FlushState::Done
    }
}

/// Converts seconds to a duration: negative values and NaN become zero, and very large ones are capped at about a
/// century.
fn seconds(timeout: f64) -> Duration {
    // Not by `min`, which takes what is no number for the longest of all.
    if timeout > f64::from(u32::MAX) {
        return Duration::from_secs(u64::from(u32::MAX));
    }
    Duration::try_from_secs_f64(timeout).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DefaultConsent;
    use crate::door::tests::{Nobody, client, config};
    use crate::exchange::lock;
    use crate::transport::{HttpAnswer, HttpRequest, TransportError};
    use std::path::PathBuf;
    use std::sync::{Mutex, mpsc};
    use std::{env, fs, process, thread};

    #[test]
    fn what_is_no_duration_is_none() {
        for nothing in [f64::NAN, -1.0, f64::NEG_INFINITY, 0.0] {
            assert_eq!(seconds(nothing), Duration::ZERO, "{nothing}");
        }
        assert_eq!(seconds(0.25), Duration::from_millis(250));
        assert_eq!(seconds(f64::INFINITY), seconds(1e300));
        assert!(seconds(f64::INFINITY) > seconds(1e9));
    }

    #[test]
    fn a_closed_client_says_so_to_whoever_decides() {
        let client = client();
        client.shutdown(0.0);
        // Without a folder a refusal is not recorded either, for another reason.
        for (decided, why) in [(client.opt_in(), "closed"), (client.opt_out(false, false), "folder")] {
            let Err(ConsentError::NotRecorded { reason }) = decided else { panic!("{decided:?}") };
            assert!(reason.contains(why), "{reason}");
        }
    }

    #[test]
    fn what_the_host_refuses_itself_is_counted_and_nothing_else() {
        let client = client();
        let before = client.stats();
        client.count_rejected();
        client.count_rejected();
        let mut after = client.stats();
        assert_eq!(after.rejected, before.rejected + 2);
        after.rejected = before.rejected;
        assert_eq!(after, before);
    }

    /// A client's settings, on a folder of its own.
    fn on_a_folder(name: &str) -> (PathBuf, Config) {
        let folder = env::temp_dir().join(format!("refrain-ffi-{}-{name}", process::id()));
        let data_dir = Some(folder.display().to_string());
        let config = Config { data_dir, default_consent: Some(DefaultConsent::Granted), ..config() };
        (folder, config)
    }

    #[test]
    fn the_last_client_brings_the_threads_home_that_send_by_another_ones_transport() {
        /// Hangs until it is broken off.
        struct Hangs(Mutex<mpsc::Sender<()>>, Mutex<Option<mpsc::Sender<()>>>, Mutex<mpsc::Receiver<()>>);
        impl HttpTransport for Hangs {
            fn send(&self, _: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
                lock(&self.0).send(()).unwrap();
                let _ = lock(&self.2).recv();
                Ok(HttpAnswer::Unreachable)
            }
            fn cancel(&self) -> Result<(), TransportError> {
                lock(&self.1).take();
                Ok(())
            }
            fn notice(&self, _: String) -> Result<(), TransportError> {
                Ok(())
            }

            fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
                Ok(())
            }
        }
        let (folder, config) = on_a_folder("last");
        let ((begun, begins), (go, goes)) = (mpsc::channel(), mpsc::channel());
        let hangs = Arc::new(Hangs(Mutex::new(begun), Mutex::new(Some(go)), Mutex::new(goes)));
        let first = Client::new(config.clone(), hangs.clone()).unwrap();
        let second = Client::new(config, Arc::new(Nobody)).unwrap();
        second.native.track_json("e", "{}");
        thread::scope(|scope| {
            scope.spawn(|| second.flush(30.0));
            begins.recv().unwrap();
            first.shutdown(0.0);
            second.shutdown(0.0);
            // Whatever it was, the test is to end.
            assert!(lock(&hangs.1).take().is_none(), "it was not broken off");
        });
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_client_that_ends_breaks_off_nothing_that_another_one_waits_for() {
        /// Answers when it may; broken off, never.
        struct Slow(Mutex<mpsc::Sender<()>>, Mutex<mpsc::Receiver<HttpAnswer>>);
        impl HttpTransport for Slow {
            fn send(&self, request: Arc<HttpRequest>) -> Result<HttpAnswer, TransportError> {
                request.open();
                request.started();
                lock(&self.0).send(()).unwrap();
                Ok(lock(&self.1).recv().unwrap_or(HttpAnswer::Unreachable))
            }
            fn cancel(&self) -> Result<(), TransportError> {
                Ok(())
            }
            fn notice(&self, _: String) -> Result<(), TransportError> {
                Ok(())
            }

            fn consent_changed(&self, _consent: crate::Consent) -> Result<(), TransportError> {
                Ok(())
            }
        }
        let (folder, config) = on_a_folder("shared");
        let ((begun, begins), (answer, answers)) = (mpsc::channel(), mpsc::channel());
        let slow = Arc::new(Slow(Mutex::new(begun), Mutex::new(answers)));
        let first = Client::new(config.clone(), slow.clone()).unwrap();
        let second = Client::new(config, slow).unwrap();
        second.native.track_json("e", "{}");
        thread::scope(|scope| {
            let flushed = scope.spawn(|| second.flush(30.0));
            begins.recv().unwrap();
            first.shutdown(0.0);
            answer.send(HttpAnswer::Response { status: 200, retry_after: None, body: "1".into() }).unwrap();
            assert!(flushed.join().unwrap());
        });
        drop(answer);
        second.opt_out(false, false).unwrap();
        second.shutdown(30.0);
        fs::remove_dir_all(folder).unwrap();
    }
}
