//! What the text of a refusal means: [`is_temporary`], [`asks_to_wait`], [`names_no_folder`], [`wait`]. RFC 5530 has codes for it; servers that know
//! none of them say it in words. Keeps no text.

use chrono::TimeDelta;

/// The longest wait that a server may ask for.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);

/// Whether a server refused a command for a reason of its own that passes.
pub(super) fn is_temporary(refusal: &str) -> bool {
    contains_any(
        refusal,
        &[
            "[UNAVAILABLE]",
            "[INUSE]",
            "[SERVERBUG]",
            "[EXPUNGEISSUED]",
            "[TEMPFAIL]",
            "UNAVAILABLE",
            "TEMPORAR",
            // Not just to try again, as one does with a wrong password.
            "TRY AGAIN LATER",
            "TRY AGAIN IN",
            "THROTTL",
            "BUSY",
            "RATE LIMIT",
            // Gmail, although with the code of a mailbox that is full.
            "COMMAND OR BANDWIDTH LIMITS",
        ],
    )
}

/// Whether a server takes no more sessions of this account at present. To a change, these codes say something else: the mailbox is
/// full, or the server allows no more keywords.
pub(super) fn is_at_its_limit(refusal: &str) -> bool {
    contains_any(refusal, &["[LIMIT]", "[OVERQUOTA]", "TOO MANY"])
}

/// Whether a command that only reads was refused for the time being: the server is busy or limits the rate, and what the command
/// names may be in order. Unlike at a log-in, `[SERVERBUG]` is not among them, nor Exchange's `Server Unavailable. 15`: so servers
/// refuse one broken email.
pub(super) fn asks_to_wait(refusal: &str) -> bool {
    contains_any(
        refusal,
        &[
            "[UNAVAILABLE]",
            "[LIMIT]",
            "[INUSE]",
            "[OVERQUOTA]",
            "THROTTL",
            "RATE LIMIT",
            "TRY AGAIN",
            "TOO MANY",
        ],
    )
}

/// Whether the mailbox has no room for more.
pub(super) fn is_full(refusal: &str) -> bool {
    contains_any(refusal, &["[OVERQUOTA]"]) && !is_temporary(refusal)
}

/// Whether a server says that it has no such folder.
pub(super) fn names_no_folder(refusal: &str) -> bool {
    contains_any(refusal, &["[NONEXISTENT]", "[TRYCREATE]"])
}

/// Whether a server says that this user may not do it.
pub(super) fn is_forbidden(refusal: &str) -> bool {
    contains_any(refusal, &["[NOPERM]"])
}

/// How long a server asks to wait, as Exchange does: `Suggested Backoff Time: 299961 milliseconds`.
pub(super) fn wait(refusal: &str) -> Option<TimeDelta> {
    const NAME: &str = "SUGGESTED BACKOFF TIME:";
    let refusal = refusal.to_ascii_uppercase();
    let (_, after) = refusal.split_once(NAME)?;
    let (number, unit) = after.trim_start().split_once(' ')?;
    let milliseconds = number.parse().ok()?;
    let wait = unit.starts_with("MILLISECOND").then_some(milliseconds)?;
    Some(TimeDelta::try_milliseconds(wait)?.clamp(TimeDelta::zero(), LONGEST_WAIT))
}

fn contains_any(refusal: &str, words: &[&str]) -> bool {
    let refusal = refusal.to_ascii_uppercase();
    words.iter().any(|word| refusal.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_of_the_server_s_own_is_temporary() {
        for (refusal, expected) in [
            ("[UNAVAILABLE] Temporary authentication failure.", true),
            ("Server Unavailable. 15", true),
            ("Temporary authentication failure", true),
            ("Login failed, try again later", true),
            (
                "Request is throttled. Suggested Backoff Time: 299961 milliseconds",
                true,
            ),
            ("[SERVERBUG] Internal error occurred.", true),
            ("[INUSE] Mailbox in use", true),
            ("Mailbox is busy", true),
            (
                "[OVERQUOTA] Account exceeded command or bandwidth limits.",
                true,
            ),
            ("[OVERQUOTA] Quota exceeded", false),
            ("[LIMIT] Too many keywords", false),
            ("[AUTHENTICATIONFAILED] Authentication failed.", false),
            (
                "code: Some(Alert), info: Some(\"Invalid credentials\")",
                false,
            ),
            ("Invalid user name or password. Please try again.", false),
            ("LOGIN failed.", false),
        ] {
            assert_eq!(is_temporary(refusal), expected, "{refusal}");
        }
        assert!(is_full("[OVERQUOTA] Quota exceeded"));
        assert!(!is_full(
            "[OVERQUOTA] Account exceeded command or bandwidth limits."
        ));
    }

    #[test]
    fn server_that_limits_the_rate_says_nothing_of_the_email() {
        for (refusal, expected) in [
            ("[LIMIT] Rate limit hit.", true),
            ("[UNAVAILABLE] Backend down.", true),
            ("[INUSE] Mailbox is locked.", true),
            ("[OVERQUOTA] Bandwidth limit exceeded.", true),
            ("[THROTTLED] Account exceeded command limits.", true),
            (
                "Request is throttled. Suggested backoff time: 2714 ms",
                true,
            ),
            ("Too many simultaneous connections.", true),
            ("Temporary error, please try again later.", true),
            ("Server Unavailable. 15", false),
            ("[SERVERBUG] Internal error occurred.", false),
            ("Some of the requested messages no longer exist.", false),
            ("", false),
        ] {
            assert_eq!(asks_to_wait(refusal), expected, "{refusal}");
        }
    }

    #[test]
    fn full_server_takes_no_session_and_says_nothing_of_the_password() {
        for refusal in [
            "[LIMIT] Maximum number of connections from user+IP exceeded",
            "[ALERT] Too many simultaneous connections. (Failure)",
        ] {
            assert!(is_at_its_limit(refusal), "{refusal}");
        }
        assert!(!is_at_its_limit(
            "[AUTHENTICATIONFAILED] Authentication failed."
        ));
    }

    #[test]
    fn wait_that_a_server_asks_for_is_read_and_bounded() {
        for (refusal, expected) in [
            (
                "Request is throttled. Suggested Backoff Time: 299961 milliseconds",
                Some(TimeDelta::milliseconds(299_961)),
            ),
            (
                "info: Some(\"Suggested backoff time: 99999999999 milliseconds\")",
                Some(LONGEST_WAIT),
            ),
            ("Suggested Backoff Time: soon", None),
            ("Suggested Backoff Time: 5 fortnights", None),
            ("Request is throttled.", None),
        ] {
            assert_eq!(wait(refusal), expected, "{refusal}");
        }
    }
}
