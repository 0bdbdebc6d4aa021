//! To whom an email goes, under which subject and in which thread: built by code from the email it answers, never by a model.

use super::DraftMode;
use crate::domain::mail::{Address, Direction, Mail, deliverable, is_machine, limits, without_tag};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Marks of answers and forwards as mail programs of the larger languages write them, with or without a count.
static MARK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^(
            re|fwd?|r|i|aw|wg|antw\.?|antwort|doorst|sv|svar|ang|vs|vb|vl|ref|tr|rv|enc|res|rif|odp\.?|odg|pd|ynt|[i̇İi]lt|
            i̇lt|atb|yml|ats|továbbítás|továbbítva|
            válasz|vá|fs|bls|trs|απ|απάντηση|πρθ|σχετ|отв|ответ|відп|пересл|нa|на|re|השב|הועבר|تحويل|رد|إعادة\ توجيه|
            trả\ lời|chuyển\ tiếp|ตอบ|ตอบกลับ|ส่งต่อ|回复|回覆|答复|答覆|转发|轉寄|轉發|返信|転送|답장|회신|전달
        )\s*(\[\d+\]|\(\d+\)|\^\d+)?\s*[:\u{ff1a}]\s*",
    )
    .expect("a regular expression that compiles")
});

/// The name of a list or a warning of a mail server in front of a subject: `[team]`, `[EXT]`.
static TAG: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\[[^\[\]]{1,60}\]\s*").expect("a regular expression that compiles")
});

/// So that a chain of references stays within what mail servers take.
const REFERENCES: usize = 30;

/// Where an email goes and which thread it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub subject: String,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
}

/// Recipients that the caller names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipients {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
}

/// Nobody would get the email.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody would get this email")]
pub struct NoRecipient;

/// The headers of an answer to `mail`, written by somebody with the addresses `own` (in lower case). To goes to Reply-To,
/// else to all authors; of an email of their own that is no form's, to those it went to. An answer to all goes where Mail-Followup-To asks for,
/// and to the list that List-Post names. Addresses that no person reads are left out.
///
/// # Errors
/// If nobody but the writer would get it.
pub fn answer(mail: &Mail, all: bool, own: &[String]) -> Result<Headers, NoRecipient> {
    let by_themselves = mail
        .from
        .as_ref()
        .is_some_and(|from| is_own(&from.addr, own))
        && !is_form(mail, own);
    let followup = match all {
        true => others(&mail.followup_to, own, &[]),
        false => Vec::new(),
    };
    let asks_for_followup = !followup.is_empty();
    let to = if asks_for_followup {
        followup
    } else if by_themselves {
        others(&mail.to, own, &[])
    } else {
        match others(&mail.reply_to, own, &[]) {
            asked if asked.is_empty() => {
                others(mail.from.iter().chain(&mail.other_authors), own, &[])
            }
            asked => asked,
        }
    };
    if to.is_empty() {
        return Err(NoRecipient);
    }
    let cc = if all && !asks_for_followup {
        others(
            mail.to.iter().chain(&mail.cc).chain(&mail.list_post),
            own,
            &to,
        )
    } else {
        Vec::new()
    };
    Ok(Headers {
        to,
        cc,
        bcc: Vec::new(),
        subject: subject("Re", &mail.subject),
        in_reply_to: mail.message_id.as_deref().map(bracketed),
        references: references(mail),
    })
}

/// Whether a website wrote it for somebody else: it came to the writer alone, and is to be answered to another person. Such
/// forms often send in the name of the mailbox that they send to.
pub fn is_form(mail: &Mail, own: &[String]) -> bool {
    mail.direction == Direction::In
        && !mail.to.is_empty()
        && mail.to.iter().all(|to| is_own(&to.addr, own))
        && !others(&mail.reply_to, own, &[]).is_empty()
}

