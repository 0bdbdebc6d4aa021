//! The matrix inside a tenant: what belongs to one person's draft, read through every operation by every kind of colleague.

use super::{NOTHING, call, private, request, shape};
use crate::{
    drafts::{generated, seed},
    support::{
        Client, TestDb,
        api_keys::{all_scopes, key},
        client::send,
        system::{TestApi, Worker},
    },
    users::user_of,
};
use base::JobId;
use jobs::domain::{api_key::KeyScope, session::Role};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// In everything that is part of the person's draft.
const MARK: &str = "mossyferns";

/// The operations that show something of a draft to those who may read it.
const SHOW_DRAFTS: [&str; 9] = [
    "diff_draft",
    "get_approval",
    "get_draft",
    "get_effect",
    "get_job",
    "list_approvals",
    "list_draft_versions",
    "list_drafts",
    "list_history",
];

/// A draft of the person's that was written, approved and sent.
struct SentDraft {
    draft: String,
    approval: String,
    effect: String,
    /// Those that wrote and sent it.
    jobs: Vec<String>,
}

impl SentDraft {
    /// The ids that an operation with this path can be called with.
    fn ids(&self, path: &str) -> Vec<&str> {
        match path
            .strip_prefix("/v1/")
            .and_then(|path| path.split('/').next())
        {
            Some("approvals") => vec![self.approval.as_str()],
            Some("effects") => vec![self.effect.as_str()],
            Some("jobs") => self.jobs.iter().map(String::as_str).collect(),
            _ => vec![self.draft.as_str()],
        }
    }
}

async fn sent(db: &TestDb, person: &Client) -> SentDraft {
    let (tenant, user) = (person.tenant, user_of(db, person).await);
    let draft = seed::draft(db, tenant, Some(user), &format!("Dear {MARK}")).await;
    let approval: String = db.one("select approval_id::text from drafts").await;
    let written = json!({
        "outcome": "drafted", "draft_id": draft, "version": 1, "approval_id": approval, "confidence": "HIGH",
        "send_at": null, "not_needed": null, "open_questions": [], "assumptions": [MARK], "memory_ids": [], "diff": [],
        "preview": null, "dry_run": false, "llm": {
            "calls": 1, "tokens": 1, "ms": 1, "cost_micros": null, "provider": null, "model": null,
        },
    });
    let executed = json!({
        "dry_run": false, "approval_id": approval, "actions": [{
            "index": 0, "type": "send_draft", "risk": "high", "gate": "approval", "result": "succeeded",
            "effect_id": null, "approval_id": null, "receipt": {"to": MARK}, "error": null,
        }],
    });
    let job = |kind: &str, output: &Value| {
        format!(
            "insert into finished_jobs (tenant_id, id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
                 args, output, run_at, created_at)
             values ('{tenant}', gen_random_uuid(), '{kind}', 'draft', 'succeeded', 3, 1, 0, 0, 5, '{{\"mode\": \"reply\"}}',
                 '{output}', now(), now());"
        )
    };
    db.execute(&format!(
        "update approvals set summary = '{MARK}' where id = '{approval}';
         insert into history_entries (tenant_id, id, verb, object_kind, object_id, rationale)
         values ('{tenant}', gen_random_uuid(), 'drafted', 'draft', '{draft}', '{MARK}'),
             ('{tenant}', gen_random_uuid(), 'approved', 'approval', '{approval}', '{MARK}');
         insert into effects (tenant_id, id, effect_key, type, approval_id, status, job_id, attempt, receipt)
         values ('{tenant}', gen_random_uuid(), sha256('sent'), 'send_draft', '{approval}', 'succeeded', gen_random_uuid(), 1,
             '{{\"to\": \"{MARK}\"}}');
         {} {}",
        job("draft.generate", &written),
        job("action.execute", &executed)
    ))
    .await;
    let effect: String = db.one("select id::text from effects").await;
    let jobs: String = db
        .one("select string_agg(id::text, ' ') from finished_jobs")
        .await;
    SentDraft {
        draft: draft.to_string(),
        approval,
        effect,
        jobs: jobs.split(' ').map(str::to_owned).collect(),
    }
}

