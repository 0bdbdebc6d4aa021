//! What the writer of an email says in it: [`own_text`], without quoted lines, the email that is answered and the signature.

/// How mail programs of the larger languages name the writer of the email that they put below an answer, in lower case.
const FROM: &[&str] = &[
    "from",
    "von",
    "de",
    "da",
    "van",
    "från",
    "fra",
    "od",
    "lähettäjä",
    "kimden",
    "от",
    "от кого",
    "від",
    "από",
    "feladó",
    "expéditeur",
    "差出人",
    "发件人",
    "寄件者",
    "보낸 사람",
    "من",
    "מאת",
];
/// How they name its date.
const SENT: &[&str] = &[
    "sent",
    "date",
    "gesendet",
    "datum",
    "envoyé",
    "enviado",
    "enviada",
    "enviado el",
    "enviada em",
    "fecha",
    "inviato",
    "data",
    "verzonden",
    "skickat",
    "sendt",
    "wysłano",
    "data",
    "lähetetty",
    "gönderildi",
    "tarih",
    "отправлено",
    "дата",
    "надіслано",
    "дата",
    "στάλθηκε",
    "ημερομηνία",
    "elküldve",
    "dátum",
    "odesláno",
    "送信日時",
    "日時",
    "发送时间",
    "日期",
    "寄件日期",
    "보낸 날짜",
    "날짜",
    "تاريخ",
    "נשלח",
];
/// A date stands so many lines below its writer.
const BLOCK: usize = 4;

/// The lines of a body that its writer wrote, up to the signature or the email that is answered below them.
pub fn own_text(body_text: &str) -> String {
    let lines = without_pgp_headers(body_text);
    let ends = |at: &usize| {
        let line = lines[*at];
        line == "--" || is_rule_with_words(line) || begins_earlier_email(&lines[*at..])
    };
    let end = (0..lines.len()).find(ends).unwrap_or(lines.len());
    let own = lines[..end].iter().filter(|line| !line.starts_with('>'));
    own.copied().collect::<Vec<_>>().join("\n")
}

/// The lines without those that begin a clear signature (RFC 9580 §7): they are neither text nor a mark of a quote.
fn without_pgp_headers(body_text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut in_header = false;
    for line in body_text.lines().map(str::trim) {
        let begins = line == "-----BEGIN PGP SIGNED MESSAGE-----";
        in_header = begins || in_header && line.starts_with("Hash:");
        if !in_header {
            lines.push(line);
        }
    }
    lines
}

/// `-----Original Message-----`, in whatever language.
fn is_rule_with_words(line: &str) -> bool {
    let inner = line.trim_matches(|c| c == '-' || c == '_');
    line.starts_with("-----") && line.ends_with("---") && inner.chars().any(char::is_alphabetic)
}

/// The header lines of an earlier email, as Outlook and others write them.
fn begins_earlier_email(lines: &[&str]) -> bool {
    let named = |line: &&str, names: &[&str]| {
        label(line).is_some_and(|label| names.contains(&label.as_str()))
    };
    let Some((first, rest)) = lines.split_first() else {
        return false;
    };
    let mut near = rest.iter().filter(|line| !line.is_empty()).take(BLOCK);
    named(first, FROM) && near.any(|line| named(line, SENT))
}

/// What stands before the colon, in lower case and without the marks of bold text.
fn label(line: &str) -> Option<String> {
    let (label, _) = line.split_once([':', '\u{ff1a}'])?;
    Some(
        label
            .trim_matches(|c: char| c == '*' || c.is_whitespace())
            .to_lowercase(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_text_ends_above_the_email_that_is_answered_and_the_signature() {
        for below in [
            "-- \nNora\nQuestions? Call us.",
            "> Does Friday work?",
            "-----Original Message-----\nFrom: Bob\nDoes Friday work?",
            "-----Ursprüngliche Nachricht-----\nPasst es?",
            "Von: Bob <bob@x.example>\nGesendet: Montag, 23. November 2026 10:00\nAn: Nora\nBetreff: Plan\n\nPasst es?",
            "*From:* Bob\n*Sent:* Monday, November 23, 2026 10:00 AM\n\nDoes Friday work?",
            "De : Bob\nEnvoyé : lundi 23 novembre 2026\nÀ : Nora\n\nÇa va ?",
            "От: Bob\nОтправлено: 23 ноября 2026 г.\n\nХорошо?",
            "差出人: Bob\n送信日時: 2026年11月23日\n\nいいですか？",
        ] {
            assert_eq!(
                own_text(&format!("Thanks.\n\n{below}")).trim(),
                "Thanks.",
                "{below}"
            );
        }
    }

    #[test]
    fn frame_of_a_clear_signature_is_no_text_and_no_quote() {
        let signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nWhich room?\nHash: brown\n\
            -----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----";
        assert_eq!(own_text(signed).trim(), "Which room?\nHash: brown");
        let above = format!("Hi,\n{signed}");
        assert_eq!(own_text(&above).trim(), "Hi,\n\nWhich room?\nHash: brown");
    }

    #[test]
    fn text_with_colons_and_rules_is_the_writer_s_own() {
        for text in [
            "From: Berlin\nTo: Rome\nWhich train?",
            "-----\nWhich one?",
            "Note: the date\nDate: Friday?",
        ] {
            assert_eq!(own_text(text), text);
        }
    }
}
