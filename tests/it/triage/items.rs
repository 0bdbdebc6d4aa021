//! The inbox items and approvals that triage adds.

use super::{INVOICE, RULES, TestWorker, answer};
use jobs::store::approvals::{
    self,
    read::{self, ApprovalFilter},
};
use serde_json::json;

#[tokio::test]
async fn email_that_asks_for_something_leaves_one_item_for_its_recipient() {
    let worker = TestWorker::open(Some(RULES), []).await;
    worker.triage(INVOICE, |_| ()).await;
    // Judged again on demand: the item is there.
    worker.triage(INVOICE, |args| args.force = true).await;
    let item: String = worker
        .acme
        .db
        .one(
            "select concat_ws(' ', title, '/', priority, state, source, owner_id = (select id from users),
                 message_id is not null, job_id is not null)
             from inbox_items",
        )
        .await;
    assert_eq!(item, "Invoice 42 / high open email t t t");
    let audited = "select count(*) from audit_entries where action = 'inbox_item.created'";
    assert_eq!(worker.count(audited).await, 1);
    // Told once, to whom it is for.
    let entries = "select count(*) from history_entries
                where verb = 'added' and object_kind = 'inbox_item' and user_id = (select id from users)";
    assert_eq!(worker.count(entries).await, 1);
}

#[tokio::test]
async fn dry_run_and_an_email_that_asks_for_nothing_leave_none() {
    let idle = answer(|reply| {
        reply["category"] = json!("newsletter");
        reply["disposition"] = json!("ignore");
        reply["actions"] = json!([]);
    });
    let worker = TestWorker::open(None, [answer(|_| ()), idle]).await;
    worker.triage(INVOICE, |args| args.dry_run = true).await;
    worker
        .triage(
            b"From: News <news@paper.example>\nTo: owner@acme.example\nSubject: Issue 7\n\nNews.",
            |_| (),
        )
        .await;
    assert_eq!(worker.count("select count(*) from inbox_items").await, 0);
}

#[tokio::test]
async fn email_to_nobody_of_the_tenant_is_everybody_s() {
    let worker = TestWorker::open(Some(RULES), []).await;
    let mail =
        String::from_utf8_lossy(INVOICE).replace("owner@acme.example", "office@acme.example");
    worker.triage(mail.as_bytes(), |_| ()).await;
    let shared = "select count(*) from inbox_items where owner_id is null";
    assert_eq!(worker.count(shared).await, 1);
}

#[tokio::test]
async fn approval_names_the_email_that_it_is_about() {
    let worker = TestWorker::open(Some(RULES), []).await;
    let output = worker.triage(INVOICE, |_| ()).await;
    // Judged again on demand: the latest triage counts, once.
    worker.triage(INVOICE, |args| args.force = true).await;
    let acme = &worker.acme;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let listed = read::list(
        &mut conn,
        (acme.owner.tenant, acme.owner.reader()),
        &ApprovalFilter::default(),
        None,
        10,
    )
    .await
    .unwrap();
    let first = listed.last().expect("the first triage asks for approval");
    assert_eq!(
        (
            first.message,
            first.sender.as_deref(),
            first.subject.as_deref()
        ),
        (
            Some(output.message.id),
            Some("alice@client.com"),
            Some("Invoice 42")
        )
    );
    let found = approvals::find(&mut conn, acme.owner.tenant, first.id).await;
    assert_eq!(found.unwrap().as_ref(), Some(first));
}
