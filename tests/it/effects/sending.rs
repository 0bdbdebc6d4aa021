//! The last check before an external effect: connection, rate and holder, in the transaction that says `in_flight`.

use super::*;
use crate::support::{eventually, wait::SOON};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::effects::sending::{Sending, begin_sending},
    domain::ConnectionId,
};
use sqlx::{Connection, PgConnection};

/// A connection of the tenant's, in this state, by which so many emails may leave in an hour.
pub(super) async fn connection(
    db: &TestDb,
    tenant: TenantId,
    status: &str,
    per_hour: i32,
) -> ConnectionId {
    let id = ConnectionId::new();
    db.execute(&format!(
        "insert into connections (tenant_id, id, user_id, provider, address, settings, secret, key_id, status, sends_per_hour)
         select tenant_id, '{id}', id, 'imap_smtp', '{id}@acme.example', '{{}}', '', 'k1', '{status}', {per_hour}
         from users where tenant_id = '{tenant}'"
    ))
    .await;
    id
}

pub(super) fn mail(tenant: TenantId, subject: &str) -> NewEffect {
    let payload = json!({ "subject": subject });
    NewEffect {
        key: effect_key(tenant, ActionType::Send, "m1", Identity::Payload(&payload)),
        kind: ActionType::Send,
        message: None,
        payload_hash: canonical_sha256(&payload),
        connection: None,
        rendered: Some(b"secret bytes".to_vec()),
        message_id: Some(format!("<{subject}@acme.example>")),
        approval: None,
    }
}

pub(super) fn bytes() -> Sending {
    Sending::Go(b"secret bytes".to_vec())
}

/// Waits until so many statements wait for a lock.
pub(super) async fn statements_wait(db: &TestDb, expected: i64) {
    eventually(SOON, async || {
        let waiting: i64 = db
            .one("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
            .await;
        (waiting == expected)
            .then_some(())
            .ok_or_else(|| format!("{waiting} statements wait"))
    })
    .await;
}

#[tokio::test]
async fn of_many_emails_that_are_begun_at_once_as_many_leave_as_the_hour_allows() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let line = connection(&db, tenant, "active", 2).await;
    let mut emails = Vec::new();
    for subject in ["a", "b", "c", "d", "e"] {
        let job = running(&db, tenant).await;
        let id = intended(&db, &job, &mail(tenant, subject)).await;
        emails.push((job, id));
    }
    let begun = emails
        .iter()
        .map(|(job, id)| begin_sending(db.pool(), job, (*id, ActionType::Send), line));
    let said: Vec<Sending> = join_all(begun)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let gone = said.iter().filter(|said| **said == bytes());
    assert_eq!(gone.count(), 2, "{said:?}");
    let now: DateTime<Utc> = db.one("select now()").await;
    for said in said.iter().filter(|said| **said != bytes()) {
        let Sending::Wait { until, code } = said else {
            panic!("{said:?}");
        };
        assert_eq!(*code, "sending_rate");
        let minutes = (*until - now).num_minutes();
        assert!((58..=60).contains(&minutes), "{minutes} minutes");
    }
    let of_them = "select count(*) from effects where status = 'intent'";
    assert_eq!(db.one::<i64>(of_them).await, 3);
}

#[tokio::test]
async fn what_is_no_mail_takes_nothing_of_the_hour_and_is_not_kept_back_by_it() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let line = connection(&db, tenant, "active", 1).await;
    let job = running(&db, tenant).await;
    let label = |payload: Value| NewEffect {
        key: effect_key(tenant, ActionType::Label, "m1", Identity::Payload(&payload)),
        kind: ActionType::Label,
        message_id: None,
        ..mail(tenant, "label")
    };
    let begin = async |effect: &NewEffect| {
        let id = intended(&db, &job, effect).await;
        begin_sending(db.pool(), &job, (id, effect.kind), line)
            .await
            .unwrap()
    };
    assert_eq!(begin(&label(json!("before"))).await, bytes());
    assert_eq!(begin(&mail(tenant, "a")).await, bytes());
    assert_eq!(begin(&label(json!("after"))).await, bytes());
    assert!(matches!(
        begin(&mail(tenant, "b")).await,
        Sending::Wait { .. }
    ));
    db.execute("update effects set last_tried_at = last_tried_at - interval '61 minutes'")
        .await;
    assert_eq!(begin(&mail(tenant, "c")).await, bytes());
}

#[tokio::test]
async fn nothing_leaves_by_a_connection_that_was_refused_or_is_gone() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let other = Client::owner_of_new_tenant(&db).await.tenant;
    let job = running(&db, tenant).await;
    let id = intended(&db, &job, &mail(tenant, "a")).await;
    let begin = async |line| {
        begin_sending(db.pool(), &job, (id, ActionType::Send), line)
            .await
            .unwrap()
    };
    let refused = connection(&db, tenant, "reauth_required", 60).await;
    let Sending::Wait { until, code } = begin(refused).await else {
        panic!("it left");
    };
    assert_eq!(code, "reauth_required");
    let now: DateTime<Utc> = db.one("select now()").await;
    assert!((until - now - TimeDelta::minutes(1)).abs() < TimeDelta::seconds(30));
    let revoked = connection(&db, tenant, "revoked", 60).await;
    let theirs = connection(&db, other, "active", 60).await;
    for line in [revoked, theirs, ConnectionId::new()] {
        assert_eq!(begin(line).await, Sending::ConnectionGone);
    }
    let found = effects::find(&mut db.pool().acquire().await.unwrap(), tenant, id).await;
    assert_eq!(found.unwrap().unwrap().status, EffectStatus::Intent);
    let degraded = connection(&db, tenant, "degraded", 60).await;
    assert_eq!(begin(degraded).await, bytes());
}

