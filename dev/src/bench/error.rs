//! Errors of benchmarks: [`BenchError`].

use crate::peers::PeerError;
use crate::places::PlaceError;
use crate::postgres::ClusterError;
use crate::run::RunError;
use crate::session::MintError;
use crate::stack::StackError;
use queue::EnqueueError;
use std::io;
use std::path::PathBuf;

/// A benchmark failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error("could not set up the schema")]
    Schema(#[from] MintError),
    #[error("a statement of the benchmark failed")]
    Database(#[from] sqlx::Error),
    #[error("could not enqueue")]
    Enqueue(#[from] EnqueueError),
    #[error("could not encode a job as JSON")]
    Args(#[from] serde_json::Error),
    #[error(transparent)]
    Missing(#[from] PeerError),
    #[error("the mail server could not be started or used")]
    MailServer(#[source] io::Error),
    #[error("could not run cargo")]
    Cargo(#[source] io::Error),
    #[error("the release build failed")]
    Build,
    #[error("could not run {program}")]
    Spawn {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("could not read or write {}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{program} ended or did not answer in time; the end of its log:\n{log}")]
    Process { program: String, log: String },
    #[error("could not fetch a peer")]
    Peer(#[from] RunError),
    #[error("a request over HTTP failed")]
    Http(#[source] io::Error),
    #[error("the figure would be meaningless: {0}")]
    Unsound(String),
}
