//! The API's description of itself, written once when the process starts: [`Reference`].

mod curl;
mod html;
mod page;
mod resolve;
mod schema;

use crate::{error::success, etag, openapi, route_table::RouteTable};
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

/// The document and the page that is made from it.
#[derive(Clone, Debug)]
pub struct Reference {
    pub openapi: Page,
    pub docs: Page,
}

/// Bytes that stay the same as long as the process runs.
#[derive(Clone, Debug)]
pub struct Page {
    body: Bytes,
    etag: HeaderValue,
    /// Content-Type, Cache-Control and Content-Security-Policy.
    headers: [(HeaderName, HeaderValue); 3],
}

impl Reference {
    pub fn new(table: &RouteTable) -> Self {
        let document = openapi::document(table);
        let json = document.to_string();
        let page = page::render(&document);
        let policy = page::content_security_policy();
        Self {
            openapi: Page::new(
                "application/json",
                json,
                "default-src 'none'; frame-ancestors 'none'",
            ),
            docs: Page::new("text/html; charset=utf-8", page, &policy),
        }
    }
}

impl Page {
    fn new(content_type: &'static str, body: String, policy: &str) -> Self {
        let etag = etag::strong(body.as_bytes());
        let value = |text: &str| HeaderValue::from_str(text).expect("visible ASCII");
        Self {
            etag: value(&etag),
            body: body.into(),
            headers: [
                (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
                // Clients store it and revalidate it by its ETag.
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                (header::CONTENT_SECURITY_POLICY, value(policy)),
            ],
        }
    }

    /// Responds with the page, or 304 to a client that has it.
    pub fn respond(&self, headers: &HeaderMap) -> Response {
        let known = self
            .etag
            .to_str()
            .is_ok_and(|etag| etag::is_known(headers, etag));
        let mut response = if known {
            success::NOT_MODIFIED.into_response()
        } else {
            self.body.clone().into_response()
        };
        let sent = response.headers_mut();
        sent.insert(header::ETAG, self.etag.clone());
        for (name, value) in &self.headers {
            if !(known && name == header::CONTENT_TYPE) {
                sent.insert(name, value.clone());
            }
        }
        response
    }
}
