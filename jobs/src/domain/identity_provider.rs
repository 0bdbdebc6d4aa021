//! A tenant's identity provider: its keys ([`KeySet`]), and whom a token of it names ([`verify`]).
//!
//! Only RS256, ES256 and `EdDSA`: the key decides the algorithm, not the token. Fetches nothing and stores nothing.

mod signature;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::{Error as JwtError, ErrorKind},
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// How far the provider's clock may be off.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);
/// A token that is valid for longer is none that a person logs in with.
const LONGEST: TimeDelta = TimeDelta::days(366);
/// The most keys of a set that are looked at.
const MOST_KEYS: usize = 100;

/// What the tokens of a provider carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Compared with `iss`, letter by letter.
    pub issuer: String,
    /// Must be among `aud`, and `azp` if there are others.
    pub audience: String,
}

/// The public keys of a provider that can be used here.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Not a key set that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    #[error("is not a JSON Web Key Set")]
    NotAKeySet,
    #[error("has no key for RS256, ES256 or EdDSA")]
    NoUsableKey,
}

/// Whom a token names.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Verified by the provider.
    pub email: String,
    /// When the person last proved who they are, if the provider says so.
    pub authenticated_at: Option<DateTime<Utc>>,
    /// When the token is no longer accepted.
    pub expires_at: DateTime<Utc>,
}

/// A token is not accepted. The variants from [`Self::Expired`] on are of tokens that a key of the provider has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("is not a token")]
    Malformed,
    #[error("names a key that the provider does not have")]
    UnknownKey,
    #[error("is not signed by the provider's key")]
    Forged,
    #[error("has expired")]
    Expired,
    #[error("is not valid yet")]
    NotYetValid,
    #[error("is from another issuer")]
    WrongIssuer,
    #[error("is for another audience")]
    WrongAudience,
    #[error("has several audiences and was not issued to this one (azp)")]
    WrongParty,
    #[error("names nobody (sub)")]
    NoSubject,
    #[error("does not say when it was issued (iat)")]
    NoIssueTime,
    #[error("does not say when it expires (exp)")]
    NoExpiry,
    #[error("names no verified email address")]
    NoVerifiedEmail,
    #[error("has opened a session before")]
    Used,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys of other kinds, and keys that encrypt, are left out.
    ///
    /// # Errors
    /// If it is none, or no key is left.
    pub fn read(set: &Value) -> Result<Self, KeySetFault> {
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeySetFault::NotAKeySet)?;
        let usable: Vec<Key> = keys.iter().take(MOST_KEYS).filter_map(Key::read).collect();
        if usable.is_empty() {
            return Err(KeySetFault::NoUsableKey);
        }
        Ok(Self(usable))
    }

    /// Lists the ids of the keys, in their order.
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().filter_map(|key| key.id.clone()).collect()
    }

    /// Finds the key that a token names; a token that names none is of the only key.
    fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (id, self.0.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Key {
    fn read(key: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let signs = matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        );
        let named = key.get("alg").and_then(Value::as_str);
        let fits = named.is_none_or(|name| name.parse().ok() == Some(algorithm));
        if !(signs && fits) {
            return None;
        }
        Some(Self {
            key: DecodingKey::from_jwk(&jwk).ok()?,
            id: jwk.common.key_id,
            algorithm,
        })
    }
}

/// The claims that are read beside `iss`; all others are ignored.
#[derive(Deserialize)]
struct Claims {
    aud: Option<Value>,
    azp: Option<String>,
    sub: Option<String>,
    iat: Option<f64>,
    exp: Option<f64>,
    nbf: Option<f64>,
    email: Option<String>,
    /// Only `true` counts: some providers write other things.
    email_verified: Option<Value>,
    auth_time: Option<f64>,
}

/// Verifies a token against its provider's keys, at the time `now`.
///
/// # Errors
/// [`TokenRefusal`]; the signature is checked before anything that the token says.
pub fn verify(
    token: &SecretString,
    keys: &KeySet,
    provider: &Provider,
    now: DateTime<Utc>,
) -> Result<Identity, TokenRefusal> {
    let token = token.expose_secret();
    let header = decode_header(token).map_err(|_| TokenRefusal::Malformed)?;
    let key = keys.find(header.kid.as_deref());
    let key = key.ok_or(TokenRefusal::UnknownKey)?;
    let mut validation = Validation::new(key.algorithm);
    validation.set_issuer(&[&provider.issuer]);
    validation.set_audience(&[&provider.audience]);
    validation.set_required_spec_claims(&["iss", "aud"]);
    // Compared below with the one clock that expiry is compared with.
    validation.validate_exp = false;
    signature::install();
    let claims = decode::<Claims>(token, &key.key, &validation)
        .map_err(|error| refusal(&error))?
        .claims;
    identity(claims, &provider.audience, now)
}

