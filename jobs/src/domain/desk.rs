//! Users' tasks, projects, contacts and inbox items. Pure: words, bounds and defaults.

mod bucket;
mod due;
mod item;
mod name;

pub use bucket::Bucket;
pub use due::due_on;
pub use item::{ItemSource, ItemState, ItemStep, NewItem, Until, asks_for_action};
pub use name::{Name, NameFault};

use super::{MessageId, ProjectId, invite::EmailAddress, judgement::Priority, words::words};
use chrono::NaiveDate;

/// The longest title of a task and name of a contact, in characters.
pub const TITLE_CHARS: usize = 200;
/// The longest name of a project.
pub const PROJECT_CHARS: usize = 100;
/// The longest notes of anything here.
pub const NOTES_CHARS: usize = 1_000;

words! {
    /// The status of a task or a project.
    #[schemars(rename = "TaskStatus")]
    Progress {
        Backlog = "backlog",
        Ready = "ready",
        Doing = "doing",
        Blocked = "blocked",
        Done = "done",
    }
}

impl Progress {
    /// As people and models write it: `todo` is ready, and case makes no difference.
    pub fn read(word: &str) -> Option<Self> {
        match word.trim().to_lowercase().as_str() {
            "todo" => Some(Self::Ready),
            word => Self::parse(word),
        }
    }
}

/// Which project a new task belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InProject {
    None,
    Id(ProjectId),
    /// The one of this name, which is made if there is none.
    Named(Name),
}

/// A task to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    pub title: Name,
    pub project: InProject,
    pub status: Progress,
    pub priority: Priority,
    pub due_on: Option<NaiveDate>,
    pub notes: Option<String>,
    /// The mail it is about.
    pub message: Option<MessageId>,
}

impl NewTask {
    /// One that is ready to be done, of middling priority.
    pub fn titled(title: Name) -> Self {
        Self {
            title,
            project: InProject::None,
            status: Progress::Ready,
            priority: Priority::Medium,
            due_on: None,
            notes: None,
            message: None,
        }
    }
}

/// What is to change about a task; the inner `None` takes a value away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskChange {
    pub title: Option<Name>,
    pub project: Option<Option<ProjectId>>,
    pub status: Option<Progress>,
    pub priority: Option<Priority>,
    pub due_on: Option<Option<NaiveDate>>,
    pub notes: Option<Option<String>>,
}

/// A project to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewProject {
    pub name: Name,
    pub status: Progress,
    pub notes: Option<String>,
}

/// What is to change about a project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectChange {
    pub name: Option<Name>,
    pub status: Option<Progress>,
    pub notes: Option<Option<String>>,
}

/// A contact to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewContact {
    pub name: Name,
    pub email: Option<EmailAddress>,
    pub notes: Option<String>,
}

/// What is to change about a contact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContactChange {
    pub name: Option<Name>,
    pub email: Option<Option<EmailAddress>>,
    pub notes: Option<Option<String>>,
}

/// An address as addresses are compared.
pub fn email_key(email: &EmailAddress) -> String {
    email.expose().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn todo_is_ready_and_case_makes_no_difference() {
        assert_eq!(Progress::read(" ToDo"), Some(Progress::Ready));
        assert_eq!(Progress::read("DONE"), Some(Progress::Done));
        assert_eq!(Progress::read("later"), None);
    }
}
