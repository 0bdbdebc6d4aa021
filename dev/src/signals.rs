//! Waits for the signals that end a process. See [`Interrupts`].

use nix::sys::signal::Signal;
use std::io;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Catches the signals from its creation on: they no longer end the process by themselves.
pub struct Interrupts {
    interrupt: Stream,
    terminate: Stream,
    hang_up: Stream,
}

impl Interrupts {
    /// Installs the handlers.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hang_up.recv() => Signal::SIGHUP,
        }
    }
}
