//! The recording on the disk, written by the storage thread.

use super::{Contents, ended};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What is to be written.
#[derive(Debug, Default)]
pub(in super::super) struct Portion {
    pub(super) redacted: String,
    pub(super) kept: String,
    /// First of all: no contents may stay.
    pub(super) withdrawn: bool,
    /// Nothing follows.
    pub(super) last: bool,
}

impl Portion {
    pub(in super::super) fn is_last(&self) -> bool {
        self.last
    }
}

/// Where a recording goes.
pub(in super::super) struct FlightFile {
    path: PathBuf,
    state: State,
}

enum State {
    /// The client before may still write there.
    New(Contents),
    Kept {
        kept: File,
        redacted: File,
    },
    /// The contents must go, and could not yet be made to.
    Stuck {
        kept: File,
        redacted: File,
    },
    Redacted(File),
    /// It could not be written.
    Broken,
}

impl FlightFile {
    pub(super) fn new(path: PathBuf, contents: Contents) -> Self {
        Self { path, state: State::New(contents) }
    }

    /// Writes a portion. What fails ends the recording; what must go, goes even then.
    pub(in super::super) fn write(&mut self, portion: Portion) {
        if self.try_write(&portion).is_err() {
            self.drop_contents();
            if !matches!(self.state, State::Stuck { .. }) {
                self.state = State::Broken;
            }
        }
    }

    /// The file whose contents must go and cannot be made to, now neither.
    pub(in super::super) fn stuck(&mut self) -> Option<&Path> {
        if matches!(self.state, State::Stuck { .. }) {
            self.drop_contents();
        }
        matches!(self.state, State::Stuck { .. }).then_some(&self.path)
    }

    /// The file that holds contents, and may.
    pub(in super::super) fn kept(&self) -> Option<&Path> {
        matches!(self.state, State::Kept { .. }).then_some(&self.path)
    }

    fn try_write(&mut self, portion: &Portion) -> io::Result<()> {
        if let State::New(contents) = self.state {
            ended::forget(&self.path);
            self.state = match contents {
                Contents::Kept => {
                    State::Kept { redacted: create(&beside(&self.path))?, kept: create(&self.path)? }
                }
                Contents::Redacted => State::Redacted(create(&self.path)?),
            };
        }
        if portion.withdrawn {
            self.drop_contents();
        }
        match &mut self.state {
            State::Kept { kept, redacted } => {
                redacted.write_all(portion.redacted.as_bytes())?;
                kept.write_all(portion.kept.as_bytes())?;
                if portion.last {
                    fs::remove_file(beside(&self.path))?;
                }
            }
            State::Redacted(file) | State::Stuck { redacted: file, .. } => {
                file.write_all(portion.redacted.as_bytes())?
            }
            State::New(_) | State::Broken => {}
        }
        Ok(())
    }

    /// The recording without contents takes the place of the one with them.
    fn drop_contents(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Broken) {
            State::Kept { kept, redacted } | State::Stuck { kept, redacted } => {
                // Emptied first, and durably: a name that is gone says nothing about what a power cut brings back.
                let emptied = kept.set_len(0).and_then(|()| kept.sync_all());
                let replaced = fs::rename(beside(&self.path), &self.path);
                let gone = || fs::remove_file(&self.path);
                if emptied.or(replaced).or_else(|_| gone()).is_ok() {
                    State::Redacted(redacted)
                } else {
                    State::Stuck { kept, redacted }
                }
            }
            state => state,
        }
    }
}

/// Has a recording with contents go that nobody writes any more. Emptied first, as [`FlightFile`] does it.
pub(super) fn remove_contents(path: &Path) -> io::Result<()> {
    let emptied = OpenOptions::new().write(true).open(path).and_then(|file| {
        file.set_len(0)?;
        file.sync_all()
    });
    let removed = fs::remove_file(path);
    match emptied.or(removed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where the recording without contents is kept beside the one with them.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.to_path_buf().into_os_string();
    name.push(".redacted");
    name.into()
}

/// A new file that only its owner may read, whatever stood there before.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_that_cannot_be_made_to_go_are_named_until_they_are_gone() {
        let folder = std::env::temp_dir().join(format!("refrain-flight-{}", std::process::id()));
        let path = folder.join("flight");
        fs::create_dir_all(path.join("in the way")).unwrap();
        let redacted = create(&beside(&path)).unwrap();
        // What is open for reading cannot be emptied, and a folder can neither be replaced nor removed as a file.
        let kept = File::open(beside(&path)).unwrap();
        let mut file = FlightFile { path: path.clone(), state: State::Kept { kept, redacted } };
        assert_eq!(file.stuck(), None, "nobody has withdrawn");
        file.write(Portion { withdrawn: true, redacted: "a".into(), ..Portion::default() });
        assert_eq!(file.stuck(), Some(&*path));
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(file.stuck(), None);
        file.write(Portion { redacted: "b".into(), ..Portion::default() });
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab", "it goes on without them");
        fs::remove_dir_all(&folder).unwrap();
    }
}
