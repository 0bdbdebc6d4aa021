//! Addresses that a mail server accepts: [`deliverable`]. Stricter than what is read from other people's email, because
//! such an address is put before a person and then handed to a server.

use url::Host;

/// The longest local part and label, in octets (RFC 5321 §4.5.3.1, RFC 1035 §2.3.4).
const LOCAL: usize = 64;
const LABEL: usize = 63;
const DOMAIN: usize = 253;

/// Returns the address as servers take it, with an internationalised domain in its A-labels (RFC 5890); `None` if no
/// server would take it.
pub fn deliverable(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    if !is_dot_string(local) {
        return None;
    }
    // Also maps the case and the wide forms of the domain, as every resolver does.
    let Ok(Host::Domain(ascii)) = Host::parse(domain) else {
        return None;
    };
    let sound = ascii.len() <= DOMAIN && ascii.split('.').all(is_label);
    sound.then(|| {
        if domain.is_ascii() {
            text.to_owned()
        } else {
            format!("{local}@{ascii}")
        }
    })
}

/// Whether only a server with SMTPUTF8 (RFC 6531) takes it: a domain has A-labels, a local part has nothing of the kind.
pub fn needs_smtputf8(address: &str) -> bool {
    address
        .rsplit_once('@')
        .is_none_or(|(local, _)| !local.is_ascii())
}

/// RFC 5321's `Dot-string`, with the characters beyond ASCII that RFC 6531 adds.
pub(super) fn is_dot_string(local: &str) -> bool {
    let is_atext = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(c)
            || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
    };
    let atoms = |part: &str| !part.is_empty() && part.chars().all(is_atext);
    local.len() <= LOCAL && local.split('.').all(atoms)
}

fn is_label(label: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=LABEL).contains(&label.len())
        && label.chars().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_no_server_takes_is_refused() {
        for bad in [
            "taro..yama.@example.jp",
            "taro.@example.jp",
            ".taro@example.jp",
            "@example.jp",
            "taro@",
            "taro",
            "taro@-x.example",
            "taro@x..example",
            "taro@127.0.0.1",
            "taro@[127.0.0.1]",
            "ta ro@example.jp",
            "a@b@c.example",
            "taro@example.jp\r\nBcc: x@y.example",
            "\"taro\"@example.jp",
            "taro@exa mple.jp",
        ] {
            assert_eq!(deliverable(bad), None, "{bad}");
        }
        let long = format!("{}@x.example", "a".repeat(65));
        assert_eq!(deliverable(&long), None);
    }

    #[test]
    fn international_domain_is_written_in_a_labels() {
        for (address, wire) in [
            ("ada@example.org", "ada@example.org"),
            ("Ada.B+c@Example.org", "Ada.B+c@Example.org"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("用户@例子.example", "用户@xn--fsqu00a.example"),
        ] {
            assert_eq!(deliverable(address).as_deref(), Some(wire));
        }
    }

    #[test]
    fn only_a_local_part_needs_smtputf8() {
        assert!(needs_smtputf8("用户@example.org"));
        assert!(!needs_smtputf8("ada@bücher.example"));
    }
}
