//! Raw export (SPEC §12), and the events of given users (SPEC §13.2). What is large is sent while it is read, piece by
//! piece, so that it does not have to fit into memory and others are served between the pieces.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{self, Sender};

use super::{Failure, bad, filter, look_up, period, text_list};
use crate::core::{Core, EventQuery, Place, Reading, Resolver, Sorting, View, random_uuid};
use crate::domain::config::Project;
use crate::domain::export::Rendered;
use crate::domain::expression::{Expression, Scope, Term};
use crate::domain::wire::Params;
use crate::http::App;
use crate::http::body::Body;
use crate::http::call::{Call, Reply};
use crate::store::{Counts, StoreError, StoredEvent};

/// The largest `limit`.
const LIMIT: usize = 100_000;
/// Smaller bodies are not worth compressing.
const GZIP_FROM: usize = 1400;
/// Bytes that are read before the answer begins: what is smaller is answered whole, and what fails before has an honest
/// status.
const WHOLE: usize = 256 * 1024;
/// Pieces that wait for a slow reader.
const PIECES: usize = 2;
/// The last line of what is not whole although it was answered with 200.
const TERMINATED: &[u8] = b"terminated early\n";

pub async fn answer(
    app: &Arc<App>,
    call: &Call,
    params: &Params,
    project: Project,
) -> Result<Reply, Failure> {
    let (from, until) = period(app, params)?;
    let limit = match params.text("limit").filter(|text| !text.is_empty()).map(|text| text.parse::<usize>()) {
        None => usize::MAX,
        Some(Ok(limit)) if limit <= LIMIT => limit,
        Some(_) => return bad("limit is a whole number up to 100000"),
    };
    let query = EventQuery {
        from: Some(from),
        until: Some(until),
        names: text_list(params, "event")?,
        sorting: Sorting::Time,
        time_in_ms: params.text("time_in_ms").is_some_and(|text| text == "true" || text == "1"),
        ..EventQuery::default()
    };
    let export = Export {
        filter: filter(params)?,
        left: limit,
        fails_after: call.terminate_after,
        ..Export::new(project, query, Shape::Lines)
    };
    send_out(app, export, accepts_gzip(call)).await
}

/// The events of given users, whoever they are linked with.
pub async fn of_users(app: &Arc<App>, params: &Params, project: Project) -> Result<Reply, Failure> {
    let (from, until) = period(app, params)?;
    let Some(ids) = text_list(params, "distinct_ids")? else {
        return bad("distinct_ids is missing: a JSON list such as [\"a\"]");
    };
    let query = EventQuery {
        from: Some(from),
        until: Some(until),
        distinct_ids: Some(ids),
        sorting: Sorting::Time,
        ..EventQuery::default()
    };
    send_out(app, Export::new(project, query, Shape::Document), false).await
}

/// Answers with the first of it, and sends the rest behind.
async fn send_out(app: &Arc<App>, mut export: Export, may_zip: bool) -> Result<Reply, Failure> {
    let shape = export.shape;
    let mut head = Piece { text: shape.opening().into(), events: 0 };
    while !export.is_over && export.fails_after.is_none() && head.text.len() < WHOLE {
        let piece;
        (export, piece) = export.read_on(app).await?;
        head.events += piece.events;
        head.text.extend(piece.text);
    }
    let is_zipped = may_zip && (!export.is_over || head.text.len() > GZIP_FROM);
    let mut coding = if is_zipped { Coding::gzip() } else { Coding::Plain };
    let reply = Reply::new(200, shape.media_type(), "");
    let body = if export.is_over {
        note(app, export.view(), shape, Noted::Ended(head.events), None).await?;
        head.text.extend_from_slice(shape.closing());
        Body::full([coding.encode(head.text), coding.finish()].concat())
    } else {
        // A server that is killed in the middle has said before that something left it.
        let id = random_uuid()?;
        note(app, export.view(), shape, Noted::Begun, Some(&id)).await?;
        let (sender, pieces) = mpsc::channel(PIECES);
        tokio::spawn(send(app.clone(), export, head, coding, id, sender));
        Body::Stream(pieces)
    };
    let reply = Reply { body, ..reply };
    Ok(if is_zipped { reply.with("content-encoding", "gzip") } else { reply })
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A line each.
    Lines,
    /// A list in a JSON document.
    Document,
}

impl Shape {
    fn media_type(self) -> &'static str {
        match self {
            Shape::Lines => "text/plain",
            Shape::Document => "application/json",
        }
    }

    fn opening(self) -> &'static [u8] {
        match self {
            Shape::Lines => b"",
            Shape::Document => br#"{"status":"ok","results":{"events":["#,
        }
    }

    fn closing(self) -> &'static [u8] {
        match self {
            Shape::Lines => b"",
            Shape::Document => b"]}}",
        }
    }

    /// How the audit calls it.
    fn rule(self) -> &'static str {
        match self {
            Shape::Lines => "raw export",
            Shape::Document => "events of given users",
        }
    }
}