/// Those of the addresses that a person other than the writer reads, each once, without those in `taken`.
fn others<'a>(
    addresses: impl IntoIterator<Item = &'a Address>,
    own: &[String],
    taken: &[String],
) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for address in addresses {
        let addr = address.addr.trim();
        let known = |list: &[String]| list.iter().any(|seen| seen.eq_ignore_ascii_case(addr));
        if is_address(addr)
            && !is_own(addr, own)
            && !is_machine(address)
            && !known(taken)
            && !known(&kept)
        {
            kept.push(addr.to_owned());
        }
    }
    kept
}

/// Whether it is one of the writer's own addresses, with or without a +tag.
fn is_own(addr: &str, own: &[String]) -> bool {
    let untagged = without_tag(addr);
    own.iter()
        .any(|own| own.eq_ignore_ascii_case(addr) || own.eq_ignore_ascii_case(&untagged))
}

/// The headers of a forward of `mail`: a thread of its own.
///
/// # Errors
/// If nobody would get it.
pub fn forward(mail: &Mail, recipients: Recipients) -> Result<Headers, NoRecipient> {
    compose(subject("Fwd", &mail.subject), recipients)
}

/// The headers of a new email.
///
/// # Errors
/// If nobody would get it.
pub fn compose(subject: String, recipients: Recipients) -> Result<Headers, NoRecipient> {
    let Recipients { to, cc, bcc } = recipients;
    if to.is_empty() {
        return Err(NoRecipient);
    }
    Ok(Headers {
        to,
        cc,
        bcc,
        subject,
        ..Headers::default()
    })
}

/// The headers for an email in this mode.
///
/// # Errors
/// If nobody but the writer would get it.
pub fn of_mode(
    mode: DraftMode,
    mail: &Mail,
    recipients: Recipients,
    own: &[String],
) -> Result<Headers, NoRecipient> {
    match mode {
        DraftMode::Forward => forward(mail, recipients),
        DraftMode::Compose => compose(String::new(), recipients),
        DraftMode::ReplyAll | DraftMode::FollowUp => answer(mail, true, own),
        DraftMode::Reply | DraftMode::Revise => answer(mail, false, own),
    }
}

/// One mark, however many there were, in whatever language and behind whatever list's name; the names stay, each once.
fn subject(mark: &str, former: &str) -> String {
    let mut rest = former.trim();
    let mut tags: Vec<&str> = Vec::new();
    loop {
        if let Some(found) = MARK.find(rest) {
            rest = &rest[found.end()..];
        } else if let Some(found) = TAG.find(rest) {
            let tag = found.as_str().trim();
            if !tags.contains(&tag) {
                tags.push(tag);
            }
            rest = &rest[found.end()..];
        } else {
            break;
        }
    }
    let parts: Vec<&str> = tags.into_iter().chain([rest]).collect();
    let marked = format!("{mark}: {}", parts.join(" "));
    marked.trim_end().chars().take(limits::SUBJECT).collect()
}

/// The email's own chain and the email: the first stays, for it names the thread, and of the others the newest.
fn references(mail: &Mail) -> Vec<String> {
    let mut chain: Vec<String> = mail.references.iter().map(|id| bracketed(id)).collect();
    if chain.is_empty() {
        chain.extend(mail.in_reply_to.as_deref().map(bracketed));
    }
    if let Some(id) = mail.message_id.as_deref().map(bracketed) {
        chain.retain(|known| *known != id);
        chain.push(id);
    }
    let surplus = chain.len().saturating_sub(REFERENCES);
    if surplus > 0 {
        chain.drain(1..=surplus);
    }
    chain
}

fn bracketed(id: &str) -> String {
    format!("<{id}>")
}

