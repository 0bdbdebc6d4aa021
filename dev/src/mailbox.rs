//! Finds emails on disk: `.eml` files, mbox files and Maildirs. See [`find`] and [`Entry`].
//!
//! Reads each message on demand, so that mailboxes of any size fit into memory. Does not parse messages.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One message on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: PathBuf,
    /// The message's number from 1 and its byte range, if the file contains several.
    pub part: Option<(usize, Range<u64>)>,
}

/// A file without an email, or an unreadable one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub path: PathBuf,
    pub reason: String,
}

impl Entry {
    /// Returns the path, with `#3` for the third message of an mbox.
    pub fn label(&self) -> String {
        match &self.part {
            None => self.path.display().to_string(),
            Some((number, _)) => format!("{}#{number}", self.path.display()),
        }
    }

    /// Reads the message, without the escapes of an mbox.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let Some((_, range)) = &self.part else {
            return fs::read(&self.path);
        };
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = Vec::new();
        file.take(range.end - range.start).read_to_end(&mut bytes)?;
        Ok(unescape(&bytes))
    }
}

/// Finds every message below the paths, in a stable order, and the files without one.
///
/// A folder with `cur` or `new` is a Maildir, and each file in those two is a message. Elsewhere a file counts by its
/// name (`.eml`) or its first lines. Hidden files are skipped.
pub fn find(paths: &[PathBuf]) -> (Vec<Entry>, Vec<Refused>) {
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    for path in paths {
        if let Err((path, reason)) = walk(path, &mut entries, &mut refused) {
            refused.push(Refused { path, reason });
        }
    }
    (entries, refused)
}

fn walk(
    path: &Path,
    entries: &mut Vec<Entry>,
    refused: &mut Vec<Refused>,
) -> Result<(), (PathBuf, String)> {
    let at = |error: io::Error| (path.to_owned(), error.to_string());
    if !fs::metadata(path).map_err(at)?.is_dir() {
        return scan_file(path, entries).map_err(|reason| (path.to_owned(), reason));
    }
    let mut children: Vec<PathBuf> = fs::read_dir(path)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(at)?
        .into_iter()
        .map(|child| child.path())
        .collect();
    children.sort();
    let is_maildir = ["cur", "new"].iter().any(|name| path.join(name).is_dir());
    for child in children {
        let name = child
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_folder = child.is_dir();
        if is_maildir && is_folder && (name == "cur" || name == "new") {
            entries.extend(messages(&child).map_err(at)?);
            continue;
        }
        // Subfolders of a Maildir (`.Archive`) are hidden; its other files are indexes of the server.
        let passed_over = if is_maildir {
            name == "tmp" || !is_folder
        } else {
            name.starts_with('.')
        };
        if !passed_over && let Err((path, reason)) = walk(&child, entries, refused) {
            refused.push(Refused { path, reason });
        }
    }
    Ok(())
}

/// Lists the messages of `cur` or `new`.
fn messages(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for child in fs::read_dir(folder)? {
        let path = child?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            found.push(Entry { path, part: None });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Finds the messages of one file.
fn scan_file(path: &Path, entries: &mut Vec<Entry>) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    let mut reader = BufReader::new(file);
    let mut start = reader.by_ref().take(8192);
    start
        .read_to_end(&mut head)
        .map_err(|error| error.to_string())?;
    if head.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if head.starts_with(b"From ") {
        reader.rewind().map_err(|error| error.to_string())?;
        let ranges = split(reader).map_err(|error| error.to_string())?;
        entries.extend(ranges.into_iter().enumerate().map(|(index, range)| Entry {
            path: path.to_owned(),
            part: Some((index + 1, range)),
        }));
        return Ok(());
    }
    let named = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("eml"));
    if named || begins_like_mail(&head) {
        entries.push(Entry {
            path: path.to_owned(),
            part: None,
        });
        return Ok(());
    }
    Err("not an email: the file does not start with email headers".to_owned())
}

/// Returns whether the first lines are header fields, at least one of them a usual email header.
fn begins_like_mail(head: &[u8]) -> bool {
    const TELLING: [&str; 7] = [
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "received",
        "return-path",
    ];
    let mut telling = false;
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return telling && line.len() > 900;
        };
        let name = &line[..colon];
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return false;
        }
        telling |= TELLING
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    }
    telling
}

