//! What processes say of themselves, in one file to which all of them append: its order is the order in which things
//! happened, whoever of them is killed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// The file.
#[derive(Clone)]
pub struct Diary(PathBuf);

/// One entry: the process that has made it, and its words.
pub struct Line {
    pub life: String,
    pub words: Vec<String>,
}

impl Line {
    pub fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

impl Diary {
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// One write to the end of the file, which no other one gets into. It has happened once this returns, also if the
    /// process dies then.
    pub fn note(&self, life: &str, words: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
        file.write_all(format!("\n{life} {words} .").as_bytes()).unwrap();
    }

    /// Every whole entry so far.
    pub fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let whole = text.lines().filter_map(|line| line.strip_suffix(" ."));
        let line = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Line { life: words.next().unwrap(), words: words.collect() }
        };
        whole.map(line).collect()
    }

    /// Begins anew.
    pub fn clear(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
