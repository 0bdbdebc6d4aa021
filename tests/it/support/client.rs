//! [`Client`]: a user with a session, talking HTTP to whichever API process it is pointed at.
//!
//! Asserts that HTTP works and what a refusal looks like; all else is looked at by the tests.

use super::{TestDb, contract, eventually, wait::SOON};
use base::TenantId;
use jobs::{
    commands::sessions::{open::NewSession, open_session},
    domain::{
        SessionId, UserId,
        session::{AuthMethod, Origin, Role, SessionLifetime},
    },
};
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};

/// Ends of a job; the other states are on the way there.
const TERMINAL: [&str; 3] = ["succeeded", "discarded", "cancelled"];

/// A signed-in user.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    pub(crate) tenant: TenantId,
    pub(crate) session: SessionId,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null if there was no JSON.
    pub(crate) body: Value,
    /// As it came.
    pub(crate) text: String,
}

impl Client {
    /// A tenant of its own with one owner, who has a session; talks to nobody yet.
    pub(crate) async fn owner_of_new_tenant(db: &TestDb) -> Self {
        let tenant = TenantId::new();
        db.execute(&format!(
            "insert into tenants (id, slug) values ('{tenant}', 't-{}')",
            tenant.0.simple()
        ))
        .await;
        Self::sign_in(db, tenant, Role::Owner).await
    }

    /// A new user of the same tenant, talking to the same process.
    pub(crate) async fn colleague(&self, db: &TestDb, role: Role) -> Self {
        let base = self.base.clone();
        Self {
            base,
            ..Self::sign_in(db, self.tenant, role).await
        }
    }

    async fn sign_in(db: &TestDb, tenant: TenantId, role: Role) -> Self {
        let user = UserId::new();
        // Not by an invite: hashing a password costs more than the rest of most tests.
        db.execute(&format!(
            "insert into users (tenant_id, id, email, role, password_hash)
             values ('{tenant}', '{user}', '{}@postroom.example', '{}', 'no password opens this')",
            user.0.simple(),
            role.as_str()
        ))
        .await;
        let new = NewSession {
            tenant,
            user,
            role,
            auth_method: AuthMethod::Dev,
            lifetime: SessionLifetime {
                idle: Duration::from_secs(1800),
                absolute: Duration::from_secs(43_200),
            },
            origin: Origin::new(None, Some("tests"), None),
        };
        let mut tx = db.pool().begin().await.expect("begin");
        let opened = open_session(&mut tx, &new).await.expect("open a session");
        tx.commit().await.expect("commit the session");
        let token = opened.token.expose().to_owned();
        Self {
            http: http(),
            base: String::new(),
            token,
            tenant,
            session: opened.session.id,
        }
    }

    /// The same user at this address.
    pub(crate) fn at(mut self, addr: SocketAddr) -> Self {
        self.base = format!("http://{addr}");
        self
    }

    /// Another caller at the same address, by its token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// What goes into the `Authorization` header, for clients that write their own bytes.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// The address of a path, for requests without this user's session.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The session's secret.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A request with the session's token, to be completed and given to [`send`].
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, self.url(path))
            .bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> TestResponse {
        send(self.request(Method::GET, path)).await
    }

    /// A request that submits an email, not sent yet.
    pub(crate) fn submission(&self, mail: &[u8], key: &str) -> RequestBuilder {
        self.request(Method::POST, "/v1/jobs/triage")
            .header("Content-Type", "message/rfc822")
            .header("Idempotency-Key", key)
            .body(mail.to_vec())
    }

    /// Submits an email.
    pub(crate) async fn submit(&self, mail: &[u8], key: &str) -> TestResponse {
        send(self.submission(mail, key)).await
    }

    /// Submits an email that must be accepted; the id of its job.
    pub(crate) async fn submitted(&self, mail: &[u8], key: &str) -> String {
        let answer = self.submit(mail, key).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.body["id"]
            .as_str()
            .expect("an accepted job has an id")
            .to_owned()
    }

    /// The job as the API shows it.
    pub(crate) async fn job(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/jobs/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// The job in its terminal state, waited for by long polls as a client would.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        eventually(SOON * 2, async || {
            let request = self
                .request(Method::GET, &format!("/v1/jobs/{id}"))
                .header("Prefer", "wait=5");
            // A process under test may be away for a moment.
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let job: Value = answer.json().await.map_err(|error| error.to_string())?;
            let state = job["state"].as_str().unwrap_or_default();
            if TERMINAL.contains(&state) {
                Ok(job)
            } else {
                Err(job.to_string())
            }
        })
        .await
    }
}

/// A client of HTTP without TLS.
pub(crate) fn http() -> reqwest::Client {
    // reqwest comes without a TLS provider of its own and asks for one even where none is used; a second
    // installation in this process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        // Below the time after which the API closes an idle connection: a request that meets the end of one fails.
        .pool_idle_timeout(Duration::from_secs(5))
        .build()
        .expect("a client without TLS needs nothing")
}

/// Sends a request and reads all of its answer, which must be one that the document describes.
pub(crate) async fn send(request: RequestBuilder) -> TestResponse {
    let (client, request) = request.build_split();
    let request = request.expect("a request that can be sent");
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.expect("the API answers");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("the answer is complete");
    contract::check(&method, &path, status, &headers, &text);
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    TestResponse {
        status,
        headers,
        body,
        text,
    }
}

impl TestResponse {
    /// A refusal in the one form that every refusal has.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str, about: &str) {
        assert_eq!(self.status, status, "{about}: {}", self.text);
        let media_type = self.header("content-type");
        assert_eq!(media_type, Some("application/problem+json"), "{about}");
        assert_eq!(self.body["code"], code, "{about}: {}", self.text);
        assert_eq!(self.body["status"], status, "{about}");
        let request_id = self.header("x-request-id");
        assert_eq!(self.body["request_id"].as_str(), request_id, "{about}");
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Seconds until the client should ask again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.header(RETRY_AFTER.as_str())?.parse().ok()
    }
}
