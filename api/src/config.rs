//! The API's configuration from the environment: read only here, all faults reported together.

use crate::{
    proxies::TrustedProxies,
    server::tls::{Tls, TlsFiles},
};
use base::{
    db::{self, PoolConfig},
    env::{self, ConfigError, Env, UnknownVariable, Variable},
    telemetry::{self, TelemetryConfig, chain},
};
use jobs::{
    domain::{invite::TenantSlug, session::SessionLifetime},
    secrets::{self, KeyRing},
};
use std::net::SocketAddr;

const ADDR: Variable = Variable::with_default(
    "API_ADDR",
    "127.0.0.1:8080",
    "The address that serves users",
);
const OPS_ADDR: Variable = Variable::with_default(
    "API_OPS_ADDR",
    "127.0.0.1:9101",
    "The address that serves operators: `/metrics`, `/livez`, `/readyz`",
);
const IDLE: Variable = Variable::with_default(
    "SESSION_IDLE_SECONDS",
    "1800",
    "A session ends after this long without a request, precise to a minute",
);
const ABSOLUTE: Variable = Variable::with_default(
    "SESSION_ABSOLUTE_SECONDS",
    "43200",
    "A session ends this long after it began, whatever happens",
);
const OPERATOR_TENANT: Variable = Variable::optional(
    "OPERATOR_TENANT",
    "acme",
    "no operators",
    "The short name of the tenant whose owners, admins and operators may use the routes under `/v1/admin`",
);

const TRUSTED_PROXIES: Variable = Variable::optional(
    "TRUSTED_PROXIES",
    "10.0.0.0/8,127.0.0.1",
    "none: the address of a request is that of its connection",
    "The networks of your proxies: a request's address is the right-most of `X-Forwarded-For` that is in none of them",
);

const TLS_CERTIFICATE: Variable = Variable::optional(
    "API_TLS_CERTIFICATE",
    "/etc/postroom/tls.pem",
    "plain HTTP",
    "A certificate chain in PEM, for an API without a proxy; SIGHUP reads it again",
);
const TLS_KEY: Variable = Variable::optional(
    "API_TLS_KEY",
    "/etc/postroom/tls.key",
    "plain HTTP",
    "The private key of the certificate, in PEM",
);

/// What only the API reads.
pub const VARIABLES: &[Variable] = &[
    ADDR,
    OPS_ADDR,
    IDLE,
    ABSOLUTE,
    OPERATOR_TENANT,
    TRUSTED_PROXIES,
    TLS_CERTIFICATE,
    TLS_KEY,
];

/// The API's configuration; docs/configuration.md has the table of variables.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    pub pool: PoolConfig,
    /// For LISTEN, which a transaction pooler breaks: a direct connection to the same database.
    pub listen: PoolConfig,
    pub addr: SocketAddr,
    pub ops_addr: SocketAddr,
    pub sessions: SessionLifetime,
    /// The tenant whose users are operators; without it, nobody is over HTTP.
    pub operator_tenant: Option<TenantSlug>,
    /// Whose word about a request's address counts.
    pub trusted_proxies: TrustedProxies,
    /// Without it, HTTP is plain.
    pub tls: Option<TlsFiles>,
    /// Seal the secrets of connections and second factors; without them none can be stored.
    pub keys: Option<KeyRing>,
    pub telemetry: TelemetryConfig,
    /// What is set and not read here: perhaps misspelt.
    pub unknown: Vec<UnknownVariable>,
}

impl ApiConfig {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults together, each naming its variable.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        env.refuse_dev_mode();
        let pool = PoolConfig::from_env(&mut env, "postroom-api");
        let listen = pool.for_listening(&mut env);
        let sessions = sessions(&mut env);
        let operator_tenant = operator_tenant(&mut env);
        let config = Self {
            pool,
            listen,
            addr: env.parse(ADDR, "an IP address and a port"),
            ops_addr: env.parse(OPS_ADDR, "an IP address and a port"),
            sessions,
            operator_tenant,
            trusted_proxies: trusted_proxies(&mut env),
            tls: tls_files(&mut env),
            keys: KeyRing::from_env(&mut env),
            telemetry: TelemetryConfig::from_env(&mut env),
            unknown: Vec::new(),
        };
        let unknown = env.unknown(&known(), &["API_", "SESSION_"]);
        env.finish(Self { unknown, ..config })
    }
}

