//! `cargo dev chaos` in short, and that its oracle is not blind: each promise, broken by hand, is named.

use crate::support::{TestDb, binaries::binary};
use dev::chaos::{Log, Oracle, Plan, chaos_run};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_chaos_run_breaks_no_promise() {
    let plan = Plan {
        binaries: binary("postroom-api").parent().unwrap().to_owned(),
        duration: Duration::from_secs(15),
        seed: 3,
        rate: 20,
        lease: Duration::from_secs(2),
        drain: Duration::from_secs(60),
    };
    let report = chaos_run(&plan)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(report.is_clean(), "{}", report.table());
    assert!(
        report.kills() > 0 && report.accepted > 50,
        "{}",
        report.table()
    );
}

const JOB: Uuid = Uuid::from_u128(1);

/// One email, judged at the second attempt, with everything that belongs to it.
const HEALTHY: &str = r"
    insert into tenants (id, slug) values (md5('t')::uuid, 'chaos');
    insert into messages (tenant_id, id, format, source, content_hash)
        values (md5('t')::uuid, md5('m')::uuid, 'rfc822', 'x', sha256('m'));
    insert into finished_jobs (tenant_id, id, kind, queue, state, priority, attempt, errors, crashes, max_attempts, args,
        worker_id, run_at, started_at, created_at, finished_at, output)
        values (md5('t')::uuid, '00000000-0000-0000-0000-000000000001', 'triage.email', 'triage', 'succeeded', 3, 2, 1, 0,
            5, '{}', md5('w')::uuid, now(), now() - interval '1 min', now() - interval '5 min', now(), '{}');
    insert into job_attempts (job_id, attempt, tenant_id, worker_id, started_at, ended_at, outcome)
        values ('00000000-0000-0000-0000-000000000001', 1, md5('t')::uuid, md5('w')::uuid, now() - interval '4 min',
            now() - interval '2 min', 'retried');
    insert into audit_entries (tenant_id, id, actor_kind, action, resource_kind, resource_id, job_id, attempt, outcome)
    select md5('t')::uuid, gen_random_uuid(), 'worker', action, kind, resource, '00000000-0000-0000-0000-000000000001',
        attempt, 'ok'
    from (values ('job.submitted', 'job', null, null), ('job.retried', 'job', null, 1), ('job.succeeded', 'job', null, 2),
        ('message.triaged', 'message', 'm', 2)) as entries (action, kind, resource, attempt);
    insert into triage_results (tenant_id, job_id, message_id, content_hash, ruleset_version, mode, forced, category,
        disposition, priority, sla, confidence, rationale, source, rules_applied, injection_suspected, degraded,
        thread_status)
        values (md5('t')::uuid, '00000000-0000-0000-0000-000000000001', md5('m')::uuid, sha256('m'), 1, 'rules_only',
            false, 'task', 'notify', 'high', '<24h', 0.9, 'a rule', 'rule', '{}', false, false, 'FYI');
    insert into proposed_actions (tenant_id, id, job_id, message_id, type, payload, risk, gate, requires_confirmation,
        confidence, fingerprint)
        values (md5('t')::uuid, gen_random_uuid(), '00000000-0000-0000-0000-000000000001', md5('m')::uuid, 'create_task',
            '{}', 'low', 'auto', false, 0.9, sha256('a'));
    alter table audit_entries disable trigger user";

fn log() -> Log {
    Log {
        answers: HashMap::from([("key".to_owned(), vec![JOB, JOB])]),
        ..Log::default()
    }
}

/// What the oracle finds broken after a healthy database was damaged in this way.
async fn broken(damage: &str, log: &Log) -> Vec<&'static str> {
    let db = TestDb::new().await;
    db.execute(HEALTHY).await;
    db.execute(damage).await;
    let oracle = Oracle::at(&db.url()).await.unwrap();
    let verdicts = oracle.judge(log).await.unwrap();
    let broken = verdicts.iter().filter(|verdict| !verdict.is_kept());
    broken.map(|verdict| verdict.promise).collect()
}

