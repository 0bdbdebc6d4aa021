//! Where a client left off in a list ([`Cursor`], opaque to the client and bound to the list it came from), how much of it
//! comes at a time ([`page_limit`]), and both together ([`Page`]).
//!
//! Holds an id, which is not a secret, and a digest of whose list it was and how it was filtered. The digest keeps a
//! client from continuing one list with the cursor of another; what may be read is decided by the query itself.

use crate::error::{ApiError, Code};
use base::TenantId;
use sha2::{Digest, Sha256};
use std::fmt::Debug;
use uuid::Uuid;

/// Changes when the meaning of the rest does.
const VERSION: &str = "c1_";

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// The last row that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

impl Cursor {
    /// `list` names the operation and every filter that was applied.
    pub fn encode(self, tenant: TenantId, list: &[&str]) -> String {
        format!("{VERSION}{}{}", self.0.simple(), digest(tenant, list))
    }

    /// # Errors
    /// 400 when it is not a cursor of this list.
    pub fn decode(text: &str, tenant: TenantId, list: &[&str]) -> Result<Self, ApiError> {
        text.strip_prefix(VERSION)
            .and_then(|rest| rest.strip_suffix(digest(tenant, list).as_str()))
            .filter(|id| id.len() == 32)
            .and_then(|id| Uuid::try_parse(id).ok())
            .map(Self)
            .ok_or_else(|| {
                ApiError::new(
                    Code::InvalidParameter,
                    "The cursor does not belong to this list. Begin again without it, and keep the filters while paging.",
                )
                .at("?cursor", "INVALID_VALUE", "Not a cursor of this list.")
            })
    }
}

/// How many rows a page has, as asked for or by default.
///
/// # Errors
/// 400 when it is out of range.
pub fn page_limit(asked: Option<i64>) -> Result<i64, ApiError> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(
        ApiError::new(Code::InvalidParameter, "The limit must be from 1 to 200.").at(
            "?limit",
            "OUT_OF_RANGE",
            "1 to 200",
        ),
    )
}

/// One page of a list as it was asked for.
#[derive(Debug)]
pub struct Page {
    pub limit: i64,
    /// What the last page ended with.
    pub after: Option<Uuid>,
    tenant: TenantId,
    list: [String; 2],
}

impl Page {
    /// `list` names the operation; the filter's `Debug` tells it from all others.
    ///
    /// # Errors
    /// 400 when the limit is out of range or the cursor is not of this list.
    pub fn asked(
        tenant: TenantId,
        list: &str,
        filter: &impl Debug,
        limit: Option<i64>,
        cursor: Option<&str>,
    ) -> Result<Self, ApiError> {
        let limit = page_limit(limit)?;
        let list = [list.to_owned(), format!("{filter:?}")];
        let bound = [list[0].as_str(), list[1].as_str()];
        let after = cursor
            .map(|text| Cursor::decode(text, tenant, &bound))
            .transpose()?
            .map(|Cursor(id)| id);
        Ok(Self {
            limit,
            after,
            tenant,
            list,
        })
    }

    /// One row more than asked for tells whether there is a next page.
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// The page's own rows of those found, and the cursor of the next page.
    pub fn cut<T>(&self, mut found: Vec<T>, id: impl Fn(&T) -> Uuid) -> (Vec<T>, Option<String>) {
        if i64::try_from(found.len()).is_ok_and(|found| found <= self.limit) {
            return (found, None);
        }
        found.pop();
        let bound = [self.list[0].as_str(), self.list[1].as_str()];
        let next = found
            .last()
            .map(|last| Cursor(id(last)).encode(self.tenant, &bound));
        (found, next)
    }
}

fn digest(tenant: TenantId, list: &[&str]) -> String {
    let mut hash = Sha256::new();
    hash.update(tenant.0);
    for part in list {
        hash.update([0]);
        hash.update(part);
    }
    let short: [u8; 8] = hash.finalize()[..8]
        .try_into()
        .expect("SHA-256 has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_continues_only_the_list_it_came_from() {
        let (tenant, other) = (TenantId::new(), TenantId::new());
        let cursor = Cursor(Uuid::now_v7());
        let text = cursor.encode(tenant, &["audit", "req-1"]);
        assert_eq!(
            Cursor::decode(&text, tenant, &["audit", "req-1"]).unwrap(),
            cursor
        );
        assert!(Cursor::decode(&text, other, &["audit", "req-1"]).is_err());
        assert!(Cursor::decode(&text, tenant, &["audit", "req-2"]).is_err());
        assert!(Cursor::decode(&text, tenant, &["audit"]).is_err());
        for bad in [
            "",
            "c1_",
            "c1_zz",
            &text[1..],
            &format!("{text}0"),
            &"a".repeat(600),
        ] {
            assert!(
                Cursor::decode(bad, tenant, &["audit", "req-1"]).is_err(),
                "{bad}"
            );
        }
    }
}
