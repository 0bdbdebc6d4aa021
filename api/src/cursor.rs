//! Where a client left off in a list: [`Cursor`], opaque to the client and bound to the list it came from.
//!
//! Holds an id, which is not a secret, and a digest of the list's owner and filters. The digest keeps a client from
//! continuing one list with the cursor of another; the query itself decides what may be read.

use crate::error::{ApiError, Code};
use base::TenantId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Changes when the meaning of the rest does.
const VERSION: &str = "c1_";
/// Accepts every cursor that [`Cursor::encode`] writes.
pub const PATTERN: &str = "^c1_[0-9a-f]{48}$";

/// The last row that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

impl Cursor {
    /// `list` names the operation and every filter.
    pub fn encode(self, tenant: TenantId, list: &[impl AsRef<str>]) -> String {
        format!("{VERSION}{}{}", self.0.simple(), digest(tenant, list))
    }

    /// # Errors
    /// 400 if it is not a cursor of this list.
    pub fn decode(
        text: &str,
        tenant: TenantId,
        list: &[impl AsRef<str>],
    ) -> Result<Self, ApiError> {
        text.strip_prefix(VERSION)
            .and_then(|rest| rest.strip_suffix(digest(tenant, list).as_str()))
            .filter(|id| id.len() == 32)
            .and_then(|id| Uuid::try_parse(id).ok())
            .map(Self)
            .ok_or_else(|| {
                ApiError::new(
                    Code::InvalidParameter,
                    "The cursor does not belong to this list. Start again without it and keep the filters while paging.",
                )
                .at("?cursor", "INVALID_VALUE", "Must be a `next_cursor` of this list.")
            })
    }
}

fn digest(tenant: TenantId, list: &[impl AsRef<str>]) -> String {
    let mut hash = Sha256::new();
    hash.update(tenant.0);
    for part in list {
        hash.update([0]);
        hash.update(part.as_ref());
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
    fn cursor_continues_only_the_list_it_came_from() {
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
