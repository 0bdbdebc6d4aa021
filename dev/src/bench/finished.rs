//! The drain with millions of finished rows, and with none: [`measure`].

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::drain::{drain, once};
use super::fill::{analyze, fill};
use super::report::Finding;
use super::sql::{connect, execute};
use super::statistics::median;
use super::{BenchError, Settings, progress};

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let rows = if settings.quick { 200_000 } else { 5_000_000 };
    let full = bench.new_database().await?;
    eprintln!("finished: writing {rows} finished rows …");
    insert_finished(&full, rows).await?;
    let (mut without, mut with) = (vec![], vec![]);
    for run in 0..settings.runs {
        without.push(once(bench, settings, 1).await?.rate);
        fill(&full, settings.jobs).await?;
        execute(&mut connect(&full.url).await?, "checkpoint").await?;
        with.push(drain(&full, bench, settings, 1).await?.rate);
        progress(
            "finished",
            run,
            format!(
                "{:.0} without finished rows, {:.0} with {rows}",
                without[run], with[run]
            ),
        );
    }
    full.clear().await?;
    let cost = median(&without) / median(&with);
    Ok(vec![
        Finding::new("finished.none", "jobs/s", without),
        Finding::new("finished.many", "jobs/s", with)
            .detail("rows kept", f64::from(rows))
            .detail("× cost per job", cost),
    ])
}

/// Inserts finished jobs of an earlier month; their ids sort before those of new jobs.
async fn insert_finished(database: &BenchDatabase, rows: u32) -> Result<(), BenchError> {
    let mut connection = connect(&database.url).await?;
    execute(
        &mut connection,
        format!(
            "insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
                 args, run_at, started_at, created_at, finished_at, output)
             select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
                 ('01900000-0000-7000-9000-' || lpad(to_hex(n % 8), 12, '0'))::uuid,
                 'bench.noop', 'bench', 'succeeded', 3, 1, 0, 0, 5, jsonb_build_object('n', n), at, at, at, at, 'null'
             from generate_series(1, {rows}) as n, lateral (select now() - interval '20 days' + n * interval '1 ms' as at) as t"
        ),
    )
    .await?;
    drop(connection);
    analyze(database).await
}
