//! The fields that an action type takes: [`Field`].

/// A field of an action type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    pub kind: FieldKind,
    /// Whether it says most about the action; the first such field that is given is an approval's summary.
    pub in_summary: bool,
}

/// The values that a field accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text of at most so many characters; in a rule it may contain placeholders.
    Text(usize),
    /// The address that something is sent to, always written out.
    Recipient,
    /// The id of a connection, always written out.
    Connection,
}

pub(super) const fn text(name: &'static str, max: usize) -> Field {
    Field::new(name, true, FieldKind::Text(max))
}

pub(super) const fn optional(name: &'static str, max: usize) -> Field {
    Field::new(name, false, FieldKind::Text(max))
}

pub(super) const fn recipient(name: &'static str) -> Field {
    Field::new(name, true, FieldKind::Recipient)
}

pub(super) const fn connection(name: &'static str) -> Field {
    Field::new(name, true, FieldKind::Connection)
}

impl Field {
    const fn new(name: &'static str, required: bool, kind: FieldKind) -> Self {
        Self {
            name,
            required,
            kind,
            in_summary: false,
        }
    }

    pub(super) const fn in_summary(mut self) -> Self {
        self.in_summary = true;
        self
    }
}
