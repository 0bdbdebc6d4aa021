//! Memories for the writer of a draft: [`recall`] reads them, the rest is pure.
//!
//! The owner's own memories count as instructions. Memories from an email or a model are evidence like any email: they go into
//! the prompt as untrusted text.

use base::TenantId;
use jobs::{
    domain::{
        draft::Tone,
        mail::Mail,
        memory::{MemoryScope, ScopeKind, for_prompt_at},
        risk::Risk,
    },
    kinds::draft::Args,
    store::{
        memory_items::{self, Recalled},
        users::Correspondent,
    },
};
use serde_json::Value;
use sqlx::PgConnection;
use std::fmt::Write as _;

/// The key of a memory with the owner's preferred tone.
const TONE: &str = "tone";
/// The number of recipients whose memories are read.
const RECIPIENTS: usize = 20;

/// Reads the memories for this draft and marks them as used; unused memories expire first.
pub(super) async fn recall(
    conn: &mut PgConnection,
    tenant: TenantId,
    writer: &Correspondent,
    args: &Args,
    mail: Option<&Mail>,
) -> Result<Vec<Recalled>, sqlx::Error> {
    let scopes = scopes(args, mail);
    memory_items::for_prompt(conn, tenant, writer.user, &scopes).await
}

/// Returns the scopes of the sender and the recipients.
fn scopes(args: &Args, mail: Option<&Mail>) -> Vec<MemoryScope> {
    let sender = mail.and_then(|mail| mail.from.as_ref());
    let recipients = args.recipients.to.iter().take(RECIPIENTS);
    sender
        .map(|sender| &sender.addr)
        .into_iter()
        .chain(recipients)
        .flat_map(|address| MemoryScope::of_sender(address))
        .collect()
}

/// Redacts sensitive values for the prompt, depending on the risk.
pub(in crate::handlers) fn redacted(recalled: Vec<Recalled>, risk: Risk) -> Vec<Recalled> {
    let as_text = |key: String| match for_prompt_at(risk, &Value::String(key)) {
        Value::String(key) => key,
        _ => String::new(),
    };
    recalled
        .into_iter()
        .map(|item| Recalled {
            value: for_prompt_at(risk, &item.value),
            key: as_text(item.key),
            ..item
        })
        .collect()
}

/// Renders the owner's own memories, one line each.
pub(in crate::handlers) fn owner_lines(recalled: &[Recalled]) -> Option<String> {
    lines(recalled.iter().filter(|item| item.provenance.is_users()))
}

/// Renders memories from emails and models, one line each.
pub(in crate::handlers) fn other_lines(recalled: &[Recalled]) -> Option<String> {
    lines(recalled.iter().filter(|item| !item.provenance.is_users()))
}

fn lines<'a>(items: impl Iterator<Item = &'a Recalled>) -> Option<String> {
    let mut text = String::new();
    for item in items {
        // A value is JSON, so that it fits on one line.
        let _ = writeln!(
            text,
            "[{}] {}, {}: {}",
            item.id, item.level, item.key, item.value
        );
    }
    (!text.is_empty()).then_some(text)
}

/// Returns the owner's preferred tone; the narrowest scope wins.
pub(super) fn learned_tone(recalled: &[Recalled]) -> Option<Tone> {
    let breadth = |scope| match scope {
        ScopeKind::Sender => 0,
        ScopeKind::Domain => 1,
        ScopeKind::Topic => 2,
        ScopeKind::Global => 3,
    };
    recalled
        .iter()
        .filter(|item| item.provenance.is_users() && item.key.eq_ignore_ascii_case(TONE))
        .filter_map(|item| Some((breadth(item.scope), Tone::parse(item.value.as_str()?)?)))
        .min_by_key(|(breadth, _)| *breadth)
        .map(|(_, tone)| tone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::{
        MemoryId, MessageId,
        memory::{Level, Provenance},
    };
    use serde_json::json;

    fn item(provenance: Provenance, scope: ScopeKind, key: &str, value: Value) -> Recalled {
        Recalled {
            id: MemoryId::new(),
            level: Level::Episodic,
            scope,
            key: key.into(),
            provenance,
            value,
        }
    }

    #[test]
    fn owner_memories_are_separate_from_read_ones() {
        let recalled = [
            item(
                Provenance::User,
                ScopeKind::Global,
                "said",
                json!("by me\n"),
            ),
            item(Provenance::UserEdit, ScopeKind::Global, "shown", json!(1)),
            item(
                Provenance::Email,
                ScopeKind::Global,
                "read",
                json!("by all"),
            ),
            item(Provenance::Llm, ScopeKind::Global, "guessed", json!(2)),
        ];
        let own = owner_lines(&recalled).unwrap();
        assert!(own.contains("said: \"by me\\n\"") && own.contains("shown: 1"));
        assert!(!own.contains("read") && !own.contains("guessed"));
        let others = other_lines(&recalled).unwrap();
        assert_eq!(others.lines().count(), 2);
        assert_eq!(other_lines(&recalled[..2]), None);
    }

    #[test]
    fn narrowest_tone_of_the_owner_wins() {
        let tone = |provenance, scope, word| item(provenance, scope, "Tone", json!(word));
        let everywhere = tone(Provenance::User, ScopeKind::Global, "formal");
        let here = tone(Provenance::User, ScopeKind::Sender, "friendly");
        let read = tone(Provenance::Email, ScopeKind::Sender, "brief");
        assert_eq!(
            learned_tone(&[read.clone(), everywhere.clone(), here]),
            Some(Tone::Friendly)
        );
        assert_eq!(
            learned_tone(&[read.clone(), everywhere]),
            Some(Tone::Formal)
        );
        assert_eq!(learned_tone(&[read]), None);
        let odd = tone(Provenance::User, ScopeKind::Sender, "sarcastic");
        assert_eq!(learned_tone(&[odd]), None);
    }

    #[test]
    fn scopes_are_those_of_sender_and_recipients() {
        let mail = Mail::parse(b"From: Ada@x.example\n\nHello").unwrap();
        let mut args = Args::reply(MessageId::new());
        args.recipients.to.push("bob@y.example".into());
        let found = scopes(&args, Some(&mail));
        let values: Vec<_> = found.iter().map(MemoryScope::value).collect();
        assert_eq!(
            values,
            ["ada@x.example", "x.example", "bob@y.example", "y.example"]
        );
    }

    #[test]
    fn keys_are_redacted_like_values() {
        let item = item(
            Provenance::User,
            ScopeKind::Global,
            "ask ada@x.example",
            json!("+44 20 7946 0958"),
        );
        let kept = redacted(vec![item.clone()], Risk::High);
        assert_eq!(kept[0].key, "ask [redacted]");
        assert_eq!(kept[0].value, json!("[redacted]"));
        assert_eq!(redacted(vec![item.clone()], Risk::Medium), [item]);
    }
}