fn accepts_gzip(call: &Call) -> bool {
    call.header("accept-encoding").split(',').any(|coding| {
        let mut parts = coding.split(';');
        parts.next().is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip"))
            && !parts.any(|part| {
                let weight = part.trim().strip_prefix(['q', 'Q']).and_then(|rest| rest.strip_prefix('='));
                weight.is_some_and(|weight| weight.trim().parse() == Ok(0.0))
            })
    })
}

/// How a body is written.
enum Coding {
    Plain,
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Coding {
    fn gzip() -> Coding {
        Coding::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    /// What is to be sent for these bytes now; some of it may be held back for later.
    fn encode(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Coding::Plain => bytes,
            Coding::Gzip(encoder) => {
                // Writing to memory does not fail.
                let _ = encoder.write_all(&bytes);
                std::mem::take(encoder.get_mut())
            }
        }
    }

    /// What was held back, and the end.
    fn finish(self) -> Vec<u8> {
        match self {
            Coding::Plain => Vec::new(),
            Coding::Gzip(encoder) => encoder.finish().unwrap_or_default(),
        }
    }
}

/// An export under way.
struct Export {
    token: String,
    query: EventQuery,
    shape: Shape,
    filter: Option<Expression>,
    /// Events that may still be shown.
    left: usize,
    /// A fault: so many more events, then storage fails.
    fails_after: Option<usize>,
    /// What it is about, once it has begun; `None` too where there is nothing.
    begun: Option<View>,
    /// The place behind which it goes on, where it is about everybody.
    behind: Option<Place>,
    /// What is left, where it is about some persons.
    reading: Option<Reading>,
    /// Whether an event was written.
    has_events: bool,
    /// Whether there is no more.
    is_over: bool,
}

/// Some of it.
#[derive(Default)]
struct Piece {
    text: Vec<u8>,
    events: usize,
}

impl Export {
    fn new(project: Project, query: EventQuery, shape: Shape) -> Export {
        Export {
            token: project.token,
            query,
            shape,
            filter: None,
            left: usize::MAX,
            fails_after: None,
            begun: None,
            behind: None,
            reading: None,
            has_events: false,
            is_over: false,
        }
    }

    /// What it is about, once it has begun.
    fn view(&self) -> Option<View> {
        self.begun.clone()
    }

    /// The next piece, which is empty where nothing among many events is asked for, and the export behind it.
    async fn read_on(mut self, app: &App) -> Result<(Export, Piece), Failure> {
        let read =
            app.worker.read(move |core| self.piece(core).map(|piece| piece.map(|piece| (self, piece))));
        read.await?.map_err(Failure::Bad)
    }

    /// The inner error is about the filter.
    fn piece(&mut self, core: &mut Core) -> Result<Result<Piece, String>, StoreError> {
        if self.fails_after == Some(0) {
            return Err(StoreError::damaged("a fault that was asked for"));
        }
        let view = match (core.view(&self.token)?, &self.begun) {
            (None, None) => {
                self.is_over = true;
                return Ok(Ok(Piece::default()));
            }
            (Some(view), None) => {
                self.begin(core, &view)?;
                view
            }
            // What expires in the middle is not shown any more.
            (Some(view), Some(begun)) if view.space == begun.space => view,
            _ => return Err(StoreError::damaged("the project was deleted or reset while it was exported")),
        };
        let mut events = Vec::new();
        let mut visit = |event: &StoredEvent, rendered| {
            events.push((event.name.clone(), event.time, rendered));
            true
        };
        let is_more = match &mut self.reading {
            Some(reading) => {
                core.resume_reading(&view, reading);
                core.read_on(reading, &mut visit)?
            }
            None => {
                self.behind = core.some_events(&view, &self.query, self.behind, &mut visit)?;
                self.behind.is_some()
            }
        };
        let room = self.left.min(self.fails_after.unwrap_or(usize::MAX));
        let mut users = Users::of(&view, self.filter.as_ref());
        let mut piece = Piece::default();
        for (name, time, rendered) in events {
            if piece.events == room {
                break;
            }
            if let Some(filter) = &self.filter {
                match matches(filter, &name, time, &rendered, users.of_event(core, &rendered)?) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => return Ok(Err(format!("where: {error}"))),
                }
            }
            let shown = json!({"event": name, "properties": rendered.properties});
            if self.shape == Shape::Document && std::mem::replace(&mut self.has_events, true) {
                piece.text.push(b',');
            }
            piece.text.extend_from_slice(shown.to_string().as_bytes());
            if self.shape == Shape::Lines {
                piece.text.push(b'\n');
            }
            piece.events += 1;
        }
        self.left -= piece.events;
        self.fails_after = self.fails_after.map(|left| left - piece.events);
        self.is_over = self.left == 0 || (!is_more && self.fails_after != Some(0));
        Ok(Ok(piece))
    }

