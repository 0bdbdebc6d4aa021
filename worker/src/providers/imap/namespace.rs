//! The personal namespace of a mailbox (RFC 2342): [`Namespace`]. On servers with the prefix `INBOX.` every folder is below the
//! inbox; a folder without the prefix can be neither created nor found there.

use super::{STEP, line::Line, timed_out, unreachable};
use crate::providers::ProviderError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// The tag of the command; the library's tags look otherwise.
const TAG: &str = "NS1";
/// The longest answer that is read.
const LONGEST: usize = 16 * 1024;

/// Where a user's own folders are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namespace {
    /// As it is written on the wire; empty on most servers.
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
}

impl Namespace {
    /// Asks the server. Past the library, which cannot read the answer and would give up the connection.
    ///
    /// # Errors
    /// If the connection fails. A refusal means that there is no prefix.
    pub(super) async fn ask(line: &mut Line) -> Result<Self, ProviderError> {
        let asked = timeout(STEP, async {
            line.write_all(format!("{TAG} NAMESPACE\r\n").as_bytes())
                .await?;
            line.flush().await?;
            let mut answer = Vec::new();
            while !is_complete(&answer) && answer.len() < LONGEST {
                if line.read_buf(&mut answer).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok::<_, std::io::Error>(answer)
        });
        match asked.await {
            Ok(Ok(answer)) => Ok(Self::read(&String::from_utf8_lossy(&answer))),
            Ok(Err(_)) => Err(unreachable("imap_unreachable")),
            Err(_) => Err(timed_out()),
        }
    }

    /// Reads the first personal namespace, such as `(("INBOX." "."))`.
    fn read(answer: &str) -> Self {
        const START: &str = "* NAMESPACE ((";
        let line = answer.lines().find_map(|line| {
            let head = line.get(..START.len())?;
            head.eq_ignore_ascii_case(START)
                .then(|| &line[START.len()..])
        });
        let Some((prefix, rest)) = line.and_then(quoted) else {
            return Self::default();
        };
        Self {
            prefix,
            delimiter: quoted(rest.trim_start()).map(|(delimiter, _)| delimiter),
        }
    }

    /// Puts the prefix before a folder's name, unless the name has it.
    pub(super) fn full_name(&self, name: &str) -> String {
        if name.starts_with(&self.prefix) {
            name.to_owned()
        } else {
            format!("{}{name}", self.prefix)
        }
    }
}

fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.ends_with("\r\n")
        && text
            .lines()
            .any(|line| line.starts_with(&format!("{TAG} ")))
}

/// Reads a quoted string at the start; the rest follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_namespace_is_read_with_its_delimiter() {
        for (answer, prefix, delimiter) in [
            (
                "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\nNS1 OK\r\n",
                "INBOX.",
                Some("."),
            ),
            (
                "* 3 EXISTS\r\n* namespace ((\"\" \"/\")) NIL NIL\r\n",
                "",
                Some("/"),
            ),
            ("* NAMESPACE ((\"\" \"\\\\\")) NIL NIL\r\n", "", Some("\\")),
            ("* NAMESPACE ((\"A\" NIL)) NIL NIL\r\n", "A", None),
            ("* NAMESPACE NIL NIL ((\"#x\" \".\"))\r\n", "", None),
            ("NS1 BAD what?\r\n", "", None),
        ] {
            let read = Namespace::read(answer);
            assert_eq!(
                (read.prefix.as_str(), read.delimiter.as_deref()),
                (prefix, delimiter),
                "{answer}"
            );
        }
    }

    #[test]
    fn folder_gets_the_prefix_once() {
        let namespace = Namespace {
            prefix: "INBOX.".into(),
            delimiter: Some(".".into()),
        };
        assert_eq!(namespace.full_name("Archive"), "INBOX.Archive");
        assert_eq!(namespace.full_name("INBOX.Archive"), "INBOX.Archive");
        assert_eq!(Namespace::default().full_name("Archive"), "Archive");
    }
}
