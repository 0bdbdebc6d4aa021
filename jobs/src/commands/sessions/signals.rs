//! The signal that a session was revoked, sent after the commit, so that its long polls and streams end.

use crate::domain::SessionId;
use queue::signals::{listener::Signal, notifier::Notifier};

const TOPIC: &str = "revoked";

/// Announces that the session was revoked.
pub fn announce_revoked(notifier: &Notifier, session: SessionId) {
    notifier.custom(TOPIC, session);
}

/// Returns the revoked session of the signal.
pub fn revoked(signal: &Signal) -> Option<SessionId> {
    match signal {
        Signal::Custom { topic, payload } if topic == TOPIC => payload.parse().ok(),
        _ => None,
    }
}
