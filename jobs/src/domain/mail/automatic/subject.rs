//! The subjects of answers that mail programs give by themselves: [`is_auto_reply`].

/// What the subject of an answer that mail programs give by themselves is, or begins with before a colon, in lower case.
const TITLES: &[&str] = &[
    "auto reply",
    "auto-reply",
    "automatic reply",
    "automatische antwort",
    "abwesenheitsnotiz",
    "out of office",
    "out of office re",
    "autoreply",
    "abwesenheit",
    "fuori sede",
    "automatiskt svar",
    "automatisk svar",
    "automaattinen vastaus",
    "automatisch antwoord",
    "autosvar",
    "out of office autoreply",
    "automatic response",
    "fuera de la oficina",
    "fuera de oficina",
    "вне офиса",
    "auto re",
    "ooo",
    "out of the office",
    "vacation reply",
    "out of office reply",
    "away from office",
    "i am on annual leave",
    "vacation response",
    "auto-response",
    "auto response",
    "autoresponse",
    "autoresponder",
    "automated reply",
    "automated response",
    "on vacation",
    "away from my mail",
    "away from the office",
    "out of my office",
    "i am out of the office",
    "i am currently out of the office",
    "i am out of office",
    "i'm out of office",
    "i'm out of the office",
    "currently out of office",
    "currently out of the office",
    "i will be out of the office",
    "automatische abwesenheitsnotiz",
    "abwesenheitsagent",
    "abwesend",
    "nicht im büro",
    "automatische abwesenheitsbenachrichtigung",
    "urlaubsnotiz",
    "automatische rückantwort",
    "ich bin nicht im büro",
    "ich bin derzeit nicht im büro",
    "ich bin im urlaub",
    "absent du bureau",
    "je suis absent",
    "je suis absente",
    "je suis absent du bureau",
    "je suis absente du bureau",
    "je suis en congé",
    "je suis en vacances",
    "notification d'absence",
    "estoy fuera de la oficina",
    "fuori ufficio",
    "sono fuori ufficio",
    "fora do escritório",
    "ausência do escritório",
    "en vacaciones",
    "in ferie",
    "en congé",
    "på semester",
    "нет в офисе",
    "ausência temporária",
    "estou fora do escritório",
    "afwezig",
    "ik ben afwezig",
    "frånvarande",
    "ikke til stede",
    "ikke på kontoret",
    "ikke på kontor",
    "poza biurem",
    "nieobecność w biurze",
    "mimo kancelář",
    "mimo kancelárie",
    "nem vagyok az irodában",
    "în afara biroului",
    "отсутствую",
    "я в отпуске",
    "поза офісом",
    "я у відпустці",
    "εκτός γραφείου",
    "ofis dışında",
    "ofis dışındayım",
    "מענה אוטומטי",
    "מחוץ למשרד",
    "خارج المكتب",
    "自動回答",
    "자동회신",
    "자동 답장",
    "การตอบกลับอัตโนมัติ",
    "不在の連絡",
    "休暇中",
];

/// What nobody begins a subject of their own with, whatever follows.
const STARTS: &[&str] = &[
    "absence du bureau",
    "afwezigheidsbericht",
    "autoodpowiedź",
    "automatická odpověď",
    "automatikus válasz",
    "răspuns automat",
    "otomatik yanıt",
    "автоответ",
    "автоматична відповідь",
    "αυτόματη απάντηση",
    "תשובה אוטומטית",
    "رد تلقائي",
    "balasan otomatis",
    "trả lời tự động",
    "自動回覆",
    "自動回復",
    "自動応答",
    "不在通知",
    "réponse automatique",
    "respuesta automática",
    "risposta automatica",
    "resposta automática",
    "odpowiedź automatyczna",
    "автоматический ответ",
    "自动答复",
    "自动回复",
    "自動返信",
    "자동 회신",
    "automatická odpoveď",
    "automatski odgovor",
    "samodejni odgovor",
    "автоматичен отговор",
    "automaatvastus",
    "automatinis atsakymas",
    "automātiskā atbilde",
    "resposta automàtica",
    "reponse automatique",
    "respuesta automatica",
    "resposta automatica",
    "automatyczna odpowiedź",
    "abwesenheitsassistent",
    "abwesenheitsbenachrichtigung",
    "abwesenheitsmeldung",
    "abwesenheitsnachricht",
    "message d'absence",
    "afwezigheidsmelding",
    "frånvaromeddelande",
    "fraværsmelding",
    "fraværsbesked",
    "poissaoloviesti",
    "poissaoloilmoitus",
    "házon kívül",
    "不在のお知らせ",
    "자동 응답",
    "부재중",
    "auto-reply from",
    "autoreply from",
    "ตอบกลับอัตโนมัติ",
    "automatic reply from",
];

