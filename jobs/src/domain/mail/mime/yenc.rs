//! Files in the middle of a text as newsreaders write them (yEnc, <http://www.yenc.org/yenc-draft.1.3.txt>): [`split`].

use super::fields::take_line;
use super::uuencode::InlineFile;
use std::borrow::Cow;

/// Takes the files out of a text. One that never ends stays where it is.
pub(super) fn split(text: &[u8]) -> (Cow<'_, [u8]>, Vec<InlineFile>) {
    if !text.windows(8).any(|start| start == b"=ybegin ") {
        return (Cow::Borrowed(text), Vec::new());
    }
    let (mut kept, mut files) = (Vec::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = take_line(rest);
        match name(line).zip(content(after)) {
            Some((name, (content, after))) => {
                files.push(InlineFile { name, content });
                rest = after;
            }
            None => {
                kept.extend(&rest[..rest.len() - after.len()]);
                rest = after;
            }
        }
    }
    (Cow::Owned(kept), files)
}

/// `=ybegin line=128 size=11 name=a.txt`: the name is the last, and may hold blanks.
fn name(line: &[u8]) -> Option<String> {
    let (_, name) = std::str::from_utf8(line)
        .ok()?
        .strip_prefix("=ybegin ")?
        .split_once(" name=")?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What the lines up to `=yend` stand for, and what follows them.
fn content(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut content = Vec::new();
    while !rest.is_empty() {
        let (line, after) = take_line(rest);
        rest = after;
        if line.starts_with(b"=yend") {
            return Some((content, rest));
        }
        if line.starts_with(b"=ybegin ") {
            return None;
        }
        if line.starts_with(b"=ypart ") {
            continue;
        }
        let mut bytes = line.iter();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'=' => bytes.next()?.wrapping_sub(64),
                byte => *byte,
            };
            content.push(byte.wrapping_sub(42));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It took hours when each beginning was followed to the end of the text.
    #[test]
    fn text_of_many_beginnings_is_soon_read() {
        let text = b"=ybegin line=1 size=1 name=a\n".repeat(100_000);
        assert_eq!(split(&text).1.len(), 0);
    }

    #[test]
    fn file_is_taken_out_of_the_text_around_it() {
        let encoded: Vec<u8> = b"Room 12\n\xe3"
            .iter()
            .map(|byte| byte.wrapping_add(42))
            .collect();
        // What would be a line break or a NUL is escaped: 0xe3 + 42 = 0x0d.
        let escaped = [&encoded[..encoded.len() - 1], b"=M"].concat();
        let text = [
            b"See below.\n=ybegin line=128 size=9 name=my a.bin\n".as_slice(),
            &escaped,
            b"\n=yend size=9\nBye",
        ]
        .concat();
        let (kept, files) = split(&text);
        assert_eq!(&kept[..], b"See below.\nBye");
        assert_eq!(
            (files[0].name.as_str(), &files[0].content[..]),
            ("my a.bin", &b"Room 12\n\xe3"[..])
        );
        for text in [
            &b"=ybegin of a line\n=yend"[..],
            b"=ybegin line=1 size=1 name=a\nnever closed",
        ] {
            assert_eq!(split(text), (Cow::Borrowed(text), Vec::new()));
        }
    }
}
