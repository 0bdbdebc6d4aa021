//! Labelled emails on disk: a folder of `.eml` files and `labels.json`, which says of each how it should be judged. See [`read`].

use jobs::domain::{
    judgement::{Category, Disposition, Priority},
    mail::{Mail, MailError},
};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use worker::handlers::triage::evaluate::EvaluatedEmail;

const LABELS: &str = "labels.json";

/// `labels.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    owner: Owner,
    emails: Vec<Label>,
}

/// The person in whose mailbox the emails arrived.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    address: String,
    timezone: String,
}

/// How an email should be judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    pub(super) file: String,
    /// A two-letter code.
    pub(super) language: String,
    pub(super) category: Accepted<Category>,
    pub(super) disposition: Accepted<Disposition>,
    pub(super) priority: Accepted<Priority>,
    /// Whether the email tries to instruct an assistant.
    #[serde(default)]
    pub(super) injection: bool,
    /// Whether the sender is one of the owner's contacts.
    #[serde(default)]
    known_sender: bool,
}

/// One right decision, or several of which each is right, the best one first.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Accepted<T> {
    One(T),
    Several(Vec<T>),
}

impl<T: Copy> Accepted<T> {
    pub(super) fn all(&self, as_str: impl Fn(T) -> &'static str) -> Vec<&'static str> {
        match self {
            Self::One(word) => vec![as_str(*word)],
            Self::Several(words) => words.iter().map(|word| as_str(*word)).collect(),
        }
    }

    const fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Several(words) => words.is_empty(),
        }
    }
}

/// An email with its label.
pub(super) struct LabelledEmail {
    pub(super) label: Label,
    pub(super) email: EvaluatedEmail,
}

/// The folder cannot be used. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    #[error("could not read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has another form than labels have", .path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} holds no labels", .path.display())]
    Empty { path: PathBuf },
    #[error("{LABELS} has no decision for {file}, or labels it twice")]
    Ambiguous { file: String },
    #[error("{LABELS} does not label these emails: {}", .files.join(", "))]
    Unlabelled { files: Vec<String> },
    #[error("{file} is not an email")]
    NoEmail {
        file: String,
        #[source]
        source: MailError,
    },
}

/// Reads the labels and their emails, in the order of the labels.
///
/// # Errors
/// If a file cannot be read, an email has no label or two, or a label has no email.
pub(super) fn read(folder: &Path) -> Result<Vec<LabelledEmail>, LabelsError> {
    let path = folder.join(LABELS);
    let text = read_file(&path)?;
    let labels: Labels = match serde_json::from_slice(&text) {
        Ok(labels) => labels,
        Err(source) => return Err(LabelsError::Parse { path, source }),
    };
    if labels.emails.is_empty() {
        return Err(LabelsError::Empty { path });
    }
    let mut unlabelled = email_files(folder)?;
    let mut seen = BTreeSet::new();
    let mut emails = Vec::with_capacity(labels.emails.len());
    for label in labels.emails {
        let file = label.file.clone();
        let undecided =
            label.category.is_empty() || label.disposition.is_empty() || label.priority.is_empty();
        if undecided || !seen.insert(file.clone()) {
            return Err(LabelsError::Ambiguous { file });
        }
        unlabelled.remove(&file);
        let mail = match Mail::parse(&read_file(&folder.join(&file))?) {
            Ok(mail) => mail,
            Err(source) => return Err(LabelsError::NoEmail { file, source }),
        };
        emails.push(LabelledEmail {
            email: EvaluatedEmail {
                mail,
                owner: labels.owner.address.clone(),
                timezone: labels.owner.timezone.clone(),
                known_sender: label.known_sender,
            },
            label,
        });
    }
    if unlabelled.is_empty() {
        return Ok(emails);
    }
    let files = unlabelled.into_iter().collect();
    Err(LabelsError::Unlabelled { files })
}

fn read_file(path: &Path) -> Result<Vec<u8>, LabelsError> {
    fs::read(path).map_err(|source| LabelsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Lists the `.eml` files of the folder.
fn email_files(folder: &Path) -> Result<BTreeSet<String>, LabelsError> {
    let entries: Result<Vec<_>, io::Error> = fs::read_dir(folder).and_then(Iterator::collect);
    let entries = entries.map_err(|source| LabelsError::Read {
        path: folder.to_owned(),
        source,
    })?;
    let names = entries.into_iter().map(|entry| entry.file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    Ok(names.filter(|name| name.ends_with(".eml")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(labels: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.eml"), "From: a@b.c\n\nHello").unwrap();
        let text = format!(
            r#"{{"owner": {{"address": "me@x.example", "timezone": "UTC"}}, "emails": [{labels}]}}"#
        );
        fs::write(folder.path().join(LABELS), text).unwrap();
        folder
    }

    const A: &str = r#"{"file": "a.eml", "language": "en", "category": ["fyi", "task"], "disposition": "notify", "priority": "low"}"#;

    #[test]
    fn several_decisions_may_be_right() {
        let folder = folder(A);
        let emails = read(folder.path()).unwrap();
        let accepted = emails[0].label.category.all(Category::as_str);
        assert_eq!(accepted, ["fyi", "task"]);
        assert!(!emails[0].label.injection);
    }

    #[test]
    fn labels_and_emails_must_belong_together() {
        let without_email = A.replace("a.eml", "missing.eml");
        let undecided = A.replace(r#"["fyi", "task"]"#, "[]");
        let unknown = A.replace("\"low\"", "\"lowest\"");
        for (labels, expected) in [
            (String::new(), "holds no labels"),
            (format!("{A},{A}"), "labels it twice"),
            (undecided, "no decision for a.eml"),
            (format!("{A},{without_email}"), "could not read"),
            (unknown, "another form"),
        ] {
            let folder = folder(&labels);
            let error = read(folder.path()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let folder = folder(A);
        fs::write(folder.path().join("b.eml"), "From: a@b.c\n\nHello").unwrap();
        let error = read(folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.ends_with("does not label these emails: b.eml"),
            "{error}"
        );
    }
}
