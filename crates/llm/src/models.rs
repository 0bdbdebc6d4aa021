//! [`Models`], several models, and which of them answers for a tenant and a task: [`Route`].
//!
//! Chooses, and asks nothing: the caller asks the models of a route one after the other, because only it knows which failures
//! mean that another model should be asked.

use crate::{metrics::LlmMetrics, model::Model};
use base::TenantId;
use std::{collections::BTreeMap, sync::Arc};

/// The model that is asked, and those that are asked in its place.
#[derive(Clone)]
pub struct Route {
    pub first: Model,
    /// In the order in which they are asked.
    pub fallbacks: Vec<Model>,
}

/// The models of a process; clones share everything.
#[derive(Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

struct Inner {
    default: Route,
    tasks: BTreeMap<&'static str, Route>,
    tenants: BTreeMap<TenantId, TenantRoutes>,
}

/// The routes of a tenant with models of its own.
#[derive(Default)]
pub(crate) struct TenantRoutes {
    pub(crate) default: Option<Route>,
    pub(crate) tasks: BTreeMap<&'static str, Route>,
}

impl Models {
    pub(crate) fn new(
        default: Route,
        tasks: BTreeMap<&'static str, Route>,
        tenants: BTreeMap<TenantId, TenantRoutes>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                default,
                tasks,
                tenants,
            }),
        }
    }

    /// Returns the route of a task. What a tenant has of its own comes before what everybody has.
    pub fn route(&self, tenant: TenantId, task: &str) -> &Route {
        let Inner {
            default,
            tasks,
            tenants,
        } = &*self.inner;
        tenants
            .get(&tenant)
            .and_then(|own| own.tasks.get(task).or(own.default.as_ref()))
            .or_else(|| tasks.get(task))
            .unwrap_or(default)
    }

    /// Finds a model by the names of its provider and its own.
    pub fn find(&self, provider: &str, model: &str) -> Option<&Model> {
        let Inner {
            default,
            tasks,
            tenants,
        } = &*self.inner;
        let of_tenants = tenants
            .values()
            .flat_map(|own| own.default.iter().chain(own.tasks.values()));
        let routes = [default]
            .into_iter()
            .chain(tasks.values())
            .chain(of_tenants);
        let mut models =
            routes.flat_map(|route| [&route.first].into_iter().chain(&route.fallbacks));
        models.find(|it| it.provider_name() == provider && it.model_name() == model)
    }

    /// The metrics, which all models share.
    pub fn metrics(&self) -> &LlmMetrics {
        self.inner.default.first.metrics()
    }
}

/// One model for everything, without fallbacks.
impl From<Model> for Models {
    fn from(model: Model) -> Self {
        let route = Route {
            first: model,
            fallbacks: Vec::new(),
        };
        Self::new(route, BTreeMap::new(), BTreeMap::new())
    }
}
