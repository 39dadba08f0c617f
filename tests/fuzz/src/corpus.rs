//! The committed inputs: `corpus/<target>/<hash of the bytes>`.

use std::path::PathBuf;
use std::{fs, io};

/// The folder of a target's inputs.
pub fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// All inputs of a target with their paths, in the order of their names.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn read(target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let entries = fs::read_dir(folder(target))?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(|path| Ok((path.clone(), fs::read(path)?))).collect()
}

/// Writes an input; where it stands now.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write(target: &str, data: &[u8]) -> io::Result<PathBuf> {
    let folder = folder(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(name(data));
    fs::write(&path, data)?;
    Ok(path)
}

/// The name of an input: FNV-1a of its bytes.
fn name(data: &[u8]) -> String {
    let hash = data.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    format!("{hash:016x}")
}
