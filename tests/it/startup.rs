//! A process that cannot do its work says why and ends, before it binds a port or claims a job.

use crate::support::{
    TestDb, eventually,
    process::{Ended, Process},
    system::Api,
    wait::SOON,
};
use nix::sys::signal::Signal;

/// A value that must appear nowhere.
const SECRET: &str = "hunter2-canary";

/// Starts a binary that must refuse; all that it wrote.
async fn refused(name: &str, variables: &[(&str, &str)]) -> String {
    let args: &[&str] = if name == "postroom-api" {
        &["serve"]
    } else {
        &[]
    };
    let Ended {
        status,
        stdout,
        stderr,
    } = Process::spawn(name, args, variables).ended().await;
    assert!(!status.success(), "{name} ended with {status}:\n{stderr}");
    assert_eq!(
        status.code(),
        Some(1),
        "{name} did not end by itself:\n{stderr}"
    );
    assert!(
        !stderr.contains("\"listening\""),
        "{name} bound a port first:\n{stderr}"
    );
    assert!(
        !stderr.contains(SECRET),
        "{name} printed a secret:\n{stderr}"
    );
    assert_eq!(stdout, "", "{name} wrote to stdout");
    stderr
}

/// All that a binary needs to start; addresses are free ports.
fn complete<'a>(name: &str, url: &'a str) -> Vec<(&'static str, &'a str)> {
    let of_api = [("API_ADDR", "127.0.0.1:0"), ("API_OPS_ADDR", "127.0.0.1:0")];
    let of_worker = [
        ("WORKER_OPS_ADDR", "127.0.0.1:0"),
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "gpt-test"),
        ("LLM_API_KEY", "a-real-looking-key-0123456789"),
    ];
    let mut variables = vec![("DATABASE_URL", url)];
    match name {
        "postroom-api" => variables.extend(of_api),
        _ => variables.extend(of_worker),
    }
    variables
}

fn without<'a>(variables: &[(&'a str, &'a str)], name: &str) -> Vec<(&'a str, &'a str)> {
    variables
        .iter()
        .copied()
        .filter(|(known, _)| *known != name)
        .collect()
}

#[tokio::test]
async fn each_missing_variable_is_named() {
    let db = TestDb::new().await;
    let url = db.url();
    let required = [
        ("postroom-api", "DATABASE_URL"),
        ("postroom-worker", "DATABASE_URL"),
        ("postroom-worker", "LLM_API_KEY"),
    ];
    for (binary, variable) in required {
        let said = refused(binary, &without(&complete(binary, &url), variable)).await;
        assert!(
            said.contains(variable),
            "{binary} does not name {variable}:\n{said}"
        );
        assert!(
            said.contains("example"),
            "{binary} gives no example:\n{said}"
        );
        // Set to nothing is not set.
        let mut blank = without(&complete(binary, &url), variable);
        blank.push((variable, " "));
        let said = refused(binary, &blank).await;
        assert!(
            said.contains(variable),
            "{binary} takes a blank {variable}:\n{said}"
        );
    }
}

#[tokio::test]
async fn placeholder_is_no_credential() {
    let db = TestDb::new().await;
    let url = db.url();
    for placeholder in ["changeme", "sk-xxx", "your-api-key"] {
        let mut variables = without(&complete("postroom-worker", &url), "LLM_API_KEY");
        variables.push(("LLM_API_KEY", placeholder));
        let said = refused("postroom-worker", &variables).await;
        assert!(said.contains("LLM_API_KEY"), "{placeholder}:\n{said}");
    }
}

#[tokio::test]
async fn dev_mode_is_refused_by_both_binaries() {
    let db = TestDb::new().await;
    let url = db.url();
    for binary in ["postroom-api", "postroom-worker"] {
        let mut variables = complete(binary, &url);
        variables.push(("DEV_MODE", "true"));
        let said = refused(binary, &variables).await;
        assert!(said.contains("DEV_MODE"), "{said}");
    }
}

#[tokio::test]
async fn testing_mode_is_true_or_false_and_not_guessed() {
    let db = TestDb::new().await;
    let url = db.url();
    for unclear in ["yes", "on", "TRUE!", "2"] {
        let mut variables = complete("postroom-worker", &url);
        variables.push(("LLM_TESTING_MODE", unclear));
        let said = refused("postroom-worker", &variables).await;
        assert!(said.contains("LLM_TESTING_MODE"), "{unclear}:\n{said}");
    }
}

