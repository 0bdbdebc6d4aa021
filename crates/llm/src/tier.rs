//! How urgently a provider is asked, which decides what it bills: [`ServiceTier`].

use serde::{Deserialize, Serialize};

/// A way to be served by a provider. Those that have no such tier serve every request as a standard one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    #[default]
    Standard,
    /// Cheaper and slower. The provider may have no room for it; the request is then sent as a standard one.
    Flex,
    /// In a batch with others, within a day: the cheapest. See [`Batches`](crate::provider::Batches).
    Batch,
}

impl ServiceTier {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Batch => "batch",
        }
    }
}
