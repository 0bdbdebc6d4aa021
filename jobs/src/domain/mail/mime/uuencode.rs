//! Files in the middle of a plain text, as programs before MIME wrote them and some still do (POSIX uuencode): [`split`], and the
//! same as a transfer encoding: [`decode`].

/// A file that stood in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InlineFile {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// Longer than any name that people gave.
const NAME: usize = 200;

/// Takes the files out of a text. What only looks like one stays where it is: each line must have the length that it says.
pub(super) fn split(text: &str) -> (String, Vec<InlineFile>) {
    if !text.contains("begin ") {
        return (text.to_owned(), Vec::new());
    }
    let lines: Vec<&str> = text.lines().collect();
    let (mut kept, mut files) = (Vec::with_capacity(lines.len()), Vec::new());
    let mut at = 0;
    while at < lines.len() {
        match file(&lines[at..]) {
            Some((file, length)) => {
                files.push(file);
                at += length;
            }
            None => {
                kept.push(lines[at]);
                at += 1;
            }
        }
    }
    (kept.join("\n"), files)
}

/// The content of the first file in a body that is nothing else.
pub(super) fn decode(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    split(text).1.into_iter().next().map(|file| file.content)
}

/// The file that begins with the first line, and how many lines it has.
fn file(lines: &[&str]) -> Option<(InlineFile, usize)> {
    let (mode, name) = lines.first()?.strip_prefix("begin ")?.split_once(' ')?;
    let is_mode = matches!(mode.len(), 3 | 4) && mode.bytes().all(|c| (b'0'..=b'7').contains(&c));
    let name = name.trim();
    if !is_mode || name.is_empty() || name.len() > NAME {
        return None;
    }
    let mut content = Vec::new();
    for (n, line) in lines.iter().enumerate().skip(1) {
        if *line == "end" && n > 1 {
            let name = name.to_owned();
            return Some((InlineFile { name, content }, n + 1));
        }
        decode_line(line, &mut content)?;
    }
    None
}

/// Appends the bytes of a line; `None` if it is no such line. Blanks at its end may be lost.
fn decode_line(line: &str, content: &mut Vec<u8>) -> Option<()> {
    let bytes = line.as_bytes();
    let value = |byte: u8| (b' '..=b'`').contains(&byte).then(|| (byte - b' ') & 0x3f);
    let length = usize::from(value(*bytes.first().unwrap_or(&b'`'))?);
    let data = bytes.get(1..).unwrap_or_default();
    let needed = length.div_ceil(3) * 4;
    // A checksum or a filler may follow; nothing longer.
    if data.len() > needed + 2 {
        return None;
    }
    let mut line = Vec::with_capacity(needed);
    for group in 0..needed / 4 {
        let mut bits = 0_u32;
        for n in 0..4 {
            let byte = data.get(group * 4 + n).copied().unwrap_or(b' ');
            bits = bits << 6 | u32::from(value(byte)?);
        }
        line.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    line.truncate(length);
    content.extend(line);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "begin 644 a.txt\n.4V5C<F5T(')O;VT@,3(\n`\nend";

    #[test]
    fn file_is_taken_out_of_the_text_around_it() {
        let (text, files) = split(&format!("See below.\n{FILE}\nCan you confirm?"));
        assert_eq!(text, "See below.\nCan you confirm?");
        assert_eq!(files[0].name, "a.txt");
        assert_eq!(files[0].content, b"Secret room 12");
        assert_eq!(decode(FILE.as_bytes()).unwrap(), b"Secret room 12");
    }

    #[test]
    fn text_that_only_looks_like_a_file_stays() {
        for text in [
            "We begin 644 things.\nbegin 2026 with joy\nend",
            "begin 644 a.txt\nand then we talked about it for a long time\nend",
            "begin 644 a.txt\n.4V5C<F5T(')O;VT@,3(\n`",
            "begin 644 a.txt\nend",
        ] {
            assert_eq!(split(text), (text.to_owned(), Vec::new()));
        }
    }
}
