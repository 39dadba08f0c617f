//! The client of a test: its life cycle, and how its time passes.

use super::collector::{Collector, SentRequest};
use super::folder::Folder;
use super::time::{HANG, VirtualTime, World};
use crate::engine::Answer;
use crate::native::builder::Builder;
use crate::native::client::Client;
use crate::native::shared::State;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// A client for tests, with its own data folder, collector and time. See the [module](super).
///
/// It dereferences to a [`Client`]; [`client`](Self::client) returns one for the app. Dropping it shuts the client down
/// and deletes the folder.
pub struct TestClient {
    client: Client,
    pub(super) collector: Collector,
    time: VirtualTime,
    configure: Box<dyn Fn(Builder) -> Builder + Send + Sync>,
    /// How often it was started.
    starts: u64,
    folder: Folder,
}

impl TestClient {
    /// A client with the default settings, for which nobody has decided yet.
    ///
    /// # Panics
    /// The folder for temporary files is not writable, or no threads are available.
    #[track_caller]
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// Like [`new`](Self::new), with settings. The closure may return the app's own builder instead; only the data
    /// folder and the transport are always those of the test. It is called again for each [`restart`](Self::restart).
    ///
    /// ```
    /// use refrain::engine::DefaultConsent;
    /// use refrain::testing::TestClient;
    ///
    /// let test = TestClient::with(|builder| builder.default_consent(DefaultConsent::Granted));
    /// test.track("Opened the shop", ());
    /// test.expect_event("Opened the shop");
    /// ```
    ///
    /// # Panics
    /// As for [`new`](Self::new), and if a setting cannot work.
    #[track_caller]
    pub fn with(configure: impl Fn(Builder) -> Builder + Send + Sync + 'static) -> Self {
        let folder = match Folder::new() {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for the test in {}: {error}", std::env::temp_dir().display()),
        };
        let (collector, time) = (Collector::default(), VirtualTime::new());
        let client = start(&configure, &folder, &collector, &time, 1);
        let test = Self { client, collector, time, configure: Box::new(configure), starts: 1, folder };
        test.settle();
        test
    }

    /// The client, for the app to keep. [`restart`](Self::restart) closes it, as the end of a process would.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Lets time pass, from one moment at which the client wants to act to the next, and at each waits until nothing
    /// more happens. Both clocks move.
    ///
    /// # Panics
    /// As for [`settle`](Self::settle).
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        self.settle();
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let end = self.time.now().mono_ms.saturating_add(by);
        loop {
            let due = self.client.shared().lock().engine.next_wakeup();
            // A client that has been shut down does not get on with what is due.
            let next = due.filter(|due| (self.time.now().mono_ms + 1..end).contains(due));
            self.time.pass_until(next.unwrap_or(end));
            self.client.shared().rouse();
            self.settle();
            if next.is_none() {
                return;
            }
        }
    }

    /// Waits until nothing more will happen unless time moves on or somebody makes a call: all storage work is done,
    /// every request is answered, and nothing is due. No time passes.
    ///
    /// # Panics
    /// The client has not come to rest after a minute of real time, or one of its threads has panicked.
    #[track_caller]
    pub fn settle(&self) {
        let shared = self.client.shared();
        let rested = shared.wait(HANG, |core| core.is_quiet(self.time.now()));
        let core = shared.lock();
        assert!(core.state != State::Dead, "a thread of the client has panicked; its message stands above");
        assert!(
            rested,
            "the client has not come to rest within {HANG:?} of real time: \
             {} storage jobs, {} requests and {} notices wait, {} requests and {} hooks are under way, \
             next wake-up {:?}, now {:?}",
            core.storage.len(),
            core.requests.len(),
            core.notices.len(),
            core.engine.in_flight(),
            u8::from(core.telling),
            core.engine.next_wakeup(),
            self.time.now()
        );
    }

    /// The time of the wall clock, in milliseconds since 1970 in UTC. A test begins at 2026-01-01T00:00:00Z.
    pub fn wall_time(&self) -> u64 {
        self.time.now().wall_ms
    }

    /// Sets the wall clock forwards or backwards, as a person or a time server may. No time passes.
    ///
    /// # Panics
    /// As for [`settle`](Self::settle).
    #[track_caller]
    pub fn set_wall_time(&self, unix_ms: u64) {
        self.settle();
        self.time.set_wall(unix_ms);
        self.client.shared().rouse();
        self.settle();
    }

    /// Ends the client without another attempt to deliver, and starts a new one on the same folder, as though the app
    /// had been closed and opened again. From then on, clones of the old client refuse every call; the app gets a new
    /// one from [`client`](Self::client). The collector stays.
    ///
    /// # Panics
    /// As for [`settle`](Self::settle) and [`with`](Self::with).
    #[track_caller]
    pub fn restart(&mut self) {
        self.settle();
        self.client.close(|| HANG);
        let ended = self.client.shared().lock().state;
        assert!(ended == State::Ended, "the client has not ended within {HANG:?} of real time: {ended:?}");
        self.time = VirtualTime::starting_at(self.wall_time());
        self.starts += 1;
        self.client = start(&self.configure, &self.folder, &self.collector, &self.time, self.starts);
        self.settle();
    }

    /// Sets the collector's answer to the next request that has none set yet. Call it several times for several
    /// requests in a row. [`Answer::with_status`] makes most answers.
    pub fn answer_next(&self, answer: Answer) {
        self.collector.lock().next_answers.push_back(answer);
    }

    /// Sets whether the collector is unreachable: no connection is made, so no request leaves.
    pub fn collector_away(&self, away: bool) {
        self.collector.lock().away = away;
    }

    /// Every request that has left so far, including those of the erasure outbox, whether or not the collector took it.
    pub fn requests(&self) -> Vec<SentRequest> {
        self.collector.lock().requests.clone()
    }
}

impl Default for TestClient {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("now", &self.time.now()).finish_non_exhaustive()
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        // The threads are to be gone before the folder is.
        self.client.close(|| HANG);
    }
}

#[track_caller]
fn start(
    configure: &dyn Fn(Builder) -> Builder,
    folder: &Folder,
    collector: &Collector,
    time: &VirtualTime,
    starts: u64,
) -> Client {
    let world = World { time: time.clone(), seed: starts };
    let builder = configure(Client::builder("test-token"));
    match builder.data_dir(folder.path()).transport(collector.clone()).world(world).build() {
        Ok(client) => client,
        Err(error) => panic!("the client cannot be made: {error}"),
    }
}
