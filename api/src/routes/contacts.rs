//! Contacts: `/v1/contacts`.

use super::records::{HttpRecord, Operations, READ, fields, routes_of};
use crate::{
    AppState,
    error::{ApiError, Code},
    etag::has_version,
    extract::{CurrentSession, Paged, PagedList},
    route_table::Route,
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    commands::contacts::Contacts,
    domain::{
        ContactId, UserId,
        contacts::{ContactChange, NewContact},
        invite::EmailAddress,
        name::TITLE_CHARS,
    },
    store::contacts::{self, StoredContact},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub fn routes() -> Vec<Route> {
    let list = Route::new(Method::GET, Contacts::PATH, "list_contacts", READ, list)
        .summary("List the contacts, newest first")
        .paged::<ContactsQuery>()
        .answer::<PagedList<ContactBody>>(200, "A page of contacts that are not deleted");
    let operations = Operations {
        paths: ["/v1/contacts/{id}", "/v1/contacts/{id}/restore"],
        names: [
            "create_contact",
            "get_contact",
            "change_contact",
            "delete_contact",
            "restore_contact",
        ],
        summaries: [
            "Create a contact with a unique address",
            "Get a contact",
            "Change a contact",
            "Delete a contact",
            "Restore a deleted contact",
        ],
    };
    [list]
        .into_iter()
        .chain(routes_of::<Contacts>(&operations))
        .collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ContactsQuery {
    /// Only the contact with this address.
    #[schemars(email, length(min = 3, max = 320))]
    email: Option<String>,
}

/// A person your tenant corresponds with.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Contact")]
pub(super) struct ContactBody {
    id: ContactId,
    name: String,
    email: Option<String>,
    notes: Option<String>,
    /// Grows with every change.
    #[schemars(range(min = 1))]
    version: i32,
    /// Null if a rule created it.
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

/// A new contact.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewContact")]
pub(super) struct NewContactBody {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    #[serde(default)]
    #[schemars(email, length(min = 3, max = 320))]
    email: Option<String>,
    #[serde(default)]
    #[schemars(length(max = 1000))]
    notes: Option<String>,
}

/// A change: fields that are left out stay, null clears a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ContactChange")]
pub(super) struct ContactChangeBody {
    #[serde(default)]
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schemars(email, length(min = 3, max = 320))]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::present")]
    #[schemars(length(max = 1000))]
    notes: Option<Option<String>>,
}

has_version!(ContactBody);

impl HttpRecord for Contacts {
    const PATH: &'static str = "/v1/contacts";

    type Body = ContactBody;
    type NewBody = NewContactBody;
    type ChangeBody = ContactChangeBody;

    fn parse_new(body: NewContactBody) -> Result<NewContact, ApiError> {
        Ok(NewContact {
            name: fields::name("/name", &body.name, TITLE_CHARS)?,
            email: body.email.as_deref().map(fields::email).transpose()?,
            notes: fields::notes(body.notes)?,
        })
    }

    fn parse_change(body: ContactChangeBody) -> Result<ContactChange, ApiError> {
        let name = body.name.as_deref();
        let email = body
            .email
            .map(|email| email.as_deref().map(fields::email).transpose());
        Ok(ContactChange {
            name: name
                .map(|text| fields::name("/name", text, TITLE_CHARS))
                .transpose()?,
            email: email.transpose()?,
            notes: body.notes.map(fields::notes).transpose()?,
        })
    }
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<ContactsQuery>,
) -> Result<Json<PagedList<ContactBody>>, ApiError> {
    let email = filter.email.as_deref().map(EmailAddress::parse).transpose();
    let email = email.map_err(|_| {
        ApiError::new(Code::InvalidParameter, "Use one plain email address.").at(
            "?email",
            "INVALID_VALUE",
            "Must be an email address.",
        )
    })?;
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(ContactId);
    let found = contacts::list(
        &mut conn,
        session.tenant,
        email.as_ref(),
        before,
        page.rows(),
    )
    .await?;
    Ok(page.list(found, |contact| contact.id.0))
}

impl From<StoredContact> for ContactBody {
    fn from(contact: StoredContact) -> Self {
        Self {
            id: contact.id,
            name: contact.name,
            email: contact.email.map(|email| email.expose().to_owned()),
            notes: contact.notes,
            version: contact.version,
            created_by: contact.created_by,
            created_at: contact.created_at,
            updated_at: contact.updated_at,
            deleted_at: contact.deleted_at,
        }
    }
}
