//! Tasks, projects and contacts inside another transaction, as the effects of actions use them.

use crate::support::{Client, TestDb};
use jobs::{
    commands::{
        contacts::{Contacts, Upserted},
        record::{self, Record, RecordError, Reference},
        tasks::Tasks,
    },
    domain::{
        MessageId, TaskId,
        contacts::NewContact,
        mail::MailFormat,
        name::Name,
        tasks::{NewTask, Progress, ProjectRef, TaskChange},
    },
    store::messages::{self, NewMessage},
};

fn task(title: &str, project: &str) -> NewTask {
    NewTask {
        project: ProjectRef::Named(Name::parse(project, 100).unwrap()),
        ..NewTask::titled(Name::parse(title, 200).unwrap())
    }
}

#[tokio::test]
async fn what_is_rolled_back_leaves_neither_task_nor_project() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let mut tx = db.pool().begin().await.unwrap();
    let made = Tasks::create(&mut tx, tenant, None, &task("Pay", "Bills"))
        .await
        .unwrap();
    assert!(made.project.is_some() && made.created_by.is_none());
    tx.rollback().await.unwrap();
    assert_eq!(db.one::<i64>("select count(*) from tasks").await, 0);
    assert_eq!(db.one::<i64>("select count(*) from projects").await, 0);
}

#[tokio::test]
async fn task_is_meant_by_its_id_or_a_title_that_only_one_has() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let stranger = Client::owner_of_new_tenant(&db).await.tenant;
    let mut conn = db.pool().acquire().await.unwrap();
    let one = Tasks::create(&mut conn, tenant, None, &task("Pay", "A"))
        .await
        .unwrap();
    Tasks::create(&mut conn, stranger, None, &task("Pay", "A"))
        .await
        .unwrap();
    for text in [one.id.to_string(), " PAY ".to_owned()] {
        let meant = Tasks::meant(&mut conn, tenant, &text).await.unwrap();
        assert_eq!(meant, one.id, "{text}");
    }
    Tasks::create(&mut conn, tenant, None, &task("Pay", "B"))
        .await
        .unwrap();
    let two = Tasks::meant(&mut conn, tenant, "pay").await.unwrap_err();
    assert!(matches!(two, RecordError::Ambiguous { .. }), "{two:?}");
    assert!(two.user_message().contains("“pay”"));
    assert!(!two.to_string().contains("pay"));
    let theirs = Tasks::meant(&mut conn, stranger, &one.id.to_string()).await;
    assert!(matches!(theirs, Err(RecordError::NotFound("task"))));
    let none = Tasks::meant(&mut conn, tenant, &TaskId::new().to_string()).await;
    assert!(matches!(none, Err(RecordError::NotFound("task"))));
}

#[tokio::test]
async fn change_gives_back_what_taking_it_back_needs() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let mut conn = db.pool().acquire().await.unwrap();
    let made = Tasks::create(&mut conn, tenant, None, &task("Pay", "A"))
        .await
        .unwrap();
    let change = TaskChange {
        status: Some(Progress::Done),
        ..TaskChange::default()
    };
    let changed = record::change::<Tasks>(&mut conn, tenant, made.id.0, None, &change)
        .await
        .unwrap();
    assert_eq!(changed.before, made);
    assert_eq!(
        (changed.after.status, changed.after.version),
        (Progress::Done, 2)
    );
    // Somebody was there meanwhile: what was seen is not there any more.
    let stale = record::delete::<Tasks>(&mut conn, tenant, made.id.0, Some(&1.into())).await;
    assert!(matches!(stale, Err(RecordError::Stale { present: 2 })));
}

#[tokio::test]
async fn email_is_tied_to_a_task_once_and_only_an_email_of_the_tenant_s() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let stranger = Client::owner_of_new_tenant(&db).await.tenant;
    let mut conn = db.pool().acquire().await.unwrap();
    let (ours, theirs) = (MessageId::new(), MessageId::new());
    for (tenant, id) in [(tenant, ours), (stranger, theirs)] {
        let mail = NewMessage {
            id,
            tenant,
            format: MailFormat::Rfc822,
            source: b"",
            content_hash: [0; 32],
        };
        messages::insert(&mut conn, &[mail]).await.unwrap();
    }
    let made = Tasks::create(&mut conn, tenant, None, &task("Pay", "A"))
        .await
        .unwrap();
    assert!(Tasks::link(&mut conn, tenant, made.id, ours).await.unwrap());
    assert!(!Tasks::link(&mut conn, tenant, made.id, ours).await.unwrap());
    let refused = Tasks::link(&mut conn, tenant, made.id, theirs).await;
    assert!(matches!(
        refused,
        Err(RecordError::Unknown(Reference::Message))
    ));
    let read = Tasks::find(&mut conn, tenant, made.id.0)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.messages, [ours]);
    assert!(
        Tasks::unlink(&mut conn, tenant, made.id, ours)
            .await
            .unwrap()
    );
    assert!(
        !Tasks::unlink(&mut conn, tenant, made.id, ours)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn contact_is_made_or_changed_by_its_address_or_a_name_that_only_one_has() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let mut conn = db.pool().acquire().await.unwrap();
    let contact = |name: &str, email: Option<&str>, notes: Option<&str>| NewContact {
        name: Name::parse(name, 200).unwrap(),
        email: email.map(|email| email.parse().unwrap()),
        notes: notes.map(str::to_owned),
    };
    let first = contact("Ada", Some("ada@example.com"), Some("VIP"));
    let made = Contacts::upsert(&mut conn, tenant, None, &first)
        .await
        .unwrap();
    let Upserted::Created(made) = made else {
        panic!("{made:?}")
    };
    let renamed = contact("Ada L.", Some("ADA@example.com"), None);
    let changed = Contacts::upsert(&mut conn, tenant, None, &renamed)
        .await
        .unwrap();
    let Upserted::Changed(changed) = changed else {
        panic!("{changed:?}")
    };
    assert_eq!(changed.before, made);
    assert_eq!(
        (changed.after.name.as_str(), changed.after.notes.as_deref()),
        ("Ada L.", Some("VIP"))
    );
    let by_name = contact("ada l.", None, Some("friend"));
    let again = Contacts::upsert(&mut conn, tenant, None, &by_name)
        .await
        .unwrap();
    assert!(matches!(again, Upserted::Changed(ref changed) if changed.after.id == made.id));
    Contacts::create(&mut conn, tenant, None, &contact("Ada L.", None, None))
        .await
        .unwrap();
    let two = Contacts::upsert(&mut conn, tenant, None, &by_name).await;
    assert!(matches!(two, Err(RecordError::Ambiguous { .. })));
}
