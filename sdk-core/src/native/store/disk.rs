//! The file system, as far as the store needs one. The store is written against [`Disk`]; a simulation brings a disk
//! that tears, fills up and forgets.

use super::flock;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a store asks of a file system.
pub trait Disk: Clone + Debug + 'static {
    /// An open file.
    type File: DiskFile;
    /// A lock that is held until it is dropped.
    type Lock: Debug;

    /// The bytes of a file, at most so many.
    ///
    /// # Errors
    /// Whatever reading brings; [`io::ErrorKind::NotFound`] where there is none.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;

    /// Opens a file for writing.
    ///
    /// # Errors
    /// Whatever opening brings.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Self::File>;

    /// Renames a file, over another one if there is one.
    ///
    /// # Errors
    /// Whatever renaming brings.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file.
    ///
    /// # Errors
    /// Whatever deleting brings; [`io::ErrorKind::NotFound`] where there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Deletes a folder in which nothing stands.
    ///
    /// # Errors
    /// Whatever deleting brings.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, and whether each is a folder itself, in no order.
    ///
    /// # Errors
    /// Whatever reading brings; [`io::ErrorKind::NotFound`] where there is none.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, bool)>>;

    /// The length of a file.
    ///
    /// # Errors
    /// Whatever asking brings; [`io::ErrorKind::NotFound`] where there is none.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Makes a folder and its parents, with no rights for others; it may be there already.
    ///
    /// # Errors
    /// Whatever making it brings.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable, where the platform has a way to.
    ///
    /// # Errors
    /// Whatever syncing brings.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Takes a lock on a file, which is made if it is to be.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] where others did not let go in time; [`io::ErrorKind::NotFound`] where the file is
    /// not there and not to be made; whatever opening it brings.
    fn lock(&self, path: &Path, hold: Hold, make: bool, patience: Duration) -> io::Result<Self::Lock>;

    /// Writes something into a locked file, for people. That may fail.
    fn note(&self, lock: &Self::Lock, text: &str);
}

/// A file that is open for writing.
pub trait DiskFile: Debug {
    /// Writes all bytes, at the end or, with [`Mode::InPlace`], one after the other from the beginning.
    ///
    /// # Errors
    /// Whatever writing brings. A part may stand there.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// Whatever cutting brings.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Makes durable what was written.
    ///
    /// # Errors
    /// Whatever syncing brings.
    fn sync(&mut self) -> io::Result<()>;
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To append to it; it is there.
    Append,
    /// To append to it; it is not there.
    AppendNew,
    /// To append to it; it may be there.
    AppendOrNew,
    /// To write over it from the beginning; it may be there.
    InPlace,
    /// To write it anew; it may be there.
    Anew,
}

/// Who may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Others that share it.
    Shared,
    /// Nobody else.
    Exclusive,
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

/// Who may read a file is its owner alone, whoever may look into the folder: a device's secret stands in one (C12), and a
/// lock that others can take stops an objection.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens what is a file, or nothing yet. Whoever opens a pipe waits for its other end, perhaps for ever.
fn open_file(options: &OpenOptions, path: &Path) -> io::Result<File> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(io::ErrorKind::InvalidInput.into()),
        _ => options.open(path),
    }
}

/// Opens a file to lock it. One that is locked exclusively is opened to be written, as NFS demands; where it may only be read,
/// and need not be made, any other file system takes a reader's lock as well.
fn open_to_lock(path: &Path, hold: Hold, make: bool) -> io::Result<File> {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let mut options = private();
    options.read(true).write(make || hold == Hold::Exclusive).create(make).truncate(false);
    open_file(&options, path).or_else(|error| match error.kind() {
        PermissionDenied | ReadOnlyFilesystem if !make => open_file(options.write(false), path),
        _ => Err(error),
    })
}

impl Disk for Files {
    type File = File;
    type Lock = FileLock;

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open_file(OpenOptions::new().read(true), path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<File> {
        let mut options = private();
        match mode {
            Mode::Append => options.append(true),
            Mode::AppendNew => options.append(true).create_new(true),
            Mode::AppendOrNew => options.append(true).create(true),
            // Not truncated: on a full disk the blocks it has are the blocks it needs.
            Mode::InPlace => options.write(true).create(true).truncate(false),
            Mode::Anew => options.write(true).create(true).truncate(true),
        };
        open_file(&options, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, bool)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                match entry.file_type() {
                    Ok(kind) => names.push((name, kind.is_dir())),
                    // Where the listing does not say what it is, it was looked at, and somebody has deleted it meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(names)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        fs::symlink_metadata(path).map(|metadata| metadata.len())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let above = above_missing(path);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(|error| match error.kind() {
            // Something else than a folder.
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        })?;
        // A choice that is durable in a folder whose name is not would be lost with the power. Who may not read the folders
        // above cannot do more.
        above.into_iter().for_each(|folder| drop(self.sync_folder(folder)));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if cfg!(unix) { where_folders_sync(synced(path)) } else { Ok(()) }
    }

