//! The proof of the audit log: readers miss nothing, and whatever is changed later is noticed, also by a program that is
//! not ours.

use super::{entry, write};
use crate::support::{
    TestDb, binaries::root, caller::admin, client::send, eventually, people::TestTenant,
    system::TestApi, wait::SOON,
};
use base::TenantId;
use jobs::{
    commands::audit::{
        seal::{SealedEntries, seal_entries},
        verify::{AuditFault, VerifyError, export, verify},
    },
    domain::audit::seal::Head,
    store::audit::{self, Position},
};
use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};
use tokio::task::JoinSet;

/// A tenant with entries under three seals; the last has one entry.
async fn sealed() -> (TestDb, TenantId, Head) {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    db.execute(&format!(
        "insert into tenants (id, slug) values ('{tenant}', 'acme')"
    ))
    .await;
    let mut head = None;
    for count in [5, 3, 1] {
        let entries: Vec<_> = (0..count).map(|_| entry(tenant, "req-sealed")).collect();
        write(&db, &entries).await;
        head = Some(seal_all(&db, count).await);
    }
    (db, tenant, head.unwrap())
}

/// Seals until this many entries are: a transaction of another test holds the watermark back while it is open.
pub(super) async fn seal_all(db: &TestDb, count: usize) -> Head {
    let mut sealed = 0;
    eventually(SOON, async || {
        let more = seal_entries(db.pool())
            .await
            .map_err(|error| error.to_string())?;
        sealed += more.entries;
        if sealed == count {
            Ok(more.head)
        } else {
            Err(format!("{sealed} of {count}"))
        }
    })
    .await
}

/// What an owner of the tables can do, who disables the triggers.
pub(super) async fn forge(db: &TestDb, sql: &str) {
    db.execute(&format!(
        "alter table audit_entries disable trigger all; alter table audit_batches disable trigger all;
         alter table audit_seals disable trigger all; {sql}"
    ))
    .await;
}

#[tokio::test]
async fn follower_reads_every_entry_of_many_writers_once() {
    const WRITERS: usize = 16;
    const EACH: usize = 50;
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let pool = db.pool().clone();
        writers.spawn(async move {
            for nth in 0..EACH {
                let mut tx = pool.begin().await.unwrap();
                let request = format!("req-{writer}-{nth}");
                audit::insert(&mut tx, &[entry(tenant, &request), entry(tenant, &request)])
                    .await
                    .unwrap();
                // Commits in another order than the entries were written in.
                if (writer + nth) % 3 == 0 {
                    tokio::task::yield_now().await;
                    sqlx::raw_sql("select pg_sleep(0.005)")
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                }
                tx.commit().await.unwrap();
            }
        });
    }
    let (mut after, mut seen) = (Position::START, Vec::new());
    eventually(SOON * 3, async || {
        let mut conn = db
            .pool()
            .acquire()
            .await
            .map_err(|error| error.to_string())?;
        let page = audit::list(&mut conn, tenant, after, 100).await.unwrap();
        if let Some(last) = page.last() {
            after = last.position();
        }
        seen.extend(page.into_iter().map(|entry| entry.id));
        let all = 2 * WRITERS * EACH;
        if seen.len() >= all {
            Ok(())
        } else {
            Err(format!("{} of {all}", seen.len()))
        }
    })
    .await;
    writers.join_all().await;
    let distinct: BTreeSet<_> = seen.iter().map(|id| id.0).collect();
    assert_eq!(distinct.len(), seen.len(), "an entry was read twice");
}

