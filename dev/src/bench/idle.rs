//! Statements of an idle worker: [`measure`] counts them in the log of Postgres.

use super::bench_cluster::BenchCluster;
use super::report::Finding;
use super::sql::{connect, execute, number};
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, progress};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use tokio::time::sleep;

/// Marks the application name in each line of the log, to exclude our own statements.
const MARK: &str = "bench=";
/// Time for the statements of the start-up.
const STARTUP_TIME: Duration = Duration::from_secs(5);

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let window = Duration::from_secs(if settings.quick { 10 } else { 60 });
    let database = bench.new_database().await?;
    let mut connection = connect(&database.url).await?;
    for setting in [
        "alter system set log_statement = 'all'",
        "alter system set log_line_prefix = 'bench=%a '",
        "select pg_reload_conf()",
    ] {
        execute(&mut connection, setting).await?;
    }
    let mut worker = WorkerProcess::start(&database, &bench.places, settings).await?;
    worker.go().await?;
    sleep(STARTUP_TIME).await;
    let log = bench.cluster.folder().join("postgres.log");
    let read = || {
        fs::read_to_string(&log).map_err(|source| BenchError::File {
            path: log.clone(),
            source,
        })
    };
    let before = read()?.len();
    sleep(window).await;
    let during = read()?.split_off(before);
    let connections = number(
        &mut connection,
        "select count(*) from pg_stat_activity where application_name = 'postroom-worker'",
    )
    .await?;
    let statements = statements(&during, "postroom-worker");
    let all: usize = statements.values().sum();
    for (statement, count) in &statements {
        progress("idle", 0, format!("{count} × {statement}"));
    }
    worker.stop().await?;
    for setting in ["alter system reset all", "select pg_reload_conf()"] {
        execute(&mut connection, setting).await?;
    }
    drop(connection);
    database.clear().await?;
    let rate = all as f64 / window.as_secs_f64();
    Ok(vec![
        Finding::new("idle.statements", "statements/s", vec![rate]),
        Finding::new("idle.connections", "connections", vec![connections as f64]),
    ])
}

/// Counts the statements of a program by their beginning.
fn statements(log: &str, program: &str) -> BTreeMap<String, usize> {
    let prefix = format!("{MARK}{program} LOG:  ");
    let mut counts = BTreeMap::new();
    let line = log.lines().filter_map(|line| line.strip_prefix(&prefix));
    for line in line.filter(|line| line.starts_with("execute ") || line.starts_with("statement: "))
    {
        let statement = line
            .split_once(": ")
            .map_or(line, |(_, statement)| statement);
        let beginning: String = statement.trim().chars().take(60).collect();
        *counts.entry(beginning).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_of_the_program_are_counted() {
        let log = "bench=postroom-worker LOG:  execute sqlx_s_1: select 1\n\
                   \tfrom somewhere\n\
                   bench=postroom-worker LOG:  execute sqlx_s_1: select 1\n\
                   bench=postroom-worker LOG:  statement: rollback\n\
                   bench=postroom-worker DETAIL:  parameters: $1 = 'execute x: y'\n\
                   bench=postroom-bench LOG:  statement: select 2\n";
        let counted = statements(log, "postroom-worker");
        assert_eq!(
            counted.into_iter().collect::<Vec<_>>(),
            [("rollback".to_owned(), 1), ("select 1".to_owned(), 2)]
        );
    }
}
