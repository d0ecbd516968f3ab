//! Forms with a file (`multipart/form-data`, RFC 7578): the name and the bytes of each part.

/// A part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormPart<'a> {
    pub name: String,
    pub content: &'a [u8],
}

/// Returns the parts of a form, or None if the body is not such a form. The whole body is in memory.
#[must_use]
pub fn parse_form_parts<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<FormPart<'a>>> {
    let parameters = content_type.strip_prefix("multipart/form-data")?.split(';');
    let boundary = parameters.map(str::trim).find_map(|parameter| parameter.strip_prefix("boundary="))?;
    let boundary = boundary.trim_matches('"');
    if boundary.is_empty() {
        return None;
    }
    let first = format!("--{boundary}");
    let next = format!("\r\n{first}");
    let mut rest = body.strip_prefix(first.as_bytes())?;
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head_end = find_bytes(part, b"\r\n\r\n")?;
        let content_start = head_end + 4;
        let content_end = content_start + find_bytes(&part[content_start..], next.as_bytes())?;
        let head = String::from_utf8_lossy(&part[..head_end]);
        if let Some(name) = find_part_name(&head) {
            parts.push(FormPart { name, content: &part[content_start..content_end] });
        }
        rest = &part[content_end + next.len()..];
    }
    rest.starts_with(b"--").then_some(parts)
}

/// Returns the name in `Content-Disposition: form-data; name="file"; filename="items.csv"`.
fn find_part_name(head: &str) -> Option<String> {
    let is_disposition = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
    let line = head.split("\r\n").find(is_disposition)?;
    let start = line.find("; name=\"")? + "; name=\"".len();
    let end = start + line[start..].find('"')?;
    Some(line[start..end].to_owned())
}

fn find_bytes(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----x1";

    #[test]
    fn parts_have_their_names_and_bytes() {
        let body = b"------x1\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\ntoken\r\n------x1\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a; name=\\\"csrf.csv\"\r\nContent-Type: text/csv\r\n\r\n\
            a\r\n--b\xff\r\n\r\n------x1--\r\n";
        let parts = parse_form_parts(TYPE, body).unwrap();
        let found: Vec<(&str, &[u8])> = parts.iter().map(|part| (part.name.as_str(), part.content)).collect();
        assert_eq!(found, [("csrf", &b"token"[..]), ("file", b"a\r\n--b\xff\r\n")]);
        assert_eq!(parse_form_parts("multipart/form-data; boundary=\"----x1\"", body).unwrap(), parts);
    }

    #[test]
    fn other_bodies_are_no_form() {
        let part = "------x1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb";
        for body in
            ["", "------x1", "------x1--", part, &format!("{part}\r\n------x1"), &format!(" {part}\r\n------x1--")]
        {
            let found = parse_form_parts(TYPE, body.as_bytes());
            assert!(found.as_ref().is_none_or(Vec::is_empty), "{body}: {found:?}");
        }
        assert_eq!(parse_form_parts("multipart/form-data", b"--\r\n"), None);
        assert_eq!(parse_form_parts("text/plain", b""), None);
    }
}
