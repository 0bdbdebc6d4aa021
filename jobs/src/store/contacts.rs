//! `contacts`: contacts of a tenant. A deleted row stays, hidden from lists, and its address is free.

use crate::domain::{
    ContactId, UserId,
    contacts::{NewContact, email_key},
    invite::EmailAddress,
    name::Name,
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A stored contact.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredContact {
    pub id: ContactId,
    pub name: String,
    pub email: Option<EmailAddress>,
    pub notes: Option<String>,
    /// Incremented by every change.
    pub version: i32,
    pub created_by: Option<UserId>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub deletion: Option<Uuid>,
}

struct Row {
    id: ContactId,
    name: String,
    email: Option<String>,
    notes: Option<String>,
    version: i32,
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    deletion: Option<Uuid>,
}

impl From<Row> for StoredContact {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            email: row.email.map(EmailAddress::from_stored),
            notes: row.notes,
            version: row.version,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
            deletion: row.deletion,
        }
    }
}

/// Inserts a contact. `None` if another contact has the address.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    by: Option<UserId>,
    new: &NewContact,
) -> Result<Option<ContactId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into contacts (tenant_id, id, name, name_key, email, email_key, notes, created_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (tenant_id, email_key) where deleted_at is null do nothing
        returning id as "id: ContactId"
        "#,
        tenant.0,
        ContactId::new().0,
        new.name.as_str(),
        new.name.key(),
        new.email.as_ref().map(EmailAddress::expose),
        new.email.as_ref().map(email_key),
        new.notes.as_deref(),
        by.map(|user| user.0),
    )
    .fetch_optional(conn)
    .await
}

/// Finds a contact, also a deleted one.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ContactId,
) -> Result<Option<StoredContact>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: ContactId", name, email, notes, version, created_by as "created_by: UserId", created_at,
            updated_at, deleted_at, deletion_id as deletion
        from contacts
        where tenant_id = $1 and id = $2
        "#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(StoredContact::from))
}

/// Finds the live contact with this address.
pub async fn addressed(
    conn: &mut PgConnection,
    tenant: TenantId,
    email: &EmailAddress,
) -> Result<Option<ContactId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: ContactId" from contacts where tenant_id = $1 and email_key = $2 and deleted_at is null"#,
        tenant.0,
        email_key(email),
    )
    .fetch_optional(conn)
    .await
}

/// Finds the live contacts with this name, at most two: a second one makes the name ambiguous.
pub async fn named(
    conn: &mut PgConnection,
    tenant: TenantId,
    name: &Name,
) -> Result<Vec<ContactId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: ContactId" from contacts
           where tenant_id = $1 and name_key = $2 and deleted_at is null order by id limit 2"#,
        tenant.0,
        name.key(),
    )
    .fetch_all(conn)
    .await
}

/// Locks the row until the transaction ends. False if there is none.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ContactId,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        "select id from contacts where tenant_id = $1 and id = $2 for update",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// Lists live contacts, newest first, starting after `before`; with `email`, the one with this address.
pub async fn list(
    conn: &mut PgConnection,
    tenant: TenantId,
    email: Option<&EmailAddress>,
    before: Option<ContactId>,
    limit: i64,
) -> Result<Vec<StoredContact>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id as "id: ContactId", name, email, notes, version, created_by as "created_by: UserId", created_at,
            updated_at, deleted_at, deletion_id as deletion
        from contacts
        where tenant_id = $1 and deleted_at is null and ($2::uuid is null or id < $2)
            and ($3::text is null or email_key = $3)
        order by id desc
        limit $4
        "#,
        tenant.0,
        before.map(|id| id.0),
        email.map(email_key),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(StoredContact::from).collect())
}

/// Writes all fields of `contact` that can change, as its next version. The caller holds [`lock`].
///
/// # Errors
/// When the database refuses, for example because another contact has the address (`contacts_email_key`).
pub async fn update(
    conn: &mut PgConnection,
    tenant: TenantId,
    contact: &StoredContact,
    name: &Name,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update contacts set name = $3, name_key = $4, email = $5, email_key = $6, notes = $7, version = version + 1,
             updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        contact.id.0,
        name.as_str(),
        name.key(),
        contact.email.as_ref().map(EmailAddress::expose),
        contact.email.as_ref().map(email_key),
        contact.notes.as_deref(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hides a live contact under this deletion, or with `None` restores it. The caller holds [`lock`].
///
/// # Errors
/// When the database refuses, for example because the address is taken by now (`contacts_email_key`).
pub async fn set_deletion(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ContactId,
    deletion: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update contacts set deletion_id = $3, deleted_at = case when $3::uuid is null then null else now() end,
             version = version + 1, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        deletion,
    )
    .execute(conn)
    .await?;
    Ok(())
}
