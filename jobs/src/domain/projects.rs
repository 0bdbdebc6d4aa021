//! Projects: [`NewProject`] and [`ProjectChange`].

use super::{name::Name, tasks::Progress};

/// The longest name of a project, in characters.
pub const NAME_CHARS: usize = 100;

/// A project to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewProject {
    pub name: Name,
    pub status: Progress,
    pub notes: Option<String>,
}

/// A change of a project; an inner `None` removes the value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectChange {
    pub name: Option<Name>,
    pub status: Option<Progress>,
    pub notes: Option<Option<String>>,
}