/// The operations that show the reader anything of the draft, of all that read.
async fn shown(api: &TestApi, sent: &SentDraft, token: &str) -> BTreeSet<&'static str> {
    let mut shown = BTreeSet::new();
    for (operation, ..) in private() {
        if operation.method != Method::GET {
            continue;
        }
        for id in sent.ids(operation.path) {
            let mut request = request(api, &operation, id).bearer_auth(token);
            if operation.name == "diff_draft" {
                request = request.query(&[("from", 1), ("to", 1)]);
            }
            let answer = send(request).await;
            let names_it = answer.text.contains(MARK) || answer.text.contains(&sent.draft);
            // A refusal names the path that was asked for.
            if answer.status.is_success() && names_it {
                shown.insert(operation.name);
            }
        }
    }
    shown
}

#[tokio::test]
async fn draft_is_read_by_its_person_their_delegates_and_those_with_a_right_of_their_own() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let person = owner.colleague(&db, Role::Member).await;
    let delegate = owner.colleague(&db, Role::Operator).await;
    let sent = sent(&db, &person).await;
    let path = format!("/v1/users/me/delegates/{}", user_of(&db, &delegate).await);
    let added = send(person.request(Method::PUT, &path)).await;
    assert_eq!(added.status, 204, "{}", added.text);
    let admin = owner.colleague(&db, Role::Admin).await;
    let auditor = owner.colleague(&db, Role::Auditor).await;
    let member = owner.colleague(&db, Role::Member).await;
    let operator = owner.colleague(&db, Role::Operator).await;
    let reads_all = key(&db, owner.tenant, all_scopes()).await;
    let others = all_scopes()
        .into_iter()
        .filter(|scope| *scope != KeyScope::ApprovalsReadAll);
    let other = key(&db, owner.tenant, others).await;
    let all: BTreeSet<&str> = SHOW_DRAFTS.into();
    for (who, token, expected) in [
        ("its person", person.token(), &all),
        ("a delegate", delegate.token(), &all),
        ("an owner", owner.token(), &all),
        ("an admin", admin.token(), &all),
        ("an auditor", auditor.token(), &all),
        ("a key that reads all", &reads_all, &all),
        ("a member", member.token(), &BTreeSet::new()),
        ("an operator", operator.token(), &BTreeSet::new()),
        ("another key", &other, &BTreeSet::new()),
    ] {
        assert_eq!(&shown(&api, &sent, token).await, expected, "{who}");
    }
}

