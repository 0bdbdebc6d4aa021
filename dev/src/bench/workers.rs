//! The same backlog drained by 1, 2 and 4 worker processes: [`measure`]. On two cores more of them cannot be faster; they
//! must not be slower.

use super::drain::once;
use super::report::Finding;
use super::stand::Stand;
use super::statistics::median;
use super::{BenchError, Settings, progress};

const FLEETS: [(&str, usize); 3] = [("workers.1", 1), ("workers.2", 2), ("workers.4", 4)];

pub(super) async fn measure(
    stand: &Stand,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let mut rates = vec![Vec::new(); FLEETS.len()];
    for run in 0..settings.runs {
        for ((_, workers), rates) in FLEETS.iter().zip(&mut rates) {
            rates.push(once(stand, settings, *workers).await?.rate);
        }
        let latest = rates.iter().map(|rates| format!("{:.0}", rates[run]));
        progress("workers", run, latest.collect::<Vec<_>>().join(", "));
    }
    let alone = median(&rates[0]);
    let findings = FLEETS.iter().zip(rates);
    Ok(findings
        .map(|((name, _), rates)| {
            let of_one = median(&rates) / alone;
            Finding::new(name, "jobs/s", rates).detail("× of one", of_one)
        })
        .collect())
}
