//! Exchanges with the model as files, for development: [`Recorder`] writes one file for each question, [`of_job`] reads those
//! of a job.
//!
//! A file holds the prompt and the answer, so it is as confidential as the emails. It never holds a key. Production refuses to
//! record.

use chrono::{DateTime, Utc};
use llm::{Completion, OutputSchema, Prompt, prompt::Boundary};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use uuid::Uuid;

/// A question and its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchange {
    pub recorded_at: DateTime<Utc>,
    pub job: Uuid,
    pub kind: String,
    /// `triage`, `triage.repair`.
    pub step: String,
    pub attempt: i32,
    pub provider: String,
    pub model: String,
    pub prompt_version: String,
    /// The hash of the prompt without its random mark, in hexadecimal digits.
    pub prompt_sha256: String,
    /// The prompt with a random mark of its own.
    pub messages: Vec<RecordedMessage>,
    pub schema: Value,
    pub answer: Option<Completion>,
    /// The class of the failure, if there is no answer.
    pub failure: Option<String>,
}

/// One message of a prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordedMessage {
    pub role: String,
    pub content: String,
}

/// A file or the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("could not create the folder {}", .path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a recorded exchange", .path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// Writes exchanges into a folder; clones share it.
#[derive(Clone, Debug)]
pub struct Recorder {
    folder: Arc<Path>,
}

impl Recorder {
    /// Creates the folder if it is missing, readable by its owner only.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open(folder: &Path) -> Result<Self, RecordingError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.map_err(|source| RecordingError::Create {
            path: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            folder: folder.into(),
        })
    }

    /// Writes an exchange into a new file, readable by its owner only.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub async fn write(&self, exchange: Exchange) -> Result<(), RecordingError> {
        // Names sort by time: the id begins with the moment of its creation.
        let name = format!("{}-{}.json", exchange.job, Uuid::now_v7());
        let path = self.folder.join(name);
        let written = path.clone();
        let done = tokio::task::spawn_blocking(move || write_new(&written, &exchange)).await;
        let done = done.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        done.map_err(|source| RecordingError::Write { path, source })
    }
}

fn write_new(path: &Path, exchange: &Exchange) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(exchange)?;
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&text)
}

/// Reads the exchanges of a job, oldest first.
///
/// # Errors
/// If the folder or a file of the job cannot be read, or a file holds something else.
pub fn of_job(folder: &Path, job: Uuid) -> Result<Vec<Exchange>, RecordingError> {
    let unreadable = |path: &Path, source| RecordingError::Read {
        path: path.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| unreadable(folder, source))?;
    let prefix = format!("{job}-");
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".json"))
    });
    paths.sort();
    let mut exchanges = Vec::with_capacity(paths.len());
    for path in paths {
        let text = fs::read(&path).map_err(|source| unreadable(&path, source))?;
        match serde_json::from_slice(&text) {
            Ok(exchange) => exchanges.push(exchange),
            Err(source) => return Err(RecordingError::Parse { path, source }),
        }
    }
    Ok(exchanges)
}

/// Renders a prompt and its schema as a file holds them.
pub fn rendered(prompt: &Prompt, schema: &OutputSchema) -> (Vec<RecordedMessage>, Value) {
    let messages = prompt.render(&Boundary::random()).into_iter();
    let messages = messages.map(|message| RecordedMessage {
        role: match message.role {
            llm::prompt::Role::System => "system",
            llm::prompt::Role::User => "user",
        }
        .to_owned(),
        content: message.content,
    });
    (messages.collect(), schema.value())
}
