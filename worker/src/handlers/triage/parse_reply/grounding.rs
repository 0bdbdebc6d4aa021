//! Checks whether the figures and dates of an answer occur in the email: [`Grounding`].

use jobs::domain::mail::Mail;
use std::collections::HashSet;

/// The words of the email as shown to the model, in lower case.
pub(super) struct Grounding(HashSet<String>);

impl Grounding {
    pub(super) fn of(mail: &Mail) -> Self {
        let mut texts = vec![mail.subject.clone(), mail.sender(), mail.body_text.clone()];
        texts.extend(mail.thread.iter().map(|earlier| earlier.body_text.clone()));
        texts.extend(mail.attachments.iter().filter_map(|file| file.name.clone()));
        // The prompt shows the dates of sending and receiving in this form.
        let dates = [mail.date, mail.received_at].into_iter().flatten();
        texts.extend(dates.map(|date| date.format("%Y-%m-%d").to_string()));
        let mut seen = HashSet::new();
        for text in texts {
            for word in words(&text.to_lowercase()) {
                seen.extend(parts(word).map(str::to_owned));
                seen.insert(word.to_owned());
            }
        }
        Self(seen)
    }

    /// Returns whether every figure of the text occurs in the email. Words without a digit are not checked.
    pub(super) fn has_figures(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        words(&text).filter(|word| has_digit(word)).all(|word| {
            self.0.contains(word)
                || parts(word)
                    .filter(|part| has_digit(part))
                    .all(|part| self.0.contains(part))
        })
    }

    /// Returns whether the date occurs in the email, literally or as the ISO form of a day named there.
    pub(super) fn has_date(&self, date: &str) -> bool {
        let date = date.to_lowercase();
        let literal = words(&date).all(|word| self.has(word));
        literal
            || iso_day(&date).is_some_and(|day| self.0.iter().any(|word| word.parse() == Ok(day)))
    }

    fn has(&self, word: &str) -> bool {
        self.0.contains(word) || parts(word).all(|part| self.0.contains(part))
    }
}

/// Splits into runs of letters and digits, including the punctuation inside numbers, times and dates.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || ".,:/-'".contains(c)))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// Splits `inv-42` into `inv` and `42`, and `30th` into `30`. Never splits a number at its point or comma: 250 is not in
/// 1,250.00.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    word.split(['-', '/', ':', '\''])
        .filter(|part| !part.is_empty())
        .map(|part| {
            let day = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let is_ordinal =
                !day.is_empty() && ["st", "nd", "rd", "th"].contains(&&part[day.len()..]);
            if is_ordinal { day } else { part }
        })
}

/// Returns the day of the month of `2026-11-30` or `2026-11-30T17:00`.
fn iso_day(date: &str) -> Option<u32> {
    let day = date.trim().get(..10)?;
    let mut parts = day.split('-').map(str::parse::<u32>);
    match (parts.next()?, parts.next()?, parts.next()?) {
        (Ok(1900..=2200), Ok(1..=12), Ok(day @ 1..=31)) => Some(day),
        _ => None,
    }
}

fn has_digit(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_dates_are_found_in_their_usual_forms() {
        let mail = Mail::parse(
            b"From: Ann <ann@client.com>\nSubject: Invoice 42\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\n\
              Please pay EUR 1,250.00 by 30 November, or call Friday at 9:30.",
        )
        .unwrap();
        let seen = Grounding::of(&mail);
        for (text, found) in [
            ("no figure at all", true),
            ("\u{20ac}1,250.00", true),
            ("1,250.00 EUR", true),
            ("1,350.00 EUR", false),
            ("250 EUR", false),
            ("the 30th, inv-42", true),
            ("at 9:30", true),
            ("at 9:45", false),
        ] {
            assert_eq!(seen.has_figures(text), found, "{text}");
        }
        for (date, found) in [
            ("30 November", true),
            ("Friday", true),
            ("Thursday", false),
            ("tomorrow", false),
            ("2026-11-30", true),
            ("2026-11-30T17:00:00Z", true),
            ("2026-11-23", true),
            ("2026-12-25", false),
        ] {
            assert_eq!(seen.has_date(date), found, "{date}");
        }
    }
}
