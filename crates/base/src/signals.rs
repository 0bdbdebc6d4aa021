//! Signals that end a process unless it listens for them, and are meant to ask it for something: [`UserSignals`].

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, SIGUSR1 and SIGUSR2. They end the process no longer from the moment that this is opened.
#[derive(Debug)]
pub struct UserSignals {
    hangup: Signal,
    first: Signal,
    second: Signal,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSignal {
    Hangup,
    User1,
    User2,
}

impl UserSignals {
    /// # Errors
    /// If the process may not listen for signals.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            first: signal(SignalKind::user_defined1())?,
            second: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) -> UserSignal {
        tokio::select! {
            _ = self.hangup.recv() => UserSignal::Hangup,
            _ = self.first.recv() => UserSignal::User1,
            _ = self.second.recv() => UserSignal::User2,
        }
    }
}

impl UserSignal {
    /// Logs that the process does nothing about the signal.
    pub fn ignore(self) {
        let name = match self {
            Self::Hangup => "SIGHUP",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
        };
        tracing::info!(
            signal = name,
            "{name} is ignored: there is nothing to reload"
        );
    }
}
