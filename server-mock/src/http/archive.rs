//! Handing out the archive of a retrieval, piece by piece.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::App;
use super::body::Body;
use super::call::Reply;
use crate::core::Core;
use crate::core::archive::{Fetched, is_making};
use crate::store::{StoreError, StoredArchive, StoredTask};

/// Pieces of an archive that wait for a slow reader.
const PIECES: usize = 2;
/// For how long somebody is kept waiting while the archive is made.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hands out the archive of the task that is found. Where it is made anew for that, the answer comes when it is there.
pub async fn hand_out(
    app: &Arc<App>,
    find: impl Fn(&mut Core) -> Result<Option<StoredTask>, StoreError> + Clone + Send + 'static,
) -> Result<Reply, StoreError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let (mut changes, mut stopping) = (app.shared.changes(), app.stopping.subscribe());
    loop {
        let find_task = find.clone();
        let fetch = move |core: &mut Core| match find_task(core)? {
            Some(task) => core.fetch_archive(&task),
            None => Ok(Fetched::Nothing),
        };
        match app.worker.write(fetch).await? {
            Fetched::There(archive) => return Ok(sent(app, archive)),
            Fetched::Nothing => {
                return Ok(Reply::error(404, "there is no such archive, or not yet, or not any more"));
            }
            Fetched::Making => {}
        }
        loop {
            changes.borrow_and_update();
            let find_task = find.clone();
            let asked =
                app.worker.read(move |core| Ok(find_task(core)?.is_some_and(|task| is_making(&task))));
            if !asked.await? {
                break;
            }
            let goes_on = tokio::select! {
                changed = tokio::time::timeout_at(deadline, changes.changed()) => changed.is_ok(),
                _ = stopping.wait_for(|stopping| *stopping) => false,
            };
            if !goes_on {
                let later = Reply::error(503, "the archive is still being made, ask again later");
                return Ok(later.with("retry-after", "5"));
            }
        }
    }
}

/// An archive, sent while it is read. Where that fails, or its person is erased meanwhile, fewer bytes come than were
/// promised.
fn sent(app: &Arc<App>, archive: StoredArchive) -> Reply {
    let StoredArchive { key, bytes, .. } = archive;
    let (sender, pieces) = mpsc::channel(PIECES);
    let app = app.clone();
    tokio::spawn(async move {
        let (mut number, mut left) = (0, bytes);
        while left > 0 {
            let read = app.worker.read(move |core| core.store.archive_piece(key, number));
            let Ok(Some(piece)) = read.await else { break };
            (number, left) = (number + 1, left.saturating_sub(piece.len() as u64));
            if sender.send(piece.into()).await.is_err() {
                // The client has gone away.
                break;
            }
        }
    });
    let reply = Reply::new(200, "application/zip", "")
        .with("content-length", bytes.to_string())
        .with("cache-control", "no-store")
        .with("content-disposition", "attachment; filename=\"retrieval.zip\"");
    Reply { body: Body::Stream(pieces), ..reply }
}
