//! The subjects of answers that mail programs give by themselves: [`is_auto_reply`].

/// How mail programs begin the subject of an answer that they give by themselves, in lower case.
const AUTO_REPLIES: &[&str] = &[
    "auto reply:",
    "auto-reply:",
    "automatic reply:",
    "automatische antwort:",
    "abwesenheitsnotiz:",
    "out of office:",
    "out of office re:",
    "autoreply:",
    "abwesenheit:",
    "absence du bureau",
    "fuori sede:",
    "afwezigheidsbericht",
    "automatiskt svar:",
    "automatisk svar:",
    "automaattinen vastaus:",
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
    "automatisch antwoord:",
    "autosvar:",
    "odpowiedź automatyczna",
    "автоматический ответ",
    "自动答复",
    "自动回复",
    "自動返信",
    "자동 회신",
    "out of office autoreply:",
    "automatic response:",
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
    "abwesenheitsmeldung",
    "abwesenheitsnachricht",
    "message d'absence",
    "fuera de la oficina:",
    "fuera de oficina:",
    "afwezigheidsmelding",
    "frånvaromeddelande",
    "fraværsmelding",
    "fraværsbesked",
    "poissaoloviesti",
    "poissaoloilmoitus",
    "házon kívül",
    "вне офиса:",
    "不在のお知らせ",
    "자동 응답",
    "부재중",
    "auto re:",
    "auto-reply from",
    "autoreply from",
    "ooo:",
    "out of the office:",
    "vacation reply:",
    "vacation response:",
    "ตอบกลับอัตโนมัติ",
];

/// Whether the subject is one of an automatic reply, behind whatever tags.
pub(super) fn is_auto_reply(subject: &str) -> bool {
    let subject = subject.to_lowercase();
    let subject = untagged(&subject);
    AUTO_REPLIES.iter().any(|start| subject.starts_with(start))
}

/// A subject without the tags that gateways put in front: `[EXTERNAL] Automatic reply: …`.
fn untagged(subject: &str) -> &str {
    let mut rest = subject;
    while let Some((_, after)) = rest
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'))
    {
        rest = after.trim_start();
    }
    rest
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
        ] {
            assert!(is_auto_reply(subject), "{subject}");
        }
    }
}
