//! What a worker with nothing to do asks of Postgres: [`measure`] counts its statements in the server's own log.

use super::report::Finding;
use super::sql::{connect, execute, number};
use super::stand::Stand;
use super::worker_process::WorkerProcess;
use super::{BenchError, Settings, progress};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use tokio::time::sleep;

/// Beside the process id in each line of the log, so that our own statements are not counted.
const MARK: &str = "bench=";
/// For the connections and statements of the start.
const SETTLED_IN: Duration = Duration::from_secs(5);

pub(super) async fn measure(
    stand: &Stand,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let window = Duration::from_secs(if settings.quick { 10 } else { 60 });
    let bed = stand.bed().await?;
    let mut connection = connect(&bed.url).await?;
    for setting in [
        "alter system set log_statement = 'all'",
        "alter system set log_line_prefix = 'bench=%a '",
        "select pg_reload_conf()",
    ] {
        execute(&mut connection, setting).await?;
    }
    let mut worker = WorkerProcess::start(&bed, &stand.places, settings).await?;
    worker.go().await?;
    sleep(SETTLED_IN).await;
    let log = stand.cluster.folder().join("postgres.log");
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
    bed.clear().await?;
    let rate = all as f64 / window.as_secs_f64();
    Ok(vec![
        Finding::new("idle.statements", "statements/s", vec![rate]),
        Finding::new("idle.connections", "connections", vec![connections as f64]),
    ])
}

/// The statements that a program sent, by their beginnings, and how often.
fn statements(log: &str, program: &str) -> BTreeMap<String, usize> {
    let prefix = format!("{MARK}{program} LOG:  ");
    let mut counts = BTreeMap::new();
    let said = log.lines().filter_map(|line| line.strip_prefix(&prefix));
    for said in said.filter(|said| said.starts_with("execute ") || said.starts_with("statement: "))
    {
        let statement = said
            .split_once(": ")
            .map_or(said, |(_, statement)| statement);
        let beginning: String = statement.trim().chars().take(60).collect();
        *counts.entry(beginning).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_the_program_are_counted_and_nothing_else() {
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
