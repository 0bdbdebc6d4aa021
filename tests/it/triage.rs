//! Triage keeps its promises on a real database: who decides, what is written, and that nothing is paid for or proposed
//! twice. The worker around it is another module's matter.

mod cold;
mod items;
mod outage;
mod stored;
mod test_worker;

use jobs::{
    commands::rules::{PutRulesError, put_rules},
    kinds::triage::Mode,
    store::rule_sets,
};
use llm::LlmError;
use queue::FailureClass;
use serde_json::{Value, json};
use test_worker::{ModelTurn, TestWorker};

const INVOICE: &[u8] =
    b"Message-ID: <1@client.com>\nFrom: Alice <alice@client.com>\nTo: owner@acme.example\n\
    Subject: Invoice 42\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\nPlease pay EUR 12.50 by Friday.";

const RULES: &str = "rules:\n- name: client-invoices\n  match: {from: '*@client.com', subject: invoice}\n  \
    set: {priority: high}\n  actions: [{type: create_task, params: {title: 'Pay {{subject}}'}}]";

const QUESTION: &str = "rules:\n- name: client-invoices\n  match: {from: '*@client.com', subject: invoice}\n  \
    actions: [{type: label, params: {label: bills}}]\n\
    - {name: urgent, llm_condition: it is urgent, set: {priority: urgent}}";

fn answer(change: impl FnOnce(&mut Value)) -> ModelTurn {
    let mut reply = json!({
        "reasoning": "The client asks for payment.", "category": "task", "disposition": "notify", "priority": "high",
        "sla": "<24h", "matched_rule": null, "confidence": 0.8,
        "actions": [{"type": "create_task", "params": {"title": "Pay 12.50", "due": "Friday"}, "rationale": "Due.", "confidence": 0.7}],
        "entities": {"people": ["Alice"], "amounts": ["EUR 12.50"], "dates": ["Friday"]}, "injection_suspected": false
    });
    change(&mut reply);
    ModelTurn::Says(reply.to_string())
}

fn down() -> LlmError {
    LlmError::Transient {
        status: 503,
        retry_after: None,
    }
}

#[tokio::test]
async fn rule_decides_without_a_model_and_its_task_waits_for_a_person() {
    let worker = TestWorker::open(Some(RULES), []).await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!(
        (output.source.as_str(), output.priority.as_str()),
        ("rule", "high")
    );
    assert_eq!(output.rules_applied, ["client-invoices"]);
    let action = &output.actions[0];
    assert_eq!(
        (
            action.r#type.as_str(),
            action.gate.as_str(),
            action.risk.as_str()
        ),
        ("create_task", "approval", "medium")
    );
    assert!((action.confidence - 0.9).abs() < 1e-6 && action.approval_id.is_some());
    assert_eq!(action.payload, json!({"title": "Pay Invoice 42"}));
    assert_eq!(worker.calls(), 0);
    assert_eq!(worker.count("select count(*) from llm_calls").await, 0);
    assert_eq!(
        worker
            .count("select count(*) from approvals where status = 'proposed'")
            .await,
        1
    );
    assert_eq!(
        worker
            .count("select count(*) from triage_results where source = 'rule'")
            .await,
        1
    );
    // The verdict, the question, and the item in somebody's inbox.
    assert_eq!(
        worker.count("select count(*) from history_entries").await,
        3
    );
    assert_eq!(
        worker.audited().await,
        "triage.received triage.rule_matched action.proposed approval.created triage.completed"
    );
    // And the item in somebody's inbox.
    let same =
        "select count(*) from audit_log where request_id = 'req-triage' and job_id is not null";
    assert_eq!(worker.count(same).await, 6);
}

#[tokio::test]
async fn undecided_mail_is_asked_about_once_and_the_answer_is_accounted_for() {
    let worker = TestWorker::open(None, [answer(|_| ())]).await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!(
        (output.source.as_str(), output.category.as_str()),
        ("llm", "task")
    );
    assert_eq!(
        (output.llm.calls, output.llm.tokens, output.degraded),
        (1, 440, false)
    );
    assert_eq!(
        worker
            .count("select count(*) from llm_calls where outcome = 'ok' and input_tokens = 400")
            .await,
        1
    );
    assert_eq!(
        worker.count("select count(*) from llm_checkpoints").await,
        0
    );
    assert_eq!(
        worker.audited().await,
        "llm.called triage.received action.proposed approval.created triage.completed"
    );
}

