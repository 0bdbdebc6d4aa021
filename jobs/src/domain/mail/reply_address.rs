//! Says when an answer would leave the sender's domain: [`foreign_reply_address`].
//!
//! `Reply-To` is the sender's to choose, and the oldest way to have an answer sent to somebody else than the person whose
//! name stands in `From`. Mailing lists and help desks do it for good reasons, so that the person is warned and the answer is
//! not refused.

use super::Mail;

/// Returns the first reply address outside the domain of the sender; subdomains count as the same, either way round.
pub fn foreign_reply_address(mail: &Mail) -> Option<&str> {
    let sender = mail.from.as_ref()?.domain()?;
    mail.reply_to
        .iter()
        .filter(|address| !address.addr.is_empty())
        .find(|address| {
            let domain = address.domain();
            !domain.is_some_and(|domain| is_related(&domain, &sender))
        })
        .map(|address| address.addr.as_str())
}

fn is_related(one: &str, other: &str) -> bool {
    let is_below = |below: &str, above: &str| {
        below
            .strip_suffix(above)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    one == other || is_below(one, other) || is_below(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_address_outside_the_domain_of_the_sender_is_found() {
        for (headers, expected) in [
            ("From: a@bank.example", None),
            ("From: a@bank.example\nReply-To: help@bank.example", None),
            (
                "From: a@bank.example\nReply-To: help@mail.BANK.example",
                None,
            ),
            (
                "From: a@post.bank.example\nReply-To: help@bank.example",
                None,
            ),
            (
                "From: a@bank.example\nReply-To: eve@evilbank.example",
                Some("eve@evilbank.example"),
            ),
            (
                "From: a@bank.example\nReply-To: help@bank.example, eve@x.example",
                Some("eve@x.example"),
            ),
        ] {
            let mail = Mail::parse(format!("{headers}\n\nHello").as_bytes()).unwrap();
            assert_eq!(foreign_reply_address(&mail), expected, "{headers}");
        }
    }
}
