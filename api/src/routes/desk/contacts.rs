//! `/v1/contacts`.

use super::{Named, OnDesk, READ, fields, routes_of};
use crate::{
    AppState,
    cursor::Page,
    error::{ApiError, Code},
    extract::{CurrentSession, StrictQuery},
    route_table::{Place, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{DateTime, Utc};
use jobs::{
    commands::contacts::Contacts,
    domain::{
        ContactId, UserId,
        contacts::{ContactChange, NewContact, email_key},
        invite::EmailAddress,
        name::TITLE_CHARS,
    },
    store::contacts::{self, StoredContact},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) fn routes() -> Vec<Route> {
    let list = Route::new(Method::GET, Contacts::PATH, "list_contacts", READ, list)
        .summary("List the contacts, the youngest first")
        .parameter::<String>(Place::Query, "email", false, "Only the one of this address")
        .parameter::<u8>(
            Place::Query,
            "limit",
            false,
            "How many at most, 1 to 200; 50 if not given",
        )
        .parameter::<String>(
            Place::Query,
            "cursor",
            false,
            "`next_cursor` of the page before, with the same filters",
        )
        .answer::<ContactPage>(200, "A page of contacts that are not deleted");
    let named = Named {
        paths: ["/v1/contacts/{id}", "/v1/contacts/{id}/restore"],
        names: [
            "create_contact",
            "get_contact",
            "change_contact",
            "delete_contact",
            "restore_contact",
        ],
        summaries: [
            "Make a contact; its address is its own",
            "One contact",
            "Change a contact; what is left out stays",
            "Delete a contact; it can be restored",
            "Take the deletion of a contact back",
        ],
    };
    [list]
        .into_iter()
        .chain(routes_of::<Contacts>(&named))
        .collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactsQuery {
    email: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ContactPage {
    items: Vec<ContactBody>,
    /// Give it back for what follows; null at the end.
    next_cursor: Option<String>,
}

/// Somebody the tenant deals with.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Contact")]
pub(super) struct ContactBody {
    id: ContactId,
    name: String,
    email: Option<String>,
    notes: Option<String>,
    /// Grows with every change.
    version: i32,
    /// Null if a rule made it.
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

/// A contact to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewContact")]
pub(super) struct NewContactBody {
    /// At most 200 characters.
    name: String,
    #[serde(default)]
    email: Option<String>,
    /// At most 1000 characters.
    #[serde(default)]
    notes: Option<String>,
}

/// What is to change; what is left out stays, and null takes a value away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ContactChange")]
pub(super) struct ContactChangeBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "fields::present")]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::present")]
    notes: Option<Option<String>>,
}

impl OnDesk for Contacts {
    const PATH: &'static str = "/v1/contacts";

    type Body = ContactBody;
    type NewBody = NewContactBody;
    type ChangeBody = ContactChangeBody;

    fn understand(body: NewContactBody) -> Result<NewContact, ApiError> {
        Ok(NewContact {
            name: fields::name("/name", &body.name, TITLE_CHARS)?,
            email: body.email.as_deref().map(fields::email).transpose()?,
            notes: fields::notes(body.notes)?,
        })
    }

    fn understand_change(body: ContactChangeBody) -> Result<ContactChange, ApiError> {
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
    StrictQuery(query): StrictQuery<ContactsQuery>,
) -> Result<Json<ContactPage>, ApiError> {
    let email = query.email.as_deref().map(EmailAddress::parse).transpose();
    let email = email.map_err(|_| {
        ApiError::new(Code::InvalidParameter, "The address cannot be one.").at(
            "?email",
            "INVALID_VALUE",
            "It is no address.",
        )
    })?;
    let filter = email.as_ref().map(email_key);
    let cursor = query.cursor.as_deref();
    let page = Page::asked(session.tenant, "contacts", &filter, query.limit, cursor)?;
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
    let (found, next_cursor) = page.cut(found, |contact| contact.id.0);
    let items = found.into_iter().map(ContactBody::from).collect();
    Ok(Json(ContactPage { items, next_cursor }))
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
