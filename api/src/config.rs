//! What the API reads from its environment: all of it here, all faults reported together.

use base::{
    db::PoolConfig,
    env::{ConfigError, Env},
};
use jobs::{
    domain::{invite::TenantSlug, session::SessionLifetime},
    secrets::KeyRing,
};
use std::{net::SocketAddr, time::Duration};

/// The API's configuration; README.md has the table of variables.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    pub pool: PoolConfig,
    /// For LISTEN, which a transaction pooler breaks: a direct connection to the same database.
    pub listen: PoolConfig,
    pub addr: SocketAddr,
    pub ops_addr: SocketAddr,
    pub sessions: SessionLifetime,
    /// Whose users look after the whole fleet; without it nobody does over HTTP.
    pub operator_tenant: Option<TenantSlug>,
    /// Seal the secrets of connections; without them there are none.
    pub keys: Option<KeyRing>,
    pub log: String,
}

impl ApiConfig {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults together, each naming its variable.
    pub fn from_env(mut env: Env) -> Result<Self, ConfigError> {
        env.refuse_dev_mode();
        let max_connections = env.parse_or(
            "DATABASE_MAX_CONNECTIONS",
            8,
            "a number of connections",
            "8",
        );
        let pool = PoolConfig::from_env(&mut env, max_connections, "postroom-api");
        let listen = pool.for_listening(&mut env);
        let sessions = SessionLifetime {
            idle: env.seconds_or("SESSION_IDLE_SECONDS", Duration::from_secs(1800), "1800"),
            absolute: env.seconds_or(
                "SESSION_ABSOLUTE_SECONDS",
                Duration::from_secs(12 * 3600),
                "43200",
            ),
        };
        if sessions.idle > sessions.absolute {
            env.fault(
                "SESSION_IDLE_SECONDS",
                "is longer than SESSION_ABSOLUTE_SECONDS",
                "1800",
            );
        }
        let operator_tenant = operator_tenant(&mut env);
        let config = Self {
            pool,
            listen,
            addr: env.parse_or(
                "API_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 8080)),
                "an address and port",
                "127.0.0.1:8080",
            ),
            ops_addr: env.parse_or(
                "API_OPS_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 9101)),
                "an address and port",
                "127.0.0.1:9101",
            ),
            sessions,
            operator_tenant,
            keys: KeyRing::from_env(&mut env),
            log: env.text_or("RUST_LOG", "info", "info,api=debug"),
        };
        env.finish(config)
    }
}

pub(crate) fn operator_tenant(env: &mut Env) -> Option<TenantSlug> {
    const NAME: &str = "OPERATOR_TENANT";
    let slug = env.optional(NAME, "acme")?;
    let parsed = TenantSlug::parse(&slug);
    if parsed.is_err() {
        env.fault(NAME, "is not a tenant's short name", "acme");
    }
    parsed.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_reported_at_once_and_no_value_is_printed() {
        let env = Env::from_vars([
            ("API_ADDR", "sekret"),
            ("API_OPS_ADDR", "sekret"),
            ("DEV_MODE", "1"),
            ("OPERATOR_TENANT", "Sekret Tenant"),
            ("SESSION_IDLE_SECONDS", "900"),
            ("SESSION_ABSOLUTE_SECONDS", "600"),
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
                "API_OPS_ADDR"
            ]
        );
        assert!(!error.to_string().to_lowercase().contains("sekret"));
    }
}
