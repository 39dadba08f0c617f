//! The data folders of a journey, and what stands in them, byte for byte.

use std::path::{Path, PathBuf};

/// Where the client and the server of a journey keep their data.
pub struct Folders {
    /// The client's.
    pub client: PathBuf,
    /// The server's.
    pub server: PathBuf,
}

impl Folders {
    /// Empty ones.
    pub fn fresh(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if root.exists() {
            std::fs::remove_dir_all(&root).expect("the last run's folder can be removed");
        }
        Self { client: root.join("client"), server: root.join("server") }
    }
}

/// Whether some file below a folder holds these bytes.
pub fn holds(folder: &Path, bytes: &[u8]) -> bool {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|it| it.windows(bytes.len()).any(|part| part == bytes)) {
                return true;
            }
        }
    }
    false
}
