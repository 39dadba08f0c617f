//! What of a request's head decides whether a page may read the answer (SPEC §5), for answers that are given before there
//! is a request.

use hyper::header::HeaderValue;

/// What is kept of a line.
const KEPT: usize = 1024;

/// The head of a request, as far as it has come.
#[derive(Debug, Default)]
pub struct Head {
    /// The beginning of the line that is coming.
    line: Vec<u8>,
    /// Its path, once the first line is there.
    path: Option<String>,
    origin: Option<HeaderValue>,
    has_passed: bool,
}

impl Head {
    /// The path; empty while it is not known.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// The page's origin, if there is one.
    pub fn origin(&self) -> Option<&HeaderValue> {
        self.origin.as_ref()
    }

    /// Reads the next bytes of a connection.
    pub fn read(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.has_passed {
                return;
            }
            let room = KEPT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_ascii();
        match &self.path {
            // Empty lines may come before the first one.
            None if line.is_empty() => {}
            None => {
                let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
                let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
                self.path = Some(String::from_utf8_lossy(path).into_owned());
            }
            Some(_) if line.is_empty() => self.has_passed = true,
            Some(_) => {
                if let Some((name, value)) = line.split_at_checked(b"origin:".len())
                    && name.eq_ignore_ascii_case(b"origin:")
                {
                    self.origin = HeaderValue::from_bytes(value.trim_ascii()).ok();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_origin_are_found_however_the_head_comes() {
        let long = "a".repeat(5_000);
        let head = format!(
            "\r\nGET /track?data={long} HTTP/1.1\r\nx: {long}\r\nORIGIN:  https://a.test\r\n\r\nOrigin: https://b.test\r\n"
        );
        for size in [1, 7, head.len()] {
            let mut seen = Head::default();
            assert_eq!((seen.path(), seen.origin()), ("", None));
            head.as_bytes().chunks(size).for_each(|piece| seen.read(piece));
            assert_eq!((seen.path(), seen.origin().unwrap().as_bytes()), ("/track", &b"https://a.test"[..]));
        }
    }
}
