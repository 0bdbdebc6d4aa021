//! An SMTP dialogue, command by command: [`Dialogue`]. Written here because lettre's client takes a reply that is not
//! UTF-8 for a broken connection, does not know HELO, and accepts bytes that were sent before the encryption.
//!
//! Keeps the code of a reply and drops its text, which may quote addresses; only that of the reply to an email is looked at.

use super::super::{ProviderError, imap::line::Line};
use super::{REPLY, STEP};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

/// The longest line and the most lines of a reply. RFC 5321 allows 512 octets; servers write longer greetings.
const LONGEST_LINE: u64 = 4_096;
const MOST_LINES: usize = 200;

/// A connection that was greeted.
pub(super) struct Dialogue {
    wire: BufReader<Line>,
    extensions: Vec<String>,
    /// The name of this client.
    name: String,
}

/// The code of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    number: u16,
    /// The class, the subject and the detail of RFC 3463, if the server names them (RFC 2034).
    status: Option<[u16; 3]>,
}

/// Why there is no reply to act on.
#[derive(Debug)]
pub(super) enum DialogueError {
    /// The server answered with another code than the command asks for.
    Refused(Code),
    /// The reply has no code.
    Unreadable,
    /// The connection ended.
    Broken,
    TimedOut,
}

impl Code {
    pub(super) const fn number(self) -> u16 {
        self.number
    }

    /// The status code of RFC 3463, such as `5.1.1`.
    pub(super) fn status(self) -> Option<String> {
        let [class, subject, detail] = self.status?;
        Some(format!("{class}.{subject}.{detail}"))
    }

    /// Whether the same command would be refused again.
    pub(super) const fn is_permanent(self) -> bool {
        self.number >= 500
    }

    /// Whether the server ends the connection with it (RFC 5321 §3.8).
    pub(super) const fn ends_the_session(self) -> bool {
        self.number == 421
    }
}

impl Dialogue {
    /// Reads the greeting and says hello by this name.
    pub(super) async fn begin(line: Line, name: &str) -> Result<Self, DialogueError> {
        let mut this = Self {
            wire: BufReader::new(line),
            extensions: Vec::new(),
            name: name.to_owned(),
        };
        this.expect(STEP, 220).await?;
        this.hello().await?;
        Ok(this)
    }

    /// Says EHLO, or HELO to a server that does not know it (RFC 5321 §3.2): it has no extensions then.
    async fn hello(&mut self) -> Result<(), DialogueError> {
        self.write(format!("EHLO {}\r\n", self.name).as_bytes(), STEP)
            .await?;
        let (code, lines) = self.reply(STEP).await?;
        if code.number == 250 {
            // The first line greets; each other line names an extension.
            let named = lines.iter().skip(1).map(|line| line.to_ascii_uppercase());
            self.extensions = named.collect();
            return Ok(());
        }
        if !code.is_permanent() {
            return Err(DialogueError::Refused(code));
        }
        self.extensions.clear();
        let hello = format!("HELO {}", self.name);
        self.command(&hello, 250).await.map(drop)
    }

    /// Encrypts the connection. Refuses bytes that came in the clear after the reply: an attacker on the way could have
    /// sent them, to be taken for answers of the encrypted dialogue (RFC 3207 §6, CVE-2021-33515).
    pub(super) async fn starttls(mut self, host: &str) -> Result<Self, ProviderError> {
        self.command("STARTTLS", 220)
            .await
            .map_err(super::not_sent)?;
        if !self.wire.buffer().is_empty() {
            return Err(ProviderError::Permanent {
                code: "starttls_injected",
                message: "Something between us and the server wrote into the connection before it was encrypted; nothing \
                          was sent. Use `tls`, usually on port 465."
                    .into(),
            });
        }
        let line = self.wire.into_inner().encrypted(host).await?;
        let mut this = Self {
            wire: BufReader::new(line),
            extensions: Vec::new(),
            name: self.name,
        };
        this.hello().await.map_err(super::not_sent)?;
        Ok(this)
    }

    pub(super) fn offers(&self, extension: &str) -> bool {
        self.parameters(extension).is_some()
    }

    /// The parameters of an extension, in capitals; `None` if it is not offered.
    pub(super) fn parameters(&self, extension: &str) -> Option<Vec<&str>> {
        self.extensions.iter().find_map(|line| {
            // Some servers still write `AUTH=PLAIN`.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            (words.next() == Some(extension)).then(|| words.collect())
        })
    }

    /// Sends a command and expects this code, or another of its hundred if that says the same (250, 251).
    pub(super) async fn command(
        &mut self,
        command: &str,
        code: u16,
    ) -> Result<Code, DialogueError> {
        self.write(format!("{command}\r\n").as_bytes(), STEP)
            .await?;
        self.expect(STEP, code).await.map(|(code, _)| code)
    }

    /// Sends an email after a 354, and reads the reply to its end: its code, and the text of its last line.
    pub(super) async fn data(&mut self, email: &[u8]) -> Result<(Code, String), DialogueError> {
        self.write(&stuffed(email), REPLY).await?;
        let (code, mut lines) = self.expect(REPLY, 250).await?;
        Ok((code, lines.pop().unwrap_or_default()))
    }

