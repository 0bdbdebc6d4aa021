//! [`Caller`]: HTTP with a token of the test's choosing, or none. For tests of who may come in.

use super::{
    client::{TestResponse, http, send},
    process::{Ended, Process},
};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::net::SocketAddr;

/// Speaks to one API process.
pub(crate) struct Caller {
    http: reqwest::Client,
    base: String,
}

impl Caller {
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self {
            http: http(),
            base: format!("http://{addr}"),
        }
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    fn bearer(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(token)
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> TestResponse {
        send(self.bearer(Method::GET, path, token)).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str) -> TestResponse {
        send(self.bearer(Method::POST, path, token)).await
    }

    pub(crate) async fn post_json(&self, path: &str, token: &str, body: &Value) -> TestResponse {
        send(self.bearer(Method::POST, path, token).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> TestResponse {
        send(self.bearer(Method::DELETE, path, token)).await
    }
}

/// Runs `postroom-api admin …` to its end.
pub(crate) async fn admin(database_url: &str, args: &[&str]) -> Ended {
    let args: Vec<&str> = std::iter::once("admin")
        .chain(args.iter().copied())
        .collect();
    Process::spawn("postroom-api", &args, &[("DATABASE_URL", database_url)])
        .ended()
        .await
}
