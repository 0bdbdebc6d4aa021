//! The classes of database errors: [`Unavailability`] says why the database does not serve, whatever the statement was.

use sqlx::{error::DatabaseError, postgres::PgDatabaseError};
use std::{error::Error, fmt, io, iter};

/// Why the database did not execute a statement that is right in itself.
///
/// A job that meets such an error is kept: it is not at fault, and the same statement succeeds when the database is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unavailability {
    /// No connection, or one that broke.
    Unreachable,
    /// The server gives connections, and its answers take too long: statements wait for each other or for the disk.
    Slow,
    /// The server's certificate is expired or that of another host, its authority is unknown, or it refuses ours.
    TlsFailed,
    /// A standby that was not promoted, or a switch that a provider throws when the disk is full.
    ReadOnly,
    /// The role lacks a right (42501), usually a forgotten GRANT.
    MissingRight,
    /// A table, column, function or index is missing or has another type: the schema was rolled back or is being swapped, or
    /// the role's `search_path` leads elsewhere. Statements were checked against the schema when this binary was built.
    SchemaDiffers,
    /// The server knows neither this role with this password nor, perhaps, this database: a password was changed, or the
    /// database is being restored under its name (class 28 and 3D000).
    LoginRefused,
    DiskFull,
    TooManyConnections,
    /// Memory or another resource ran out (the other codes of class 53).
    OutOfResources,
    /// The statement is too complex, or the server's limits are too low for it (class 54).
    LimitReached,
    /// An object is locked or not in the state that the statement needs (class 55).
    NotReady,
    /// The server starts, stops or recovers.
    Restarting,
    /// The statement reached its timeout or was cancelled.
    Cancelled,
    /// A transaction is in a state in which it executes nothing (the other codes of class 25).
    InvalidTransaction,
    /// The server failed: an I/O error, a corrupt file, a fault of its own (classes 58 and XX).
    ServerFault,
}

impl Unavailability {
    /// Classifies an error; `None` if the statement itself is at fault, or lost a conflict with another transaction.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::Tls(_) => Some(Self::TlsFailed),
            // As rustls reports its errors.
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Some(Self::TlsFailed)
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Some(Self::Unreachable),
            sqlx::Error::Database(error) if is_too_long_for_index(&**error) => None,
            sqlx::Error::Database(error) => error.code().and_then(|code| Self::of_code(&code)),
            _ => None,
        }
    }

    /// Classifies the first error of the database among an error and its causes.
    pub fn among_causes(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut causes = iter::successors(Some(error), |error: &&(dyn Error + 'static)| {
            (*error).source()
        });
        causes.find_map(|cause| Self::of(cause.downcast_ref::<sqlx::Error>()?))
    }

    /// Classifies a SQLSTATE.
    fn of_code(code: &str) -> Option<Self> {
        let by_code = match code {
            "25006" => Some(Self::ReadOnly),
            "42501" => Some(Self::MissingRight),
            "0A000" | "3F000" | "42703" | "42704" | "42804" | "42883" | "42P01" | "42P10" => {
                Some(Self::SchemaDiffers)
            }
            "3D000" => Some(Self::LoginRefused),
            "53100" => Some(Self::DiskFull),
            "53300" => Some(Self::TooManyConnections),
            "57014" => Some(Self::Cancelled),
            _ => None,
        };
        by_code.or_else(|| match code.get(..2)? {
            "08" => Some(Self::Unreachable),
            "25" => Some(Self::InvalidTransaction),
            "28" => Some(Self::LoginRefused),
            "53" => Some(Self::OutOfResources),
            "54" => Some(Self::LimitReached),
            "55" => Some(Self::NotReady),
            "57" => Some(Self::Restarting),
            "58" | "XX" => Some(Self::ServerFault),
            _ => None,
        })
    }

    /// Says for operators what is wrong with the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "the database does not answer",
            Self::Slow => "the database answers too late",
            Self::TlsFailed => "TLS with the database fails",
            Self::ReadOnly => "the database is read-only",
            Self::MissingRight => "the database role lacks a right",
            Self::SchemaDiffers => {
                "the database's schema is not the one that this binary was built for"
            }
            Self::LoginRefused => "the database refuses the login",
            Self::DiskFull => "the disk of the database is full",
            Self::TooManyConnections => "the database has no connection left",
            Self::OutOfResources => "the database is out of resources",
            Self::LimitReached => "the database reached a limit",
            Self::NotReady => "the database is not ready for this statement",
            Self::Restarting => "the database starts or stops",
            Self::Cancelled => "the database cancelled the statement",
            Self::InvalidTransaction => "the database refuses the transaction",
            Self::ServerFault => "the database failed",
        }
    }

    /// Whether one statement can meet this while the database serves all others: a lock, a statement that takes too long or is
    /// too complex.
    pub const fn may_concern_one_statement(self) -> bool {
        matches!(self, Self::NotReady | Self::Cancelled | Self::LimitReached)
    }
}