    /// Ends the dialogue. The outcome does not depend on it.
    pub(super) async fn quit(&mut self) {
        let said = timeout(Duration::from_secs(1), self.command("QUIT", 221)).await;
        if !matches!(said, Ok(Ok(_))) {
            tracing::debug!("the mail server did not confirm the end of the session");
        }
    }

    async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), DialogueError> {
        let written = timeout(limit, async {
            self.wire.get_mut().write_all(bytes).await?;
            self.wire.get_mut().flush().await
        });
        match written.await {
            Ok(written) => written.map_err(|_| DialogueError::Broken),
            Err(_) => Err(DialogueError::TimedOut),
        }
    }

    async fn expect(
        &mut self,
        limit: Duration,
        code: u16,
    ) -> Result<(Code, Vec<String>), DialogueError> {
        let (got, lines) = self.reply(limit).await?;
        if got.number / 100 == code / 100 {
            Ok((got, lines))
        } else {
            Err(DialogueError::Refused(got))
        }
    }

    /// Reads a reply: its code, and the text of its lines.
    async fn reply(&mut self, limit: Duration) -> Result<(Code, Vec<String>), DialogueError> {
        let read = async {
            let mut lines = Vec::new();
            while lines.len() < MOST_LINES {
                let mut line = Vec::new();
                let mut limited = (&mut self.wire).take(LONGEST_LINE);
                limited
                    .read_until(b'\n', &mut line)
                    .await
                    .map_err(|_| DialogueError::Broken)?;
                if line.last() != Some(&b'\n') {
                    return Err(if line.is_empty() {
                        DialogueError::Broken
                    } else {
                        DialogueError::Unreadable
                    });
                }
                let (code, text, goes_on) = reply_line(&line).ok_or(DialogueError::Unreadable)?;
                lines.push(text);
                if !goes_on {
                    return Ok((code, lines));
                }
            }
            Err(DialogueError::Unreadable)
        };
        match timeout(limit, read).await {
            Ok(read) => read,
            Err(_) => Err(DialogueError::TimedOut),
        }
    }
}

/// Reads the code, the text and whether lines follow. The text may be in any charset: only the code decides.
fn reply_line(line: &[u8]) -> Option<(Code, String, bool)> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&digits[0]) {
        return None;
    }
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let rest = &line[3..];
    let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
    let code = Code {
        number: code,
        status: status(&text),
    };
    Some((code, text.trim().to_owned(), rest.first() == Some(&b'-')))
}

/// `5.1.1 User unknown` → `[5, 1, 1]`.
fn status(text: &str) -> Option<[u16; 3]> {
    let mut numbers = text.split_whitespace().next()?.split('.');
    let mut number = || numbers.next()?.parse::<u16>().ok().filter(|n| *n < 1_000);
    let status = [number()?, number()?, number()?];
    (matches!(status[0], 2 | 4 | 5) && numbers.next().is_none()).then_some(status)
}

/// Doubles the dot at the start of a line and ends with one (RFC 5321 §4.5.2).
fn stuffed(email: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(email.len() + email.len() / 64 + 5);
    let mut starts_line = true;
    for byte in email {
        if starts_line && *byte == b'.' {
            wire.push(b'.');
        }
        wire.push(*byte);
        starts_line = *byte == b'\n';
    }
    if !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_is_read_by_its_code_in_any_charset() {
        let read = |line: &[u8]| reply_line(line).map(|(code, _, goes_on)| (code.number, goes_on));
        assert_eq!(read(b"250 ok\r\n"), Some((250, false)));
        assert_eq!(read(b"250-STARTTLS\r\n"), Some((250, true)));
        assert_eq!(read(b"250\r\n"), Some((250, false)));
        assert_eq!(
            read(b"250 angenommen f\xfcr ada\r\n"),
            Some((250, false)),
            "Latin-1"
        );
        assert_eq!(read(b"550 \xff\xfe\n"), Some((550, false)));
        for bad in [&b"kept\r\n"[..], b"25\r\n", b"650 x\r\n", b"\r\n"] {
            assert_eq!(read(bad), None);
        }
    }

    #[test]
    fn status_of_a_reply_is_its_first_word_or_none() {
        let status = |line: &[u8]| reply_line(line).and_then(|(code, ..)| code.status());
        assert_eq!(
            status(b"550 5.1.1 <ada@x> unknown\r\n").as_deref(),
            Some("5.1.1")
        );
        assert_eq!(status(b"452-4.2.2 full\r\n").as_deref(), Some("4.2.2"));
        for none in [
            &b"550 no such user\r\n"[..],
            b"550 1.2.3.4 is listed\r\n",
            b"550\r\n",
        ] {
            assert_eq!(status(none), None);
        }
    }

    #[test]
    fn line_that_starts_with_a_dot_is_stuffed() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b"), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed(b".\r\n"), b"..\r\n.\r\n");
        assert_eq!(stuffed(b""), b"\r\n.\r\n");
    }
}
