//! The whole question about a sample email, as the model gets it. A change of the snapshot is a change of what the model
//! knows: read it before you accept it.

use super::question;
use crate::handlers::corrections::Examples;
use crate::handlers::triage::{guards::Correspondents, load::Case, mailbox::Mailbox};
use crate::prompts::{TRIAGE, mailbox::Owner};
use jobs::{
    domain::{
        MessageId,
        corrections::{CorrectionKind, JudgedEmail},
        gate::TrustMode,
        mail::Mail,
        rules::RuleSet,
    },
    store::corrections::StoredCorrection,
};
use llm::prompt::Boundary;
use std::sync::Arc;

const RULES: &str =
    "rules:\n- {name: contracts, llm_condition: it asks to sign, set: {priority: high}}";

const EMAIL: &str = "Message-ID: <1@client.example>\nFrom: Ann Reed <ann@client.example>\n\
    To: Sam Porter <sam@acme.example>\nCc: Lee <lee@acme.example>\nReply-To: office@client.example\n\
    Subject: The contract\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nCould you sign it by Thursday?\n\nAnn";

#[test]
fn question_about_a_sample_email_is_rendered_as_its_snapshot() {
    let mail = Mail::parse(EMAIL.as_bytes()).unwrap();
    let case = Case {
        message: MessageId::new(),
        content_hash: mail.content_hash(),
        mail,
        correspondents: Correspondents::default(),
        bounced: None,
        owner: None,
        mailbox: Mailbox {
            owner: Owner::new("sam@acme.example", &[], "Europe/Berlin".into()),
            memories: Vec::new(),
            examples: Examples(vec![StoredCorrection {
                kind: CorrectionKind::Rejected,
                action_type: "label".into(),
                email: JudgedEmail::of(Some("ann@client.example"), "Draft of the contract"),
                proposed: "label: Contracts".into(),
                chosen: None,
            }]),
        },
        trust: TrustMode::TrainingWheels,
        rules: Arc::new(RuleSet::compile(RULES).unwrap()),
        outage_jobs: Vec::new(),
        former: None,
    };
    let asked_on = "2026-11-23T10:05:00Z".parse().unwrap();
    let prompt = question(&case, &case.rules.evaluate(&case.mail), asked_on);
    let messages = prompt.render(&Boundary::random());
    assert_eq!(messages[0].content, TRIAGE.text.trim_ascii());
    let rest: Vec<_> = messages[1..]
        .iter()
        .map(|message| message.content.as_str())
        .collect();
    let text = rest.join("\n----\n");
    let (_, after) = text.split_once("<<<").unwrap();
    let text = text.replace(&after[..32], "MARK");
    assert_eq!(
        text,
        include_str!("../../../prompts/snapshots/triage.v3.txt").trim_end()
    );
}
