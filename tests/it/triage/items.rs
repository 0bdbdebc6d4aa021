//! The inbox items that triage adds.

use super::{Desk, INVOICE, RULES, answer};
use serde_json::json;

#[tokio::test]
async fn a_mail_that_asks_for_something_leaves_one_item_for_its_recipient() {
    let desk = Desk::open(Some(RULES), []).await;
    desk.triage(INVOICE, |_| ()).await;
    // Judged again on demand: the item is there.
    desk.triage(INVOICE, |args| args.force = true).await;
    let item: String = desk
        .office
        .db
        .one(
            "select concat_ws(' ', title, '/', priority, state, source, owner_id = (select id from users),
                 message_id is not null, job_id is not null)
             from inbox_items",
        )
        .await;
    assert_eq!(item, "Invoice 42 / high open email t t t");
    let audited = "select count(*) from audit_entries where action = 'inbox_item.created'";
    assert_eq!(desk.count(audited).await, 1);
    // Told once, to whom it is for.
    let told = "select count(*) from history_entries
                where verb = 'added' and object_kind = 'inbox_item' and user_id = (select id from users)";
    assert_eq!(desk.count(told).await, 1);
}

#[tokio::test]
async fn a_dry_run_and_a_mail_that_asks_for_nothing_leave_none() {
    let idle = answer(|reply| {
        reply["category"] = json!("newsletter");
        reply["disposition"] = json!("ignore");
        reply["actions"] = json!([]);
    });
    let desk = Desk::open(None, [answer(|_| ()), idle]).await;
    desk.triage(INVOICE, |args| args.dry_run = true).await;
    desk.triage(
        b"From: News <news@paper.example>\nTo: owner@acme.example\nSubject: Issue 7\n\nNews.",
        |_| (),
    )
    .await;
    assert_eq!(desk.count("select count(*) from inbox_items").await, 0);
}

#[tokio::test]
async fn a_mail_to_nobody_of_the_tenant_is_everybody_s() {
    let desk = Desk::open(Some(RULES), []).await;
    let mail =
        String::from_utf8_lossy(INVOICE).replace("owner@acme.example", "office@acme.example");
    desk.triage(mail.as_bytes(), |_| ()).await;
    let shared = "select count(*) from inbox_items where owner_id is null";
    assert_eq!(desk.count(shared).await, 1);
}
