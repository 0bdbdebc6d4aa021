//! Prometheus metrics: [`metrics!`](crate::metrics!) declares a struct whose fields' doc comments are the HELP texts.
//!
//! Every name starts with `postroom_`, so that a dashboard on a shared Prometheus finds all of ours and no others. A name from a
//! convention, such as OpenTelemetry's, is given in full with `#[name = "…"]`.

use prometheus::{
    CounterVec, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, core::Collector,
};

/// Durations from milliseconds to minutes, in seconds.
pub const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0,
];

/// A metric that [`metrics!`](crate::metrics!) can declare.
pub trait Metric: Collector + Clone + Sized + 'static {
    /// Creates the metric; only histograms use `buckets`.
    ///
    /// # Errors
    /// If the name or a label is invalid.
    fn make(
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<Self, prometheus::Error>;
}

macro_rules! plain {
    ($($kind:ident),+) => {$(
        impl Metric for $kind {
            fn make(name: &str, help: &str, _: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
                $kind::with_opts(Opts::new(name, help))
            }
        }
    )+};
}

macro_rules! labelled {
    ($($kind:ident),+) => {$(
        impl Metric for $kind {
            fn make(name: &str, help: &str, labels: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
                $kind::new(Opts::new(name, help), labels)
            }
        }
    )+};
}

plain!(IntCounter, IntGauge);
labelled!(CounterVec, IntCounterVec, IntGaugeVec, GaugeVec);

impl Metric for Histogram {
    fn make(
        name: &str,
        help: &str,
        _: &[&str],
        buckets: &[f64],
    ) -> Result<Self, prometheus::Error> {
        Self::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    }
}

impl Metric for HistogramVec {
    fn make(
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<Self, prometheus::Error> {
        Self::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        )
    }
}

/// Declares a struct of metrics, with a function `register` that creates them and adds them to a registry.
///
/// ```ignore
/// base::metrics! {
///     /// The metrics of a mailer.
///     pub struct MailerMetrics {
///         /// Messages sent, by result.
///         messages_sent_total: IntCounterVec [result],
///         /// Time to send a message, in seconds.
///         send_seconds: Histogram = SECONDS,
///         /// Duration of requests, as OpenTelemetry names it, in seconds.
///         #[name = "http_client_request_duration_seconds"]
///         request_seconds: Histogram = SECONDS,
///     }
/// }
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                $(#[name = $full_name:literal])?
                $field:ident : $kind:ident $([$($label:ident),+])? $(= $buckets:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone)]
        pub struct $name {
            $(
                $(#[doc = $help])+
                pub $field: $crate::prometheus::$kind,
            )*
        }

        impl $name {
            /// Creates the metrics and adds them to the registry.
            ///
            /// # Errors
            /// If a name is registered twice, which is a mistake in the code.
            pub fn register(registry: &$crate::prometheus::Registry) -> Result<Self, $crate::prometheus::Error> {
                Ok(Self {
                    $(
                        $field: {
                            let labels: &[&str] = &[$($(stringify!($label)),+)?];
                            let buckets: &[f64] = $crate::metrics!(@buckets $($buckets)?);
                            let metric = <$crate::prometheus::$kind as $crate::metrics::Metric>::make(
                                $crate::metrics!(@name $field $($full_name)?),
                                concat!($($help),+).trim(),
                                labels,
                                buckets,
                            )?;
                            registry.register(Box::new(metric.clone()))?;
                            metric
                        },
                    )*
                })
            }
        }
    };
    (@name $field:ident) => { concat!("postroom_", stringify!($field)) };
    (@name $field:ident $full_name:literal) => { $full_name };
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
}
