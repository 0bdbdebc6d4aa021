//! Opens folders: [`open`]. Tells a folder that the server does not have from one that it does not open at present.

use super::{
    STEP,
    line::Line,
    names,
    outcomes::{read, read_error},
    refusals,
    responses::{self, Opened},
    timed_out,
};
use crate::providers::ProviderError;
use async_imap::{error::Error, types::NameAttribute};
use tokio::time::timeout;

/// Opens a folder with this command, `SELECT` or `EXAMINE`; none if the server has no such folder.
///
/// A server that refuses without saying why may still have the folder, so that it is asked: to give a job up for a folder that is
/// there would be final.
///
/// # Errors
/// If the connection fails, or the server does not open the folder at present.
pub(super) async fn open(
    session: &mut async_imap::Session<Line>,
    command: &str,
    folder: &str,
) -> Result<Option<Opened>, ProviderError> {
    let opened = timeout(STEP, responses::open(session, command, folder));
    let error = match opened.await {
        Ok(Ok(opened)) => return Ok(Some(opened)),
        Ok(Err(error)) => error,
        Err(_) => return Err(timed_out()),
    };
    let is_missing = match &error {
        Error::Validate(_) => true,
        Error::No(text) if refusals::names_no_folder(text) => true,
        // A colleague's, which the server lists all the same.
        Error::No(text) if refusals::is_forbidden(text) => true,
        Error::No(text) if refusals::is_temporary(text) => false,
        Error::No(_) => !is_listed(session, folder).await?,
        _ => false,
    };
    if is_missing {
        Ok(None)
    } else {
        Err(read_error(&error))
    }
}

/// Whether the server lists a folder now.
async fn is_listed(
    session: &mut async_imap::Session<Line>,
    folder: &str,
) -> Result<bool, ProviderError> {
    let mut is_listed = false;
    let listed = async {
        let pattern = names::quoted(folder)?;
        responses::list(session, &pattern, |found| {
            is_listed |=
                found.name == folder && !found.name_attributes.contains(&NameAttribute::NoSelect);
        })
        .await
    };
    read(listed).await?;
    Ok(is_listed)
}
