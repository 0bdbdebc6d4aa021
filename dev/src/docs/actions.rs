//! `docs/actions.md`: every action type with its payload and its rules, from the tables of the domain.

use super::{head, table};
use jobs::domain::{
    action::{ActionType, Field, FieldKind, OpenTo},
    gate::{Gate, HighRiskPolicy, TrustMode, by_trust},
    risk::Risk,
};

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
        + &gates()
}

/// Prints what is executed at once and what waits, by trust and risk.
fn gates() -> String {
    let introduction = "
## What waits for an approval

`trust_mode` is the tenant's (`PUT /v1/settings`); a request for actions may ask for less trust.

";
    let conclusion = "
Any action is critical if its email tries to instruct the model, or if a request has more than 20 actions; one that leaves the
installation also if the domain of the sender disowns the email (DMARC). A rule's action with `confirm` waits in any case.
Machines are never answered: such an action is denied. `save_draft` is of low risk where a reply is drafted anyway, because triage
found that the email needs one: the draft itself waits before it is sent.
";
    let modes = [
        TrustMode::TrainingWheels,
        TrustMode::Supervised,
        TrustMode::Autonomous,
    ];
    let columns = modes.map(|trust| format!("`{trust}`"));
    let [first, second, third] = columns.each_ref().map(String::as_str);
    let rows = Risk::ALL.iter().map(|risk| {
        let gate = |trust| match by_trust(trust, *risk, HighRiskPolicy::default()) {
            Gate::Auto => "at once",
            Gate::Approval => "approval",
            Gate::Denied => "denied",
        };
        let [first, second, third] = modes.map(gate).map(str::to_owned);
        [risk.to_string(), first, second, third]
    });
    introduction.to_owned() + &table(["risk", first, second, third], rows) + conclusion
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
