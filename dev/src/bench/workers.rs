//! Drains the same backlog with 1, 2 and 4 worker processes: [`measure`]. On two cores, more of them cannot be faster but must not
//! be slower.

use super::bench_cluster::BenchCluster;
use super::drain::once;
use super::report::Finding;
use super::statistics::median;
use super::{BenchError, Settings, progress};

const WORKER_COUNTS: [(&str, usize); 3] = [("workers.1", 1), ("workers.2", 2), ("workers.4", 4)];

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let mut rates = vec![Vec::new(); WORKER_COUNTS.len()];
    for run in 0..settings.runs {
        for ((_, workers), rates) in WORKER_COUNTS.iter().zip(&mut rates) {
            rates.push(once(bench, settings, *workers).await?.rate);
        }
        let latest = rates.iter().map(|rates| format!("{:.0}", rates[run]));
        progress("workers", run, latest.collect::<Vec<_>>().join(", "));
    }
    let alone = median(&rates[0]);
    let findings = WORKER_COUNTS.iter().zip(rates);
    Ok(findings
        .map(|((name, _), rates)| {
            let of_one = median(&rates) / alone;
            Finding::new(name, "jobs/s", rates).detail("× of one", of_one)
        })
        .collect())
}
