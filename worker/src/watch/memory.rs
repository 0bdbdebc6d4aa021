//! How many bytes of emails this process reads at once: [`ReadMemory`]. Watches and backfills share it, because an email to
//! everybody arrives in all mailboxes at the same time.

use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// In sizes that servers state; what is parsed of them takes about as much again.
const BYTES: u32 = 64 << 20;
/// Emails up to this size do not wait behind larger ones, which a slow server may send for minutes.
const SMALL: u32 = 2 << 20;

/// The memory for emails that are read and not yet stored.
#[derive(Clone, Debug)]
pub struct ReadMemory {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl ReadMemory {
    pub fn new() -> Self {
        let bytes = || Arc::new(Semaphore::new(BYTES as usize));
        Self {
            small: bytes(),
            large: bytes(),
        }
    }

    /// Waits until so many bytes are free; more than there are in all take all of them.
    pub(crate) async fn reserve(&self, bytes: usize) -> SemaphorePermit<'_> {
        let bytes = u32::try_from(bytes).unwrap_or(BYTES).min(BYTES);
        let memory = if bytes <= SMALL {
            &self.small
        } else {
            &self.large
        };
        let reserved = memory.acquire_many(bytes).await;
        reserved.expect("the semaphore is never closed")
    }
}

impl Default for ReadMemory {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn emails_wait_for_memory_and_the_largest_takes_all() {
        let memory = ReadMemory::new();
        const LARGE: usize = 3 << 20;
        let large = memory.reserve(LARGE).await;
        assert!(memory.reserve(usize::MAX).now_or_never().is_none());
        drop(large);
        let all = memory.reserve(usize::MAX).await;
        assert!(memory.reserve(LARGE).now_or_never().is_none());
        assert!(
            memory.reserve(1).now_or_never().is_some(),
            "small ones go on"
        );
        drop(all);
        assert!(memory.reserve(LARGE).now_or_never().is_some());
    }
}