#[tokio::test]
async fn oracle_finds_nothing_where_nothing_is_broken() {
    assert_eq!(broken("select 1", &log()).await, [""; 0]);
}

#[tokio::test]
async fn oracle_names_the_promise_that_a_table_breaks() {
    let again = "select tenant_id, gen_random_uuid(), actor_kind, action, resource_kind, resource_id, job_id, attempt,
         outcome from audit_entries where action =";
    let entry = "insert into audit_entries
         (tenant_id, id, actor_kind, action, resource_kind, resource_id, job_id, attempt, outcome)";
    let damages = [
        ("no accepted job is lost", "delete from finished_jobs".to_owned()),
        (
            "every accepted job ended exactly once",
            "insert into jobs (tenant_id, id, kind, queue, args, max_attempts, state)
             select tenant_id, id, kind, queue, args, max_attempts, 'available' from finished_jobs"
                .to_owned(),
        ),
        (
            "every accepted job ended exactly once",
            "alter table finished_jobs drop constraint finished_jobs_pkey;
             insert into finished_jobs select * from finished_jobs"
                .to_owned(),
        ),
        (
            "every ended job has exactly one audit entry of its end, and the reverse",
            "delete from audit_entries where action = 'job.succeeded'".to_owned(),
        ),
        (
            "every ended job has exactly one audit entry of its end, and the reverse",
            format!("{entry} {again} 'job.succeeded'"),
        ),
        (
            "every accepted job has exactly one audit entry of its submission",
            "delete from audit_entries where action = 'job.submitted'".to_owned(),
        ),
        (
            "every accepted job has exactly one audit entry of its submission",
            format!("{entry} {again} 'job.submitted'"),
        ),
        (
            "attempts are numbered without gaps, and the last one ended the job",
            "delete from job_attempts".to_owned(),
        ),
        (
            "attempts are numbered without gaps, and the last one ended the job",
            "update job_attempts set attempt = 3".to_owned(),
        ),
        (
            "no two attempts of a job overlap",
            "update job_attempts set ended_at = now() - interval '30 s'".to_owned(),
        ),
        (
            "every ended attempt has exactly one audit entry",
            "delete from audit_entries where action = 'job.retried'".to_owned(),
        ),
        ("every ended attempt has exactly one audit entry", format!("{entry} {again} 'job.retried'")),
        (
            "only the attempt that ended the job wrote results",
            "update audit_entries set attempt = 1 where resource_kind = 'message'".to_owned(),
        ),
        (
            "every effect exists at most once",
            "insert into proposed_actions (tenant_id, id, job_id, message_id, type, payload, risk, gate,
                requires_confirmation, confidence, fingerprint)
             select tenant_id, gen_random_uuid(), gen_random_uuid(), message_id, type, payload, risk, gate,
                requires_confirmation, confidence, fingerprint from proposed_actions"
                .to_owned(),
        ),
        (
            "exactly the succeeded jobs have a result",
            "delete from triage_results".to_owned(),
        ),
    ];
    for (promise, damage) in damages {
        let found = broken(&damage, &log()).await;
        assert!(found.contains(&promise), "{damage}\nfound {found:?}");
    }
}

#[tokio::test]
async fn oracle_names_the_promise_that_an_answer_breaks() {
    let two_jobs = Log {
        answers: HashMap::from([("key".to_owned(), vec![JOB, Uuid::from_u128(2)])]),
        ..Log::default()
    };
    let found = broken("select 1", &two_jobs).await;
    assert_eq!(
        found,
        [
            "one idempotency key always gives the same job",
            "no accepted job is lost",
            "every accepted job ended exactly once"
        ]
    );
    let two_keys = Log {
        answers: HashMap::from([("one".to_owned(), vec![JOB]), ("two".to_owned(), vec![JOB])]),
        ..Log::default()
    };
    let found = broken("select 1", &two_keys).await;
    assert_eq!(found, ["two emails never share a job"]);
    let refused = Log {
        unanswered: 1,
        ..log()
    };
    let found = broken("select 1", &refused).await;
    assert_eq!(
        found,
        ["every request was eventually answered, and none rejected"]
    );
}
