//! Signals between processes by LISTEN and NOTIFY: [`notifier::Notifier`] sends, [`listener::Listener`] receives.

pub mod listener;
pub mod notifier;