#[tokio::test]
async fn draft_that_a_colleague_may_not_read_is_one_that_does_not_exist() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let person = owner.colleague(&db, Role::Member).await;
    let member = owner.colleague(&db, Role::Member).await;
    let sent = sent(&db, &person).await;
    let (draft, approval, effect) = (&*sent.draft, &*sent.approval, &*sent.effect);
    let mut compared = 0;
    for (prefix, id) in [
        ("/v1/drafts/", draft),
        ("/v1/approvals/", approval),
        ("/v1/effects/", effect),
    ] {
        for (operation, ..) in private() {
            if operation.path.starts_with(prefix) {
                let hidden = call(&api, &operation, id, member.token()).await;
                let nothing = call(&api, &operation, NOTHING, member.token()).await;
                let name = operation.name;
                assert_eq!(shape(&hidden, id), shape(&nothing, NOTHING), "{name}");
                assert!(!hidden.status.is_success(), "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 12, "{compared}");
    // The same requests with all that they need.
    for (path, body) in [
        (format!("/v1/approvals/{approval}/approve"), None),
        (format!("/v1/approvals/{approval}/reject"), None),
        (format!("/v1/approvals/{approval}/undo"), None),
        (format!("/v1/approvals/{approval}/revoke"), None),
        (
            format!("/v1/approvals/{approval}/edit"),
            Some(json!({"instructions": "Shorter."})),
        ),
        (format!("/v1/drafts/{draft}/discard"), None),
        (format!("/v1/drafts/{draft}/propose"), None),
        (
            format!("/v1/drafts/{draft}/revise"),
            Some(json!({"base_version": 1, "instructions": "Shorter."})),
        ),
        (
            format!("/v1/effects/{effect}/resolve"),
            Some(json!({"done": true})),
        ),
        (
            "/v1/jobs/action".to_owned(),
            Some(json!({"approval_id": approval, "version": 1})),
        ),
        (
            "/v1/jobs/draft".to_owned(),
            Some(json!({
                "mode": "revise", "draft_id": draft, "base_version": 1, "instructions": "Shorter.", "dry_run": true,
            })),
        ),
    ] {
        let request = member
            .request(Method::POST, &path)
            .header("If-Match", "\"1\"")
            .header("Idempotency-Key", JobId::new().to_string());
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        send(request).await.assert_problem(404, "NOT_FOUND", &path);
    }
    let denied = "select count(*) from audit_entries where outcome = 'denied'";
    assert_eq!(db.one::<i64>(denied).await, 0, "as of what does not exist");
}

#[tokio::test]
async fn email_of_a_colleague_is_one_that_does_not_exist() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let person = owner.colleague(&db, Role::Member).await;
    db.execute("update users set email = 'person@acme.example' where role = 'member'")
        .await;
    let member = owner.colleague(&db, Role::Member).await;
    let _worker = Worker::spawn(&db).await;
    let body = json!({
        "mode": "rules_only",
        "message": {
            "message_id": "<1@x.example>", "from": {"addr": "ada@x.example"}, "to": [{"addr": "person@acme.example"}],
            "subject": "Plan", "body_text": "Which one is it?",
        },
    });
    let triaged = generated::done(&person, "/v1/jobs/triage", &body).await;
    let email = triaged["message"]["id"].as_str().unwrap();
    let program = owner.with_token(&key(&db, owner.tenant, [KeyScope::JobsWrite]).await);
    let draft = |email: &str| json!({"mode": "reply", "message_id": email, "dry_run": true});
    let forward = |email: &str| {
        json!({"actions": [
            {"type": "notify", "payload": {"text": "first"}},
            {"type": "forward", "message_id": email, "payload": {"to": "dan@y.example"}},
        ]})
    };
    for (path, pointer, body) in [
        ("/v1/jobs/draft", "/message_id", draft(email)),
        ("/v1/jobs/action", "/actions/1/message_id", forward(email)),
    ] {
        let refused = generated::post(&member, path, &body).await;
        refused.assert_problem(422, "INVALID_BODY", path);
        let errors = &refused.body["errors"];
        assert_eq!(errors[0]["pointer"], pointer);
        let nothing = body.to_string().replace(email, NOTHING);
        let nothing: Value = serde_json::from_str(&nothing).unwrap();
        let nothing = generated::post(&member, path, &nothing).await;
        assert_eq!(&nothing.body["errors"], errors);
        for (who, client) in [
            ("its person", &person),
            ("an owner", &owner),
            ("a key", &program),
        ] {
            let taken = generated::post(client, path, &body).await;
            assert_eq!(taken.status, 202, "{who}: {}", taken.text);
        }
    }
    let path = format!("/v1/users/me/delegates/{}", user_of(&db, &member).await);
    let added = send(person.request(Method::PUT, &path)).await;
    assert_eq!(added.status, 204, "{}", added.text);
    let taken = generated::post(&member, "/v1/jobs/action", &forward(email)).await;
    assert_eq!(taken.status, 202, "a delegate: {}", taken.text);
}
