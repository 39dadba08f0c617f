//! The open data folders of this process: two clients on one folder share one engine.

use super::build_error::BuildError;
use super::per_process::PerProcess;
use super::settings::Settings;
use super::shared::Shared;
use crate::engine::Config;
use crate::json::{Object, Value};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What makes a store: the folder, by its absolute path, and the project's token.
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
        // A host's map may have another order the next time.
        let automatic = || {
            let [ours, theirs] = [self, other].map(|terms| Object::or_empty(&terms.automatic_properties));
            (!are_same(ours, theirs)).then_some("automatic_properties")
        };
        self.settings.differs_from(&other.settings).or_else(automatic).or_else(library)
    }
}

/// Whether both have the same members, in whatever order.
fn are_same(one: Object<'_>, other: Object<'_>) -> bool {
    let holds = |one: Object<'_>, other: Object<'_>| {
        one.members().all(|(key, value)| other.get(&key.text()).is_some_and(|theirs| is_same(value, theirs)))
    };
    one.as_str() == other.as_str() || holds(one, other) && holds(other, one)
}

fn is_same(one: Value<'_>, other: Value<'_>) -> bool {
    match (one.object(), other.object()) {
        (Some(one), Some(other)) => are_same(one, other),
        (None, None) if one.is_array() && other.is_array() => {
            one.elements().count() == other.elements().count()
                && one.elements().zip(other.elements()).all(|(one, other)| is_same(one, other))
        }
        _ => one.raw() == other.raw(),
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

/// The absolute path without `.`, without asking the disk: to tell folders apart, not to find them. What stands above the
/// end of a link is not what stands above the link, so that `..` stays.
fn name_of(folder: &Path) -> PathBuf {
    absolute(folder).components().filter(|component| *component != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_another_order_are_the_same() {
        let are_same = |one, other| are_same(Object::or_empty(one), Object::or_empty(other));
        let (one, other) = (
            r#"{"a":1,"b":{"x":[{"y":1,"z":2},3],"w":null}}"#,
            r#"{"b":{"w":null,"x":[{"z":2,"y":1},3]},"\u0061":1}"#,
        );
        assert!(are_same(one, one) && are_same(one, other) && are_same("{}", " { } "));
        for other in [
            "{}",
            r#"{"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":{"x":[3,{"y":1,"z":2}],"w":null}}"#,
            r#"{"a":1,"b":{"x":[{"y":1,"z":2}],"w":null}}"#,
            r#"{"a":1,"b":{"x":[{"y":1,"z":2},3],"w":null,"v":0}}"#,
            r#"{"a":1,"b":{"x":{"y":1,"z":2},"w":null}}"#,
            r#"{"a":"1","b":{"x":[{"y":1,"z":2},3],"w":null}}"#,
        ] {
            assert!(!are_same(one, other) && !are_same(other, one), "{other}");
        }
    }

    #[test]
    fn one_folder_has_one_name_but_for_links() {
        assert_eq!(name_of(Path::new("/a/./b//c/")), Path::new("/a/b/c"));
        assert_eq!(name_of(Path::new("x")), std::env::current_dir().unwrap().join("x"));
        assert_ne!(name_of(Path::new("/a/link/../c")), Path::new("/a/c"));
    }
}
