//! The whole question for a sample reply, as the model gets it. A change of the snapshot is a change of what the model
//! knows: read it before you accept it.

use super::question;
use crate::handlers::corrections::Examples;
use crate::handlers::draft::load::Case;
use crate::prompts::DRAFT;
use jobs::{
    domain::{
        MessageId, UserId,
        blocks::Span,
        corrections::{CorrectionKind, JudgedEmail},
        draft::{OutgoingMessage, Tone},
        gate::TrustMode,
        mail::Mail,
    },
    kinds::draft::Args,
    store::{corrections::StoredCorrection, users::Correspondent},
};
use llm::prompt::Boundary;

const EMAIL: &str = "Message-ID: <1@client.example>\nFrom: Ann Reed <ann@client.example>\n\
    To: Sam Porter <sam@acme.example>\nSubject: The plan\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\n\
    Which version of the drawing is the valid one, and do we meet on Thursday as planned?\n\nAnn";

#[test]
fn question_for_a_sample_reply_is_rendered_as_its_snapshot() {
    let span = Span::new(
        "2026-11-26T09:00:00Z".parse().unwrap(),
        "2026-11-26T10:00:00Z".parse().unwrap(),
    );
    let case = Case {
        trust: TrustMode::Supervised,
        writer: Some(Correspondent {
            user: UserId::new(),
            email: "sam@acme.example".into(),
            timezone: "Europe/Berlin".into(),
        }),
        accounts: Vec::new(),
        mail: Some((MessageId::new(), Mail::parse(EMAIL.as_bytes()).unwrap())),
        answered: false,
        follow_up_ended: false,
        quote_original: false,
        injection_suspected: false,
        base: None,
        memories: Vec::new(),
        examples: Examples(vec![StoredCorrection {
            kind: CorrectionKind::Revised,
            action_type: "send_draft".into(),
            email: JudgedEmail::of(Some("ann@client.example"), "The plan of October"),
            proposed: "Hello Ann! The plan is fine!".into(),
            chosen: Some("Without exclamation marks.".into()),
        }]),
        taken: vec![span.unwrap()],
    };
    let args = Args {
        instructions: Some("Version C; Thursday is fine.".into()),
        tone: Some(Tone::Brief),
        ..Args::reply(MessageId::new())
    };
    let asked_on = "2026-11-23T10:05:00Z".parse().unwrap();
    let prompt = question(&case, &args, &OutgoingMessage::default(), asked_on);
    let messages = prompt.render(&Boundary::random());
    assert_eq!(messages[0].content, DRAFT.text.trim_ascii());
    let rest: Vec<_> = messages[1..]
        .iter()
        .map(|message| message.content.as_str())
        .collect();
    let text = rest.join("\n----\n");
    let (_, after) = text.split_once("<<<").unwrap();
    let text = text.replace(&after[..32], "MARK");
    assert_eq!(
        text,
        include_str!("../../../prompts/snapshots/draft.v4.txt").trim_end()
    );
}