#[tokio::test]
async fn all_faults_are_reported_together_and_no_value_is_printed() {
    let variables = [
        (
            "DATABASE_URL",
            "postgres://postroom:hunter2-canary@localhost:notaport/x",
        ),
        ("DEV_MODE", "1"),
        ("WORKER_OPS_ADDR", SECRET),
        ("WORKER_SLOTS", SECRET),
        ("WORKER_LEASE_SECONDS", "-1"),
        ("RUST_LOG", "hunter2-canary=hunter2-canary"),
        ("LLM_TESTING_MODE", SECRET),
    ];
    let said = refused("postroom-worker", &variables).await;
    for (name, _) in variables {
        assert!(said.contains(name), "{name} is not named:\n{said}");
    }
    let variables = [
        ("LLM_PROVIDER", SECRET),
        ("LLM_BASE_URL", SECRET),
        ("LLM_API_KEY", "changeme"),
    ];
    let said = refused("postroom-worker", &variables).await;
    for name in [
        "DATABASE_URL",
        "LLM_PROVIDER",
        "LLM_BASE_URL",
        "LLM_API_KEY",
    ] {
        assert!(said.contains(name), "{name} is not named:\n{said}");
    }
    let variables = [
        ("API_ADDR", SECRET),
        ("API_OPS_ADDR", SECRET),
        ("SESSION_IDLE_SECONDS", SECRET),
    ];
    let said = refused("postroom-api", &variables).await;
    for name in [
        "DATABASE_URL",
        "API_ADDR",
        "API_OPS_ADDR",
        "SESSION_IDLE_SECONDS",
    ] {
        assert!(said.contains(name), "{name} is not named:\n{said}");
    }
}

#[tokio::test]
async fn unreachable_database_ends_the_start_with_its_address_and_without_its_password() {
    // Port 1 on loopback: nobody listens there.
    let url = "postgres://postroom:hunter2-canary@127.0.0.1:1/postroom";
    let reason = "could not connect to the database at 127.0.0.1:1: error communicating with database: \
                  Connection refused";
    for binary in ["postroom-api", "postroom-worker"] {
        let said = refused(binary, &complete(binary, url)).await;
        assert!(said.contains(reason), "{said}");
    }
    let migrate = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", url)]);
    let said = migrate.ended().await.stderr;
    assert!(said.contains(reason) && !said.contains(SECRET), "{said}");
}

#[tokio::test]
async fn worker_raises_its_limit_of_descriptors() {
    let db = TestDb::new().await;
    let url = db.url();
    let mut variables = complete("postroom-worker", &url);
    variables.push(("LLM_TESTING_MODE", "true"));
    let mut worker = Process::spawn_limited("postroom-worker", &[], &variables, (64, 500));
    worker.addr("ops").await;
    assert!(worker.log().contains(r#""descriptors":500"#));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.pid())).unwrap();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    assert_eq!(
        soft.and_then(|line| line.split_whitespace().next()),
        Some("500")
    );
}

#[tokio::test]
async fn retention_that_was_meant_in_days_is_refused() {
    let mut variables = complete(
        "postroom-worker",
        "postgres://postroom@127.0.0.1:1/postroom",
    );
    variables.push(("JOB_RETENTION_SECONDS", "30"));
    let said = refused("postroom-worker", &variables).await;
    assert!(
        said.contains("JOB_RETENTION_SECONDS: is less than an hour"),
        "{said}"
    );
}

#[tokio::test]
async fn worker_answers_help_and_version_and_refuses_arguments() {
    for (arg, status, says) in [
        ("--help", 0, "DATABASE_URL"),
        ("--version", 0, env!("CARGO_PKG_VERSION")),
        ("--slots=4", 2, "unexpected argument"),
    ] {
        // With a complete configuration: an ignored argument would start a worker.
        let variables = complete("postroom-worker", "postgres://u@127.0.0.1:1/postroom");
        let ended = Process::spawn("postroom-worker", &[arg], &variables)
            .ended()
            .await;
        assert_eq!(ended.status.code(), Some(status), "{arg}: {}", ended.stderr);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(says), "{arg}: {said}");
    }
}