fn identity(claims: Claims, audience: &str, now: DateTime<Utc>) -> Result<Identity, TokenRefusal> {
    // OpenID Connect Core, sections 2 and 3.1.3.7.
    let audiences = claims.aud.as_ref().and_then(Value::as_array);
    let has_others = audiences.is_some_and(|all| all.len() > 1);
    if has_others && claims.azp.as_deref() != Some(audience) {
        return Err(TokenRefusal::WrongParty);
    }
    if claims.sub.is_none_or(|subject| subject.is_empty()) {
        return Err(TokenRefusal::NoSubject);
    }
    let issued_at = claims.iat.ok_or(TokenRefusal::NoIssueTime)?;
    moment(issued_at).ok_or(TokenRefusal::Malformed)?;
    let expires_at = claims.exp.ok_or(TokenRefusal::NoExpiry)?;
    let expires_at = moment(expires_at).ok_or(TokenRefusal::Malformed)?;
    if expires_at > now + LONGEST {
        return Err(TokenRefusal::Malformed);
    }
    let expires_at = expires_at + LEEWAY;
    if expires_at <= now {
        return Err(TokenRefusal::Expired);
    }
    if let Some(begins) = claims.nbf {
        let begins = moment(begins).ok_or(TokenRefusal::Malformed)?;
        if begins > now + LEEWAY {
            return Err(TokenRefusal::NotYetValid);
        }
    }
    let verified = claims.email_verified == Some(Value::Bool(true));
    let email = claims.email.filter(|_| verified);
    Ok(Identity {
        email: email.ok_or(TokenRefusal::NoVerifiedEmail)?,
        authenticated_at: claims.auth_time.and_then(moment).map(|at| at.min(now)),
        expires_at,
    })
}

/// A time as tokens write it: seconds since 1970.
fn moment(seconds: f64) -> Option<DateTime<Utc>> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    DateTime::UNIX_EPOCH.checked_add_signed(TimeDelta::from_std(since).ok()?)
}

fn refusal(error: &JwtError) -> TokenRefusal {
    match error.kind() {
        ErrorKind::InvalidIssuer => TokenRefusal::WrongIssuer,
        ErrorKind::InvalidAudience => TokenRefusal::WrongAudience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenRefusal::WrongIssuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenRefusal::WrongAudience,
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenRefusal::Forged,
        _ => TokenRefusal::Malformed,
    }
}

impl TokenRefusal {
    /// Returns the code for the audit log and the client.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED_TOKEN",
            Self::UnknownKey => "UNKNOWN_KEY",
            Self::Forged => "FORGED_TOKEN",
            Self::Expired => "TOKEN_EXPIRED",
            Self::NotYetValid => "TOKEN_NOT_YET_VALID",
            Self::WrongIssuer => "WRONG_ISSUER",
            Self::WrongAudience => "WRONG_AUDIENCE",
            Self::WrongParty => "WRONG_AUTHORIZED_PARTY",
            Self::NoSubject => "NO_SUBJECT",
            Self::NoIssueTime => "NO_ISSUE_TIME",
            Self::NoExpiry => "NO_EXPIRY",
            Self::NoVerifiedEmail => "NO_VERIFIED_EMAIL",
            Self::Used => "TOKEN_USED",
        }
    }

    /// Whether a key of the provider signed the token: only its owner learns more than that it was refused.
    pub const fn is_signed(self) -> bool {
        match self {
            Self::Malformed | Self::UnknownKey | Self::Forged => false,
            Self::Expired
            | Self::NotYetValid
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::WrongParty
            | Self::NoSubject
            | Self::NoIssueTime
            | Self::NoExpiry
            | Self::NoVerifiedEmail
            | Self::Used => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(email_verified: Value) -> Claims {
        Claims {
            aud: Some(json!("postroom")),
            azp: None,
            sub: Some("4711".to_owned()),
            iat: Some(400.0),
            exp: Some(1000.0),
            nbf: Some(500.5),
            email: Some("ada@acme.example".to_owned()),
            email_verified: Some(email_verified),
            auth_time: Some(400.0),
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn token_is_valid_from_its_begin_to_its_end_with_a_minute_on_both_sides() {
        for (now, expected) in [
            (440, Err(TokenRefusal::NotYetValid)),
            (441, Ok(())),
            (1059, Ok(())),
            (1060, Err(TokenRefusal::Expired)),
            // It would be valid for more than a year.
            (-40_000_000, Err(TokenRefusal::Malformed)),
        ] {
            let found = identity(claims(json!(true)), "postroom", at(now)).map(|_| ());
            assert_eq!(found, expected, "{now}");
        }
    }

    #[test]
    fn only_an_address_that_is_truly_verified_counts() {
        for other in [json!(false), json!("true"), json!(1), Value::Null] {
            let refused = identity(claims(other.clone()), "postroom", at(700));
            assert_eq!(refused, Err(TokenRefusal::NoVerifiedEmail), "{other}");
        }
        let found = identity(claims(json!(true)), "postroom", at(700)).unwrap();
        assert_eq!(found.authenticated_at, Some(at(400)));
        assert_eq!(found.expires_at, at(1060));
    }

    #[test]
    fn keys_of_other_kinds_are_left_out_and_a_set_without_any_is_refused() {
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let with = |name: &str, value: &str| {
            let mut key = ed.clone();
            key[name] = json!(value);
            key
        };
        let set = json!({"keys": [
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            with("use", "enc"),
            with("alg", "RS256"),
            with("crv", "X25519"),
            {"kty": "new"},
            "nonsense",
            with("alg", "EdDSA"),
        ]});
        let keys = KeySet::read(&set).unwrap();
        assert_eq!(keys.ids(), ["a"]);
        assert!(keys.find(None).is_some() && keys.find(Some("b")).is_none());
        let none = KeySet::read(&json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}));
        assert_eq!(none.unwrap_err(), KeySetFault::NoUsableKey);
        let none = KeySet::read(&json!([]));
        assert_eq!(none.unwrap_err(), KeySetFault::NotAKeySet);
    }
}
