//! Contacts inside a transaction: [`Contacts`]. An email address belongs to one contact; names need not be unique.

use super::record::{Changed, Record, RecordError, RecordFacts};
use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, ContactId, UserId,
        contacts::{ContactChange, NewContact},
        invite::EmailAddress,
    },
    store::contacts::{self, StoredContact},
};
use async_trait::async_trait;
use base::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// See the module.
pub struct Contacts;

/// The outcome of an upsert.
#[derive(Clone, Debug, PartialEq)]
pub enum Upserted {
    Created(StoredContact),
    Changed(Changed<StoredContact>),
}

#[async_trait]
impl Record for Contacts {
    const KIND: ResourceKind = ResourceKind::Contact;
    const CREATED: AuditAction = AuditAction::ContactCreated;
    const UPDATED: AuditAction = AuditAction::ContactUpdated;
    const DELETED: AuditAction = AuditAction::ContactDeleted;
    const RESTORED: AuditAction = AuditAction::ContactRestored;

    type New = NewContact;
    type Change = ContactChange;
    type Stored = StoredContact;

    fn facts(contact: &StoredContact) -> RecordFacts<'_> {
        RecordFacts {
            id: contact.id.0,
            name: &contact.name,
            version: contact.version,
            deletion: contact.deletion,
        }
    }

    async fn find(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<Option<StoredContact>, sqlx::Error> {
        contacts::find(conn, tenant, ContactId(id)).await
    }

    async fn lock(
        conn: &mut PgConnection,
        tenant: TenantId,
        id: Uuid,
    ) -> Result<bool, sqlx::Error> {
        contacts::lock(conn, tenant, ContactId(id)).await
    }

    async fn create(
        conn: &mut PgConnection,
        tenant: TenantId,
        by: Option<UserId>,
        new: &NewContact,
    ) -> Result<StoredContact, RecordError> {
        let id = contacts::insert(conn, tenant, by, new)
            .await?
            .ok_or_else(|| taken(new.email.as_ref()))?;
        super::record::found::<Self>(conn, tenant, id.0).await
    }

    async fn write(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredContact,
        change: &ContactChange,
    ) -> Result<(), RecordError> {
        let name = match &change.name {
            Some(name) => name.clone(),
            None => super::record::stored_name(&present.name)?,
        };
        let contact = StoredContact {
            email: change
                .email
                .clone()
                .unwrap_or_else(|| present.email.clone()),
            notes: change
                .notes
                .clone()
                .unwrap_or_else(|| present.notes.clone()),
            ..present.clone()
        };
        let address = contact.email.as_ref().map_or("", EmailAddress::expose);
        contacts::update(conn, tenant, &contact, &name)
            .await
            .map_err(|error| RecordError::of_write(error, Self::NOUN, address))
    }

    async fn hide(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredContact,
    ) -> Result<usize, RecordError> {
        contacts::set_deletion(conn, tenant, present.id, Some(Uuid::now_v7())).await?;
        Ok(0)
    }

    async fn bring_back(
        conn: &mut PgConnection,
        tenant: TenantId,
        present: &StoredContact,
    ) -> Result<usize, RecordError> {
        let address = present.email.as_ref().map_or("", EmailAddress::expose);
        contacts::set_deletion(conn, tenant, present.id, None)
            .await
            .map_err(|error| RecordError::of_write(error, Self::NOUN, address))?;
        Ok(0)
    }
}

impl Contacts {
    /// Updates the contact with this address, or without one with this name; creates it if there is none. Fields that
    /// `new` lacks are kept.
    ///
    /// # Errors
    /// [`RecordError::Ambiguous`] if there is no address and several contacts have the name.
    pub async fn upsert(
        conn: &mut PgConnection,
        tenant: TenantId,
        by: Option<UserId>,
        new: &NewContact,
    ) -> Result<Upserted, RecordError> {
        let Some(id) = Self::meant(conn, tenant, new).await? else {
            let made = Self::create(conn, tenant, by, new).await?;
            return Ok(Upserted::Created(made));
        };
        let change = ContactChange {
            name: Some(new.name.clone()),
            email: new.email.clone().map(Some),
            notes: new.notes.clone().map(Some),
        };
        super::record::change::<Self>(conn, tenant, id.0, None, &change)
            .await
            .map(Upserted::Changed)
    }

    async fn meant(
        conn: &mut PgConnection,
        tenant: TenantId,
        new: &NewContact,
    ) -> Result<Option<ContactId>, RecordError> {
        if let Some(email) = &new.email {
            return Ok(contacts::addressed(conn, tenant, email).await?);
        }
        match contacts::named(conn, tenant, &new.name).await?.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(RecordError::Ambiguous {
                noun: Self::NOUN,
                name: new.name.as_str().to_owned(),
            }),
        }
    }
}

/// Only an address can be taken.
fn taken(email: Option<&EmailAddress>) -> RecordError {
    RecordError::Taken {
        noun: Contacts::NOUN,
        name: email.map_or("", EmailAddress::expose).to_owned(),
    }
}
