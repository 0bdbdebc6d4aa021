//! Lists that are read page by page: [`Paged`] is what a request asks for, [`PagedList`] what it gets.

use super::{CurrentSession, StrictQuery};
use crate::{
    AppState,
    cursor::Cursor,
    error::{ApiError, Code},
    route_table::Operation,
};
use axum::{
    Json,
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};
use base::TenantId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fmt::Debug, sync::Arc};
use uuid::Uuid;

pub const DEFAULT_LIMIT: i64 = 50;
pub const MAX_LIMIT: i64 = 200;

/// The filters of a list, and which of its pages.
#[derive(Debug)]
pub struct Paged<F> {
    pub filter: F,
    pub page: Page,
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    pub limit: i64,
    /// The last row of the page before.
    pub after: Option<Uuid>,
    tenant: TenantId,
    /// The operation, the user and the filters: a cursor continues only the list it came from.
    list: [String; 3],
}

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct PagedList<T> {
    items: Vec<T>,
    /// Send it as `cursor` to read the next page; null on the last page.
    next_cursor: Option<String>,
}

/// A whole list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    items: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: Option<i64>,
    cursor: Option<String>,
}

impl<F: DeserializeOwned + Debug> FromRequestParts<AppState> for Paged<F> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let session = parts.extensions.get::<CurrentSession>();
        let CurrentSession(session) = session.expect("only operations with a session are paged");
        let operation = parts.extensions.get::<Arc<Operation>>();
        let operation = operation.expect("the pipeline names every request's operation");
        let (of_page, of_filter) = split(&parts.uri);
        let StrictQuery(filter) = StrictQuery::<F>::parse_text(&of_filter)?;
        let StrictQuery(query) = StrictQuery::<PageQuery>::parse_text(&of_page)?;
        let list = [
            operation.name.to_owned(),
            session.user.to_string(),
            format!("{filter:?}"),
        ];
        let page = Page::parse(session.tenant, list, &query)?;
        Ok(Self { filter, page })
    }
}

/// Separates `limit` and `cursor` from the filters.
fn split(uri: &Uri) -> (String, String) {
    let pairs = uri.query().unwrap_or_default().split('&');
    let (of_page, of_filter): (Vec<_>, Vec<_>) =
        pairs.partition(|pair| matches!(pair.split('=').next(), Some("limit" | "cursor")));
    (of_page.join("&"), of_filter.join("&"))
}

impl Page {
    fn parse(tenant: TenantId, list: [String; 3], query: &PageQuery) -> Result<Self, ApiError> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(
                ApiError::new(Code::InvalidParameter, "Use a limit from 1 to 200.").at(
                    "?limit",
                    "OUT_OF_RANGE",
                    "Must be from 1 to 200.",
                ),
            );
        }
        let cursor = query.cursor.as_deref();
        let after = cursor
            .map(|text| Cursor::decode(text, tenant, &list))
            .transpose()?
            .map(|Cursor(id)| id);
        Ok(Self {
            limit,
            after,
            tenant,
            list,
        })
    }

    /// How many rows to read: one more than the page holds tells whether there is a next page.
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// Names the row after which a later request continues this list.
    pub fn cursor(&self, id: Uuid) -> String {
        Cursor(id).encode(self.tenant, &self.list)
    }

    /// Cuts the rows that were found to the page and names the next one.
    pub fn list<R, T: From<R>>(
        &self,
        mut found: Vec<R>,
        id: impl Fn(&R) -> Uuid,
    ) -> Json<PagedList<T>> {
        let mut next_cursor = None;
        if i64::try_from(found.len()).is_ok_and(|rows| rows > self.limit) {
            found.pop();
            let last = found.last().map(|last| Cursor(id(last)));
            next_cursor = last.map(|last| last.encode(self.tenant, &self.list));
        }
        let items = found.into_iter().map(T::from).collect();
        Json(PagedList { items, next_cursor })
    }
}

impl<T> List<T> {
    pub fn of<R: Into<T>>(rows: impl IntoIterator<Item = R>) -> Json<Self> {
        let items = rows.into_iter().map(Into::into).collect();
        Json(Self { items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_and_cursor_are_separated_from_the_filters() {
        let uri: Uri = "/v1/jobs?limit=5&kind=limit&cursor=c1_x&limits=1"
            .parse()
            .unwrap();
        assert_eq!(
            split(&uri),
            ("limit=5&cursor=c1_x".into(), "kind=limit&limits=1".into())
        );
        assert_eq!(
            split(&"/v1/jobs".parse().unwrap()),
            (String::new(), String::new())
        );
    }

    #[test]
    fn page_is_cut_to_its_limit_and_names_the_next_one() {
        let list = ["jobs", "user", "{}"].map(str::to_owned);
        let query = PageQuery {
            limit: Some(2),
            cursor: None,
        };
        let page = Page::parse(TenantId::new(), list.clone(), &query).unwrap();
        let ids = [1, 2, 3].map(Uuid::from_u128);
        let Json(cut): Json<PagedList<Uuid>> = page.list(ids.to_vec(), |id| *id);
        assert_eq!(cut.items, ids[..2]);
        let query = PageQuery {
            limit: None,
            cursor: cut.next_cursor,
        };
        let next = Page::parse(page.tenant, list, &query).unwrap();
        assert_eq!((next.after, next.limit), (Some(ids[1]), DEFAULT_LIMIT));
        let Json(whole): Json<PagedList<Uuid>> = page.list(ids[..2].to_vec(), |id| *id);
        assert_eq!(whole.next_cursor, None);
    }

    #[test]
    fn limit_must_be_from_1_to_200() {
        for (limit, fits) in [(0, false), (1, true), (200, true), (201, false)] {
            let query = PageQuery {
                limit: Some(limit),
                cursor: None,
            };
            let list = ["", "", ""].map(str::to_owned);
            let page = Page::parse(TenantId::new(), list, &query);
            assert_eq!(page.is_ok(), fits, "{limit}");
        }
    }
}
