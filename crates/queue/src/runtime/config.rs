//! [`RuntimeConfig`]: how a worker runs its jobs.

use std::time::Duration;

/// The settings of one worker process.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// How many jobs of each queue run at the same time, 1 to 10,000.
    pub slots: u32,
    /// How long a job belongs to a worker without a renewal; leases are renewed about three times in that time.
    pub lease: Duration,
    /// How long running jobs may continue after the worker has stopped claiming.
    pub grace: Duration,
    /// The time between two polls without a notification.
    pub poll: Duration,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            slots: 16,
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            poll: Duration::from_secs(2),
        }
    }
}