/// Whether an email can be sent there.
pub fn is_address(text: &str) -> bool {
    text.len() <= limits::ADDRESS && deliverable(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(headers: &str) -> Mail {
        Mail::parse(format!("{headers}\n\nHello").as_bytes()).unwrap()
    }

    fn own() -> Vec<String> {
        vec!["me@acme.example".into()]
    }

    const ROUND: &str = "From: Ada <ada@x.example>\nTo: Me <ME@acme.example>, Bob <bob@x.example>\n\
        Cc: carol@x.example, ada@x.example, bob@x.example\nSubject: AW: Re[2]: Fwd: Plan\nMessage-ID: <3@x>\n\
        In-Reply-To: <2@x>\nReferences: <1@x> <2@x>";

    #[test]
    fn reply_goes_to_the_sender_with_one_mark_and_the_whole_chain() {
        let headers = answer(&mail(ROUND), false, &own()).unwrap();
        assert_eq!(headers.to, ["ada@x.example"]);
        assert!(headers.cc.is_empty());
        assert_eq!(headers.subject, "Re: Plan");
        assert_eq!(headers.in_reply_to.as_deref(), Some("<3@x>"));
        assert_eq!(headers.references, ["<1@x>", "<2@x>", "<3@x>"]);
    }

    #[test]
    fn reply_to_is_stronger_than_the_sender() {
        let mail =
            mail("From: a@x.example\nReply-To: support@x.example\nTo: me@acme.example\nSubject: x");
        assert_eq!(
            answer(&mail, false, &own()).unwrap().to,
            ["support@x.example"]
        );
    }

    #[test]
    fn answer_that_is_not_for_the_list_goes_where_its_writer_wants_it() {
        let list = "From: a@x.example\nReply-To: team@lists.example\nMail-Reply-To: b@x.example\nTo: team@lists.example";
        let headers = answer(&mail(list), false, &own()).unwrap();
        assert_eq!(headers.to, ["b@x.example"]);
    }

    #[test]
    fn marks_of_all_languages_are_never_doubled_and_names_of_lists_stay_once() {
        for (former, marked) in [
            ("Plan", "Re: Plan"),
            ("AW: Re[2]: Fwd: Plan", "Re: Plan"),
            ("回复: 转发：计划", "Re: 计划"),
            ("Отв: План", "Re: План"),
            ("İLT: YNT: Plan", "Re: Plan"),
            ("Antw.: Svar: Odg: Plan", "Re: Plan"),
            ("Ref 12: Plan", "Re: Ref 12: Plan"),
            ("Angebot: Plan", "Re: Angebot: Plan"),
            ("Odp: SV: VS: Plan", "Re: Plan"),
            ("[list] Re: Plan", "Re: [list] Plan"),
            ("Re: [list] Re: [list] Plan", "Re: [list] Plan"),
            ("[list] Plan", "Re: [list] Plan"),
            ("[EXT] AW: [team] Plan", "Re: [EXT] [team] Plan"),
            ("Rescue: now", "Re: Rescue: now"),
            ("Re : Plan", "Re: Plan"),
            ("", "Re:"),
        ] {
            assert_eq!(subject("Re", former), marked, "{former}");
        }
    }

    #[test]
    fn all_authors_are_answered_and_no_machine_is() {
        let two = mail("From: a@x.example, b@x.example\nTo: me@acme.example\nSubject: x");
        assert_eq!(
            answer(&two, false, &own()).unwrap().to,
            ["a@x.example", "b@x.example"]
        );
        let form = mail("From: noreply@x.example\nReply-To: c@mail.example\nSubject: x");
        assert_eq!(answer(&form, true, &own()).unwrap().to, ["c@mail.example"]);
        let machine = mail("From: no.reply@x.example\nReply-To: me+form@acme.example\nSubject: x");
        assert_eq!(answer(&machine, false, &own()), Err(NoRecipient));
    }

    #[test]
    fn form_in_the_name_of_the_mailbox_is_answered_to_whom_it_names() {
        let form = "From: me+web@acme.example\nReply-To: Customer, Ada <ada@mail.example>\nTo: me@acme.example\nSubject: x";
        let headers = answer(&mail(form), false, &own()).unwrap();
        assert_eq!(headers.to, ["ada@mail.example"]);
        let sent = "From: me@acme.example\nReply-To: ada@x.example\nTo: bob@x.example\nSubject: x";
        assert_eq!(
            answer(&mail(sent), false, &own()).unwrap().to,
            ["bob@x.example"]
        );
    }

    #[test]
    fn answer_to_a_list_goes_where_the_list_asks_for() {
        let list = "From: a@x.example\nTo: me@acme.example\nList-Post: <mailto:team@lists.example>\nSubject: x";
        let headers = answer(&mail(list), true, &own()).unwrap();
        assert_eq!(
            (headers.to, headers.cc),
            (
                vec!["a@x.example".into()],
                vec!["team@lists.example".into()]
            )
        );
        assert!(answer(&mail(list), false, &own()).unwrap().cc.is_empty());
        let followup = mail(&format!(
            "Mail-Followup-To: team@lists.example, me@acme.example\n{list}"
        ));
        let headers = answer(&followup, true, &own()).unwrap();
        assert_eq!(
            (headers.to, headers.cc),
            (vec!["team@lists.example".to_owned()], vec![])
        );
        assert_eq!(
            answer(&followup, false, &own()).unwrap().to,
            ["a@x.example"]
        );
        let to_the_writer = mail(&format!("Mail-Followup-To: me@acme.example\n{list}"));
        let headers = answer(&to_the_writer, true, &own()).unwrap();
        assert_eq!(headers.to, ["a@x.example"]);
        assert_eq!(headers.cc, ["team@lists.example"]);
        let none = mail("From: a@x.example\nList-Post: NO (announcements)\nSubject: x");
        assert!(answer(&none, true, &own()).unwrap().cc.is_empty());
    }

    #[test]
    fn everybody_else_is_copied_once_and_the_writer_never() {
        let headers = answer(&mail(ROUND), true, &own()).unwrap();
        assert_eq!(headers.to, ["ada@x.example"]);
        assert_eq!(headers.cc, ["bob@x.example", "carol@x.example"]);
    }

    #[test]
    fn after_an_email_of_their_own_the_writer_reminds_those_it_went_to() {
        let sent = mail(
            "From: me@acme.example\nTo: ada@x.example\nCc: me@acme.example, bob@x.example\nSubject: Plan",
        );
        let headers = of_mode(DraftMode::FollowUp, &sent, Recipients::default(), &own()).unwrap();
        assert_eq!(headers.to, ["ada@x.example"]);
        assert_eq!(headers.cc, ["bob@x.example"]);
        let note = mail("From: me@acme.example\nTo: me@acme.example\nSubject: Note");
        assert_eq!(answer(&note, true, &own()), Err(NoRecipient));
    }

    #[test]
    fn forward_is_a_thread_of_its_own_with_one_mark() {
        let recipients = Recipients {
            to: vec!["dan@x.example".into()],
            ..Recipients::default()
        };
        let headers = forward(&mail(ROUND), recipients).unwrap();
        assert_eq!(headers.subject, "Fwd: Plan");
        assert_eq!((headers.in_reply_to, headers.references.len()), (None, 0));
        assert_eq!(
            forward(&mail(ROUND), Recipients::default()),
            Err(NoRecipient)
        );
    }

    #[test]
    fn long_chain_keeps_its_root_and_its_newest_links() {
        let ids: Vec<String> = (0..60).map(|n| format!("<{n}@x>")).collect();
        let chain = mail(&format!(
            "From: a@x.example\nSubject: x\nMessage-ID: <60@x>\nReferences: {}",
            ids.join(" ")
        ));
        let references = answer(&chain, false, &own()).unwrap().references;
        assert_eq!(references.len(), REFERENCES);
        assert_eq!(references.first().unwrap(), "<0@x>");
        assert_eq!(references.last().unwrap(), "<60@x>");
    }

    #[test]
    fn only_a_plain_address_is_one() {
        for (text, sound) in [
            ("a@b.example", true),
            ("a.b+c@b.example", true),
            ("", false),
            ("a@", false),
            ("a@b@c", false),
            ("taro..yama.@b.example", false),
            ("a b@c.example", false),
            ("a@b.example\r\nBcc: x@y", false),
            ("<a@b.example>", false),
            ("a@b.example,c@d.example", false),
        ] {
            assert_eq!(is_address(text), sound, "{text:?}");
        }
    }
}
