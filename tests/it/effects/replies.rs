//! Of two replies to one email that begin to be sent at the same time one leaves.

use super::{
    sending::{bytes, connection, mail, statements_wait},
    *,
};
use crate::drafts::seed;
use jobs::{
    commands::effects::sending::{Sending, begin_sending},
    domain::{ApprovalId, ConnectionId, UserId},
};
use sqlx::{Connection, Executor, PgConnection};

/// A tenant with a user and an email.
async fn emailed() -> (TestDb, TenantId, MessageId) {
    let db = TestDb::new().await;
    let tenant = Client::owner_of_new_tenant(&db).await.tenant;
    let id = MessageId::new();
    db.execute(&format!(
        "insert into messages (tenant_id, id, format, source, content_hash)
         values ('{tenant}', '{id}', 'rfc822', 'From: ada@x.example', sha256('{id}'))"
    ))
    .await;
    (db, tenant, id)
}

/// A reply to the email that a job is about to send by an account of its own.
struct Reply {
    job: Job,
    effect: EffectId,
    kind: ActionType,
    account: ConnectionId,
}

impl Reply {
    async fn of(db: &TestDb, effect: NewEffect, tenant: TenantId) -> Self {
        let job = running(db, tenant).await;
        Self {
            effect: intended(db, &job, &effect).await,
            kind: effect.kind,
            account: connection(db, tenant, "active", 60).await,
            job,
        }
    }

    /// A draft of the tenant's only user, which was approved.
    async fn drafted(db: &TestDb, tenant: TenantId, email: MessageId, text: &str) -> Self {
        let user: uuid::Uuid = db.one("select id from users").await;
        let draft = seed::draft(db, tenant, Some(UserId(user)), text).await;
        db.execute(&format!(
            "update drafts set message_id = '{email}', status = 'sending', updated_at = now() where id = '{draft}'"
        ))
        .await;
        let approval: uuid::Uuid = db
            .one("select approval_id from drafts order by id desc limit 1")
            .await;
        let effect = NewEffect {
            kind: ActionType::SendDraft,
            approval: Some(ApprovalId(approval)),
            ..mail(tenant, text)
        };
        Self::of(db, effect, tenant).await
    }

    async fn begin(&self, db: &TestDb) -> Sending {
        let what = (self.effect, self.kind);
        begin_sending(db.pool(), &self.job, what, self.account)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn second_of_two_replies_that_begin_at_once_stays_unless_the_first_certainly_failed() {
    let (db, tenant, email) = emailed().await;
    let first = Reply::drafted(&db, tenant, email, "Yes.").await;
    let second = Reply::drafted(&db, tenant, email, "No.").await;
    // The first has looked for other replies, and is not in flight yet.
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let hold = format!(
        "begin; select from effects where id = '{}' for update",
        first.effect
    );
    let hold = sqlx::raw_sql(sqlx::AssertSqlSafe(hold));
    holder.execute(hold).await.unwrap();
    let (one, other, ()) = tokio::join!(
        first.begin(&db),
        async {
            statements_wait(&db, 1).await;
            second.begin(&db).await
        },
        async {
            statements_wait(&db, 2).await;
            holder.execute(sqlx::raw_sql("commit")).await.unwrap();
        },
    );
    assert_eq!((one, other), (bytes(), Sending::OtherReply));
    let away = EffectEnd::Retryable { code: "away" };
    end(db.pool(), &first.job, first.effect, &away)
        .await
        .unwrap();
    assert_eq!(second.begin(&db).await, bytes());
}

#[tokio::test]
async fn draft_stays_when_an_action_replies_to_its_email_with_a_text_of_its_own() {
    let (db, tenant, email) = emailed().await;
    let draft = Reply::drafted(&db, tenant, email, "Yes.").await;
    let effect = NewEffect {
        kind: ActionType::Reply,
        message: Some(email),
        ..mail(tenant, "No.")
    };
    let action = Reply::of(&db, effect, tenant).await;
    assert_eq!(action.begin(&db).await, bytes());
    assert_eq!(draft.begin(&db).await, Sending::OtherReply);
}