#[tokio::test]
async fn entry_of_an_older_transaction_is_not_overtaken() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let mut older = db.pool().begin().await.unwrap();
    audit::insert(&mut older, &[entry(tenant, "req-older")])
        .await
        .unwrap();
    write(&db, &[entry(tenant, "req-younger")]).await;
    let mut conn = db.pool().acquire().await.unwrap();
    let early = audit::list(&mut conn, tenant, Position::START, 10)
        .await
        .unwrap();
    assert!(early.is_empty(), "the younger one waits for the older one");
    older.commit().await.unwrap();
    let both = eventually(SOON, async || {
        let found = audit::list(&mut conn, tenant, Position::START, 10)
            .await
            .unwrap();
        if found.len() == 2 {
            Ok(found)
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    assert_eq!(both[0].request_id.as_deref(), Some("req-older"));
}

#[tokio::test]
async fn follower_over_http_continues_at_the_end() {
    let acme = TestTenant::open().await;
    let api = TestApi::start(&acme.db).await;
    let token = acme.owner_token.expose();
    let read = async |query: &str| {
        let url = format!("http://{}/v1/audit?{query}", api.addr);
        send(crate::support::client::http().get(url).bearer_auth(token))
            .await
            .body
    };
    let first = eventually(SOON, async || {
        let page = read("limit=200").await;
        if page["items"]
            .as_array()
            .is_some_and(|items| items.len() > 3)
        {
            Ok(page)
        } else {
            Err(page.to_string())
        }
    })
    .await;
    assert!(first["next_cursor"].is_null(), "{first}");
    let cursor = first["follow_cursor"].as_str().unwrap();
    let request_id = "req-after-the-end";
    write(&acme.db, &[entry(acme.owner.tenant, request_id)]).await;
    eventually(SOON, async || {
        let page = read(&format!("cursor={cursor}")).await;
        let found = page["items"].as_array().unwrap().iter();
        let found = found
            .filter(|item| item["request_id"] == request_id)
            .count();
        if found == 1 {
            Ok(())
        } else {
            Err(page.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn log_that_nobody_changed_is_whole() {
    let (db, _, head) = sealed().await;
    let verified = verify(db.pool(), Some(head)).await.unwrap();
    assert_eq!((verified.entries, verified.head), (9, head));
    assert_eq!(head.number, 3);
    assert_eq!(
        seal_entries(db.pool()).await.unwrap(),
        SealedEntries { entries: 0, head },
        "nothing is new"
    );
}

#[tokio::test]
async fn every_change_of_the_log_is_found() {
    let third = "(select seq from audit_entries order by xid, seq offset 2 limit 1)";
    let changes = [
        ("alter", format!("update audit_entries set outcome = 'denied' where seq = {third}")),
        ("predate", format!("update audit_entries set at = at - interval '1 day' where seq = {third}")),
        ("delete", format!("delete from audit_entries where seq = {third}")),
        (
            "insert",
            format!(
                "insert into audit_entries (tenant_id, id, actor_kind, action, resource_kind, resource_id, outcome, xid, seq)
                 overriding system value
                 select tenant_id, gen_random_uuid(), 'system', 'a', 'b', 'c', 'ok', xid, seq + 1000
                 from audit_entries where seq = {third}"
            ),
        ),
        (
            "reorder",
            "alter table audit_entries alter column seq drop identity;
             update audit_entries set seq = -seq where seq in (select seq from audit_entries order by xid, seq limit 2);
             update audit_entries e set seq = (select sum(-seq) from audit_entries where seq < 0) + e.seq where seq < 0"
                .to_owned(),
        ),
        ("forge a seal", "update audit_seals set root = hash where number = 2".to_owned()),
        ("drop a seal", "delete from audit_seals where number = 2".to_owned()),
    ];
    for (name, sql) in changes {
        let (db, ..) = sealed().await;
        forge(&db, &sql).await;
        let fault = verify(db.pool(), None).await.unwrap_err();
        assert!(matches!(fault, VerifyError::Fault(_)), "{name}: {fault}");
    }
}

#[tokio::test]
async fn cut_end_and_forged_head_are_found_by_a_head_that_was_kept() {
    let (db, _, head) = sealed().await;
    forge(
        &db,
        "delete from audit_entries where (xid, seq) > (select last_xid, last_seq from audit_seals where number = 2);
         delete from audit_seals where number = 3",
    )
    .await;
    verify(db.pool(), None).await.expect("the rest is whole");
    let fault = verify(db.pool(), Some(head)).await.unwrap_err();
    assert!(
        matches!(fault, VerifyError::Fault(AuditFault::Head { kept }) if kept == head),
        "{fault}"
    );
    let forged = Head { number: 2, ..head };
    assert!(verify(db.pool(), Some(forged)).await.is_err());
}

/// Runs the verifier in another language on lines of an export, with a head that was kept.
pub(super) fn verify_offline(lines: &[String], head: Option<Head>) -> Result<String, String> {
    let head = head.map(|head| format!("--head={}:{}", head.number, head.chain));
    let mut child = Command::new("python3")
        .arg(root().join("tests/it/audit/verify.py"))
        .args(head)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let ended = child.wait_with_output().unwrap();
    if ended.status.success() {
        Ok(String::from_utf8(ended.stdout).unwrap())
    } else {
        Err(String::from_utf8(ended.stderr).unwrap())
    }
}

async fn exported(db: &TestDb, tenant: TenantId) -> Vec<String> {
    let mut lines = Vec::new();
    export(db.pool(), tenant, |line| {
        lines.push(line);
        Ok::<_, sqlx::Error>(())
    })
    .await
    .unwrap();
    lines
}

/// As [`sealed`], and a seal of another tenant between the second and the third of this one, and one after it.
async fn sealed_with_another() -> (TestDb, TenantId, Head) {
    let db = TestDb::new().await;
    let (tenant, other) = (TenantId::new(), TenantId::new());
    db.execute(&format!(
        "insert into tenants (id, slug) values ('{tenant}', 'acme'), ('{other}', 'other')"
    ))
    .await;
    let mut head = None;
    for (writer, count) in [
        (tenant, 5),
        (tenant, 3),
        (other, 1),
        (tenant, 1),
        (other, 2),
    ] {
        let request = if writer == other {
            "req-other"
        } else {
            "req-sealed"
        };
        let entries: Vec<_> = (0..count).map(|_| entry(writer, request)).collect();
        write(&db, &entries).await;
        head = Some(seal_all(&db, count).await);
    }
    (db, tenant, head.unwrap())
}

#[tokio::test]
async fn verifier_in_another_language_agrees() {
    let (db, tenant, head) = sealed_with_another().await;
    let lines = exported(&db, tenant).await;
    assert_eq!(lines.len(), 9 + 5);
    assert!(!lines.iter().any(|line| line.contains("req-other")));
    let hash: String = db
        .one("select encode(hash, 'hex') from audit_seals where number = 4")
        .await;
    let whole = verify_offline(&lines, Some(head)).unwrap();
    assert_eq!(whole.trim(), format!("9 {hash}"));
    for (at, change) in [
        (1, None),
        (6, Some(lines[0].clone())),
        (3, Some(lines[3].replace("j1", "j2"))),
        (
            5,
            Some(lines[5].replace("\"position\":1", "\"position\":2")),
        ),
        (10, None),
    ] {
        let mut changed = lines.clone();
        match change {
            None => drop(changed.remove(at)),
            Some(line) => changed[at] = line,
        }
        assert!(verify_offline(&changed, None).is_err(), "line {at}");
    }

    let shell = admin(&db.url(), &["audit", "export", "--tenant", "acme"]).await;
    assert_eq!(shell.stdout.lines().collect::<Vec<_>>(), lines);
    let kept = format!("{}:{}", head.number, head.chain);
    let shell = admin(&db.url(), &["audit", "verify", "--head", &kept]).await;
    assert!(shell.status.success(), "{}", shell.stderr);
    let printed = admin(&db.url(), &["audit", "head"]).await.stdout;
    assert_eq!(printed.trim(), kept);
    let forged = kept.replacen("5:", "4:", 1);
    let shell = admin(&db.url(), &["audit", "verify", "--head", &forged]).await;
    assert!(!shell.status.success() && shell.stderr.contains("cut off or forged"));
}

#[tokio::test]
async fn log_that_cannot_be_read_is_not_reported_as_changed() {
    let db = TestDb::new().await;
    db.execute("alter table audit_seals rename to elsewhere")
        .await;
    let shell = admin(&db.url(), &["audit", "verify"]).await;
    let said = shell.stderr;
    assert!(!shell.status.success());
    assert!(said.contains("could not read the audit log"), "{said}");
    assert!(!said.contains("not whole"), "{said}");
}

#[tokio::test]
async fn verifier_in_another_language_finds_a_cut_end_and_a_forged_log_by_a_head_that_was_kept() {
    let (db, tenant, head) = sealed_with_another().await;
    let lines = exported(&db, tenant).await;
    let cut = &lines[..lines.len() - 3];
    verify_offline(cut, None).expect("the rest is whole");
    let refused = verify_offline(cut, Some(head)).unwrap_err();
    assert!(refused.contains("cut off"), "{refused}");

    // An owner of the tables seals another log from the beginning.
    forge(
        &db,
        "delete from audit_seals; update audit_entries set outcome = 'denied' where request_id = 'req-sealed'",
    )
    .await;
    seal_all(&db, 12).await;
    let forged = exported(&db, tenant).await;
    verify_offline(&forged, None).expect("it is whole in itself");
    let refused = verify_offline(&forged, Some(head)).unwrap_err();
    assert!(refused.contains("forged"), "{refused}");
}

#[tokio::test]
async fn entries_of_many_tenants_and_many_entries_of_one_are_sealed_in_one_run() {
    let db = TestDb::new().await;
    let tenants: Vec<_> = (0..101).map(|_| TenantId::new()).collect();
    for tenant in &tenants {
        db.execute(&format!(
            "insert into tenants (id, slug) values ('{tenant}', 't-{}')",
            tenant.0.simple()
        ))
        .await;
        write(&db, &[entry(*tenant, "req-sealed")]).await;
    }
    let many: Vec<_> = (0..2_500).map(|_| entry(tenants[0], "req-many")).collect();
    write(&db, &many).await;
    let all = tenants.len() + many.len();
    // A transaction of another test holds the watermark back.
    eventually(SOON, async || {
        let passed = "select max(xid) < pg_snapshot_xmin(pg_current_snapshot()) from audit_entries";
        match db.one::<bool>(passed).await {
            true => Ok(()),
            false => Err("the watermark is held back".to_owned()),
        }
    })
    .await;
    seal_entries(db.pool()).await.unwrap();
    let sealed: i64 = db.one("select sum(entries) from audit_seals").await;
    assert_eq!(sealed, i64::try_from(all).unwrap());
}
