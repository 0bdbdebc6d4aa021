//! Tasks: [`NewTask`], [`TaskChange`] and how far a task is ([`Progress`]).

mod due;

pub use due::due_on;

use super::{MessageId, ProjectId, judgement::Priority, name::Name};
use base::str_enum;
use chrono::NaiveDate;

str_enum! {
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
    /// Reads what people and models write: `todo` is `ready`, and case makes no difference.
    pub fn read(word: &str) -> Option<Self> {
        match word.trim().to_lowercase().as_str() {
            "todo" => Some(Self::Ready),
            word => Self::parse(word),
        }
    }
}

/// The project of a new task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectRef {
    None,
    Id(ProjectId),
    /// The project of this name, created if there is none.
    Named(Name),
}

/// A task to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    pub title: Name,
    pub project: ProjectRef,
    pub status: Progress,
    pub priority: Priority,
    pub due_on: Option<NaiveDate>,
    pub notes: Option<String>,
    /// The message it is about.
    pub message: Option<MessageId>,
}

impl NewTask {
    /// Returns a task that is ready, of medium priority.
    pub fn titled(title: Name) -> Self {
        Self {
            title,
            project: ProjectRef::None,
            status: Progress::Ready,
            priority: Priority::Medium,
            due_on: None,
            notes: None,
            message: None,
        }
    }
}

/// A change of a task; an inner `None` removes the value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskChange {
    pub title: Option<Name>,
    pub project: Option<Option<ProjectId>>,
    pub status: Option<Progress>,
    pub priority: Option<Priority>,
    pub due_on: Option<Option<NaiveDate>>,
    pub notes: Option<Option<String>>,
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