fn known() -> Vec<Variable> {
    let shared = [
        db::VARIABLES,
        secrets::VARIABLES,
        env::VARIABLES,
        telemetry::export::VARIABLES,
    ];
    [shared.concat(), VARIABLES.to_vec(), vec![telemetry::LOG]].concat()
}

fn sessions(env: &mut Env) -> SessionLifetime {
    let is_idle_set = env.optional(IDLE).is_some();
    let (mut idle, absolute) = (env.seconds(IDLE), env.seconds(ABSOLUTE));
    if idle > absolute {
        if is_idle_set {
            env.fault(IDLE, "is longer than SESSION_ABSOLUTE_SECONDS");
        }
        idle = absolute;
    }
    SessionLifetime { idle, absolute }
}

fn tls_files(env: &mut Env) -> Option<TlsFiles> {
    match (env.optional(TLS_CERTIFICATE), env.optional(TLS_KEY)) {
        (Some(certificate), Some(key)) => {
            let files = TlsFiles {
                certificate: certificate.into(),
                key: key.into(),
            };
            // Read again at the start; here only so that their fault stands beside the others.
            if let Err(error) = Tls::load(files.clone()) {
                env.fault(
                    if error.is_of_key() {
                        TLS_KEY
                    } else {
                        TLS_CERTIFICATE
                    },
                    chain(&error),
                );
            }
            Some(files)
        }
        (None, None) => None,
        (Some(_), None) => {
            env.fault(TLS_KEY, "is needed with API_TLS_CERTIFICATE");
            None
        }
        (None, Some(_)) => {
            env.fault(TLS_CERTIFICATE, "is needed with API_TLS_KEY");
            None
        }
    }
}

fn trusted_proxies(env: &mut Env) -> TrustedProxies {
    let Some(text) = env.optional(TRUSTED_PROXIES) else {
        return TrustedProxies::default();
    };
    TrustedProxies::parse(&text).unwrap_or_else(|| {
        env.fault(
            TRUSTED_PROXIES,
            "is not a list of networks and addresses, with commas between them",
        );
        TrustedProxies::default()
    })
}

pub(crate) fn operator_tenant(env: &mut Env) -> Option<TenantSlug> {
    let slug = env.optional(OPERATOR_TENANT)?;
    let parsed = TenantSlug::parse(&slug);
    if parsed.is_err() {
        env.fault(OPERATOR_TENANT, "is not a tenant's short name");
    }
    parsed.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_reported_together_and_without_values() {
        let env = Env::from_vars([
            ("API_ADDR", "sekret"),
            ("API_OPS_ADDR", "sekret"),
            ("DEV_MODE", "1"),
            ("OPERATOR_TENANT", "Sekret Tenant"),
            ("SESSION_IDLE_SECONDS", "900"),
            ("SESSION_ABSOLUTE_SECONDS", "600"),
            ("TRUSTED_PROXIES", "10.0.0.0/8,sekret"),
            ("API_TLS_CERTIFICATE", "/sekret/tls.pem"),
            ("API_TLS_KEY", "/sekret/tls.key"),
            ("RUST_LOG", "sekret=sekret"),
        ]);
        let error = ApiConfig::from_env(env).unwrap_err();
        let names: Vec<&str> = error.faults.iter().map(|fault| fault.name).collect();
        assert_eq!(
            names,
            [
                "DEV_MODE",
                "DATABASE_URL",
                "SESSION_IDLE_SECONDS",
                "OPERATOR_TENANT",
                "API_ADDR",
                "API_OPS_ADDR",
                "TRUSTED_PROXIES",
                "API_TLS_CERTIFICATE",
                "RUST_LOG"
            ]
        );
        assert!(!error.to_string().to_lowercase().contains("sekret"));
    }

    #[test]
    fn default_of_idle_sessions_is_no_longer_than_a_session_may_last() {
        let url = ("DATABASE_URL", "postgres://postroom@localhost/postroom");
        let sessions = |vars: &[(&'static str, &'static str)]| {
            let env = Env::from_vars(vars.iter().copied().chain([url]));
            ApiConfig::from_env(env).map(|config| config.sessions.idle.as_secs())
        };
        assert_eq!(sessions(&[]), Ok(1800));
        assert_eq!(sessions(&[("SESSION_ABSOLUTE_SECONDS", "600")]), Ok(600));
        let both = [
            ("SESSION_ABSOLUTE_SECONDS", "600"),
            ("SESSION_IDLE_SECONDS", "900"),
        ];
        assert!(sessions(&both).is_err());
    }
}
