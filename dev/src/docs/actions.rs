//! `docs/actions.md`: every action type with its payload and its rules, from the tables of the domain.

use super::{head, table};
use jobs::domain::{
    action::{ActionType, FieldKind, Params},
    gate::base_risk,
};

/// Prints the page.
pub(super) fn page() -> String {
    let introduction = "\
`POST /v1/jobs/action` takes `{\"actions\": [{\"type\", \"payload\", \"message_id\"?, \"external_id\"?}], \"on_error\"?,
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
    [
        format!("`{action}`"),
        title(action),
        payload(action),
        base_risk(action).to_string(),
        proposers(action),
        if action.is_compensable() {
            "yes"
        } else {
            "–"
        }
        .to_owned(),
    ]
}

fn title(action: ActionType) -> String {
    if action.is_executable() {
        action.title().to_owned()
    } else {
        format!("{} (proposed only; a person does it)", action.title())
    }
}

fn payload(action: ActionType) -> String {
    let fields = Params::fields(action).iter().map(|field| {
        let mark = if field.required { "" } else { "?" };
        let kind = match field.kind {
            FieldKind::Text(max) => max.to_string(),
            FieldKind::Recipient => "one address".to_owned(),
            FieldKind::Url => "URL".to_owned(),
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

/// Who may propose it beside a client of the API, who may propose everything.
fn proposers(action: ActionType) -> String {
    let open = [
        ("client", true),
        ("rule", ActionType::OPEN_TO_RULES.contains(&action)),
        ("model", ActionType::OPEN_TO_MODELS.contains(&action)),
    ];
    let open: Vec<&str> = open
        .into_iter()
        .filter_map(|(who, may)| may.then_some(who))
        .collect();
    open.join(", ")
}
