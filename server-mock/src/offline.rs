//! Work on a data folder that no server uses: importing what was exported, and sweeping.

use std::fmt;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::core::{Core, Packed, Shared};
use crate::domain::clock::Moment;
use crate::domain::config::{Config, Project};
use crate::domain::import::{self, Import};
use crate::domain::json::{self, JsonError};
use crate::domain::wire::RECORD_BYTES_LIMIT;
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;

/// Events of one transaction.
const BATCH: usize = 2000;
/// Lines that a report shows of those that were refused.
const SHOWN: usize = 10;
/// A line may be longer than a record: white space counts for nothing. One that is longer still is refused.
const LINE: usize = 2 * RECORD_BYTES_LIMIT;
/// What a zipped file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why the work could not be done.
#[derive(Debug)]
pub enum Error {
    /// The data folder.
    Store(StoreError),
    /// The file that is imported.
    Input(std::io::Error),
    /// There is no such project.
    Project(String),
    /// There is no data in the folder.
    Nothing(PathBuf),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Store(error) => write!(formatter, "{error}"),
            Error::Nothing(folder) => write!(
                formatter,
                "there is no data in {}; name the folder that `serve --store` was given",
                folder.display()
            ),
            Error::Input(error) => write!(formatter, "the file cannot be read: {error}"),
            Error::Project(token) => write!(
                formatter,
                "the configuration has no project with the token {token:?}; add it, or leave --config out"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::Store(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Input(error)
    }
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// New events.
    pub stored: usize,
    /// Events that replaced an equal one.
    pub duplicates: usize,
    /// Events that were dropped although nothing is wrong with them: outside of the window, suppressed, erased.
    pub dropped: usize,
    /// Lines that were refused.
    pub refused: usize,
    /// The first of those: number of the line, from 1, and why.
    pub faults: Vec<(usize, String)>,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Events that had expired.
    pub events: usize,
    /// Profiles that had expired.
    pub profiles: usize,
    /// Pieces of replays that had expired.
    pub replays: usize,
    /// Privacy tasks that were due.
    pub tasks: usize,
    /// Projects whose hidden data was deleted for good.
    pub purged: usize,
}

fn open(folder: &Path, config: Config) -> Result<Core, StoreError> {
    config.warnings().iter().for_each(|warning| crate::notice(warning));
    let shared = Arc::new(Shared::new(config, None));
    Core::new(Box::new(SqliteStore::open(folder)?), shared)
}

/// Imports events into the data folder, one JSON object a line as the raw export gives them, zipped or not. Lines that
/// are no events are refused and reported; the others are stored.
pub fn import(folder: &Path, config: Config, token: &str, mut input: impl Read) -> Result<Imported, Error> {
    if config.project_or_new(token).is_none() {
        return Err(Error::Project(token.to_owned()));
    }
    let mut core = open(folder, config)?;
    let project = core.project_of(token);
    let mut head = Vec::new();
    (&mut input).take(2).read_to_end(&mut head)?;
    let is_zipped = head == GZIP;
    let whole = Cursor::new(head).chain(input);
    let plain: Box<dyn Read + '_> =
        if is_zipped { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
    let mut lines = BufReader::with_capacity(1 << 16, plain);
    let mut done = Imported::default();
    let (mut batch, mut line, mut number) = (Vec::with_capacity(BATCH), Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut lines).take(LINE as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        number += 1;
        if read == LINE && !line.ends_with(b"\n") {
            lines.skip_until(b'\n')?;
            done.refuse(number, "the line is too long");
            continue;
        }
        match event_of(line.trim_ascii(), &core, &project) {
            Ok(Some(event)) => batch.push(event),
            Ok(None) => {}
            Err(why) => done.refuse(number, &why),
        }
        if batch.len() == BATCH {
            done.store(&mut core, &project, std::mem::take(&mut batch))?;
        }
    }
    done.store(&mut core, &project, batch)?;
    Ok(done)
}

/// The event of a line; `None` for an empty line and one that is ignored on purpose.
fn event_of(line: &[u8], core: &Core, project: &Project) -> Result<Option<Packed>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let (mut records, is_list) = match json::records(line, 1) {
        Ok(read) => read,
        Err(JsonError::TooMany) => return Err("the line is not an event".to_owned()),
        Err(JsonError::TrailingData | JsonError::Invalid) => return Err("the line is not JSON".to_owned()),
    };
    let mut record = records.pop().filter(|_| !is_list).ok_or("the line is not an event")?;
    let circumstances =
        Import { strict: false, now: core.shared.now(), id_merge: project.id_merge, endpoint: "import" };
    import::judge(&mut record, circumstances)
        .map(|event| event.map(Packed::from))
        .map_err(|fault| fault.message)
}

impl Imported {
    fn refuse(&mut self, line: usize, why: &str) {
        self.refused += 1;
        if self.faults.len() < SHOWN {
            self.faults.push((line, why.to_owned()));
        }
    }

    fn store(
        &mut self,
        core: &mut Core,
        project: &Project,
        mut events: Vec<Packed>,
    ) -> Result<(), StoreError> {
        let now = core.shared.now();
        let done = core.in_transaction(|core| core.ingest(project, &mut events, Moment::as_sent(now)))?;
        self.stored += done.stored;
        self.duplicates += done.duplicates;
        self.dropped += done.dropped.iter().map(|(_, count)| count).sum::<usize>();
        Ok(())
    }
}

/// Runs retention and due privacy work on the data folder, as of now. `progress` is called after each step. A folder
/// without data is an error, and nothing is made in it: it is not the one that was meant.
pub fn sweep(folder: &Path, config: Config, progress: impl FnMut()) -> Result<Swept, Error> {
    if !SqliteStore::is_there(folder) {
        return Err(Error::Nothing(folder.to_owned()));
    }
    let mut core = open(folder, config)?;
    let now = core.shared.now();
    let swept = core.run_due_telling(now, progress)?;
    Ok(Swept {
        events: swept.expired.events,
        profiles: swept.expired.profiles,
        replays: swept.expired.replays,
        tasks: swept.tasks,
        purged: swept.purged,
    })
}
