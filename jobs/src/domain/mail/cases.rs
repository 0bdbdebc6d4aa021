//! Emails as real programs send them, one fixture of `tests/mail` each: what a person sees is what we read.

use super::*;

fn read(name: &str) -> Mail {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/mail/");
    let raw = std::fs::read(format!("{path}{name}.eml")).unwrap();
    Mail::parse(&raw).unwrap()
}

#[test]
fn text_is_what_mail_programs_show() {
    for (name, text) in [
        (
            "html-zero-font-wrapper",
            "Your booking 8841 was moved to Friday at nine. Can you confirm?",
        ),
        ("html-head-omitted-end", "Our offer stands until Thursday."),
        (
            "bulletproof-button",
            "Your document waits.\n\nSign the lease before Friday <https://sign.example/7>",
        ),
        (
            "plain-differs-from-html",
            "Hello Mira, do you have the room number for Tuesday?",
        ),
        ("cs-iso2022jp", "お見積りをご確認ください"),
        (
            "charset-missing-latin1",
            "Können Sie die Maße für die Tür prüfen?",
        ),
        ("charset-html-meta", "Добрый день, пришлите счёт"),
        (
            "calendar-only",
            "Invitation: Planning round two\nTime: 2026-12-01 14:00 UTC to 2026-12-01 15:00 UTC\nPlace: Room 4\n\
             Organizer: nora@client.example\nDescription: Please bring the figures",
        ),
        (
            "boundary-mid-line",
            "The flag is called --BND and it is new.\nPlease answer by Friday.",
        ),
        (
            "base64-with-list-footer",
            "Hallo zusammen,\nwer kann am Donnerstag die Schlüssel übernehmen?\n\n\
             _______________________________________________\nteam mailing list\nteam@lists.example\n\
             https://lists.example/team",
        ),
        (
            "forward-as-attachment",
            "Can you answer this?\n\n[Attached email]\nFrom: Carl <carl@other.example>\nTo: nora@client.example\n\
             Subject: Broken pump\n\nThe pump in unit 9 leaks oil.",
        ),
        (
            "base64-with-banner",
            "[EXTERNAL] This email came from outside.\n\nKönnen wir den Termin auf Freitag verschieben?",
        ),
        (
            "vcalendar-old",
            "Event: Planung für März\nTime: 2026-12-01 14:00 UTC to 2026-12-01 15:00 UTC\nPlace: Room 4",
        ),
        ("charset-cp852", "Prosím, pošlete příští verzi."),
        ("attachment-pdf-called-text", "Please sign the lease."),
        ("boundary-wrong", "Which room do we have?"),
    ] {
        assert_eq!(read(name).body_text, text, "{name}");
    }
    let pdf = &read("attachment-pdf-called-text").attachments[0];
    assert_eq!(
        (pdf.name.as_deref(), pdf.text.as_deref()),
        (Some("lease.pdf"), None)
    );
    let stub = read("plain-part-is-a-stub").body_text;
    assert!(stub.contains("Choose a new day before Wednesday"), "{stub}");
}

#[test]
fn sender_and_subject_are_what_mail_programs_show() {
    for (name, sender, subject) in [
        (
            "from-unquoted-comma",
            "Lindqvist, Nora <nora@client.example>",
            None,
        ),
        (
            "sender-without-from",
            "Nora Lindqvist <nora@client.example>",
            Some("Keys"),
        ),
        (
            "blank-line-first",
            "Nora Lindqvist <nora@client.example>",
            Some("Blank"),
        ),
        (
            "subject-split-utf8",
            "Nora Lindqvist <nora@client.example>",
            Some("Pasižadėjimų girlianda"),
        ),
        (
            "cs-iso2022jp",
            "Nora Lindqvist <nora@client.example>",
            Some("お見積りをご確認ください"),
        ),
    ] {
        let mail = read(name);
        assert_eq!(mail.sender(), sender, "{name}");
        if let Some(subject) = subject {
            assert_eq!(mail.subject, subject, "{name}");
        }
    }
}

#[test]
fn machines_are_known_by_the_address_that_would_be_answered() {
    for (name, automatic) in [
        ("reply-to-no-reply-from", false),
        ("dsn-exchange-sender", true),
        ("noreply-variants-plus", true),
        ("bounce-qmail", true),
    ] {
        assert_eq!(is_automatic(&read(name)), automatic, "{name}");
    }
    assert!(read("dmarc-no-space").dmarc_failed());
}
