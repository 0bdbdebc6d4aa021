//! Names and titles: [`Name`], one line of text with a key for comparisons.

/// The longest title of a task and name of a contact, in characters.
pub const TITLE_CHARS: usize = 200;
/// The longest notes of a task, a project or a contact, in characters.
pub const NOTES_CHARS: usize = 1_000;

/// A title or a name: not blank, one line, within its bound. Two names with one [`key`](Name::key) are the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: String,
    key: String,
}

/// The text is not a valid name. The messages are for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("Must not be blank.")]
    Blank,
    #[error("Must have at most {0} characters.")]
    TooLong(usize),
    #[error("Must not contain control characters.")]
    Control,
}

impl NameFault {
    pub const fn code(self) -> &'static str {
        match self {
            Self::Blank => "BLANK",
            Self::TooLong(_) => "TOO_LONG",
            Self::Control => "INVALID_VALUE",
        }
    }
}

impl Name {
    /// Trims white space and folds each run of it into one blank.
    ///
    /// # Errors
    /// If nothing is left, it has more than `max` characters, or one of them is a control character.
    pub fn parse(text: &str, max: usize) -> Result<Self, NameFault> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return Err(NameFault::Blank);
        }
        if text.chars().count() > max {
            return Err(NameFault::TooLong(max));
        }
        if text.chars().any(char::is_control) {
            return Err(NameFault::Control);
        }
        let key = text.to_lowercase();
        Ok(Self { text, key })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the key for comparisons: case makes no difference, in any script.
    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_spacing() {
        let name = |text| Name::parse(text, 20).unwrap();
        assert_eq!(name("Größe  ÄNDERN").key(), name(" größe\tändern ").key());
        assert_eq!(name(" Pay \n Ada").as_str(), "Pay Ada");
        assert_ne!(name("Pay Ada").key(), name("Pay Eda").key());
    }

    #[test]
    fn what_is_no_name_says_why() {
        assert_eq!(Name::parse(" \n", 5), Err(NameFault::Blank));
        assert_eq!(Name::parse("äöüßéx", 5), Err(NameFault::TooLong(5)));
        assert!(Name::parse("äöüßé", 5).is_ok());
        assert_eq!(Name::parse("a\u{0}b", 5), Err(NameFault::Control));
    }
}
