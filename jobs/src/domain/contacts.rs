//! Contacts: [`NewContact`] and [`ContactChange`].

use super::{invite::EmailAddress, name::Name};

/// A contact to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewContact {
    pub name: Name,
    pub email: Option<EmailAddress>,
    pub notes: Option<String>,
}

/// A change of a contact; an inner `None` removes the value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContactChange {
    pub name: Option<Name>,
    pub email: Option<Option<EmailAddress>>,
    pub notes: Option<Option<String>>,
}

/// Returns the key by which addresses are compared: case makes no difference.
pub fn email_key(email: &EmailAddress) -> String {
    email.expose().to_lowercase()
}
