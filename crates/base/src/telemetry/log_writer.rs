//! [`LogWriter`]: writes log lines, and neither fails nor waits when nobody takes them.
//!
//! What reads the log may go away (a closed pipe), have a full disk, or stop reading (a log driver that stalls). A write that
//! fails would end in a panic of the subscriber, and one that blocks stops every thread that logs, and the renewal of leases
//! with them.

use crate::clock::Clock;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    io::{self, Write},
    os::fd::AsFd,
};

/// A pipe with room has room for this many bytes (`PIPE_BUF`).
const CHUNK: usize = 4096;
/// How long a line waits for a slow reader. Those after it do not wait until it reads again.
const TIMEOUT_MS: u16 = 500;

/// Writes each buffer as a line of its own, or drops it. The next line that is written is preceded by the number of those
/// that were dropped.
#[derive(Debug)]
pub(super) struct LogWriter<W> {
    out: W,
    is_stalled: bool,
    /// The last line was written in part.
    is_torn: bool,
    dropped: u64,
}

impl<W: Write + AsFd> LogWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            is_stalled: false,
            is_torn: false,
            dropped: 0,
        }
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write_part(b"\n")?;
            self.is_torn = false;
        }
        if self.dropped > 0 {
            let lines = self.dropped;
            let now = Clock::System.now().to_rfc3339();
            let notice = format!(
                "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"log lines were dropped: nothing took them\",\"lines\":{lines}}}\n"
            );
            self.write_part(notice.as_bytes())?;
            self.dropped = 0;
        }
        for part in line.chunks(CHUNK) {
            self.write_part(part)?;
            self.is_torn = true;
        }
        self.is_torn = false;
        Ok(())
    }

    /// Writes up to [`CHUNK`] bytes.
    fn write_part(&mut self, part: &[u8]) -> io::Result<()> {
        self.wait_for_room()?;
        self.out.write_all(part)
    }

    fn wait_for_room(&mut self) -> io::Result<()> {
        let timeout = if self.is_stalled {
            PollTimeout::ZERO
        } else {
            PollTimeout::from(TIMEOUT_MS)
        };
        let ready = loop {
            let mut out = [PollFd::new(self.out.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut out, timeout) {
                Err(Errno::EINTR) => {}
                ready => break ready?,
            }
        };
        self.is_stalled = ready == 0;
        if self.is_stalled {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }
}

impl<W: Write + AsFd> Write for LogWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.write_line(line).is_err() {
            self.dropped += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, pipe},
        time::{Duration, Instant},
    };

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_counted() {
        const LINES: usize = 300;
        let (reader, out) = pipe().unwrap();
        let mut writer = LogWriter::new(out);
        let line = [vec![b'x'; 6000], b"\n".to_vec()].concat();
        let started = Instant::now();
        for _ in 0..LINES {
            writer.write_all(&line).unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(5), "one line waits");
        let dropped = usize::try_from(writer.dropped).unwrap();
        assert!(dropped > 0);

        let read = std::thread::spawn(move || BufReader::new(reader).lines().collect::<Vec<_>>());
        while writer.dropped > 0 {
            writer.write_all(b"read again\n").unwrap();
        }
        drop(writer);
        let lines: Vec<String> = read
            .join()
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let whole = lines.iter().filter(|read| read.len() + 1 == line.len());
        assert_eq!(whole.count(), LINES - dropped);
        let [.., notice, last] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert!(notice.contains("\"lines\":"), "{notice}");
        assert_eq!(last, "read again");
    }

    #[test]
    fn reader_that_is_gone_is_no_error() {
        let (reader, out) = pipe().unwrap();
        drop(reader);
        let mut writer = LogWriter::new(out);
        writer.write_all(b"nobody reads this\n").unwrap();
        assert_eq!(writer.dropped, 1);
    }
}
