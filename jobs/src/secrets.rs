//! Secrets at rest: [`KeyRing`] seals each with a key of its own row, so that it opens in no other row. Sealed bytes:
//! version, the key's id with its length, nonce, ciphertext.

use base::env::{Env, Variable};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand::RngExt as _;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::{collections::BTreeMap, fmt, sync::Arc};

const KEYS: Variable = Variable::optional(
    "CREDENTIAL_KEYS",
    "k1:<32 bytes as base64>",
    "no connections, no second factors, no `prompt_capture_days`",
    "Seal the secrets of connections and second factors, and questions to models that are kept: `id:key` with 32 bytes as base64 (`openssl rand -base64 32`), \
     separated by commas; the first key seals, all of them open. Required as soon as one of them exists",
);

/// What a process that seals or opens secrets reads.
pub const VARIABLES: &[Variable] = &[KEYS];

const VERSION: u8 = 1;
const NONCE: usize = 24;

/// The keys by id. The first seals; all of them open.
#[derive(Clone)]
pub struct KeyRing(Arc<Keys>);

struct Keys {
    active: String,
    by_id: BTreeMap<String, [u8; 32]>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.0.by_id.keys().collect();
        f.debug_struct("KeyRing").field("keys", &ids).finish()
    }
}

/// The row that a secret belongs to; it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct SecretRow<'a> {
    pub table: &'static str,
    pub tenant: uuid::Uuid,
    pub row: uuid::Uuid,
    pub column: &'a str,
}

/// A sealed secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub bytes: Vec<u8>,
    /// The id of its key, which the bytes contain too.
    pub key_id: String,
}

/// A secret could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    #[error("the sealed bytes are cut short or of another version")]
    Malformed,
    #[error("CREDENTIAL_KEYS holds no key {0}")]
    UnknownKey(String),
    #[error("the key does not open it, or it was moved here from another row")]
    Refused,
}

impl KeyRing {
    /// Reads `CREDENTIAL_KEYS`: `id:base64` of 32 bytes each, separated by commas, the active one first. `None` if it
    /// is not set: then there can be no connections and no second factors.
    pub fn from_env(env: &mut Env) -> Option<Self> {
        let text = env.optional(KEYS)?;
        match Self::parse(&text) {
            Ok(ring) => Some(ring),
            Err(problem) => {
                env.fault(KEYS, problem);
                None
            }
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut by_id = BTreeMap::new();
        let mut active = None;
        for (place, entry) in (1..).zip(text.split(',')) {
            // The fault does not quote the entry: it may be the key.
            let bad = |what: &str| format!("has a fault in entry {place}: it {what}");
            let (id, key) = entry
                .trim()
                .split_once(':')
                .ok_or_else(|| bad("is not `id:key`"))?;
            let fits =
                (1..=32).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric());
            if !fits {
                return Err(bad("has no id of 1 to 32 letters and digits"));
            }
            let key: [u8; 32] = STANDARD
                .decode(key)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| bad("is not 32 bytes in base64"))?;
            if by_id.insert(id.to_owned(), key).is_some() {
                return Err(bad("repeats the id of an earlier one"));
            }
            active.get_or_insert_with(|| id.to_owned());
        }
        let active = active.ok_or("is empty")?;
        Ok(Self(Arc::new(Keys { active, by_id })))
    }

    /// Seals with the active key.
    pub fn seal(&self, place: SecretRow<'_>, secret: &SecretString) -> Sealed {
        let id = &self.0.active;
        let nonce: [u8; NONCE] = rand::rng().random();
        let key = subkey(&self.0.by_id[id], place);
        let payload = Payload {
            msg: secret.expose_secret().as_bytes(),
            aad: &associated(place, id),
        };
        let sealed = XChaCha20Poly1305::new(&Key::from(key))
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret of this length can be sealed");
        let length = u8::try_from(id.len()).expect("an id has at most 32 characters");
        Sealed {
            bytes: [&[VERSION, length], id.as_bytes(), &nonce[..], &sealed[..]].concat(),
            key_id: id.clone(),
        }
    }

    /// # Errors
    /// If the key is missing, or the bytes were not sealed for this row.
    pub fn open(&self, place: SecretRow<'_>, sealed: &[u8]) -> Result<SecretString, Unsealable> {
        let id = key_id(sealed).ok_or(Unsealable::Malformed)?;
        let rest = &sealed[2 + id.len()..];
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE>()
            .ok_or(Unsealable::Malformed)?;
        let master = self
            .0
            .by_id
            .get(id)
            .ok_or_else(|| Unsealable::UnknownKey(id.to_owned()))?;
        let payload = Payload {
            msg: ciphertext,
            aad: &associated(place, id),
        };
        let plain = XChaCha20Poly1305::new(&Key::from(subkey(master, place)))
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| Unsealable::Refused)?;
        let text = String::from_utf8(plain).map_err(|_| Unsealable::Malformed)?;
        Ok(text.into())
    }

    /// Returns the id of the key that seals.
    pub fn active(&self) -> &str {
        &self.0.active
    }

    pub fn holds(&self, id: &str) -> bool {
        self.0.by_id.contains_key(id)
    }
}

