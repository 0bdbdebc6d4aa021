//! The addresses that no person reads: [`is_machine`].

use crate::domain::mail::Address;

/// Local parts, without their separators, that are nobody's wherever they stand in a longer one (`invoices-noreply-de`). A stem
/// stands for the forms of a verb.
const NO_REPLY: &[&str] = &[
    "noreply",
    "noreplies",
    "donotreply",
    "dontreply",
    "donotrespond",
    "dontrespond",
    "donotanswer",
    "dontanswer",
    "notreply",
    "noresponse",
    "noanswer",
    "autoreply",
    "autorespon",
    "mailerdaemon",
    "maildaemon",
    // French
    "nepasrepond",
    "noreponse",
    "sansreponse",
    "pasdereponse",
    // German
    "nichtantworten",
    "nichtbeantworten",
    "keineantwort",
    // Spanish, Catalan and Portuguese
    "norespond",
    "norespuesta",
    "sinrespuesta",
    "nocontest",
    "naorespond",
    "semresposta",
    // Italian and Romanian
    "nonrispond",
    "norispond",
    "norisposta",
    "nuraspund",
    // Dutch
    "nietantwoorden",
    "nietbeantwoorden",
    "nietreageren",
    "geenantwoord",
    // Danish, Norwegian and Swedish
    "ikkesvar",
    "ikkebesvar",
    "svarikke",
    "besvarikke",
    "svaraej",
    "svarainte",
    "intesvara",
    "svarej",
    "ejsvar",
    // Finnish, Estonian and Hungarian
    "alavastaa",
    "eivasta",
    "aravasta",
    "nevalaszol",
    // Polish, Czech and Slovak
    "nieodpowiad",
    "nieodpisuj",
    "bezodpowiedzi",
    "neodpovid",
    "neodpoved",
    "bezodpovedi",
    // Serbo-Croatian, Slovene, and Russian in Latin letters
    "neodgovar",
    "neotvech",
    // Ukrainian, Lithuanian and Latvian
    "nevidpovid",
    "neatsaky",
    "neatbild",
    // Turkish, Indonesian and Vietnamese
    "yanitlama",
    "cevaplama",
    "cevapverme",
    "janganbalas",
    "jangandibalas",
    "khongtraloi",
];

/// Local parts that are nobody's by themselves.
const NOBODY: &[&str] = &[
    "bounce",
    "bounces",
    "blackhole",
    "daemon",
    "devnull",
    "listserv",
    "mailadmin",
    "mailadministrator",
    "maildelivery",
    "maildeliverysubsystem",
    "maildeliverysystem",
    "mailer",
    "majordomo",
    "mdaemon",
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
    let words: Vec<&str> = untagged.split(['.', '-', '_']).collect();
    let squeezed = words.concat();
    let begins = ["bounce", "bounces", "unattended", "unmonitored"];
    NOBODY.contains(&squeezed.as_str())
        || words.first().is_some_and(|first| begins.contains(first))
        // Mailman reports as `list-bounces`.
        || words.last() == Some(&"bounces")
        || says_no_reply(&words)
        || is_exchange(&squeezed)
        || is_below_nobody(&domain.to_lowercase())
}

/// Whether a mark begins where a word does, or ends one: `shop-no-reply-de`, `shopnoreply`. `lenore.ply` is a person.
fn says_no_reply(words: &[&str]) -> bool {
    let ends = |word: &&str| NO_REPLY.iter().any(|mark| word.ends_with(mark));
    let mut tails = (0..words.len()).map(|start| words[start..].concat());
    words.iter().any(ends) || tails.any(|tail| NO_REPLY.iter().any(|mark| tail.starts_with(mark)))
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
            "shop-noreply-de@x",
            "shop.no-reply.eu@x",
            "shopnoreply@x",
            "no-responda@x",
            "niet-beantwoorden@x",
            "svar-ikke@x",
            "nie_odpowiadac@x",
            "ne-otvechayte@x",
            "ne-pas-repondez@x",
            "no-rispondere@x",
            "ne_vidpovidayte@x",
            "khong-tra-loi@x",
            "yanitlamayiniz@x",
            "do-not-answer@x",
            "autoresponse@x",
            "dev-null@x",
            "MDaemon@x",
            "unmonitored-mailbox@x",
            "dev-bounces+ada=y.example@x",
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
            "lenore.ply@x",
            "nora.replika@x",
            "svarin@x",
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
