//! `docs/actions.md`: every action type with its payload and its rules, from the tables of the domain.

use super::{head, table};
use jobs::domain::action::{ActionType, Field, FieldKind, OpenTo};

/// Prints the page.
pub(super) fn page() -> String {
    let introduction = "\
`POST /v1/jobs/action` takes `{\"actions\": [{\"type\", \"payload\"?, \"message_id\"?, \"external_id\"?}], \"on_error\"?,
\"dry_run\"?, \"trust_mode\"?}`. Trust (`PUT /v1/settings`) and risk decide which actions are executed at once and which
wait for an approval. [api-guide.md](api-guide.md#actions) says what each does and how it is undone.

In a payload `?` marks what may be left out; the number is the most characters a text may have.
";
    head("Actions", introduction)
        + "\n"
        + &table(
            ["type", "title", "payload", "risk", "proposed by", "undo"],
            ActionType::ALL.iter().copied().map(row),
        )
}

fn row(action: ActionType) -> [String; 6] {
    let spec = action.spec();
    [
        format!("`{action}`"),
        spec.title.to_owned(),
        payload(spec.parameters),
        spec.risk.to_string(),
        proposers(action, spec.open_to).to_owned(),
        if spec.compensable { "yes" } else { "–" }.to_owned(),
    ]
}

fn payload(fields: &[Field]) -> String {
    let fields = fields.iter().map(|field| {
        let mark = if field.required { "" } else { "?" };
        let kind = match field.kind {
            FieldKind::Text(max) => max.to_string(),
            FieldKind::Recipient => "one address".to_owned(),
            FieldKind::Connection => "id of a connection".to_owned(),
        };
        format!("`{}`{mark} ({kind})", field.name)
    });
    let fields: Vec<String> = fields.collect();
    if fields.is_empty() {
        "–".to_owned()
    } else {
        fields.join(", ")
    }
}

/// Names everyone who may propose an action.
const fn proposers(action: ActionType, open_to: OpenTo) -> &'static str {
    match open_to {
        OpenTo::Approvals if matches!(action, ActionType::SendDigest) => "Postroom itself",
        OpenTo::Approvals => "approval of a draft",
        OpenTo::Requests => "client",
        OpenTo::RulesWithExactSender => "client, rule that names its senders exactly",
        OpenTo::Rules => "client, rule",
        OpenTo::Models => "client, rule, model",
    }
}
