//! The open data folders of this process: two clients on one folder share one engine.

use super::build_error::BuildError;
use super::per_process::PerProcess;
use super::settings::Settings;
use super::shared::Shared;
use crate::engine::Config;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What makes a store: the folder, by its one path, and the project's token.
pub(super) type Key = (PathBuf, String);

struct Open {
    shared: Weak<Shared>,
    terms: Terms,
}

/// What the clients on one folder must agree on, because one engine serves them all.
pub(super) struct Terms {
    settings: Settings,
    library: String,
    automatic_properties: String,
}

impl Terms {
    pub(super) fn new(settings: &Settings, config: &Config) -> Self {
        let (settings, library) = (settings.clone(), config.library.clone());
        Self { settings, library, automatic_properties: config.automatic_properties.clone() }
    }

    pub(super) fn token(&self) -> &str {
        &self.settings.token
    }

    /// The first one in which others differ.
    pub(super) fn differ_from(&self, other: &Self) -> Option<&'static str> {
        let library = || (self.library != other.library).then_some("library");
        let automatic = self.automatic_properties != other.automatic_properties;
        let automatic = || automatic.then_some("automatic_properties");
        self.settings.differs_from(&other.settings).or_else(automatic).or_else(library)
    }
}

/// A process has few of them. Its parent's are none of its own, and their lock may be held for ever.
static FOLDERS: PerProcess<Mutex<Vec<(Key, Open)>>> = PerProcess::new();

/// What stands behind a folder now.
pub(super) enum Claim {
    /// A client that serves; its handles are one more now.
    Shared(Arc<Shared>),
    /// A new one, and the one before it whose threads may not have ended yet.
    New { shared: Arc<Shared>, predecessor: Option<Arc<Shared>> },
}

/// Finds the client that has the folder open, or registers what `make` brings. `own` names a part of the new client's
/// that an open one would have no use for.
///
/// # Errors
/// [`BuildError::Conflict`] if it was made on other terms, or there is such a part.
pub(super) fn claim(
    folder: &Path,
    terms: Terms,
    own: Option<&'static str>,
    make: impl FnOnce() -> Result<Arc<Shared>, BuildError>,
) -> Result<Claim, BuildError> {
    let key = key(folder, terms.token());
    let mut folders = FOLDERS.get().lock().unwrap_or_else(PoisonError::into_inner);
    folders.retain(|(_, open)| open.shared.strong_count() > 0);
    let found = folders.iter().find(|(open, _)| *open == key);
    let found = found.and_then(|(_, open)| Some((open.shared.upgrade()?, &open.terms)));
    if let Some((shared, theirs)) = found.as_ref().filter(|(shared, _)| shared.retain()) {
        return match terms.differ_from(theirs).or(own) {
            None => Ok(Claim::Shared(Arc::clone(shared))),
            Some(setting) => {
                shared.release();
                Err(BuildError::Conflict { setting })
            }
        };
    }
    let predecessor = found.map(|(shared, _)| shared);
    let shared = make()?;
    folders.retain(|(open, _)| *open != key);
    folders.push((key, Open { shared: Arc::downgrade(&shared), terms }));
    Ok(Claim::New { shared, predecessor })
}

/// The store of a project in a folder.
pub(super) fn key(folder: &Path, token: &str) -> Key {
    (name_of(folder), token.to_owned())
}

/// The absolute path as the system understands it: `..` behind a link is not what stands before it.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The one path of a folder, to tell folders apart, not to find them: as the disk has what is there of it, and without `.`
/// and `..` behind that, where there are no links.
fn name_of(folder: &Path) -> PathBuf {
    let path = absolute(folder);
    let found = path.ancestors().find_map(|there| Some((there.canonicalize().ok()?, there)));
    let (mut name, rest) = match &found {
        Some((name, there)) => (name.clone(), path.strip_prefix(there).unwrap_or(&path)),
        None => (PathBuf::new(), path.as_path()),
    };
    for component in rest.components() {
        match component {
            Component::ParentDir => {
                name.pop();
            }
            Component::CurDir => {}
            other => name.push(other),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_name() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(name_of(Path::new("no such/./b/../c/")), here.join("no such/c"));
        assert_eq!(name_of(Path::new("x")), here.join("x"));
        assert_eq!(name_of(Path::new("src/../x")), here.join("x"));
    }

    #[cfg(unix)]
    #[test]
    fn c9_what_stands_above_the_end_of_a_link_is_not_what_stands_above_the_link() {
        let folder = std::env::temp_dir().join(format!("refrain-link-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("far/away")).unwrap();
        std::os::unix::fs::symlink(folder.join("far/away"), folder.join("link")).unwrap();
        let name = |path: &str| name_of(&folder.join(path));
        let (behind, far, near) = (name("link/../data"), name("far/data"), name("data"));
        let ends = (name("link/data"), name("far/away/data"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(behind, far);
        assert_ne!(behind, near);
        assert_eq!(ends.0, ends.1);
    }
}
