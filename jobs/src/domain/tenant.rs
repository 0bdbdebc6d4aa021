//! Whether a tenant and its users may use the service: [`TenantStatus`], [`UserStatus`].
//!
//! The store's statements compare with these words; a test holds the tables' checks to them.

use base::str_enum;

str_enum! {
    /// A closed tenant is refused; a paused one can be read, accepts nothing and runs nothing. Trial is a mark for the
    /// operators.
    TenantStatus {
        Trial = "trial",
        Active = "active",
        Paused = "paused",
        Closed = "closed",
    }
}

str_enum! {
    /// Only an active user can log in; the sessions of others are refused at once.
    UserStatus {
        Active = "active",
        Suspended = "suspended",
        Deleted = "deleted",
    }
}