    fn lock(&self, path: &Path, hold: Hold, make: bool, patience: Duration) -> io::Result<FileLock> {
        let file = open_to_lock(path, hold, make)?;
        let start = Instant::now();
        let mut pause = Duration::from_micros(20);
        while !flock::try_take(&file, hold)? {
            if start.elapsed() >= patience {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
        Ok(FileLock(file))
    }

    fn note(&self, lock: &FileLock, text: &str) {
        let mut file = &lock.0;
        let _ = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
    }
}

impl DiskFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        where_files_sync(self.sync_all())
    }
}

/// The folders that get a new name in them when this folder is made with all above it.
fn above_missing(path: &Path) -> Vec<&Path> {
    let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let above = missing.filter_map(Path::parent);
    above.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).collect()
}

/// Syncs what stands at a path.
fn synced(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Some file systems, such as shared and user-space ones, know no syncing of a folder, and say so. Nothing more can be done
/// there, and a choice must not fail for it.
fn where_folders_sync(synced: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, Unsupported};
    where_files_sync(synced).or_else(|error| match error.kind() {
        InvalidInput | Unsupported => Ok(()),
        _ => Err(error),
    })
}

/// Apple's way to sync down to the disk is not known to shared file systems, such as SMB, which say so by a code that the
/// standard library does not know as "not supported".
fn where_files_sync(synced: io::Result<()>) -> io::Result<()> {
    let unsupported = |error: &io::Error| cfg!(target_vendor = "apple") && error.raw_os_error() == Some(45);
    synced.or_else(|error| if unsupported(&error) { Ok(()) } else { Err(error) })
}

/// A lock on a real file.
#[derive(Debug)]
pub struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        flock::let_go(&self.0);
    }
}

/// What is not there is no error.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn where_folders_cannot_be_synced_nothing_fails_for_it() {
        let synced = |code| where_folders_sync(Err(io::Error::from_raw_os_error(code)));
        let invalid = 22;
        assert!(synced(invalid).is_ok());
        #[cfg(any(target_os = "linux", target_os = "android"))]
        for not_supported in [95, 38] {
            assert!(synced(not_supported).is_ok(), "{not_supported}");
        }
        let (denied, broken) = (13, 5);
        assert!(synced(denied).is_err() && synced(broken).is_err());
    }

    #[test]
    fn c7_what_gets_a_new_name_in_it_is_known_up_to_what_is_there() {
        let there = std::env::temp_dir();
        let made = there.join("refrain-never-made/a/b");
        let expected = [there.join("refrain-never-made/a"), there.join("refrain-never-made"), there.clone()];
        assert_eq!(above_missing(&made), expected);
        assert!(above_missing(&there).is_empty());
        assert_eq!(above_missing(Path::new("refrain-never-made")), [Path::new(".")]);
    }

    /// An NFS client answers `EBADF` otherwise. Who may write may also note something.
    #[test]
    fn c5_what_is_locked_exclusively_is_open_to_be_written() {
        let folder = std::env::temp_dir().join(format!("refrain-lock-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, never) = (folder.join("lock"), folder.join("never"));
        let locks = |hold, make| {
            let lock = Files.lock(&path, hold, make, Duration::ZERO).unwrap();
            Files.note(&lock, &format!("{hold:?} {make}"));
            drop(lock);
            fs::read_to_string(&path).unwrap()
        };
        let texts = [
            locks(Hold::Shared, true),
            locks(Hold::Exclusive, false),
            locks(Hold::Shared, false),
            locks(Hold::Exclusive, true),
        ];
        let absent = Files.lock(&never, Hold::Exclusive, false, Duration::ZERO).map(drop);
        let made = never.exists();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(texts, ["Shared true", "Exclusive false", "Exclusive false", "Exclusive true"]);
        assert_eq!((absent.map_err(|error| error.kind()), made), (Err(io::ErrorKind::NotFound), false));
    }

    #[test]
    fn c5_a_lock_is_held_alone_or_together_until_it_is_dropped() {
        let path = std::env::temp_dir().join(format!("refrain-held-{}", std::process::id()));
        let lock = |hold| Files.lock(&path, hold, true, Duration::ZERO).map_err(|error| error.kind());
        let (alone, together) = (|| lock(Hold::Exclusive), || lock(Hold::Shared));
        let refused = Err(io::ErrorKind::TimedOut);
        let held = (together(), together());
        assert!(held.0.is_ok() && held.1.is_ok());
        assert_eq!(alone().map(drop), refused);
        drop(held);
        let held = alone().unwrap();
        assert_eq!((alone().map(drop), together().map(drop)), (refused, refused));
        drop(held);
        assert!(together().is_ok());
        fs::remove_file(path).unwrap();
    }

    /// A device that keeps nothing says so to who syncs it, and to nobody else.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn files_and_folders_are_synced() {
        let nowhere = Path::new("/dev/null");
        let mut file = OpenOptions::new().write(true).open(nowhere).unwrap();
        DiskFile::write_all(&mut file, b"nothing").unwrap();
        assert!(DiskFile::sync(&mut file).is_err());
        assert!(synced(nowhere).is_err());
        assert!(Files.sync_folder(Path::new("/no/such/folder")).is_err(), "it is asked for");
    }
}
