//! `upsert_contact`: creates or changes a contact.

use super::{
    ActionContext, LocalEffect,
    record::{id_and_version, moved_on, name, refusal, text_before, unreadable},
};
use async_trait::async_trait;
use base::TenantId;
use jobs::{
    commands::{
        contacts::{Contacts, Upserted},
        effects::local::{Done, Refusal},
        record,
    },
    domain::{
        contacts::{ContactChange, NewContact},
        invite::EmailAddress,
        name::{Name, TITLE_CHARS},
    },
    store::effects::StoredEffect,
};
use serde_json::json;
use sqlx::PgConnection;

pub(super) struct UpsertContact;

#[async_trait]
impl LocalEffect for UpsertContact {
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let email = action.params.get("email").map(EmailAddress::parse);
        let email = email
            .transpose()
            .map_err(|_| Refusal::refused("bad_address", "Give a valid email address."))?;
        let new = NewContact {
            name: name(action, "name", TITLE_CHARS)?,
            email,
            notes: action.params.get("notes").map(str::to_owned),
        };
        let upserted = Contacts::upsert(conn, action.tenant, action.user, &new)
            .await
            .map_err(refusal)?;
        Ok(match upserted {
            Upserted::Created(made) => Done {
                receipt: json!({ "id": made.id, "version": made.version }),
                before_image: None,
            },
            Upserted::Changed(changed) => Done {
                receipt: json!({ "id": changed.after.id, "version": changed.after.version }),
                before_image: Some(json!({
                    "name": changed.before.name,
                    "notes": changed.before.notes,
                })),
            },
        })
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        let (id, version) = id_and_version(done)?;
        if done.before_image.is_none() {
            let gone = record::delete::<Contacts>(conn, tenant, id, Some(&version.into())).await;
            return gone.map(drop).map_err(moved_on);
        }
        let was = text_before(done, "name").unwrap_or_default();
        let change = ContactChange {
            name: Some(Name::parse(was, TITLE_CHARS).map_err(|_| unreadable())?),
            email: None,
            notes: Some(text_before(done, "notes").map(str::to_owned)),
        };
        record::change::<Contacts>(conn, tenant, id, Some(&version.into()), &change)
            .await
            .map(drop)
            .map_err(moved_on)
    }
}
