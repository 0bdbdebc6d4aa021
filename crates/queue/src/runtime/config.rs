//! How a worker runs its jobs.

use std::time::Duration;

/// The settings of one worker process.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Jobs of one queue that run at the same time, 1 to 10,000.
    pub slots: u32,
    /// How long a silent worker keeps its jobs; leases are renewed about three times as often.
    pub lease: Duration,
    /// How long running jobs may go on after the worker was told to stop.
    pub grace: Duration,
    /// How often the queue is polled without a notification.
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