/// Returns the id of the key that sealed it.
fn key_id(sealed: &[u8]) -> Option<&str> {
    let [VERSION, length, rest @ ..] = sealed else {
        return None;
    };
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

/// Derives the key of a row.
fn subkey(master: &[u8; 32], place: SecretRow<'_>) -> [u8; 32] {
    let mut key = [0; 32];
    let info = format!(
        "{}|{}|{}|{}",
        place.table, place.column, place.tenant, place.row
    );
    Hkdf::<Sha256>::new(None, master)
        .expand(info.as_bytes(), &mut key)
        .expect("32 bytes can be derived");
    key
}

fn associated(place: SecretRow<'_>, id: &str) -> Vec<u8> {
    format!(
        "{VERSION}|{}|{}|{}|{}|{id}",
        place.tenant, place.table, place.column, place.row
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[&str]) -> KeyRing {
        let entries: Vec<String> = ids
            .iter()
            .map(|id| format!("{id}:{}", STANDARD.encode([id.as_bytes()[0]; 32])))
            .collect();
        KeyRing::parse(&entries.join(",")).unwrap()
    }

    fn place() -> SecretRow<'static> {
        SecretRow {
            table: "connections",
            tenant: uuid::Uuid::from_u128(1),
            row: uuid::Uuid::from_u128(2),
            column: "secret",
        }
    }

    #[test]
    fn what_was_sealed_opens_where_it_was_sealed_and_nowhere_else() {
        let (old, new) = (ring(&["a"]), ring(&["b", "a"]));
        let Sealed { bytes: sealed, .. } = old.seal(place(), &"hunter2".into());
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(key_id(&sealed), Some("a"));
        assert_eq!(
            new.open(place(), &sealed).unwrap().expose_secret(),
            "hunter2"
        );
        assert_eq!(new.seal(place(), &"x".into()).key_id, "b");
        for elsewhere in [
            SecretRow {
                row: uuid::Uuid::from_u128(3),
                ..place()
            },
            SecretRow {
                tenant: uuid::Uuid::from_u128(3),
                ..place()
            },
            SecretRow {
                column: "other",
                ..place()
            },
        ] {
            assert_eq!(
                new.open(elsewhere, &sealed).unwrap_err(),
                Unsealable::Refused
            );
        }
        assert_eq!(
            ring(&["b"]).open(place(), &sealed).unwrap_err(),
            Unsealable::UnknownKey("a".into())
        );
        for length in 0..sealed.len() {
            assert!(new.open(place(), &sealed[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn bad_ring_is_refused_without_telling_its_keys() {
        let good = STANDARD.encode([7; 32]);
        for text in [
            String::new(),
            "hunter2".into(),
            "k1:hunter2".into(),
            format!(":{good}"),
            format!("k1:{good},k1:{good}"),
            format!("k1:{good},"),
        ] {
            let problem = KeyRing::parse(&text).unwrap_err();
            assert!(
                !problem.contains("hunter2") && !problem.contains(&good),
                "{problem}"
            );
        }
        assert!(!format!("{:?}", ring(&["k1"])).contains(&good));
    }
}