#[tokio::test]
async fn email_that_leaves_by_another_account_is_written_anew() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let (one, other) = (
        connection(&db, tenant, "active", 60).await,
        connection(&db, tenant, "active", 60).await,
    );
    let job = running(&db, tenant).await;
    let by = |connection, bytes: &str, name: &str| NewEffect {
        connection: Some(connection),
        rendered: Some(bytes.as_bytes().to_vec()),
        message_id: Some(name.to_owned()),
        ..mail(tenant, "a")
    };
    let tried = async |new: NewEffect, ended: EffectEnd| {
        let id = intended(&db, &job, &new).await;
        let line = new.connection.unwrap();
        let begun = begin_sending(db.pool(), &job, (id, ActionType::Send), line).await;
        end(db.pool(), &job, id, &ended).await.unwrap();
        let name: String = db.one("select rfc_message_id from effects").await;
        let Sending::Go(bytes) = begun.unwrap() else {
            panic!("it waits")
        };
        (String::from_utf8(bytes).unwrap(), name)
    };
    let retryable = || EffectEnd::Retryable { code: "away" };
    let first = tried(by(one, "From: one", "<1>"), retryable()).await;
    assert_eq!(first, ("From: one".into(), "<1>".into()));
    let same = tried(by(one, "From: one, later", "<2>"), retryable()).await;
    assert_eq!(same, first, "one email has one name");
    let moved = tried(by(other, "From: other", "<3>"), retryable()).await;
    assert_eq!(moved, ("From: other".into(), "<3>".into()));
    let refused = EffectEnd::FailedPermanent { code: "no" };
    tried(by(other, "From: other, later", "<4>"), refused).await;
    let again = tried(by(other, "Date: today", "<5>"), retryable()).await;
    assert_eq!(again, ("Date: today".into(), "<5>".into()));
}

#[tokio::test]
async fn stop_of_sending_returns_when_nothing_more_is_begun() {
    for (change, expected) in [
        (
            "update tenants set sending_disabled = true",
            "sending_disabled",
        ),
        ("update tenants set status = 'paused'", "tenant_paused"),
        ("update tenants set status = 'closed'", "tenant_paused"),
        // As `update_user` does it.
        (
            "select from tenants for no key update; update users set status = 'suspended'",
            "user_suspended",
        ),
    ] {
        let db = TestDb::new().await;
        let tenant = Client::owner_of_new_tenant(&db).await.tenant;
        let line = connection(&db, tenant, "active", 60).await;
        let job = running(&db, tenant).await;
        let id = intended(&db, &job, &mail(tenant, "a")).await;
        let mut switch = PgConnection::connect(&db.url()).await.unwrap();
        let off = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("begin; {change}")));
        off.execute(&mut switch).await.unwrap();
        let switched_off = async {
            statements_wait(&db, 1).await;
            sqlx::raw_sql("commit").execute(&mut switch).await.unwrap();
        };
        let begun = begin_sending(db.pool(), &job, (id, ActionType::Send), line);
        let (begun, ()) = tokio::join!(begun, switched_off);
        let said = begun.unwrap();
        assert!(
            matches!(&said, Sending::Wait { code, .. } if *code == expected),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn attempt_that_lost_its_job_sends_nothing_and_nothing_is_begun_twice() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let line = connection(&db, tenant, "active", 60).await;
    let ghost = running(&db, tenant).await;
    let id = intended(&db, &ghost, &mail(tenant, "a")).await;
    let job = next_attempt(&db).await;
    let begin = async |job: &Job| begin_sending(db.pool(), job, (id, ActionType::Send), line).await;
    assert!(matches!(begin(&ghost).await, Err(LedgerError::NotHeld)));
    assert_eq!(intended(&db, &job, &mail(tenant, "a")).await, id);
    assert_eq!(begin(&job).await.unwrap(), bytes());
    assert!(matches!(begin(&job).await, Err(LedgerError::NotHeld)));
}

#[tokio::test]
async fn email_that_only_waited_is_written_anew_and_one_that_was_tried_is_not() {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let line = connection(&db, tenant, "reauth_required", 60).await;
    let job = running(&db, tenant).await;
    let dated = |date: &str| NewEffect {
        connection: Some(line),
        rendered: Some(date.as_bytes().to_vec()),
        ..mail(tenant, "a")
    };
    let begin = async |date: &str| {
        let id = intended(&db, &job, &dated(date)).await;
        let begun = begin_sending(db.pool(), &job, (id, ActionType::Send), line).await;
        (id, begun.unwrap())
    };
    let (_, waits) = begin("Date: Monday").await;
    assert!(matches!(waits, Sending::Wait { .. }), "{waits:?}");
    db.execute("update connections set status = 'active'").await;
    let (id, sent) = begin("Date: Friday").await;
    assert_eq!(sent, Sending::Go(b"Date: Friday".to_vec()));
    let retryable = EffectEnd::Retryable { code: "away" };
    end(db.pool(), &job, id, &retryable).await.unwrap();
    let (_, again) = begin("Date: Saturday").await;
    assert_eq!(again, Sending::Go(b"Date: Friday".to_vec()));
}
