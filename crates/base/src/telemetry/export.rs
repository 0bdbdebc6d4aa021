//! Exporting spans over OTLP: [`ExportConfig`] says where to, [`Exporter`] is started and stopped with the process.
//!
//! Spans wait in a queue of 2,048 for a thread of the exporter, and those beyond it are dropped: nothing waits for the collector.
//! Only spans of our own code are exported, never log events, so that what may not be in a span's fields is what may not be in a log.

mod client;

use crate::env::{Env, Variable};
use client::Client;
use opentelemetry::{
    Context, KeyValue,
    trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::time::Duration;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// How long a process that stops waits for its last spans to be exported.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// The crates whose spans are exported.
const OURS: [&str; 6] = ["api", "base", "jobs", "llm", "queue", "worker"];

/// The variables that say where spans go, as OpenTelemetry names them.
pub const VARIABLES: &[Variable] = &[
    ENDPOINT,
    HEADERS,
    TIMEOUT,
    SERVICE,
    RESOURCE,
    SAMPLER,
    SAMPLER_ARG,
];

const ENDPOINT: Variable = Variable::optional(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "http://localhost:4318",
    "off",
    "Where spans are exported: an OTLP collector, by HTTP with protobuf. `/v1/traces` is appended",
);
const HEADERS: Variable = Variable::optional(
    "OTEL_EXPORTER_OTLP_HEADERS",
    "authorization=Bearer%20TOKEN",
    "none",
    "Headers for the collector: `name=value`, separated by commas, values percent-encoded. Secret",
);
const TIMEOUT: Variable = Variable::with_default(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "10000",
    "How long one export may take, in milliseconds",
);

const SERVICE: Variable = Variable::optional(
    "OTEL_SERVICE_NAME",
    "postroom-worker",
    "`postroom-api`, `postroom-worker`",
    "The service that spans are of",
);
/// The library reads this one and those below by itself.
const RESOURCE: Variable = Variable::optional(
    "OTEL_RESOURCE_ATTRIBUTES",
    "deployment.environment.name=production",
    "none",
    "Further attributes of the service: `name=value`, separated by commas",
);
const SAMPLER: Variable = Variable::with_default(
    "OTEL_TRACES_SAMPLER",
    "parentbased_always_on",
    "Which traces are exported: `always_on`, `always_off`, `traceidratio`, or one of these with `parentbased_`",
);
const SAMPLER_ARG: Variable = Variable::with_default(
    "OTEL_TRACES_SAMPLER_ARG",
    "1.0",
    "The share of traces that `traceidratio` exports",
);

/// Where spans are exported.
#[derive(Clone, Debug)]
pub struct ExportConfig {
    service: Option<String>,
    endpoint: String,
    timeout: Duration,
}

impl ExportConfig {
    /// Reads where spans are exported; none if they are not.
    pub fn from_env(env: &mut Env) -> Option<Self> {
        let timeout = Duration::from_millis(env.parse(TIMEOUT, "a number of milliseconds"));
        let service = env.optional(SERVICE);
        let endpoint = env.optional(ENDPOINT)?;
        let is_http = reqwest::Url::parse(&endpoint)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_http {
            env.fault(ENDPOINT, "is not an HTTP address");
        }
        Some(Self {
            service,
            endpoint: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
            timeout,
        })
    }
}

/// The exporter of this process.
pub struct Exporter {
    provider: SdkTracerProvider,
}

/// The exporter could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("could not set up the HTTP client for the collector of spans")]
    Client(#[source] reqwest::Error),
    /// Without the library's own text, which may quote a header.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_HEADERS cannot be used")]
    Config,
}

impl Exporter {
    /// Starts the exporter's thread. Headers, sampling and the queue are configured by OpenTelemetry's own variables.
    ///
    /// # Errors
    /// If the configuration is unusable. A collector that is away is no error.
    pub(super) fn start(config: &ExportConfig, service: &'static str) -> Result<Self, ExportError> {
        let client = Client::new(config.timeout).map_err(ExportError::Client)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&config.endpoint)
            .with_timeout(config.timeout)
            .build()
            .map_err(|_| ExportError::Config)?;
        let service = config.service.as_deref().unwrap_or(service);
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self { provider })
    }

    /// Returns the layer that hands spans to the exporter.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("postroom"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_exported))
    }

    /// Exports the last spans, for a few seconds at most.
    pub async fn stop(self) {
        // It waits for its thread.
        let stopped =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        if !matches!(stopped.await, Ok(Ok(()))) {
            tracing::warn!("the last spans were not exported");
        }
    }
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    let krate = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && OURS.contains(&krate)
}

/// Makes a span the child of the one in a W3C `traceparent`, before it is entered. Returns the span's own `traceparent`; none if
/// spans are not exported.
pub fn join(span: &Span, parent: Option<&str>) -> Option<String> {
    if let Some(parent) = parent.and_then(remote) {
        // Fails where spans are not exported.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    let flags = own.trace_flags().to_u8();
    own.is_valid()
        .then(|| format!("00-{}-{}-{flags:02x}", own.trace_id(), own.span_id()))
}

fn remote(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_an_http_address_and_gets_the_path_of_traces() {
        let config = |endpoint| {
            let mut env = Env::from_vars([("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
            let config = ExportConfig::from_env(&mut env);
            env.finish(config.map(|config| config.endpoint))
        };
        for endpoint in ["http://collector:4318", "http://collector:4318/"] {
            let found = config(endpoint).unwrap();
            assert_eq!(found.as_deref(), Some("http://collector:4318/v1/traces"));
        }
        assert_eq!(config("").unwrap(), None);
        for endpoint in ["collector:4318", "grpc://collector:4317", "collector"] {
            assert!(config(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn span_has_no_traceparent_where_nothing_is_exported() {
        let span = tracing::info_span!("job.attempt");
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(join(&span, Some(parent)), None);
    }

    #[test]
    fn only_a_valid_traceparent_is_a_parent() {
        let good = remote("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        assert!(!good.unwrap().is_sampled());
        for bad in [
            "",
            "00-xyz-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(remote(bad), None, "{bad}");
        }
    }
}
