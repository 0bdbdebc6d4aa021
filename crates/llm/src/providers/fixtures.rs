//! The provider of testing mode: [`Fixtures`] answers from files only.
//!
//! A file names its task, what it matches and the answer. A prompt that no file matches is an error; only a file with
//! `catch_all` answers everything. Answers are read by the same code as a real server's. Builds no network client.
//!
//! ```json
//! { "label": "summary", "match": { "part": "title", "contains_any": ["invoice"] }, "answer": { "category": "task" } }
//! { "label": "summary", "catch_all": true, "answer": { "category": "unknown" } }
//! ```

use super::openai::reply;
use crate::{
    error::LlmError,
    prompt::Prompt,
    provider::{AttemptInfo, AttemptRequest, LlmProvider, Reply},
};
use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The model name in results and metrics.
const MODEL: &str = "fixtures";

/// Fixtures in the order of their search: specific ones first, then those that match everything.
#[derive(Clone, Debug)]
pub struct Fixtures {
    fixtures: Vec<Fixture>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    /// The task of the call.
    label: String,
    #[serde(default, rename = "match")]
    pattern: Option<Pattern>,
    #[serde(default)]
    catch_all: bool,
    /// Delays the answer, to simulate a slow model.
    #[serde(default)]
    delay_ms: u64,
    /// An object answers a schema; text is sent unchanged, to simulate invalid answers.
    answer: Value,
}

/// Matches if the part contains one of the words, ignoring case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    /// The label of an untrusted part.
    part: String,
    contains_any: Vec<String>,
}

/// An invalid fixture. Names its file.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    #[error("could not read fixtures from {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{file} is not a valid fixture")]
    Parse {
        file: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{file} needs exactly one of `match` with words to look for and `catch_all: true`")]
    MatchesNothing { file: String },
    #[error("{file} is the second catch-all fixture for {label}")]
    SecondCatchAll { file: String, label: String },
    #[error("no .json file found in {} or its direct subfolders", path.display())]
    Empty { path: PathBuf },
}

impl Fixtures {
    /// Parses fixtures from the texts of named files, for those that a program ships. Their order is the search order.
    ///
    /// # Errors
    /// If a file is not a valid fixture.
    pub fn from_texts(files: &[(&str, &str)]) -> Result<Self, FixtureError> {
        Self::parse(files.iter().copied())
    }

    /// Reads the fixtures of a folder and its direct subfolders, in path order.
    ///
    /// # Errors
    /// If the folder or a file cannot be read, a file is not a valid fixture, or no file is found.
    pub fn from_folder(folder: &Path) -> Result<Self, FixtureError> {
        let mut files = Vec::new();
        for entry in entries(folder)? {
            if entry.is_dir() {
                files.extend(entries(&entry)?);
            } else {
                files.push(entry);
            }
        }
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        });
        if files.is_empty() {
            let path = folder.to_owned();
            return Err(FixtureError::Empty { path });
        }
        files.sort();
        let mut texts = Vec::new();
        for path in files {
            let text = fs::read_to_string(&path);
            let text = text.map_err(|source| FixtureError::Read {
                path: path.clone(),
                source,
            })?;
            texts.push((path.display().to_string(), text));
        }
        Self::parse(
            texts
                .iter()
                .map(|(file, text)| (file.as_str(), text.as_str())),
        )
    }

    fn parse<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, FixtureError> {
        let mut fixtures: Vec<Fixture> = Vec::new();
        for (file, text) in files {
            let file = file.to_owned();
            let fixture: Fixture = match serde_json::from_str(text) {
                Ok(fixture) => fixture,
                Err(source) => return Err(FixtureError::Parse { file, source }),
            };
            let words = fixture
                .pattern
                .as_ref()
                .map(|pattern| &pattern.contains_any);
            let has_words = words.is_some_and(|words| words.iter().any(|word| !word.is_empty()));
            if fixture.catch_all == has_words || fixture.catch_all == fixture.pattern.is_some() {
                return Err(FixtureError::MatchesNothing { file });
            }
            let is_second = |other: &&Fixture| other.catch_all && other.label == fixture.label;
            if fixture.catch_all && fixtures.iter().find(is_second).is_some() {
                let label = fixture.label;
                return Err(FixtureError::SecondCatchAll { file, label });
            }
            fixtures.push(fixture);
        }
        // A stable sort: among specific fixtures the first file wins.
        fixtures.sort_by_key(|fixture| fixture.catch_all);
        Ok(Self { fixtures })
    }

    fn find(&self, task: &str, prompt: &Prompt) -> Option<&Fixture> {
        let mut fixtures = self.fixtures.iter();
        fixtures.find(|fixture| fixture.label == task && fixture.answers(prompt))
    }
}

impl Fixture {
    fn answers(&self, prompt: &Prompt) -> bool {
        let Some(pattern) = &self.pattern else {
            return self.catch_all;
        };
        let part = prompt.untrusted_part(&pattern.part).unwrap_or_default();
        let part = part.to_lowercase();
        let mut words = pattern.contains_any.iter();
        words.any(|word| !word.is_empty() && part.contains(&word.to_lowercase()))
    }

    /// Builds the response body that a server would send with this answer.
    fn body(&self, request: &AttemptRequest<'_>) -> Vec<u8> {
        let text = match &self.answer {
            Value::String(text) => text.clone(),
            answer => answer.to_string(),
        };
        let prompt_bytes: usize = request
            .messages
            .iter()
            .map(|message| message.content.len())
            .sum();
        // About four bytes per token, so that dashboards show plausible numbers in testing mode.
        let usage =
            json!({ "prompt_tokens": prompt_bytes / 4, "completion_tokens": text.len() / 4 });
        let message = json!({ "role": "assistant", "content": text });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        let body = json!({ "model": MODEL, "choices": [choice], "usage": usage });
        body.to_string().into_bytes()
    }
}

#[async_trait]
impl LlmProvider for Fixtures {
    fn name(&self) -> &'static str {
        "fixtures"
    }

    fn model(&self) -> &str {
        MODEL
    }

    async fn attempt(
        &self,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        let fixture = self.find(request.task, request.prompt);
        let fixture = fixture.ok_or(LlmError::UnknownFixture { task: request.task })?;
        tokio::time::sleep(Duration::from_millis(fixture.delay_ms)).await;
        let body = fixture.body(request);
        info.response_bytes = body.len() as u64;
        let limit = request.max_output_tokens;
        reply::read(&body, &HeaderMap::new(), request, limit, info)
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FixtureError> {
    let read =
        fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    read.map_err(|source| FixtureError::Read {
        path: folder.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
