//! The database refuses statements for a reason of its own: jobs wait, and the attempt does not count.

use super::{Address, email, ready_says};
use crate::support::{
    TestDb,
    client::send,
    corpus::fixture,
    eventually,
    model::{FakeModel, Reply, VERDICT},
    process::Process,
    refusal::Refusal,
    system::{Api, Worker, metric},
    wait::SOON,
};
use base::db::Unavailability;
use jobs::commands::operators::grant::grant;
use reqwest::Method;
use serde_json::json;
use sqlx::Executor;

/// A code of each class that says nothing about the statement.
const CODES: [&str; 12] = [
    "25006", "28P01", "3D000", "42501", "42P01", "42883", "53100", "54000", "55000", "57P03",
    "58030", "XX001",
];

const INSERTED: (&str, &str) = ("insert", "triage_results");

async fn uncounted(db: &TestDb) {
    let ended: i64 = db.one("select count(*) from finished_jobs").await;
    let counted: i64 = db
        .one("select coalesce(sum(errors + crashes), 0)::bigint from jobs")
        .await;
    assert_eq!(
        (ended, counted),
        (0, 0),
        "the job waits, and no attempt counts"
    );
}

#[tokio::test]
async fn outcome_that_the_database_refuses_waits_until_it_is_taken() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Says(VERDICT.to_owned())]).await;
    let (api, worker) = tokio::join!(Api::spawn(&db), model.worker(&db, &[]));
    let client = api.sign_in(&db).await;
    Refusal::of(&db, INSERTED, "true", CODES[1]).await;
    let id = client.submitted(&fixture("plain-question"), "k").await;
    for code in CODES {
        Refusal::of(&db, INSERTED, "true", code).await;
        eventually(SOON, async || {
            let refused = metric(worker.ops, "postroom_outcomes_refused", &[]).await;
            if refused > 0.0 {
                Ok(())
            } else {
                Err(format!("{code}: nothing is refused yet"))
            }
        })
        .await;
        uncounted(&db).await;
    }
    ready_says(worker.ops, 503, "the database").await;
    Refusal::of(&db, INSERTED, "true", CODES[0])
        .await
        .end()
        .await;
    let job = client.finished(&id).await;
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&"succeeded".into(), &1.into()),
        "{job}"
    );
    assert_eq!(model.calls(), 1, "the answer was kept");
    ready_says(worker.ops, 200, "ok").await;
}

#[tokio::test]
async fn job_whose_handler_is_refused_is_deferred_and_not_counted() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Says(VERDICT.to_owned())]).await;
    let (api, worker) = tokio::join!(Api::spawn(&db), model.worker(&db, &[]));
    let client = api.sign_in(&db).await;
    // As a request is recorded before it is sent.
    let refusal = Refusal::of(&db, ("insert", "llm_calls"), "true", "42501").await;
    let id = client.submitted(&fixture("plain-question"), "k").await;
    refusal.met(4).await;
    uncounted(&db).await;
    assert_eq!(model.calls(), 0);
    let audited: i64 = db
        .one("select count(*) from audit_log where action = 'job.snoozed'")
        .await;
    assert_eq!(audited, 1, "the same deferral is audited once");
    let labels = [("kind", "triage.email"), ("outcome", "deferred")];
    let counted = metric(worker.ops, "postroom_jobs_finished_total", &labels).await;
    assert!(
        counted >= 1.0,
        "PostroomJobsDeferred fires by it: {counted}"
    );
    refusal.end().await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
}

#[tokio::test]
async fn job_waits_while_the_schema_lacks_a_table_of_its_handler() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Says(VERDICT.to_owned())]).await;
    let (api, _worker) = tokio::join!(Api::spawn(&db), model.worker(&db, &[]));
    let client = api.sign_in(&db).await;
    db.execute("alter table triage_results rename to swapped")
        .await;
    let id = client.submitted(&fixture("plain-question"), "k").await;
    eventually(SOON, async || {
        let attempt: i32 = db.one("select attempt from jobs").await;
        (attempt > 2)
            .then_some(())
            .ok_or_else(|| format!("attempt {attempt}"))
    })
    .await;
    uncounted(&db).await;
    db.execute("alter table swapped rename to triage_results")
        .await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
}

#[tokio::test]
async fn answer_that_the_database_refuses_is_kept_and_not_bought_again() {
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Says(VERDICT.to_owned())]).await;
    let (api, _worker) = tokio::join!(Api::spawn(&db), model.worker(&db, &[]));
    let client = api.sign_in(&db).await;
    let refusal = Refusal::of(&db, ("insert", "llm_checkpoints"), "true", "42501").await;
    let id = client.submitted(&fixture("plain-question"), "k").await;
    refusal.met(5).await;
    uncounted(&db).await;
    refusal.end().await;
    let job = client.finished(&id).await;
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&"succeeded".into(), &1.into()),
        "{job}"
    );
    assert_eq!(model.calls(), 1, "the answer was kept");
}

#[tokio::test]
async fn api_is_not_ready_while_the_database_refuses_what_no_probe_tries() {
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let create = async |title: &str| {
        let request = client.request(Method::POST, "/v1/tasks");
        let request = request.header("Idempotency-Key", title);
        send(request.json(&json!({ "title": title }))).await
    };
    let refusal = Refusal::of(&db, ("insert", "tasks"), "true", "53100").await;
    assert_eq!(create("one").await.status, 503);
    ready_says(api.ops, 503, "the disk of the database is full").await;
    // Other operations say nothing about this one.
    assert_eq!(client.get("/v1/tasks").await.status, 200);
    ready_says(api.ops, 503, "the disk of the database is full").await;
    refusal.end().await;
    assert_eq!(create("one").await.status, 201);
    ready_says(api.ops, 200, "ok").await;

    db.execute("alter table tasks rename to swapped").await;
    assert_eq!(client.get("/v1/tasks").await.status, 503);
    ready_says(api.ops, 503, "schema").await;
    db.execute("alter table swapped rename to tasks").await;
    // Nobody asks again: it would be a process without requests.
    ready_says(api.ops, 200, "ok").await;
}

