//! The Message-ID that a mail server gives an email in place of ours, as far as its reply says so: [`server_id`]. Pure.
//!
//! Amazon SES always replaces it ("Amazon SES header fields" in its guide) and names the new one without its domain, Exchange
//! names the one that it has kept or given.

/// The longest that fits on a line (RFC 5322 §2.1.1).
const LONGEST: usize = 998;

/// Returns the Message-ID, in angle brackets, that this server's reply to an email names; `None` if it names none.
pub(super) fn server_id(host: &str, reply: &str) -> Option<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let id = match ses_region(&host) {
        Some(region) => ses_id(region, reply)?,
        None => exchange_id(reply)?,
    };
    (id.len() <= LONGEST).then_some(id)
}

/// `email-smtp.eu-west-1.amazonaws.com` → `eu-west-1`; also of an endpoint within a network of one's own.
fn ses_region(host: &str) -> Option<&str> {
    let labels = host.strip_suffix(".amazonaws.com")?.split('.');
    let mut labels = labels.skip_while(|label| !label.starts_with("email-smtp"));
    labels.next()?;
    labels.next()
}

/// `Ok 0102018f3c2a-1b2c-000000` → `<0102018f3c2a-1b2c-000000@eu-west-1.amazonses.com>`.
fn ses_id(region: &str, reply: &str) -> Option<String> {
    let is_id = |word: &&str| {
        word.len() >= 16 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let id = reply.split_whitespace().next_back().filter(is_id)?;
    let domain = match region {
        "us-east-1" => "email",
        other => other,
    };
    Some(format!("<{id}@{domain}.amazonses.com>"))
}

/// `2.0.0 OK <id@prod.outlook.com> [Hostname=…]` and `2.6.0 <id@example.org> [InternalId=…, Hostname=…] Queued mail for delivery`.
fn exchange_id(reply: &str) -> Option<String> {
    let (before, _) = reply
        .split_once(" [InternalId=")
        .or_else(|| reply.split_once(" [Hostname="))?;
    let id = before.rsplit(' ').next()?;
    let inner = id.strip_prefix('<')?.strip_suffix('>')?;
    let is_id = inner.contains('@')
        && inner
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>');
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_of_amazon_ses_names_the_message_id_of_its_region() {
        let id = "0102018f3c2a1b2c-5f0c1d2e-0000-4a1b-9c8d-7e6f5a4b3c2d-000000";
        let reply = format!("Ok {id}");
        for (host, expected) in [
            (
                "email-smtp.us-east-1.amazonaws.com",
                Some(format!("<{id}@email.amazonses.com>")),
            ),
            (
                "Email-SMTP.eu-west-1.amazonaws.com.",
                Some(format!("<{id}@eu-west-1.amazonses.com>")),
            ),
            (
                "vpce-1.email-smtp.eu-west-1.vpce.amazonaws.com",
                Some(format!("<{id}@eu-west-1.amazonses.com>")),
            ),
            ("smtp.example.org", None),
            ("email-smtp.eu-west-1.amazonaws.com.example.org", None),
        ] {
            assert_eq!(server_id(host, &reply), expected, "{host}");
        }
        let ses = |reply| server_id("email-smtp.us-east-1.amazonaws.com", reply);
        assert_eq!(ses("Ok"), None);
        assert_eq!(ses("Queued as <x@y>"), None);
    }

    #[test]
    fn reply_of_exchange_names_the_message_id_and_no_other_server_is_believed() {
        let reply = |reply: &str| server_id("smtp.example.org", reply);
        for (text, expected) in [
            (
                "2.0.0 OK <AM0@AM0PR01.eurprd01.prod.outlook.com> [Hostname=AM0PR01.eurprd01.prod.outlook.com]",
                Some("<AM0@AM0PR01.eurprd01.prod.outlook.com>"),
            ),
            (
                "2.6.0 <1@acme.example> [InternalId=5, Hostname=mx.acme.example] 1 bytes in 0.1, 2 KB/sec Queued mail for delivery",
                Some("<1@acme.example>"),
            ),
            ("2.0.0 <bob@example.org> accepted", None),
            ("2.0.0 OK <no id> [Hostname=x]", None),
            ("2.0.0 Ok: queued as 4Rk2", None),
            ("", None),
        ] {
            assert_eq!(reply(text).as_deref(), expected, "{text}");
        }
    }
}
