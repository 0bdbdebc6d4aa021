//! The compiled rule sets of this worker: [`RuleCache`]. A version of a tenant's rules never changes, and compiling it for
//! each email would cost more than all else.

use base::TenantId;
use jobs::domain::rules::RuleSet;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::OnceCell;

/// For all sets together; the one that was not used for longest makes way.
const BYTES: usize = 128 * 1024 * 1024;
/// Small sets count too.
const SETS: usize = 4096;

type Key = (TenantId, i32);
type Cell = Arc<OnceCell<Arc<RuleSet>>>;

/// Compiled rule sets by tenant and version.
#[derive(Debug, Default)]
pub(super) struct RuleCache(Mutex<Sets>);

#[derive(Debug, Default)]
struct Sets {
    by_key: HashMap<Key, (Cell, u64)>,
    /// Counts uses, to tell which was longest ago.
    uses: u64,
}

impl RuleCache {
    /// Returns the set, compiled by the first of all who need it.
    ///
    /// # Errors
    /// If it could not be compiled; the next one tries again.
    pub(super) async fn get<E>(
        &self,
        key: Key,
        compile: impl AsyncFnOnce() -> Result<RuleSet, E>,
    ) -> Result<Arc<RuleSet>, E> {
        let cell = self.lock().cell(key);
        let set = cell
            .get_or_try_init(async || compile().await.map(Arc::new))
            .await;
        self.lock().make_room(key);
        set.cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

impl Sets {
    fn cell(&mut self, key: Key) -> Cell {
        self.uses += 1;
        let (cell, used) = self.by_key.entry(key).or_default();
        *used = self.uses;
        cell.clone()
    }

    /// Drops sets, but not the one that was just asked for.
    fn make_room(&mut self, kept: Key) {
        while self.by_key.len() > SETS || self.weight() > BYTES {
            let others = self.by_key.iter().filter(|(key, _)| **key != kept);
            let oldest = others
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| *key);
            let Some(oldest) = oldest else { return };
            self.by_key.remove(&oldest);
        }
    }

    fn weight(&self) -> usize {
        let sets = self.by_key.values().filter_map(|(cell, _)| cell.get());
        sets.map(|set| set.weight()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    const RULES: &str = r"rules: [{name: a, match: {subject: {regex: '\w'}}}]";

    #[tokio::test]
    async fn set_is_compiled_once_for_all_who_need_it_and_once_per_version() {
        let (cache, compiled) = (RuleCache::default(), AtomicUsize::new(0));
        let tenant = TenantId::new();
        let get = |version| {
            cache.get((tenant, version), async || {
                compiled.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(RuleSet::compile(RULES).unwrap())
            })
        };
        let (first, second) = tokio::join!(get(1), get(1));
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        get(1).await.unwrap();
        assert_eq!(compiled.load(Ordering::Relaxed), 1);
        get(2).await.unwrap();
        assert_eq!(compiled.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn failure_is_not_kept() {
        let cache = RuleCache::default();
        let key = (TenantId::new(), 1);
        assert_eq!(cache.get(key, async || Err("no")).await.err(), Some("no"));
        let set = cache.get(key, async || Ok::<_, &str>(RuleSet::default()));
        assert!(set.await.is_ok());
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let cache = RuleCache::default();
        let many: String = (0..60)
            .map(|n| format!("\n- {{name: r{n}, match: {{subject: {{regex: '\\w'}}}}}}"))
            .collect();
        let set = RuleSet::compile(&format!("rules:{many}")).unwrap();
        assert!(set.weight() > BYTES / 150, "{}", set.weight());
        for _ in 0..200 {
            let key = (TenantId::new(), 1);
            let set = cache.get(key, async || Ok::<_, Infallible>(set.clone()));
            set.await.unwrap();
            assert!(cache.lock().weight() <= BYTES);
            assert!(cache.lock().by_key.contains_key(&key));
        }
        assert!(cache.lock().by_key.len() > 1);
    }
}