impl fmt::Display for Unavailability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says what to do about an error that ended a command or a start, where a database error among its causes tells.
/// `needs_owner`: the command is for the role that owns the tables, and no grant lets another run it.
pub fn advice(error: &(dyn Error + 'static), needs_owner: bool) -> Option<&'static str> {
    let lacks_right = Unavailability::among_causes(error) == Some(Unavailability::MissingRight);
    lacks_right.then_some(if needs_owner {
        "Run this command as the role that owns the tables: set DATABASE_URL to its address."
    } else {
        "Run `postroom-api admin grant --role ROLE` as the owner of the tables; ROLE is the user in DATABASE_URL."
    })
}

/// Whether a value was too long for an index, and stays so. The code is that of limits of the whole server too.
fn is_too_long_for_index(error: &dyn DatabaseError) -> bool {
    let routine = error
        .try_downcast_ref::<PgDatabaseError>()
        .and_then(PgDatabaseError::routine);
    routine
        .is_some_and(|name| name == "_bt_check_third_page" || name.starts_with("index_form_tuple"))
}

/// Whether a retry of the same statement may succeed: the database does not serve, or this transaction lost a conflict with
/// another.
pub fn is_transient(error: &sqlx::Error) -> bool {
    Unavailability::of(error).is_some()
        || code_of(error).is_some_and(|code| ["40001", "40P01"].contains(&code.as_str()))
}

/// Whether the statement reached its timeout.
pub fn is_statement_timeout(error: &sqlx::Error) -> bool {
    Unavailability::of(error) == Some(Unavailability::Cancelled)
}

/// Whether the statement waited too long for a lock.
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| code == "55P03")
}

/// Whether a named prepared statement was not found, or found where another was expected: a transaction pooler without
/// support for them stands in between.
pub fn lost_prepared_statement(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| ["26000", "42P05"].contains(&code.as_str()))
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_database_are_told_from_codes_of_the_statement() {
        let known = [
            ("25006", Unavailability::ReadOnly),
            ("25P02", Unavailability::InvalidTransaction),
            ("28000", Unavailability::LoginRefused),
            ("28P01", Unavailability::LoginRefused),
            ("3D000", Unavailability::LoginRefused),
            ("42501", Unavailability::MissingRight),
            ("0A000", Unavailability::SchemaDiffers),
            ("3F000", Unavailability::SchemaDiffers),
            ("42703", Unavailability::SchemaDiffers),
            ("42883", Unavailability::SchemaDiffers),
            ("42P01", Unavailability::SchemaDiffers),
            ("53100", Unavailability::DiskFull),
            ("53200", Unavailability::OutOfResources),
            ("53300", Unavailability::TooManyConnections),
            ("54000", Unavailability::LimitReached),
            ("55P03", Unavailability::NotReady),
            ("57014", Unavailability::Cancelled),
            ("57P03", Unavailability::Restarting),
            ("58030", Unavailability::ServerFault),
            ("XX001", Unavailability::ServerFault),
            ("08006", Unavailability::Unreachable),
        ];
        for (code, expected) in known {
            assert_eq!(Unavailability::of_code(code), Some(expected), "{code}");
        }
        for of_the_statement in ["23505", "22P05", "42601", "40001", "", "5"] {
            assert_eq!(Unavailability::of_code(of_the_statement), None);
        }
    }

    #[test]
    fn refused_certificate_is_no_server_that_does_not_answer() {
        let of = |kind: io::ErrorKind| Unavailability::of(&sqlx::Error::Io(kind.into()));
        assert_eq!(
            of(io::ErrorKind::InvalidData),
            Some(Unavailability::TlsFailed)
        );
        assert_eq!(
            of(io::ErrorKind::BrokenPipe),
            Some(Unavailability::Unreachable)
        );
    }

    #[test]
    fn lost_connection_is_transient_and_a_missing_row_is_not() {
        assert!(is_transient(&sqlx::Error::PoolTimedOut));
        assert!(is_transient(&sqlx::Error::Io(
            std::io::ErrorKind::BrokenPipe.into()
        )));
        assert!(!is_transient(&sqlx::Error::RowNotFound));
    }
}
