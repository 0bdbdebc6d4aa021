//! The addresses that no person reads: [`is_machine`].

use crate::domain::mail::Address;

/// Local parts, without their separators, that are nobody's wherever they stand in a longer one (`invoices-noreply`).
const NO_REPLY: &[&str] = &[
    "noreply",
    "noreplies",
    "donotreply",
    "dontreply",
    "donotrespond",
    "dontrespond",
    "notreply",
    "noresponse",
    "noanswer",
    "autoreply",
    "autoresponder",
    "mailerdaemon",
    "maildaemon",
    "nepasrepondre",
    "noreponse",
    "nichtantworten",
    "keineantwort",
    "noresponder",
    "naoresponda",
    "nonrispondere",
    "nietantwoorden",
    "svaraej",
    "naoresponder",
    "nocontestar",
    "ikkesvar",
    "nieodpowiadaj",
    "alavastaa",
    "neodpovidat",
];

/// Local parts that are nobody's by themselves.
const NOBODY: &[&str] = &[
    "bounce",
    "bounces",
    "daemon",
    "listserv",
    "mailadmin",
    "mailadministrator",
    "maildelivery",
    "maildeliverysubsystem",
    "maildeliverysystem",
    "mailer",
    "majordomo",
    "nobody",
    "postmaster",
    "postoffice",
    "unattended",
    "unmonitored",
];

/// Names under which mail servers report.
const SERVERS: &[&str] = &[
    "mail delivery service",
    "mail delivery subsystem",
    "mail delivery system",
    "mailer daemon",
    "mailer-daemon",
    "postmaster",
];

/// Whether the address is read by no person: no-reply and bounces with whatever tag, mail servers.
pub fn is_machine(address: &Address) -> bool {
    let named = address
        .name
        .as_deref()
        .is_some_and(|name| SERVERS.contains(&name.to_lowercase().as_str()));
    named || is_machine_address(&address.addr)
}

/// As [`is_machine`], of the address alone.
pub fn is_machine_address(addr: &str) -> bool {
    let (local, domain) = addr.rsplit_once('@').unwrap_or((addr, ""));
    let local = local.trim_matches('"').to_lowercase();
    let untagged = local.split(['+', '=']).next().unwrap_or_default();
    let squeezed = untagged.replace(['.', '-', '_'], "");
    let first = untagged.split(['.', '-', '_']).next().unwrap_or_default();
    NOBODY.contains(&squeezed.as_str())
        || matches!(first, "bounce" | "bounces")
        || NO_REPLY
            .iter()
            .any(|mark| squeezed.starts_with(mark) || squeezed.ends_with(mark))
        || is_exchange(&squeezed)
        || is_below_nobody(&domain.to_lowercase())
}

/// `noreply.shop.example`: a host of that name sends what nobody reads. A company may be called what it wants.
fn is_below_nobody(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    let hosts = &labels[..labels.len().saturating_sub(2)];
    hosts
        .iter()
        .any(|label| NO_REPLY.contains(&label.replace('-', "").as_str()))
}

/// `MicrosoftExchange` and 32 hexadecimal digits: what Exchange reports from.
fn is_exchange(local: &str) -> bool {
    local
        .strip_prefix("microsoftexchange")
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_reader_are_known_in_all_their_spellings() {
        for addr in [
            "noreply@x",
            "no.reply@x",
            "NO_REPLY@x",
            "noreply+a81f@x",
            "do-not-reply@x",
            "invoice-noreply@x",
            "noreply-42@x",
            "bounces-12-ada=x@x",
            "bounce+abc@x",
            "MAILER-DAEMON@x",
            "postmaster@x",
            "nao-responder@x",
            "no-contestar@x",
            "ikke-svar@x",
            "nie-odpowiadaj@x",
            "alavastaa@x",
            "neodpovidat@x",
            "info@noreply.shop.example",
            "info@mail.no-reply.shop.example",
            "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@x",
        ] {
            assert!(is_machine_address(addr), "{addr}");
        }
        for addr in [
            "nora@x",
            "reply@x",
            "reply+abc@x",
            "anna.oreply@x",
            "info@shop.noreplyfoundation.example",
            "info@noreply.example",
            "microsoftexchange@x",
            "bouncer@x",
            "mailerlite@x",
        ] {
            assert!(!is_machine_address(addr), "{addr}");
        }
    }
}
