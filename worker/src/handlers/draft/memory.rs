//! What is remembered for whoever writes, as a mail of theirs may use it: [`recall`] reads, the rest is pure.
//!
//! What the owner has said is followed like the instructions of today. What a mail or a model has left in the memory is
//! evidence like any mail: it goes into the prompt between the same marks, and names no link.

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

/// The key of an item that says how somebody wants to sound.
const TONE: &str = "tone";
/// More recipients than this say little about any one of them.
const RECIPIENTS: usize = 20;

/// What holds for this mail. Says of each item that it was used: what is never recalled is what is forgotten first.
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

/// Whoever wrote the mail, and whoever is to get one.
fn scopes(args: &Args, mail: Option<&Mail>) -> Vec<MemoryScope> {
    let sender = mail.and_then(|mail| mail.from.as_ref());
    let asked = args.recipients.to.iter().take(RECIPIENTS);
    sender
        .map(|sender| &sender.addr)
        .into_iter()
        .chain(asked)
        .flat_map(|address| MemoryScope::of_sender(address))
        .collect()
}

/// As a prompt may hold them: what could hurt when it leaves is blacked out.
pub(super) fn redacted(recalled: Vec<Recalled>, risk: Risk) -> Vec<Recalled> {
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

/// The owner's own words, a line for each item.
pub(super) fn of_the_owner(recalled: &[Recalled]) -> Option<String> {
    lines(recalled.iter().filter(|item| item.provenance.is_users()))
}

/// What was only read or concluded.
pub(super) fn of_others(recalled: &[Recalled]) -> Option<String> {
    lines(recalled.iter().filter(|item| !item.provenance.is_users()))
}

fn lines<'a>(items: impl Iterator<Item = &'a Recalled>) -> Option<String> {
    let mut text = String::new();
    for item in items {
        // A value is JSON, so that it stays on its line.
        let _ = writeln!(
            text,
            "[{}] {}, {}: {}",
            item.id, item.level, item.key, item.value
        );
    }
    (!text.is_empty()).then_some(text)
}

/// How the owner wants to sound here: what they have said of this person holds before what they have said of everybody.
pub(super) fn learned_tone(recalled: &[Recalled]) -> Option<Tone> {
    let reach = |scope| match scope {
        ScopeKind::Sender => 0,
        ScopeKind::Domain => 1,
        ScopeKind::Topic => 2,
        ScopeKind::Global => 3,
    };
    recalled
        .iter()
        .filter(|item| item.provenance.is_users() && item.key.eq_ignore_ascii_case(TONE))
        .filter_map(|item| Some((reach(item.scope), Tone::parse(item.value.as_str()?)?)))
        .min_by_key(|(reach, _)| *reach)
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
    fn what_was_only_read_is_kept_apart_from_what_the_owner_said() {
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
        let own = of_the_owner(&recalled).unwrap();
        assert!(own.contains("said: \"by me\\n\"") && own.contains("shown: 1"));
        assert!(!own.contains("read") && !own.contains("guessed"));
        let others = of_others(&recalled).unwrap();
        assert_eq!(others.lines().count(), 2);
        assert_eq!(of_others(&recalled[..2]), None);
    }

    #[test]
    fn the_nearest_tone_of_the_owner_s_own_holds() {
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
    fn the_scopes_are_the_sender_s_and_the_recipients() {
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
    fn keys_are_blacked_out_as_values_are() {
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
