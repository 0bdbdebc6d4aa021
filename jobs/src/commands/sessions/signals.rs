//! The signal that a session was revoked: sent after the commit, so that long polls and streams of that session end.

use crate::domain::SessionId;
use queue::signals::{listener::Signal, notifier::Notifier};

const TOPIC: &str = "revoked";

/// Announces that the session was revoked.
pub fn announce_revoked(notifier: &Notifier, session: SessionId) {
    notifier.custom(TOPIC, session);
}

/// The session that the signal says was revoked.
pub fn revoked(signal: &Signal) -> Option<SessionId> {
    match signal {
        Signal::Custom { topic, payload } if topic == TOPIC => payload.parse().ok(),
        _ => None,
    }
}
