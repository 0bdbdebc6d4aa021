//! An API process from its configuration to its orderly end: [`serve`].

use crate::{
    App, AppState,
    admission::Admission,
    config::ApiConfig,
    database_clock,
    database_state::DatabaseState,
    metrics::ApiMetrics,
    ops,
    reference::Reference,
    route_table::{Route, RouteTable},
    router,
    routes::{self, jobs::submit::answer_of},
    server::{self, Limits, Served, bind, tls::Tls},
    slots::Slots,
};
use anyhow::Context;
use base::{
    clock::Clock,
    db::{self, PgPool},
    descriptors,
    signals::{UserSignal, UserSignals},
    telemetry::chain,
};
use jobs::{
    commands::{
        jobs::Submitter,
        secrets::check_keys,
        sessions::{authenticate::SessionReader, denials::Denials, hashing::PasswordHasher},
    },
    kinds,
    store::tenants,
};
use prometheus::Registry;
use queue::{
    operate::readiness::check_pooler,
    signals::{listener::Listener, notifier::Notifier},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// For the last notifications and the end of the loops, after all requests.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// A started API that serves both listeners.
pub struct Api {
    pub app: AppState,
    pub addr: SocketAddr,
    pub ops_addr: SocketAddr,
    /// Outlives the requests: what the last one committed is announced too.
    signals: CancellationToken,
    drained: CancellationToken,
    users: JoinHandle<()>,
    operators: JoinHandle<()>,
    loops: TaskTracker,
}

/// Serves until SIGTERM or SIGINT, then finishes the open requests and ends.
///
/// # Errors
/// If the API cannot start: the database, its schema or an address cannot be used.
pub async fn serve(config: ApiConfig) -> anyhow::Result<()> {
    let signals = UserSignals::open().context("could not listen for SIGHUP")?;
    let descriptors = descriptors::raise().context("could not raise the limit of descriptors")?;
    let limits = Limits::default().within(descriptors, database_descriptors(&config));
    tracing::info!(
        descriptors,
        connections = limits.connections,
        "limits of this process"
    );
    let api = Api::start(config, limits, routes::all()).await?;
    stop_on_signals(&api)?;
    reload_on_hangup(&api, signals);
    api.run().await
}

impl Api {
    /// Connects, checks the schema and serves.
    ///
    /// # Errors
    /// If the database, its schema or an address cannot be used.
    pub async fn start(
        config: ApiConfig,
        limits: Limits,
        routes: Vec<Route>,
    ) -> anyhow::Result<Self> {
        let (table, operations) = RouteTable::build(routes);
        let registry = Registry::new();
        let metrics = ApiMetrics::register(&registry).context("could not register the metrics")?;
        metrics.declare(&table, &kinds::names());
        let pool = db::connect(&config.pool).await?;
        if config.pool.is_pooled {
            check_pooler(&pool).await?;
        }
        jobs::schema::check_schema(&pool).await?;
        jobs::schema::report_transactions(&pool).await;
        check_keys(&pool, config.keys.as_ref()).await?;
        check_operator_tenant(&pool, &config).await?;

        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);

        let loops = TaskTracker::new();
        let signals = CancellationToken::new();
        let clock = database_clock::follow(pool.clone(), signals.clone()).await;
        loops.spawn(clock);
        let users_listener = listen(config.addr, "API_ADDR")?;
        let ops_listener = listen(config.ops_addr, "API_OPS_ADDR")?;
        let (addr, ops_addr) = (users_listener.local_addr()?, ops_listener.local_addr()?);
        let notifier = Notifier::spawn(pool.clone(), &loops, signals.clone());
        let submitter = Submitter::spawn(
            &config.pool,
            pool.clone(),
            notifier.clone(),
            &loops,
            &signals,
            answer_of,
        )
        .await?;
        let app = Arc::new(App {
            notifier,
            submitter,
            sessions: SessionReader::spawn(&config.pool, &loops, &signals).await?,
            listener: Listener::spawn(&config.listen, &loops, signals.clone())?,
            config,
            pool,
            metrics,
            registry,
            clock: Clock::System,
            tls,
            database: DatabaseState::default(),
            reference: Reference::new(&table),
            table,
            limits,
            hasher: PasswordHasher::new(),
            denials: Denials::default(),
            streams: Slots::default(),
            polls: Slots::default(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            admission: Admission::new(&limits),
        });
        let router = router(app.clone(), operations);
        let drained = CancellationToken::new();
        let served = Served {
            router,
            limits,
            proxies: app.config.trusted_proxies.clone(),
            metrics: app.metrics.clone(),
            tls: app.tls.clone(),
        };
        let users = loops.spawn(server::serve(users_listener, served, app.stopping.clone()));
        let operators = loops.spawn(ops::serve(app.clone(), ops_listener, drained.clone()));
        tracing::info!(%addr, listener = "api", "listening");
        tracing::info!(addr = %ops_addr, listener = "ops", "listening");
        Ok(Self {
            app,
            addr,
            ops_addr,
            signals,
            drained,
            users,
            operators,
            loops,
        })
    }

    /// Serves until `app.stopping` is set, then ends in order.
    ///
    /// # Errors
    /// If a listener panicked.
    pub async fn run(self) -> anyhow::Result<()> {
        let ended = self.users.await.context("the users' listener panicked");
        // Requests that write continue without their client; they end within their own timeout.
        self.app.stopping.cancel();
        self.app.tracker.close();
        self.app.tracker.wait().await;
        self.signals.cancel();
        self.drained.cancel();
        self.loops.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.loops.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not end within the shutdown timeout");
        }
        self.operators
            .await
            .context("the operators' listener panicked")?;
        tracing::info!("stopped");
        ended
    }
}

