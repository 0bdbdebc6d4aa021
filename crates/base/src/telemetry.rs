//! Logging: one JSON object per event on standard error, so that standard output is free for results. [`export`] also sends spans to
//! a collector.
//!
//! A message is readable alone, and identifiers are in the fields. Never log a token, an address, the text of a message, a
//! prompt or a completion.

pub mod export;

mod log_writer;

use crate::env::{Env, Variable};
use export::{ExportConfig, ExportError, Exporter};
use log_writer::LogWriter;
use std::{sync::Mutex, time::Duration};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{Directive, ParseError},
    fmt,
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

/// The log events that a process writes.
pub const LOG: Variable = Variable::with_default(
    "RUST_LOG",
    "info",
    "Which log events are written, for example `info,worker=debug`",
)
.example("info,worker=debug");

/// Silences notices of Postgres, which are about single statements and not for operators.
const SILENT: &str = "sqlx::postgres::notice=error";

/// Reads which log events are written, for [`init`].
pub fn directives(env: &mut Env) -> String {
    let directives = env.text(LOG);
    if filter(&directives).is_err() {
        env.fault(LOG, "is not a list of log directives");
    }
    directives
}

fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::builder().parse(directives)?;
    Ok(filter.add_directive(SILENT.parse::<Directive>()?))
}

/// What a process tells of itself, and to whom.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    pub directives: String,
    pub export: Option<ExportConfig>,
}

impl TelemetryConfig {
    /// Reads which log events are written, and where spans are exported.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            directives: directives(env),
            export: ExportConfig::from_env(env),
        }
    }
}

/// Runs the work of a process that logs and, if it is configured, exports its spans under the name `service`.
///
/// # Errors
/// If neither could be started, or as the work.
pub async fn observed<T, E: From<TelemetryError>>(
    config: TelemetryConfig,
    service: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let exporter = config
        .export
        .map(|export| Exporter::start(&export, service))
        .transpose()
        .map_err(TelemetryError::Export)?;
    start(&config.directives, exporter.as_ref())?;
    let done = work.await;
    if let Some(exporter) = exporter {
        exporter.stop().await;
    }
    done
}

/// Starts logging for this process. `directives` are as in `RUST_LOG`, for example `info,worker=debug`.
///
/// # Errors
/// If the directives do not parse or logging was started already.
pub fn init(directives: &str) -> Result<(), TelemetryError> {
    start(directives, None)
}

fn start(directives: &str, exporter: Option<&Exporter>) -> Result<(), TelemetryError> {
    let filter = filter(directives).map_err(TelemetryError::Directives)?;
    let log = fmt::layer()
        .json()
        .flatten_event(true)
        // All spans, outermost first: the call to a model lies within the attempt that has the ids of the request.
        .with_current_span(false)
        .with_span_list(true)
        .with_writer(Mutex::new(LogWriter::new(std::io::stderr())))
        // Of its own: what is exported does not depend on what is logged.
        .with_filter(filter);
    tracing_subscriber::registry()
        .with(log)
        .with(exporter.map(Exporter::layer))
        .try_init()
        .map_err(TelemetryError::Started)?;
    // The default hook prints the panic's message, which may quote a job's content.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a thread panicked");
    }));
    Ok(())
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("RUST_LOG does not parse")]
    Directives(#[source] ParseError),
    #[error("logging was started already")]
    Started(#[source] TryInitError),
    #[error("could not start exporting spans")]
    Export(#[source] ExportError),
}

/// Returns the trace id of a W3C `traceparent`.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (_version, trace_id) = (parts.next()?, parts.next()?);
    (trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then_some(trace_id)
}

/// Returns a duration in milliseconds as a number; tracing would log `as_millis` as text.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Formats an error with its causes, `outer: middle: root`, each once: errors of sqlx quote their cause, and have it too.
///
/// An error of the database ends with its SQLSTATE, by which the runbook goes on, and without the line of Postgres' own source
/// code, which sqlx appends.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    if let Some(sqlx::Error::Database(error)) = error.downcast_ref() {
        let code = error.code().unwrap_or_default();
        return format!(
            "the database answered: {} (SQLSTATE {code})",
            error.message()
        );
    }
    let Some(cause) = error.source() else {
        return text;
    };
    let own = text.strip_suffix(&cause.to_string());
    let own = own.map_or(&*text, |own| own.trim_end_matches([':', ' ']));
    match own {
        "" => chain(cause),
        own => format!("{own}: {}", chain(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read the users")]
    struct Outer(#[source] sqlx::Error);

    #[test]
    fn chain_has_each_cause_once() {
        let refused = || io::Error::other("connection refused");
        assert_eq!(
            chain(&Outer(sqlx::Error::Io(refused()))),
            "could not read the users: error communicating with database: connection refused"
        );
        assert_eq!(chain(&refused()), "connection refused");
        let migration = sqlx::migrate::MigrateError::Execute(sqlx::Error::Io(refused()));
        assert_eq!(
            chain(&migration),
            "while executing migrations: error communicating with database: connection refused"
        );
    }
}