    fn begin(&mut self, core: &mut Core, view: &View) -> Result<(), StoreError> {
        self.begun = Some(view.clone());
        if let Some(ids) = self.query.distinct_ids.take() {
            let query =
                EventQuery { distinct_ids: Some(core.profile_names(view, &ids)?), ..self.query.clone() };
            self.reading = Some(core.begin_reading(view, query)?);
        }
        Ok(())
    }
}

/// The profiles that a filter looks at, one for each person of a piece.
struct Users<'a> {
    view: &'a View,
    /// `None`: it looks at none.
    resolver: Option<Resolver>,
    known: HashMap<String, Map<String, Value>>,
    nobody: Map<String, Value>,
}

impl<'a> Users<'a> {
    fn of(view: &'a View, filter: Option<&Expression>) -> Users<'a> {
        let looks = filter.is_some_and(Expression::uses_user);
        let resolver = looks.then(|| Resolver::new(view.space, view.project.id_merge));
        Users { view, resolver, known: HashMap::new(), nobody: Map::new() }
    }

    /// What is known of the person that an event belongs to.
    fn of_event(&mut self, core: &mut Core, event: &Rendered) -> Result<&Map<String, Value>, StoreError> {
        let (Some(resolver), Some(id)) = (&mut self.resolver, &event.distinct_id) else {
            return Ok(&self.nobody);
        };
        if !self.known.contains_key(id) {
            let profile = core.profile_of(self.view, resolver, id)?;
            let properties = profile.map(|profile| profile.properties).unwrap_or_default();
            self.known.insert(id.clone(), properties);
        }
        Ok(&self.known[id])
    }
}

/// Whether a filter lets an event through; the error is about the filter.
fn matches(
    filter: &Expression,
    event: &str,
    time: i64,
    rendered: &Rendered,
    user: &Map<String, Value>,
) -> Result<bool, String> {
    filter.matches(&|scope, name: &str| match (scope, name) {
        (Scope::Properties, _) => look_up(&rendered.properties, name),
        (Scope::User, _) => look_up(user, name),
        (Scope::Event, "name" | "$name" | "event") => Term::Text(event.to_owned()),
        (Scope::Event, "time" | "$time") => Term::Number(time as f64 / 1000.0),
        (Scope::Event, "distinct_id" | "$distinct_id") => look_up(&rendered.properties, "distinct_id"),
        (Scope::Event, _) => Term::Undefined,
    })
}

/// What of an export is noted.
enum Noted {
    /// That the first bytes are about to leave.
    Begun,
    /// How many events left, however it ended.
    Ended(usize),
}

/// Notes what is handed out, in the audit. One that is sent piece by piece has an id there.
async fn note(
    app: &App,
    view: Option<View>,
    shape: Shape,
    what: Noted,
    id: Option<&str>,
) -> Result<(), StoreError> {
    let Some(view) = view else { return Ok(()) };
    let id = id.map(str::to_owned);
    let noted = app.worker.write(move |core| {
        let view = View { now: core.shared.now(), ..view };
        match what {
            Noted::Begun => core.note_export_begun(&view, shape.rule(), id.as_deref()),
            Noted::Ended(events) => {
                core.note_export(&view, shape.rule(), id.as_deref(), Counts { events, ..Counts::default() })
            }
        }
    });
    noted.await
}

/// Sends an export that has begun, and notes it before its end. What fails, the note too, is told by the last line.
async fn send(
    app: Arc<App>,
    mut export: Export,
    mut piece: Piece,
    mut coding: Coding,
    id: String,
    pieces: Sender<Bytes>,
) {
    let (mut view, shape) = (export.view(), export.shape);
    let mut events = 0;
    let is_whole = loop {
        let bytes = coding.encode(piece.text);
        if !bytes.is_empty() && pieces.send(bytes.into()).await.is_err() {
            // The client has gone away.
            break false;
        }
        events += piece.events;
        if export.is_over {
            break true;
        }
        match export.read_on(&app).await {
            Ok(next) => (export, piece) = next,
            Err(_) => break false,
        }
        view = view.or_else(|| export.view());
    };
    let is_noted = note(&app, view, shape, Noted::Ended(events), Some(&id)).await.is_ok();
    let end = if is_whole && is_noted { shape.closing() } else { TERMINATED };
    let mut end = coding.encode(end.to_vec());
    end.extend(coding.finish());
    if !end.is_empty() {
        let _ = pieces.send(end.into()).await;
    }
}