#[tokio::test]
async fn worker_whose_claims_are_refused_is_not_ready() {
    let db = TestDb::new().await;
    let (api, worker) = tokio::join!(Api::spawn(&db), Worker::spawn(&db));
    let client = api.sign_in(&db).await;
    let claimed = "new.state = 'running'";
    let refusal = Refusal::of(&db, ("update", "jobs"), claimed, "53100").await;
    let id = client.submitted(&email(1), "k").await;
    ready_says(worker.ops, 503, "the disk of the database is full").await;
    refusal.end().await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
    ready_says(worker.ops, 200, "ok").await;
}

/// Makes the database read-only or writable, for new connections, and ends those of the processes.
async fn set_read_only(db: &TestDb, value: &str) {
    db.execute(&format!(
        "begin read write;
         do $$ begin
             execute format('alter database %I set default_transaction_read_only = {value}', current_database());
         end $$;
         commit;
         select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name like 'postroom-%'"
    ))
    .await;
}

#[tokio::test]
async fn read_only_database_makes_nobody_ready_and_is_seen_in_the_claims() {
    let db = TestDb::new().await;
    let (api, worker) = tokio::join!(Api::spawn(&db), Worker::spawn(&db));
    let client = api.sign_in(&db).await;
    set_read_only(&db, "on").await;
    for ops in [api.ops, worker.ops] {
        ready_says(ops, 503, "read-only").await;
    }
    let refused = client.submit(&email(1), "k").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    eventually(SOON, async || {
        let labels = [("result", "error"), ("queue", "triage")];
        let failed = metric(worker.ops, "postroom_claims_total", &labels).await;
        if failed > 0.0 {
            Ok(())
        } else {
            Err("no claim failed yet".to_owned())
        }
    })
    .await;

    set_read_only(&db, "off").await;
    let accepted = eventually(SOON, async || {
        let answer = client.submit(&email(1), "k").await;
        if answer.status == 202 {
            Ok(answer)
        } else {
            Err(answer.text)
        }
    })
    .await;
    let id = accepted.body["id"].as_str().unwrap();
    assert_eq!(client.finished(id).await["state"], "succeeded");
    for ops in [api.ops, worker.ops] {
        ready_says(ops, 200, "ok").await;
    }
}

#[tokio::test]
async fn role_without_a_right_is_not_ready() {
    let db = TestDb::new().await;
    let address = role_without_rights(&db).await;
    let role = &address.user;
    // What `postroom-api admin grant` gives is enough to be ready.
    grant(db.pool(), &role.parse().unwrap()).await.unwrap();
    let api = Api::spawn_at(&address.url()).await;
    ready_says(api.ops, 200, "ok").await;
    db.execute(&format!("revoke insert on request_keys from {role}"))
        .await;
    ready_says(api.ops, 503, "lacks a right").await;
    drop(api);
    db.execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
}

#[tokio::test]
async fn role_without_rights_is_refused_at_the_start_with_what_to_do() {
    let db = TestDb::new().await;
    let address = role_without_rights(&db).await;
    let url = address.url();
    let variables = [("DATABASE_URL", &*url), ("LLM_TESTING_MODE", "true")];
    for (binary, args) in [
        ("postroom-api", &["serve"][..]),
        ("postroom-worker", &[][..]),
    ] {
        let ended = Process::spawn(binary, args, &variables).ended().await;
        let said = ended.stderr;
        assert!(
            !ended.status.success() && said.contains("permission denied"),
            "{said}"
        );
        assert!(said.contains("postroom-api admin grant --role"), "{said}");
    }
    // No grant lets another role than the owner migrate.
    let migrate = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]);
    let said = migrate.ended().await.stderr;
    assert!(
        said.contains("(SQLSTATE 42501)") && said.contains("as the role that owns the tables"),
        "{said}"
    );
    assert_eq!(said.matches("permission denied").count(), 1, "{said}");
    assert!(
        !said.contains("admin grant") && !said.contains("at line"),
        "{said}"
    );
    db.execute(&format!("drop role {}", address.user)).await;
}

/// The address of a new role that may log in, and nothing else.
async fn role_without_rights(db: &TestDb) -> Address {
    let address = Address {
        user: format!("role_{}", uuid::Uuid::now_v7().simple()),
        ..Address::of(db)
    };
    let Address { user, password, .. } = &address;
    db.execute(&format!("create role {user} login password '{password}'"))
        .await;
    address
}

#[tokio::test]
async fn value_that_is_too_long_for_an_index_is_no_fault_of_the_database() {
    let db = TestDb::new().await;
    db.execute("create table names (name text primary key)")
        .await;
    for parts in [150, 1000] {
        let long = format!(
            "insert into names select string_agg(md5(n::text), '') from generate_series(1, {parts}) as n"
        );
        let refused = db.pool().execute(sqlx::AssertSqlSafe(long)).await;
        let error = refused.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("54000"));
        assert_eq!(Unavailability::of(&error), None, "{error}");
    }
}
