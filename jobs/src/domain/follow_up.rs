//! Emails of users that wait for an answer: their states ([`FollowUpStatus`]), how users are reminded ([`Reminder`]), and which
//! emails wait at all ([`expects_answer`]). Pure.

use super::mail::own_text;
use base::str_enum;

/// How many days a user may wait for an answer.
pub const DAYS: std::ops::RangeInclusive<i16> = 1..=90;

str_enum! {
    /// How a user is reminded of an email that was not answered.
    Reminder {
        /// With an inbox item.
        Item = "item",
        /// With a draft that follows the email up, which needs an approval like any other.
        Draft = "draft",
    }
}

str_enum! {
    /// The state of a follow-up.
    FollowUpStatus {
        Waiting = "waiting",
        /// Nobody answered in time, and the user was reminded.
        Reminded = "reminded",
        /// Somebody answered in the thread.
        Answered = "answered",
        /// The user wrote in the thread again.
        Continued = "continued",
        Cancelled = "cancelled",
    }
}

/// Question marks of the larger scripts: Latin, full width, Arabic, Greek, Armenian, Ethiopic.
const QUESTION_MARKS: [char; 6] = ['?', '\u{ff1f}', '\u{61f}', '\u{37e}', '\u{55e}', '\u{1367}'];

/// Whether an email of the user's own text asks something. Most emails are thanks and notes, and a reminder of each would
/// make people turn reminders off. What is quoted, a signature and addresses of web pages do not count.
pub fn expects_answer(body_text: &str) -> bool {
    own_text(body_text)
        .split_whitespace()
        .filter(|word| !word.contains("://"))
        .any(|word| word.contains(QUESTION_MARKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_expects_an_answer_if_its_own_text_asks_something() {
        for (text, expected) in [
            ("Which one do you want?", true),
            ("Geht es am Montag?\n\nGruß", true),
            ("\u{6708}\u{66dc}\u{65e5}\u{ff1f}", true),
            ("\u{645}\u{62a}\u{649}\u{61f}", true),
            ("Thanks, that works.", false),
            ("Thanks.\n\n-- \nNora\nQuestions? Call us.", false),
            ("Thanks.\n\nOn Mon, Bob wrote:\n> Does it work?", false),
            ("It is at https://x.example/?id=3 now.", false),
            ("", false),
        ] {
            assert_eq!(expects_answer(text), expected, "{text}");
        }
    }
}
