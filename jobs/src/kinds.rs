//! The kinds of job: what each carries, gives back, and how it is retried. One file per kind; [`ALL`] is the table of them, which
//! the worker's handlers and duties, the API's lists and the metrics follow. No IO.

pub mod action;
pub mod backfill;
pub mod connection_test;
pub mod draft;
mod spec;
mod submitter;
pub mod triage;
pub mod triage_batch;
pub mod triage_shadow;
pub mod webhook_delivery;

pub use spec::{Ends, JobOutput, KindSpec, ModelUse};
pub use submitter::api_key_of;

use queue::RetryPolicy;
use std::time::Duration;

/// Every kind of job, in the order in which they are listed.
pub const ALL: &[KindSpec] = &[
    KindSpec::of::<triage::Triage>(ModelUse::Waits, Ends::Announced),
    KindSpec::of::<triage_batch::TriageBatch>(ModelUse::None, Ends::Announced),
    // A comparison has no effects.
    KindSpec::of::<triage_shadow::TriageShadow>(ModelUse::Asks, Ends::Silent),
    KindSpec::of::<draft::DraftGenerate>(ModelUse::Waits, Ends::Announced),
    KindSpec::of::<action::ActionExecute>(ModelUse::None, Ends::Announced),
    KindSpec::of::<connection_test::ConnectionTest>(ModelUse::None, Ends::Announced),
    KindSpec::of::<backfill::Backfill>(ModelUse::None, Ends::Announced),
    // It is the announcement itself.
    KindSpec::of::<webhook_delivery::WebhookDelivery>(ModelUse::None, Ends::Silent),
];

/// How jobs that ask a model are retried.
const MODEL_RETRIES: RetryPolicy = RetryPolicy {
    max_attempts: 5,
    base: Duration::from_secs(2),
    cap: Duration::from_secs(600),
    floor: Duration::from_millis(200),
};

/// Lists the names of all kinds.
pub fn names() -> Vec<&'static str> {
    names_where(|_| true)
}

/// Lists the names of the kinds of which that is true.
pub fn names_where(is_meant: impl Fn(&KindSpec) -> bool) -> Vec<&'static str> {
    let meant = ALL.iter().filter(|kind| is_meant(kind));
    meant.map(|kind| kind.name).collect()
}

/// Lists the queues that some kind waits in, each once.
pub fn queues() -> Vec<&'static str> {
    let mut queues = Vec::new();
    for kind in ALL {
        if !queues.contains(&kind.queue) {
            queues.push(kind.queue);
        }
    }
    queues
}

/// Whether webhooks are called when jobs of this kind end. True for a kind that this version does not know.
pub fn is_announced(kind: &str) -> bool {
    let known = ALL.iter().find(|known| known.name == kind);
    known.is_none_or(|known| known.ends == Ends::Announced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn kinds_have_names_of_their_own() {
        let names: HashSet<_> = names().into_iter().collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn queues_are_listed_once() {
        assert_eq!(queues(), ["triage", "draft", "action"]);
    }

    #[test]
    fn webhooks_are_called_for_all_kinds_but_those_that_say_otherwise() {
        assert!(is_announced("triage.email") && is_announced("kind.of_tomorrow"));
        assert!(!is_announced("webhook.deliver"));
    }
}
