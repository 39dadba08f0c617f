//! E-mail addresses.

use super::hits::{Hits, escape};
use core::ops::Range;

impl Hits<'_> {
    /// An address around the at sign here, behind which this has come.
    pub(super) fn email(&self, sign: usize) -> Option<Range<usize>> {
        let before = self.before(sign);
        let mut local = before.get(before.trim_end_matches(is_local).len()..)?;
        // Of a URL's escapes some mean a letter or a plus, the others end a value.
        let mut rest = local;
        while let Some(percent) = rest.find('%') {
            let code = escape(rest.as_bytes(), percent);
            rest = rest.get(percent + if code.is_some() { 3 } else { 1 }..)?;
            if !code.is_some_and(|code| !code.is_ascii() || is_local(code.into())) {
                local = rest;
            }
        }
        let local = local.trim_start_matches(['.', '-', '+', '\'']);
        if local.is_empty() || local.chars().count() > 64 || local == "git" {
            return None;
        }
        let domain = domain(self.text.get(self.at..)?)?;
        Some(sign - local.len()..self.at + domain)
    }
}

/// Letters outside of ASCII, without the punctuation and the scripts that are written without spaces.
pub(super) fn is_foreign(c: char) -> bool {
    matches!(c, '\u{C0}'..='\u{1FFF}')
}

fn is_local(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-' | '\'' | '%') || is_foreign(c)
}

/// How long the domain is that begins a text: up to its last label that can be a top-level one.
fn domain(text: &str) -> Option<usize> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.') || is_foreign(c);
    let letter = |c: char| c.is_ascii_alphabetic() || is_foreign(c);
    let text = text.get(..text.find(|c| !part(c)).unwrap_or(text.len()))?;
    let mut found = None;
    let mut at = 0;
    let mut numeric = true;
    for (index, label) in text.split('.').enumerate() {
        if label.is_empty() || label.starts_with('-') {
            break;
        }
        numeric &= label.bytes().all(|byte| byte.is_ascii_digit());
        if index == 1 && numeric {
            // A version, or an address of the internet protocol.
            return None;
        }
        let rest = label.trim_start_matches(letter);
        let top = label.get(..label.len() - rest.len())?;
        if index > 0 && label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")) {
            found = Some(at + label.trim_end_matches('-').len());
        } else if index > 0
            && (rest.is_empty() || rest.starts_with('-'))
            && top.chars().nth(1).is_some()
            && !FILES.iter().any(|file| top.eq_ignore_ascii_case(file))
        {
            found = Some(at + top.len());
        }
        at += label.len() + 1;
    }
    found
}

/// Ends of file names that stand behind an at sign (`icon@2x.png`) and are no top-level domains.
const FILES: [&str; 12] =
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "json", "html", "pdf", "csv"];