/// Warns of a name without a tenant: it may be created later, but it may be a typo that locks all operators out.
async fn check_operator_tenant(pool: &PgPool, config: &ApiConfig) -> anyhow::Result<()> {
    if let Some(slug) = &config.operator_tenant {
        let found = tenants::find(&mut *pool.acquire().await?, slug.as_str()).await?;
        if found.is_none() {
            tracing::warn!(
                tenant = slug.as_str(),
                "OPERATOR_TENANT names no tenant: operator routes answer 403 until it exists"
            );
        }
    }
    Ok(())
}

fn listen(addr: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    bind(addr).with_context(|| format!("{variable}: could not listen on {addr}"))
}

/// Those of the pool, and of what beside it connects: listening, submitting, reading sessions, and one to spare for each.
fn database_descriptors(config: &ApiConfig) -> usize {
    let pool = usize::try_from(config.pool.max_connections).unwrap_or(usize::MAX);
    pool.saturating_add(8)
        .saturating_mul(db::DESCRIPTORS_PER_CONNECTION)
}

/// Stops in order at the first signal and immediately at the second: what was committed is kept.
fn stop_on_signals(api: &Api) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let (stopping, drained) = (api.app.stopping.clone(), api.drained.clone());
    api.loops.spawn(async move {
        tokio::select! {
            () = next(&mut terminate, &mut interrupt) => {}
            () = stopping.cancelled() => return,
        }
        tracing::info!("stopping");
        stopping.cancel();
        tokio::select! {
            () = next(&mut terminate, &mut interrupt) => {
                tracing::warn!("second signal: stopping immediately");
                std::process::exit(130);
            }
            () = drained.cancelled() => {}
        }
    });
    Ok(())
}

/// Reads the certificate again at each SIGHUP; without TLS the signal is ignored, as others that ask for nothing we do.
fn reload_on_hangup(api: &Api, mut signals: UserSignals) {
    let (tls, drained) = (api.app.tls.clone(), api.drained.clone());
    api.loops.spawn(async move {
        loop {
            let signal = tokio::select! {
                signal = signals.next() => signal,
                () = drained.cancelled() => return,
            };
            match (signal, &tls) {
                (UserSignal::Hangup, Some(tls)) => match tls.reload() {
                    Ok(()) => tracing::info!("the certificate was read again"),
                    Err(error) => {
                        tracing::error!(
                            error = chain(&error),
                            "the former certificate stays in use"
                        );
                    }
                },
                _ => signal.ignore(),
            }
        }
    });
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
