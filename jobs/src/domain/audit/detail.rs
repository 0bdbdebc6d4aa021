//! The free part of an audit entry: [`Detail`].

use base::hex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The rest of an entry, built only from values that cannot contain a secret or a person's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail(Map<String, Value>);

impl Detail {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn id(self, key: &'static str, id: impl Into<Uuid>) -> Self {
        self.put(key, id.into().to_string())
    }

    #[must_use]
    pub fn count(self, key: &'static str, count: impl Into<i64>) -> Self {
        self.put(key, count.into())
    }

    /// A score, a share or a price.
    #[must_use]
    pub fn number(self, key: &'static str, number: f64) -> Self {
        self.put(key, number)
    }

    #[must_use]
    pub fn flag(self, key: &'static str, flag: bool) -> Self {
        self.put(key, flag)
    }

    /// A constant text from the source: an outcome, a role, a category.
    #[must_use]
    pub fn word(self, key: &'static str, word: &'static str) -> Self {
        self.put(key, word)
    }

    /// A technical name from configuration, such as a model's: `[A-Za-z0-9._:/-]`, at most 48 characters.
    /// Anything else is written as `?`, so that no address, sentence or token (54 characters) gets in here.
    #[must_use]
    pub fn name(self, key: &'static str, name: &str) -> Self {
        let technical = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        let fits = name.len() <= 48 && name.chars().all(technical);
        self.put(key, if fits { name } else { "?" })
    }

    /// A name that people choose, such as a rule's or an issuer's, by the first 16 hex digits of its SHA-256: it tells whether two
    /// are the same, and stays when the name itself is erased.
    #[must_use]
    pub fn fingerprint(self, key: &'static str, name: &str) -> Self {
        self.put(key, hex(&Sha256::digest(name)[..8]))
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    fn put(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::SessionToken;

    #[test]
    fn chosen_name_is_written_as_the_start_of_its_hash() {
        let detail = Detail::new().fingerprint("rule", "from-ada-lovelace");
        assert_eq!(
            detail.into_json(),
            serde_json::json!({ "rule": "90f47c6bd068b0a6" })
        );
    }

    #[test]
    fn name_that_could_be_anything_else_is_not_written() {
        let token = SessionToken::generate();
        for secret in [
            token.expose(),
            "ada@example.com",
            "Dear Ada",
            &"a".repeat(49),
        ] {
            assert_eq!(
                Detail::new().name("model", secret).into_json(),
                serde_json::json!({ "model": "?" })
            );
        }
        assert_eq!(
            Detail::new()
                .name("model", "openai/gpt-4.1-mini:free")
                .into_json(),
            serde_json::json!({ "model": "openai/gpt-4.1-mini:free" })
        );
    }
}