/// Returns the byte ranges of the messages of an mbox: each follows a `From ` line at the start or after an empty line.
fn split(mut reader: impl BufRead) -> io::Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let (mut at, mut after_empty) = (0u64, true);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let next = at + line.len() as u64;
        if after_empty && line.starts_with(b"From ") {
            if let Some(last) = ranges.last_mut() {
                last.end = at;
            }
            ranges.push(next..next);
        }
        after_empty = matches!(line.as_slice(), b"\n" | b"\r\n");
        at = next;
        line.clear();
    }
    if let Some(last) = ranges.last_mut() {
        last.end = at;
    }
    ranges.retain(|range| !range.is_empty());
    Ok(ranges)
}

/// Unescapes `>From ` at the start of a line (mboxrd).
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        let escaped = quotes > 0 && line[quotes..].starts_with(b"From ");
        plain.extend_from_slice(if escaped { &line[1..] } else { line });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: a@x.example\nSubject: one\n\nHello\n";

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn labels(root: &Path, entries: &[Entry]) -> Vec<String> {
        let root = format!("{}/", root.display());
        entries
            .iter()
            .map(|entry| entry.label().replace(&root, ""))
            .collect()
    }

    #[test]
    fn mbox_is_split_into_its_messages() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("inbox");
        let second =
            "Subject: two\n\nLine\nFrom here on it goes\n>From a quoted line\n>>From two\n";
        write(
            &path,
            &format!(
                "From a@x.example Mon Nov  2 10:00:00 2026\n{MAIL}\nFrom b@x.example Tue Nov  3 10:00:00 2026\r\n{second}"
            ),
        );
        let (entries, refused) = find(&[path]);
        assert_eq!(labels(root.path(), &entries), ["inbox#1", "inbox#2"]);
        assert_eq!(refused, []);
        assert_eq!(entries[0].read().unwrap(), format!("{MAIL}\n").as_bytes());
        let plain = "Subject: two\n\nLine\nFrom here on it goes\nFrom a quoted line\n>From two\n";
        assert_eq!(
            String::from_utf8(entries[1].read().unwrap()).unwrap(),
            plain
        );
    }

    #[test]
    fn maildir_includes_its_subfolders() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "cur/1:2,S",
            "new/2",
            "tmp/3",
            ".Archive/cur/4:2,",
            ".Archive/new/5",
            "dovecot.index",
        ] {
            write(&root.path().join("Maildir").join(name), MAIL);
        }
        let (entries, refused) = find(&[root.path().to_owned()]);
        let expected = [
            "Maildir/.Archive/cur/4:2,",
            "Maildir/.Archive/new/5",
            "Maildir/cur/1:2,S",
            "Maildir/new/2",
        ];
        assert_eq!(labels(root.path(), &entries), expected);
        assert_eq!(refused, []);
    }

    #[test]
    fn file_without_an_email_is_reported_and_the_rest_is_read() {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("a/one.eml"), MAIL);
        write(&root.path().join("a/exported mail"), MAIL);
        write(
            &root.path().join("a/notes.txt"),
            "Dear diary: today\nit rained\n",
        );
        write(&root.path().join("a/empty.eml"), "");
        write(&root.path().join("a/.hidden"), "x");
        let missing = root.path().join("missing");
        let (entries, refused) = find(&[root.path().join("a"), missing.clone()]);
        assert_eq!(
            labels(root.path(), &entries),
            ["a/exported mail", "a/one.eml"]
        );
        let named: Vec<&Path> = refused
            .iter()
            .map(|refused| refused.path.as_path())
            .collect();
        assert_eq!(
            named,
            [
                root.path().join("a/empty.eml"),
                root.path().join("a/notes.txt"),
                missing
            ]
        );
    }

    #[test]
    fn headers_are_distinguished_from_prose() {
        assert!(begins_like_mail(
            b"Received: by x\r\n\tfor y\r\nX-Odd: 1\r\n\r\nbody"
        ));
        assert!(!begins_like_mail(b"To whom it may concern: hello\n"));
        assert!(!begins_like_mail(b"{\"from\": 1}\n"));
        assert!(!begins_like_mail(b"key: value\n"));
    }
}