#[tokio::test]
async fn address_of_another_database_system_is_refused() {
    for binary in ["postroom-api", "postroom-worker"] {
        let said = refused(binary, &complete(binary, "mysql://u@127.0.0.1:1/postroom")).await;
        assert!(
            said.contains("DATABASE_URL: is not a Postgres connection URL"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn unknown_parameter_of_the_address_is_named_and_its_value_is_not_logged() {
    let db = TestDb::new().await;
    let url = db.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}passwrd={SECRET}");
    let ended = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]);
    let ended = ended.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("passwrd"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
}

#[tokio::test]
async fn pool_of_one_connection_is_refused() {
    // Some acts hold one connection and need a second: they would wait for each other.
    for binary in ["postroom-api", "postroom-worker"] {
        let mut variables = complete(binary, "postgres://postroom@127.0.0.1:1/postroom");
        variables.push(("DATABASE_MAX_CONNECTIONS", "1"));
        let said = refused(binary, &variables).await;
        assert!(
            said.contains("DATABASE_MAX_CONNECTIONS: is less than 2"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn schema_that_does_not_fit_is_refused_with_what_to_do() {
    let (unmigrated, newer) = (TestDb::unmigrated().await, TestDb::new().await);
    newer
        .execute(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'from the future', true, '\\x00', 0);
             update schema_compatibility set oldest_known_migration = 9999",
        )
        .await;
    for binary in ["postroom-api", "postroom-worker"] {
        let said = refused(binary, &complete(binary, &unmigrated.url())).await;
        assert!(said.contains("postroom-api migrate"), "{said}");
        let said = refused(binary, &complete(binary, &newer.url())).await;
        assert!(
            said.contains("9999") && said.contains("older than the database"),
            "{said}"
        );
    }
    let url = newer.url();
    let migrate = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]);
    assert!(
        !migrate.ended().await.status.success(),
        "an older binary migrated a newer database"
    );
}

#[tokio::test]
async fn tables_are_created_in_no_other_schema() {
    let db = TestDb::unmigrated().await;
    db.execute(
        "create schema elsewhere;
         do $$ begin
             execute format('alter database %I set search_path = elsewhere, public', current_database());
         end $$",
    )
    .await;
    let url = db.url();
    let migrate = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]);
    let ended = migrate.ended().await;
    let said = ended.stderr;
    assert!(!ended.status.success(), "{said}");
    assert!(
        said.contains("elsewhere") && said.contains("search_path"),
        "{said}"
    );
}

#[tokio::test]
async fn database_of_a_cluster_that_counted_further_is_reported_with_the_remedy() {
    let rows = [
        "insert into audit_entries (tenant_id, id, actor_kind, action, resource_kind, resource_id, outcome, xid, seq)
         overriding system value
         select id, gen_random_uuid(), 'cli', 'tenant.paused', 'tenant', id::text, 'ok', '4294967300', 1 from tenants",
        "insert into audit_seals (tenant_id, position, last_xid, last_seq, entries, root, hash, number, chain)
         select id, 1, '4294967300', 1, 1, sha256(''), sha256(''), 1, sha256('') from tenants",
    ];
    for row in rows {
        let db = TestDb::new().await;
        db.execute("insert into tenants (id, slug) values (gen_random_uuid(), 'acme')")
            .await;
        let url = db.url();
        let migrate = || Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]);
        assert!(migrate().ended().await.status.success());
        db.execute(row).await;
        let remedy = "pg_resetwal --epoch=2 ";
        let api = Api::spawn(&db).await;
        assert!(api.process.log().contains(remedy));
        let ended = migrate().ended().await;
        assert!(ended.status.success());
        assert!(ended.stderr.contains(remedy), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn environment_and_greeting_are_values_that_are_known() {
    let db = TestDb::new().await;
    let url = db.url();
    for (variable, value, says) in [
        (
            "POSTROOM_ENV",
            "prod",
            "production, staging, test, development",
        ),
        ("SMTP_HELO_NAME", "192.0.2.1", "in brackets"),
        ("SMTP_HELO_NAME", "-a.example", "in brackets"),
        ("SMTP_HELO_NAME", "[192.0.2]", "in brackets"),
    ] {
        let mut variables = complete("postroom-worker", &url);
        variables.push((variable, value));
        let said = refused("postroom-worker", &variables).await;
        assert!(
            said.contains(variable) && said.contains(says),
            "{value}: {said}"
        );
    }
}

#[tokio::test]
async fn misspelt_variable_is_warned_of_and_signals_that_ask_for_nothing_end_no_process() {
    let db = TestDb::new().await;
    let url = db.url();
    let mut misspelt = complete("postroom-worker", &url);
    misspelt.extend([
        ("POSTROM_ENV", SECRET),
        ("SMTP_HELO_NAME", "[IPv6:2001:db8::1]"),
    ]);
    let worker = Process::spawn("postroom-worker", &[], &misspelt);
    let mut of_api = complete("postroom-api", &url);
    of_api.push(("DATABASE_MAX_CONNECTION", SECRET));
    let api = Process::spawn("postroom-api", &["serve"], &of_api);
    for (mut process, meant) in [(worker, "POSTROOM_ENV"), (api, "DATABASE_MAX_CONNECTIONS")] {
        process.addr("ops").await;
        assert!(process.log().contains(&format!("is {meant} meant?")));
        for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
            process.signal(signal);
            let says = format!("{signal} is ignored");
            eventually(SOON, async || {
                let log = process.log();
                log.contains(&says).then_some(()).ok_or(log)
            })
            .await;
        }
        assert!(process.is_running());
        process.signal(Signal::SIGTERM);
        let ended = process.ended().await;
        assert!(ended.status.success(), "{}", ended.stderr);
        assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
    }
}