/// Whether the subject is one of an automatic reply, behind or within whatever tags. A person's own words go on after such a
/// title: `Out of office policy`.
pub(super) fn is_auto_reply(subject: &str) -> bool {
    let subject = subject.to_lowercase();
    let mut rest = subject.trim_start();
    while let Some((tag, after)) = tag(rest) {
        if is_title(tag) {
            return true;
        }
        rest = after.trim_start();
    }
    is_title(rest) || is_notice_of_notes(rest)
}

/// Whether the text is a title, or begins with one and a colon.
fn is_title(text: &str) -> bool {
    let title = text
        .split([':', '\u{ff1a}', '–', '—'])
        .next()
        .unwrap_or_default();
    let title = title.split(" - ").next().unwrap_or_default();
    let title =
        title.trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '!' | '*' | '-'));
    let is_one = |title: &str| TITLES.contains(&title);
    is_one(title)
        || title.strip_suffix(" re").is_some_and(is_one)
        || STARTS.iter().any(|start| text.starts_with(start))
}

/// `AUTO: Nora Lindqvist is out of the office (returning 30.11.2026)`, as HCL Notes has it.
fn is_notice_of_notes(text: &str) -> bool {
    let Some(notice) = text.strip_prefix("auto: ") else {
        return false;
    };
    let says = [
        "is out of the office",
        "(returning ",
        "ist außer haus",
        "(rückkehr ",
        "est absent",
        "(retour ",
    ];
    is_title(notice) || says.iter().any(|words| notice.contains(words))
}

/// A tag that gateways put in front of a subject, and what follows it: `[EXTERNAL] Automatic reply: …`.
fn tag(subject: &str) -> Option<(&str, &str)> {
    let inside = |open: char, close: char| subject.strip_prefix(open)?.split_once(close);
    let brackets = [('[', ']'), ('(', ')'), ('【', '】')];
    brackets
        .into_iter()
        .find_map(|(open, close)| inside(open, close))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_programs_are_known_by_their_subject_in_many_languages() {
        for subject in [
            "Out of Office AutoReply: Plan",
            "Automatic Response: Plan",
            "Automatická odpoveď: Plan",
            "Automatski odgovor: Plan",
            "Samodejni odgovor: Plan",
            "Автоматичен отговор: План",
            "Automaatvastus: Plan",
            "Automatinis atsakymas: Planas",
            "Automātiskā atbilde: Plāns",
            "Resposta automàtica: Plan",
            "ตอบกลับอัตโนมัติ: แผน",
            "Reponse automatique : Plan",
            "Abwesenheitsassistent: Plan",
            "Fuera de la oficina: Plan",
            "Frånvaromeddelande: Plan",
            "不在のお知らせ: 計画",
            "Auto Re: Plan",
            "Vacation reply: Plan",
            "Out of office",
            "Out of Office Re: Plan",
            "[Auto-Reply] Plan",
            "(Auto reply) Plan",
            "【自動返信】計画",
            "Out of office – Plan",
            "Abwesenheitsnotiz",
            "Fora do escritório: Plan",
            "Ik ben afwezig.",
            "AUTO: Nora is out of the office (returning 30.11.2026)",
            "Auto-reply from Nora",
            "AUTO: Out of office",
            "Abwesenheitsbenachrichtigung: Plan",
            "Je suis absente du bureau",
            "Nicht im Büro: Plan",
            "Out of office reply: Plan",
        ] {
            assert!(is_auto_reply(subject), "{subject}");
        }
        for subject in [
            "Out of office policy for Friday",
            "Automatic replies are broken",
            "Auto: offer for the van",
            "[team] Absence of evidence",
            "Afwezigheidsbeleid",
            "Nicht im Büro abgegeben",
            "Re: Out of office",
        ] {
            assert!(!is_auto_reply(subject), "{subject}");
        }
    }
}
