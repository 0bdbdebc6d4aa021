//! A user's second factor: the codes of an authenticator app ([`TotpSecret`], RFC 6238) and [`RecoveryCode`]s for when
//! the app is lost. [`TypedCode`] is either.
//!
//! Does not know which codes were used: `commands::users::second_factor` accepts each once.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Secret};
use url::Url;

/// The recovery codes that a user gets.
pub const RECOVERY_CODES: usize = 10;

/// The name that authenticator apps show.
const ISSUER: &str = "Postroom";
const APP_DIGITS: usize = 6;
/// 160 bits, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
/// 120 bits, above what a fast hash may protect (ASVS 6.5.2), in 24 characters.
const RECOVERY_BYTES: usize = 15;
const RECOVERY_CHARS: usize = 24;

/// What an authenticator app shares with us, as base32.
#[derive(Clone, Debug)]
pub struct TotpSecret(SecretString);

/// A code that opens an account once.
#[derive(Clone, Debug)]
pub struct RecoveryCode(SecretString);

/// What a user typed as the second factor.
#[derive(Clone, Debug)]
pub enum TypedCode {
    /// Six digits of the app.
    App(SecretString),
    Recovery(RecoveryCode),
}

impl TotpSecret {
    pub fn generate() -> Self {
        let bytes: [u8; SECRET_BYTES] = rand::random();
        Self(Secret::from(bytes).to_base32().into())
    }

    /// Reads what [`Self::text`] returned. `None` if it is not base32.
    pub fn parse(text: SecretString) -> Option<Self> {
        Secret::try_from_base32(text.expose_secret()).ok()?;
        Some(Self(text))
    }

    /// Returns it as base32, which users without a camera type into their app.
    pub const fn text(&self) -> &SecretString {
        &self.0
    }

    /// Returns the `otpauth://` URI that apps read as a QR code.
    pub fn uri(&self, tenant_slug: &str, email: &str) -> SecretString {
        let mut uri = Url::parse("otpauth://totp/").expect("a constant URI");
        if let Ok(mut path) = uri.path_segments_mut() {
            path.push(&format!("{ISSUER}:{email} ({tenant_slug})"));
        }
        uri.query_pairs_mut()
            .append_pair("secret", self.0.expose_secret())
            .append_pair("issuer", ISSUER);
        String::from(uri).into()
    }

    /// Returns the step of 30 s whose code this is, among those of `now` (in seconds since 1970), the one before and the
    /// one after: clocks of phones are a little off.
    pub fn accepted_step(&self, code: &SecretString, now: u64) -> Option<u64> {
        let secret = Secret::try_from_base32(self.0.expose_secret()).ok()?;
        let totp = Builder::new().with_secret(secret).build().ok()?;
        totp.check(code.expose_secret(), now)
    }
}

impl RecoveryCode {
    pub fn generate() -> Self {
        let bytes: [u8; RECOVERY_BYTES] = rand::random();
        Self(Secret::from(bytes).to_base32().to_lowercase().into())
    }

    /// Returns what is stored of it.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update("recovery_code");
        hash.update([0]);
        hash.update(self.0.expose_secret());
        hash.finalize().into()
    }

    /// Returns it for the one answer that shows it, in groups of four characters.
    pub fn expose(&self) -> String {
        let chars: Vec<char> = self.0.expose_secret().chars().collect();
        let groups: Vec<String> = chars
            .chunks(4)
            .map(|group| group.iter().collect())
            .collect();
        groups.join("-")
    }
}

impl TypedCode {
    /// Reads a code however it was grouped. `None` if it is neither kind, which nobody needs to look up.
    pub fn parse(text: &SecretString) -> Option<Self> {
        let bare = |c: &char| !c.is_whitespace() && *c != '-';
        let code: String = text.expose_secret().chars().filter(bare).collect();
        if code.len() == APP_DIGITS && code.bytes().all(|b| b.is_ascii_digit()) {
            return Some(Self::App(code.into()));
        }
        let of_recovery =
            code.len() == RECOVERY_CHARS && code.bytes().all(|b| b.is_ascii_alphanumeric());
        of_recovery.then(|| Self::Recovery(RecoveryCode(code.to_ascii_lowercase().into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238's test vectors, `12345678901234567890`.
    fn known() -> TotpSecret {
        TotpSecret::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".into()).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // The last six of its eight digits.
        for (now, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(known().accepted_step(&code.into(), now), Some(now / 30));
        }
    }

    #[test]
    fn code_is_accepted_one_step_early_and_one_step_late_and_not_further() {
        let code = "287082".into();
        for (now, step) in [
            (0, Some(1)),
            (29, Some(1)),
            (30, Some(1)),
            (89, Some(1)),
            (90, None),
        ] {
            assert_eq!(known().accepted_step(&code, now), step, "{now}");
        }
        assert_eq!(known().accepted_step(&"287083".into(), 59), None);
        assert_eq!(known().accepted_step(&"+87082".into(), 59), None);
    }

    #[test]
    fn secret_is_random_and_reads_back() {
        let made = TotpSecret::generate();
        assert_eq!(made.text().expose_secret().len(), 32);
        assert_ne!(
            made.text().expose_secret(),
            TotpSecret::generate().text().expose_secret()
        );
        assert!(TotpSecret::parse(made.text().clone()).is_some());
        assert!(TotpSecret::parse("not base32!".into()).is_none());
        let uri = known().uri("acme", "ada@acme.example");
        assert_eq!(
            uri.expose_secret(),
            "otpauth://totp/Postroom:ada@acme.example%20(acme)?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Postroom"
        );
    }

    #[test]
    fn typed_code_is_read_however_it_is_grouped() {
        let made = RecoveryCode::generate();
        let shown = made.expose();
        assert_eq!(shown.len(), RECOVERY_CHARS + 5);
        for typed in [
            shown.clone(),
            shown.to_uppercase(),
            shown.replace('-', " "),
            shown.replace('-', ""),
        ] {
            let Some(TypedCode::Recovery(read)) = TypedCode::parse(&typed.into()) else {
                unreachable!("a recovery code");
            };
            assert_eq!(read.hash(), made.hash());
        }
        let app = TypedCode::parse(&" 287 082".into());
        assert!(matches!(app, Some(TypedCode::App(code)) if code.expose_secret() == "287082"));
        for bad in [
            "",
            "28708",
            "2870821",
            "28708a",
            &shown[1..],
            &"ü".repeat(12),
        ] {
            assert!(TypedCode::parse(&bad.to_owned().into()).is_none(), "{bad}");
        }
    }
}