#[tokio::test]
async fn answer_that_does_not_fit_is_repaired_once() {
    let worker = TestWorker::open(
        None,
        [answer(|reply| reply["sla"] = json!("soon")), answer(|_| ())],
    )
    .await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!(
        (output.source.as_str(), output.llm.calls, output.degraded),
        ("llm", 2, false)
    );
    assert_eq!(
        worker
            .count("select count(*) from llm_calls where step = 'triage.repair'")
            .await,
        1
    );
}

#[tokio::test]
async fn two_unusable_answers_end_in_a_task_for_a_person_whatever_the_trust() {
    let worker = TestWorker::open(
        None,
        [ModelTurn::Says("No.".into()), ModelTurn::Says("No!".into())],
    )
    .await;
    worker.trust("autonomous").await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!(
        (output.source.as_str(), output.degraded, worker.calls()),
        ("fallback", true, 2)
    );
    let action = &output.actions[0];
    assert_eq!(
        (action.r#type.as_str(), action.gate.as_str()),
        ("create_task", "approval")
    );
    assert_eq!(action.payload["title"], "Follow up: Invoice 42");
    assert!((action.confidence - 0.6).abs() < 1e-6);
}

#[tokio::test]
async fn outage_beside_a_rule_costs_no_attempt() {
    let worker = TestWorker::open(Some(QUESTION), [ModelTurn::Fails(down)]).await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!((output.source.as_str(), output.degraded), ("rule", true));
    assert_eq!(output.actions.len(), 1);
}

#[tokio::test]
async fn question_is_asked_beside_a_rule_and_its_rule_is_added() {
    let worker = TestWorker::open(
        Some(QUESTION),
        [answer(|reply| reply["matched_rule"] = json!("urgent"))],
    )
    .await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!(output.rules_applied, ["client-invoices", "urgent"]);
    assert_eq!(
        (output.source.as_str(), output.priority.as_str()),
        ("rule", "urgent")
    );
    let kinds: Vec<_> = output
        .actions
        .iter()
        .map(|action| (action.r#type.as_str(), action.gate.as_str()))
        .collect();
    assert_eq!(kinds, [("label", "auto"), ("create_task", "approval")]);
}

#[tokio::test]
async fn answer_is_paid_for_once_whatever_becomes_of_the_attempt() {
    let worker = TestWorker::open(None, [answer(|_| ())]).await;
    worker.submit(INVOICE, |_| ()).await;
    let job = worker.claim().await;
    // The worker dies after the answer: nothing of the first attempt is settled.
    drop(worker.attempt(&job).await);
    let settlement = worker
        .attempt(&job)
        .await
        .unwrap_or_else(|failure| panic!("{failure}"));
    let output = worker.settle(&job, &settlement).await.unwrap();
    assert_eq!((output.source.as_str(), worker.calls()), ("llm", 1));
    assert_eq!(worker.count("select count(*) from llm_calls").await, 1);
    assert_eq!(
        worker.count("select count(*) from llm_checkpoints").await,
        0
    );
}

#[tokio::test]
async fn worker_that_lost_the_job_during_the_call_writes_only_what_it_cost() {
    let ModelTurn::Says(text) = answer(|_| ()) else {
        unreachable!()
    };
    let worker = TestWorker::open(None, [ModelTurn::LosesTheLease(text)]).await;
    worker.submit(INVOICE, |_| ()).await;
    let job = worker.claim().await;
    let failure = worker.attempt(&job).await.err().unwrap();
    assert_eq!(failure.class, FailureClass::Interrupted);
    assert_eq!(
        worker.count("select count(*) from llm_checkpoints").await,
        0
    );
    let cost = "select count(*) from llm_calls where billing = 'settled' and input_tokens = 400";
    assert_eq!(worker.count(cost).await, 1);
    assert_eq!(worker.audited().await, "");
    // Its next request is not even sent.
    let failure = worker.attempt(&job).await.err().unwrap();
    assert_eq!(
        (failure.class, worker.calls()),
        (FailureClass::Interrupted, 1)
    );
}

#[tokio::test]
async fn dry_run_tells_everything_and_keeps_nothing() {
    let worker = TestWorker::open(Some(RULES), []).await;
    let output = worker.triage(INVOICE, |args| args.dry_run = true).await;
    assert!(output.dry_run && output.actions[0].approval_id.is_none());
    assert_eq!(output.actions[0].gate, "approval");
    for table in [
        "triage_results",
        "approvals",
        "proposed_actions",
        "history_entries",
    ] {
        let count: i64 = worker
            .acme
            .db
            .one(match table {
                "triage_results" => "select count(*) from triage_results",
                "approvals" => "select count(*) from approvals",
                "proposed_actions" => "select count(*) from proposed_actions",
                _ => "select count(*) from history_entries",
            })
            .await;
        assert_eq!(count, 0, "{table}");
    }
    assert_eq!(
        worker
            .count("select count(*) from audit_entries where action like 'triage.%' and dry_run")
            .await,
        3
    );
    let real = worker.triage(INVOICE, |_| ()).await;
    assert!(
        real.actions[0].approval_id.is_some(),
        "the dry run did not stand in its way"
    );
}

#[tokio::test]
async fn email_is_judged_once_by_the_same_rules_unless_forced() {
    let worker = TestWorker::open(Some(RULES), []).await;
    let first = worker.triage(INVOICE, |_| ()).await;
    let again = worker.triage(INVOICE, |_| ()).await;
    assert_eq!(again.actions, first.actions);
    assert_eq!(
        (again.category, again.rationale, again.source),
        (first.category, first.rationale, first.source)
    );
    assert_eq!(worker.count("select count(*) from approvals").await, 1);
    worker.triage(INVOICE, |args| args.force = true).await;
    assert_eq!(worker.count("select count(*) from approvals").await, 2);
    put_rules(
        worker.acme.db.pool(),
        &worker.acme.owner,
        Some(&1.into()),
        "rules: []",
        None,
    )
    .await
    .unwrap();
    let other_rules = worker
        .triage(INVOICE, |args| args.mode = Mode::RulesOnly)
        .await;
    assert_eq!(
        (other_rules.category.as_str(), other_rules.ruleset_version),
        ("unknown", 2)
    );
}

#[tokio::test]
async fn of_two_jobs_that_judge_one_email_at_once_only_one_is_written() {
    let worker = TestWorker::open(Some(RULES), []).await;
    worker.submit(INVOICE, |_| ()).await;
    worker.submit(INVOICE, |_| ()).await;
    let (one, two) = (worker.claim().await, worker.claim().await);
    let (first, second) = (
        worker.attempt(&one).await.ok().unwrap(),
        worker.attempt(&two).await.ok().unwrap(),
    );
    let kept = worker.settle(&one, &first).await.unwrap();
    let error = worker.settle(&two, &second).await.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().constraint(),
        Some("triage_results_once_key")
    );
    let third = worker.attempt(&two).await.ok().unwrap();
    assert_eq!(
        worker.settle(&two, &third).await.unwrap().actions,
        kept.actions
    );
    assert_eq!(worker.count("select count(*) from approvals").await, 1);
}

#[tokio::test]
async fn trust_decides_what_runs_by_itself() {
    for (trust, label, task) in [
        ("training_wheels", "auto", "approval"),
        ("supervised", "auto", "auto"),
        ("autonomous", "auto", "auto"),
    ] {
        let rules = "rules: [{name: r, match: {subject: invoice}, actions: [{type: label, params: {label: x}}, \
            {type: create_task, params: {title: y}}, {type: trash}]}]";
        let worker = TestWorker::open(Some(rules), []).await;
        worker.trust(trust).await;
        let output = worker.triage(INVOICE, |_| ()).await;
        let gates: Vec<_> = output
            .actions
            .iter()
            .map(|action| action.gate.as_str())
            .collect();
        assert_eq!(gates, [label, task, "approval"], "{trust}");
    }
}

#[tokio::test]
async fn suspected_injection_stops_everything_that_would_run_by_itself() {
    let injected = |reply: &mut Value| {
        reply["injection_suspected"] = json!(true);
        reply["actions"] =
            json!([{"type": "archive", "params": {}, "rationale": "", "confidence": 1}]);
    };
    let worker = TestWorker::open(None, [answer(injected)]).await;
    worker.trust("autonomous").await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert!(output.injection_suspected);
    assert_eq!(
        (
            output.actions[0].risk.as_str(),
            output.actions[0].gate.as_str()
        ),
        ("critical", "approval")
    );
}

#[tokio::test]
async fn own_mail_and_auto_replies_are_not_judged() {
    let worker = TestWorker::open(None, []).await;
    for mail in [
        &b"From: owner@acme.example\nTo: a@client.com\nSubject: Hi\n\nHello"[..],
        b"From: a@client.com\nAuto-Submitted: auto-replied\nSubject: Away\n\nI am away.",
    ] {
        let output = worker.triage(mail, |_| ()).await;
        assert_eq!(
            (output.source.as_str(), output.disposition.as_str()),
            ("guard", "ignore")
        );
    }
    assert_eq!(worker.calls(), 0);
}

#[tokio::test]
async fn failure_has_a_message_for_the_user_and_one_for_the_operator() {
    let worker = TestWorker::open(None, []).await;
    worker.submit(b"no mail at all", |_| ()).await;
    let failure = worker.attempt(&worker.claim().await).await.err().unwrap();
    assert_eq!(
        (failure.class, failure.code),
        (FailureClass::Permanent, "unparsable_email")
    );
    assert!(failure.message.starts_with("This is not an email"));
    worker
        .submit(INVOICE, |args| args.ruleset_version = 7)
        .await;
    let failure = worker.attempt(&worker.claim().await).await.err().unwrap();
    assert_eq!(
        (failure.class, failure.code),
        (FailureClass::Permanent, "unknown_ruleset")
    );
    worker.submit(INVOICE, |_| ()).await;
    worker
        .acme
        .db
        .execute("update tenants set status = 'closed'")
        .await;
    let failure = worker.attempt(&worker.claim().await).await.err().unwrap();
    assert_eq!(
        (failure.class, failure.code),
        (FailureClass::Permanent, "tenant_closed")
    );
}

#[tokio::test]
async fn decisions_are_counted_once_they_are_committed() {
    let worker = TestWorker::open(Some(RULES), []).await;
    worker.submit(INVOICE, |_| ()).await;
    let job = worker.claim().await;
    let settlement = worker.attempt(&job).await.ok().unwrap();
    let rule = || {
        let families = worker.metrics.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "postroom_triage_decisions_total")
            .unwrap();
        let counted: f64 = family
            .get_metric()
            .iter()
            .map(|metric| metric.get_counter().get_value())
            .sum();
        counted
    };
    assert_eq!(rule(), 0.0);
    worker.settle(&job, &settlement).await.unwrap();
    assert_eq!(rule(), 1.0);
}

#[tokio::test]
async fn rules_are_replaced_whole_or_not_at_all() {
    let worker = TestWorker::open(Some(RULES), []).await;
    let (pool, owner) = (worker.acme.db.pool(), &worker.acme.owner);
    let stale = put_rules(pool, owner, Some(&9.into()), "rules: []", None)
        .await
        .unwrap_err();
    assert!(matches!(stale, PutRulesError::Stale { active: 1 }));
    let faulty = put_rules(pool, owner, Some(&1.into()), "rules: [{name: x}]", None)
        .await
        .unwrap_err();
    assert!(
        matches!(faulty, PutRulesError::Faulty(faults) if faults[0].pointer == "/rules/0/match")
    );
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(
        rule_sets::active(&mut conn, owner.tenant)
            .await
            .unwrap()
            .unwrap()
            .yaml,
        RULES
    );
    drop(conn);
    let seen = 1.into();
    let (one, two) = tokio::join!(
        put_rules(pool, owner, Some(&seen), "rules: []", Some("req-rules")),
        put_rules(pool, owner, Some(&seen), "rules: []", Some("req-rules")),
    );
    assert_eq!(
        usize::from(one.is_ok()) + usize::from(two.is_ok()),
        1,
        "one of two writers finds version 1"
    );
    assert_eq!(
        worker
            .count("select max(version)::bigint from rule_sets where active")
            .await,
        2
    );
    let audited = "select count(*) from audit_entries where action = 'rules.updated' and request_id = 'req-rules'";
    assert_eq!(worker.count(audited).await, 1);
}
