//! Mail that a machine wrote: [`is_automatic`].

use super::Mail;

/// Whether a machine wrote the mail, so that answering it reaches nobody and may start a loop (RFC 3834 §2). Such mail is
/// judged all the same: an invoice from a shop is automatic too.
pub fn is_automatic(mail: &Mail) -> bool {
    let says = |name: &str, values: &[&str]| {
        mail.header(name)
            .is_some_and(|value| values.iter().any(|known| value.eq_ignore_ascii_case(known)))
    };
    let local_part = mail
        .from
        .as_ref()
        .and_then(|from| from.addr.split_once('@'))
        .map(|(local, _)| local.to_lowercase());
    let nobody = local_part.is_some_and(|local| {
        [
            "noreply",
            "no-reply",
            "no_reply",
            "donotreply",
            "do-not-reply",
            "mailer-daemon",
            "postmaster",
        ]
        .contains(&local.as_str())
    });
    mail.auto_submitted
        .as_deref()
        .is_some_and(|value| !keyword(value).eq_ignore_ascii_case("no"))
        || says("precedence", &["bulk", "junk", "auto_reply"])
        || says("return-path", &["<>"])
        || nobody
}

/// `auto-replied; owner-email="…"` → `auto-replied`.
pub fn keyword(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(headers: &str) -> Mail {
        Mail::parse(format!("{headers}\n\nhello").as_bytes()).unwrap()
    }

    #[test]
    fn machines_are_told_from_people() {
        for (headers, automatic) in [
            ("From: a@b.c", false),
            ("From: a@b.c\nAuto-Submitted: no", false),
            ("From: a@b.c\nAuto-Submitted: auto-generated", true),
            ("From: a@b.c\nPrecedence: bulk", true),
            ("From: a@b.c\nPrecedence: list", false),
            ("From: a@b.c\nReturn-Path: <>", true),
            ("From: No-Reply@shop.example", true),
            ("From: nora@shop.example", false),
        ] {
            assert_eq!(is_automatic(&mail(headers)), automatic, "{headers}");
        }
    }
}
