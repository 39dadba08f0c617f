//! Answers that the HTTP library gives by itself to what it cannot read, said in the form of all other errors.

use serde_json::json;

/// An answer in the place of one without a word, with further headers; `None` where these bytes are no such answer. Ours
/// all have the header that is looked for, and a body of ours that begins like a head has no line ends in it.
pub fn in_place_of(bytes: &[u8], further: impl FnOnce() -> Vec<(&'static str, String)>) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"HTTP/1.1 4") || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let is_bare = head.contains("\r\ncontent-length: 0\r\n") && !head.contains("x-content-type-options");
    let (error, hint) = match head.get(9..12)? {
        "400" => {
            ("the request cannot be read", "its first line or one of its headers is not as HTTP wants it")
        }
        "414" => (
            "the request's target is too long",
            "65534 bytes at most, with percent codes for odd ones: use POST",
        ),
        "431" => ("the request's headers are too large", "100 headers at most, and some 400 KB"),
        _ => return None,
    };
    let body = json!({"status": "error", "error": error, "hint": hint}).to_string();
    let head = std::str::from_utf8(bytes).ok()?.trim_end();
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    let mut head: Vec<String> = kept.map(str::to_owned).collect();
    is_bare.then(|| {
        head.extend(further().into_iter().map(|(name, value)| format!("{name}: {value}")));
        format!(
            "{}\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\ncontent-length: {}\r\n\r\n{body}",
            head.join("\r\n"),
            body.len()
        )
        .into_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_replaced() {
        let bare = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\ndate: today\r\n\r\n");
        for (status, text) in [("400 Bad Request", "cannot be read"), ("414 URI Too Long", "too long")] {
            let better = String::from_utf8(in_place_of(bare(status).as_bytes(), Vec::new).unwrap()).unwrap();
            let (head, body) = better.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\ndate: today\r\n")), "{head}");
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
            assert!(body.contains(text), "{body}");
        }
        assert_eq!(in_place_of(bare("404 Not Found").as_bytes(), Vec::new), None);
        assert_eq!(in_place_of(bare("200 OK").as_bytes(), Vec::new), None);
        assert_eq!(in_place_of(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\n\r\n0", Vec::new), None);
        let ours = bare("400 Bad Request").replace("date:", "x-content-type-options: nosniff\r\ndate:");
        assert_eq!(in_place_of(ours.as_bytes(), Vec::new), None);
    }
}
