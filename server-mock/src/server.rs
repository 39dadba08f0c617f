//! The listener: connections and shutdown.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use crate::core::{Core, Shared};
use crate::domain::config::Config;
use crate::http::{self, App, Peer};
use crate::notices;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::wire::{Ties, Wire};
use crate::worker::Worker;

/// How long requests under way are waited for at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// File size limit exceeded; the same number on Linux and macOS.
const SIGXFSZ: i32 = 25;

/// Where data is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StorePlace {
    /// In memory, until the server stops.
    #[default]
    Memory,
    /// In a folder.
    Folder(PathBuf),
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where data is kept.
    pub store: StorePlace,
    /// Projects, accounts, settings.
    pub config: Config,
    /// What has to be shown to use the control API.
    pub control_token: Option<String>,
    /// How long slow clients are waited for.
    pub patience: Patience,
}

/// How long slow clients are waited for. One that is given up costs others nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the head of a request, and between two requests of a connection.
    pub head: Duration,
    /// For the next piece of a body.
    pub piece: Duration,
    /// For a whole body, however often a piece of it comes.
    pub body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            head: Duration::from_secs(30),
            piece: Duration::from_secs(30),
            body: Duration::from_secs(300),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            store: StorePlace::Memory,
            config: Config::default(),
            control_token: None,
            patience: Patience::default(),
        }
    }
}

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The address cannot be listened on.
    Listen(SocketAddr, std::io::Error),
    /// The data cannot be used.
    Store(crate::store::StoreError),
    /// The system refuses threads or the like.
    System(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(address, error) => {
                write!(
                    formatter,
                    "cannot listen on {address}: {error}; choose another with --listen (port 0 picks a free one)"
                )
            }
            StartError::Store(error) => write!(formatter, "{error}"),
            StartError::System(error) => write!(formatter, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Runs a server in this thread; calls `ready` when it answers. `stop` is called before anything else is done, and its
/// future ends the server.
pub(crate) fn run<S: Future<Output = ()>>(
    options: Options,
    ready: impl FnOnce(SocketAddr, Arc<App>),
    stop: impl FnOnce() -> S,
) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(StartError::System)?;
    let result = runtime.block_on(serve(options, ready, stop));
    runtime.shutdown_timeout(Duration::from_secs(1));
    notices::finish();
    result
}

async fn serve<S: Future<Output = ()>>(
    options: Options,
    ready: impl FnOnce(SocketAddr, Arc<App>),
    stop: impl FnOnce() -> S,
) -> Result<(), StartError> {
    let stop = stop();
    let failed = |error| StartError::Listen(options.listen, error);
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let store: Box<dyn Store> = match &options.store {
        StorePlace::Memory => Box::new(SqliteStore::in_memory().map_err(StartError::Store)?),
        StorePlace::Folder(folder) => Box::new(SqliteStore::open(folder).map_err(StartError::Store)?),
    };
    options.config.warnings().iter().for_each(|warning| crate::notice(warning));
    let shared = Arc::new(Shared::new(options.config, options.control_token));
    let core = Core::new(store, shared.clone()).map_err(StartError::Store)?;
    let worker = Worker::start(core).map_err(StartError::System)?;
    let app = Arc::new(App::new(shared, worker, options.patience));
    ready(address, app.clone());

    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => take(&app, &graceful, stream, peer),
                // Out of file handles or the like: other connections go on, and this passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            () = &mut stop => break,
        }
    }
    // Whoever is in the queue already is served: a refused connection costs browsers their data (SPEC §8.1).
    while let Some(Ok((stream, peer))) = accepted_already(&listener).await {
        take(&app, &graceful, stream, peer);
    }
    drop(listener);
    app.stop_streams();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
    let worker = app.clone();
    // The last commits; a blocking join, off the runtime's threads.
    let _ = tokio::task::spawn_blocking(move || worker.worker.stop()).await;
    Ok(())
}

/// A connection that waits to be accepted, if there is one.
async fn accepted_already(listener: &TcpListener) -> Option<std::io::Result<(TcpStream, SocketAddr)>> {
    std::future::poll_fn(|context| match listener.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Serves a connection.
fn take(app: &Arc<App>, graceful: &GracefulShutdown, stream: TcpStream, peer: SocketAddr) {
    // Answers are small and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map(|address| address.ip().to_canonical()).ok();
    let address: IpAddr = peer.ip().to_canonical();
    let is_local = address.is_loopback() || Some(address) == local;
    let ties = Arc::new(Ties::default());
    let peer = Peer { address, is_local, ties: ties.clone() };
    let served = app.clone();
    let service = service_fn(move |request| {
        let (underway, answer) = (peer.ties.begin(), http::serve(served.clone(), peer.clone(), request));
        async move {
            let _underway = underway;
            answer.await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // A client may close its side once it has asked.
        .half_close(true)
        .header_read_timeout(app.patience.head)
        .serve_connection(TokioIo::new(Wire::new(stream, ties.clone(), app.shared.clone())), service);
    let connection = graceful.watch(connection);
    let shared = app.shared.clone();
    tokio::spawn(async move {
        // A client that goes away is no event of ours, unless it has sent what never became a request.
        let Err(error) = connection.await else { return };
        if error.is_parse() || error.is_incomplete_message() && ties.begun() == 0 {
            ties.cannot_be_read(&shared);
        }
    });
}

/// The exit code of a server that a second signal ended.
const INTERRUPTED: i32 = 1;

/// Runs a server in this thread until SIGTERM or SIGINT. A second one ends the process at once, whatever is under way.
pub fn serve_until_signal(options: Options, ready: impl FnOnce(SocketAddr)) -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    run(
        options,
        |address, _| ready(address),
        || {
            // From here on, before the store is opened: beyond a file-size limit a write is an error that is answered
            // with 503, not the end of the process.
            let file_size = signal(SignalKind::from_raw(SIGXFSZ));
            let stops = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            async move {
                let _held = file_size;
                match stops {
                    (Ok(mut terminate), Ok(mut interrupt)) => {
                        let mut next = async move || {
                            tokio::select! {
                                _ = terminate.recv() => {}
                                _ = interrupt.recv() => {}
                            }
                        };
                        next().await;
                        tokio::spawn(async move {
                            next().await;
                            std::process::exit(INTERRUPTED);
                        });
                    }
                    _ => std::future::pending().await,
                }
            }
        },
    )
}
