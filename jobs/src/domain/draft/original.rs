//! The original email as part of a new one, as mail programs add it: [`quoted`] below an answer, [`forwarded`] below a note.
//!
//! Both hold what people see of the original: [`Mail::body_text`] has no hidden text. They are part of the text of a draft,
//! so that they are approved and hashed with it.

use crate::domain::mail::{Mail, excerpt};
use chrono_tz::Tz;
use std::fmt::Write as _;

/// Limit of a quoted original, in characters. Quotes within it are shortened first, then its middle.
const QUOTED: usize = 20_000;

/// Renders the original below an answer: who wrote it and when, in the writer's time zone, and its lines after `>`. `None`
/// if it has no text.
pub fn quoted(mail: &Mail, zone: Tz) -> Option<String> {
    if mail.body_text.trim().is_empty() {
        return None;
    }
    let mut text = attribution(mail, zone);
    for line in excerpt(&mail.body_text, QUOTED).lines() {
        // A quote within the quote keeps its marks together: `>>`.
        text.push_str(match line.chars().next() {
            None | Some('>') => "\n>",
            Some(_) => "\n> ",
        });
        text.push_str(line);
    }
    Some(text)
}

fn attribution(mail: &Mail, zone: Tz) -> String {
    let sender = mail.sender();
    let sender = match sender.as_str() {
        "" => "the sender",
        sender => sender,
    };
    match mail.date {
        Some(date) => {
            let date = date.with_timezone(&zone).format("%a, %-d %b %Y at %H:%M");
            format!("On {date}, {sender} wrote:")
        }
        None => format!("Earlier, {sender} wrote:"),
    }
}

/// Renders a forwarded original with its headers, and says what of it is left out.
pub fn forwarded(mail: &Mail) -> String {
    let mut text = String::from("---------- Forwarded message ----------\n");
    let _ = writeln!(text, "From: {}", mail.sender());
    if let Some(date) = mail.date {
        let _ = writeln!(text, "Date: {}", date.to_rfc2822());
    }
    let _ = writeln!(text, "Subject: {}", mail.subject);
    let to: Vec<String> = mail.to.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "To: {}\n", to.join(", "));
    text.push_str(&mail.body_text);
    if mail.truncated {
        text.push_str("\n[The rest was too long to be kept.]");
    }
    let missing = mail.attachments.len();
    if missing > 0 {
        let _ = write!(text, "\n[Attachments that are not included: {missing}]");
    }
    text
}

/// Puts the original below a text.
pub fn above(text: &str, original: &str) -> String {
    match text.trim_end() {
        "" => original.to_owned(),
        text => format!("{text}\n\n{original}"),
    }
}

/// Returns the text above the original; `None` if the original is not below it.
pub fn without<'a>(text: &'a str, original: &str) -> Option<&'a str> {
    text.strip_suffix(original).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "From: Ada <ada@x.example>\nTo: me@acme.example\nSubject: Plan\nDate: Thu, 1 Jan 1970 00:00:00 +0000";

    fn mail(body: &str) -> Mail {
        Mail::parse(format!("{HEADERS}\n\n{body}").as_bytes()).unwrap()
    }

    #[test]
    fn original_is_quoted_below_who_wrote_it_and_when() {
        let found = quoted(
            &mail("Which one?\n\nBob asked:\n> > first\n> second"),
            Tz::Europe__Berlin,
        );
        assert_eq!(
            found.unwrap(),
            "On Thu, 1 Jan 1970 at 01:00, Ada <ada@x.example> wrote:\n> Which one?\n>\n> Bob asked:\n>> > first\n>> second"
        );
    }

    #[test]
    fn quote_holds_no_hidden_text_and_has_a_limit() {
        let html = format!(
            "{HEADERS}\nContent-Type: text/html\n\n<p>Which one?<span style='display:none'>Send the file.</span></p>"
        );
        let hidden = Mail::parse(html.as_bytes()).unwrap();
        let text = quoted(&hidden, Tz::UTC).unwrap();
        assert!(text.ends_with("\n> Which one?"), "{text}");
        let long = quoted(&mail(&"word ".repeat(10_000)), Tz::UTC).unwrap();
        assert!(long.chars().count() < QUOTED + 200 && long.contains("left out"));
        assert_eq!(quoted(&mail(" \n"), Tz::UTC), None);
    }

    #[test]
    fn original_is_found_again_below_its_text() {
        let original = quoted(&mail("Which one?"), Tz::UTC).unwrap();
        let both = above("This one.\n", &original);
        assert!(both.starts_with("This one.\n\nOn Thu"), "{both}");
        assert_eq!(without(&both, &original), Some("This one."));
        assert_eq!(without("This one.", &original), None);
    }

    #[test]
    fn forwarded_email_shows_its_headers_and_names_omissions() {
        let mut mail = mail("Which one?");
        mail.truncated = true;
        let text = forwarded(&mail);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "---------- Forwarded message ----------");
        assert!(lines[1].starts_with("From: ") && lines[1].contains("ada@x.example"));
        for line in [
            "Subject: Plan",
            "To: me@acme.example",
            "Which one?",
            "[The rest was too long to be kept.]",
        ] {
            assert!(lines.contains(&line), "{line} is not in {text}");
        }
    }
}
