//! Bytes that do not belong in a request's target (RFC 3986), such as the quotes of `/track?data={"event":…}`: the HTTP
//! library would refuse the request, but they mean what their percent codes mean, and those are put in their place.

/// A request line, as far as it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line(Part);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The method, with so many letters.
    Method(usize),
    Path,
    Query,
    /// It is over, or is none.
    Passed,
}

impl Default for Part {
    fn default() -> Self {
        Part::Method(0)
    }
}

impl Line {
    /// Whether the next bytes do not belong to it.
    pub fn has_passed(self) -> bool {
        self.0 == Part::Passed
    }

    fn pass(&mut self) -> bool {
        self.0 = Part::Passed;
        false
    }

    /// The next bytes of a connection, if some of them have to be others.
    pub fn encoded(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut encoded: Option<Vec<u8>> = None;
        for (at, byte) in bytes.iter().copied().enumerate() {
            let is_odd = match self.0 {
                // Empty lines may come before it.
                Part::Method(0) if matches!(byte, b'\r' | b'\n') => false,
                Part::Method(letters) if byte.is_ascii_alphabetic() => {
                    self.0 = Part::Method(letters + 1);
                    false
                }
                Part::Method(letters) => {
                    self.0 = if byte == b' ' && letters > 0 { Part::Path } else { Part::Passed };
                    false
                }
                // A space in a path is more likely the end of it, and nobody knows which of two is.
                Part::Path | Part::Query if matches!(byte, b'\r' | b'\n') => self.pass(),
                Part::Path if byte == b' ' => self.pass(),
                Part::Query if is_last_space(&bytes[at..]) => self.pass(),
                Part::Path => {
                    if byte == b'?' {
                        self.0 = Part::Query;
                    }
                    is_odd(byte)
                }
                Part::Query => is_odd(byte),
                Part::Passed => {
                    if let Some(encoded) = &mut encoded {
                        encoded.extend_from_slice(&bytes[at..]);
                    }
                    break;
                }
            };
            if is_odd {
                let encoded = encoded.get_or_insert_with(|| bytes[..at].to_vec());
                encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else if let Some(encoded) = &mut encoded {
                encoded.push(byte);
            }
        }
        encoded
    }
}

/// Whether this is the space in front of the version, as far as can be seen.
fn is_last_space(bytes: &[u8]) -> bool {
    const END: &[u8] = b" HTTP/";
    let seen = bytes.len().min(END.len());
    bytes[..seen] == END[..seen]
}

fn is_odd(byte: u8) -> bool {
    !byte.is_ascii_graphic() || matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: &[u8] =
        b"\r\nPOST /track?data={\"a b\":\"\\u00e4\xc3\xa4\xff\"} HTTP/1.1\r\nx: {\"\r\n\r\n{\"}";
    const PLAIN: &[u8] =
        b"\r\nPOST /track?data=%7B%22a%20b%22:%22%5Cu00e4%C3%A4%FF%22%7D HTTP/1.1\r\nx: {\"\r\n\r\n{\"}";

    #[test]
    fn odd_bytes_of_the_target_are_encoded_and_no_others() {
        assert_eq!(Line::default().encoded(ODD).as_deref(), Some(PLAIN));
        for plain in [
            PLAIN,
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /a?b=%22 HTTP/1.0\r\n{",
            b"\"GET / ",
            b"\r\n\r\n",
            b"P{ST /\"",
        ] {
            assert_eq!(Line::default().encoded(plain), None);
        }
    }

    #[test]
    fn it_may_come_in_pieces() {
        for size in 1..ODD.len() {
            let mut line = Line::default();
            let pieces = ODD.chunks(size).map(|piece| line.encoded(piece).unwrap_or_else(|| piece.to_vec()));
            let seen: Vec<u8> = pieces.flatten().collect();
            // A space at the end of a piece is taken for the last one.
            let inner_space = ODD.windows(3).position(|three| three == b"a b").unwrap() + 1;
            if (inner_space + 1) % size != 0 {
                assert_eq!(String::from_utf8_lossy(&seen), String::from_utf8_lossy(PLAIN), "{size}");
            }
            assert!(line.has_passed());
        }
    }
}
