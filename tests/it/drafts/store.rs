//! The tables of drafts.

use super::seed::{draft, making, outgoing};
use crate::support::people::TestTenant;
use base::TenantId;
use jobs::{
    domain::draft::{DraftStatus, Origin},
    store::{
        draft_versions,
        drafts::{
            self,
            read::{self, DraftFilter},
        },
    },
};

#[tokio::test]
async fn version_comes_back_as_it_was_written_with_its_hash() {
    let acme = TestTenant::open().await;
    let tenant = acme.owner.tenant;
    let id = draft(&acme.db, tenant, Some(acme.owner.user), "Yes.").await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let stored = draft_versions::find(&mut conn, tenant, id, 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.message, outgoing("Yes."));
    assert_eq!(stored.content_hash, outgoing("Yes.").content_hash());
    assert_eq!(stored.making.origin, Origin::Llm);
    let found = drafts::find(&mut conn, tenant, id).await.unwrap().unwrap();
    assert_eq!((found.status, found.version), (DraftStatus::Ready, 1));
    assert_eq!(
        drafts::of_approval(&mut conn, tenant, found.approval)
            .await
            .unwrap(),
        Some(id)
    );
}

#[tokio::test]
async fn versions_are_only_ever_added() {
    let acme = TestTenant::open().await;
    let tenant = acme.owner.tenant;
    let id = draft(&acme.db, tenant, None, "Yes.").await;
    for statement in [
        "update draft_versions set body_text = 'No.'",
        "delete from draft_versions",
        "truncate draft_versions",
    ] {
        let refused = sqlx::raw_sql(statement).execute(acme.db.pool()).await;
        assert!(
            refused.unwrap_err().to_string().contains("append-only"),
            "{statement}"
        );
    }
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let twice = draft_versions::insert(
        &mut conn,
        tenant,
        (id, 1),
        &outgoing("No."),
        &making(Origin::User),
    )
    .await;
    assert!(twice.is_err(), "a version was written twice");
}

#[tokio::test]
async fn of_two_that_build_on_one_version_the_second_is_refused() {
    let acme = TestTenant::open().await;
    let tenant = acme.owner.tenant;
    let id = draft(&acme.db, tenant, None, "Yes.").await;
    let mut conn = acme.db.pool().acquire().await.unwrap();
    let present = drafts::find(&mut conn, tenant, id).await.unwrap().unwrap();
    for expected in [true, false] {
        let done = drafts::supersede(
            &mut conn,
            tenant,
            id,
            (1, present.approval),
            present.approval,
        )
        .await
        .unwrap();
        assert_eq!(done, expected);
    }
    drafts::set_status(&mut conn, tenant, id, DraftStatus::Discarded)
        .await
        .unwrap();
    let done = drafts::supersede(
        &mut conn,
        tenant,
        id,
        (2, present.approval),
        present.approval,
    )
    .await
    .unwrap();
    assert!(!done, "a discarded draft was revised");
}

#[tokio::test]
async fn another_tenant_finds_nothing_of_it() {
    let acme = TestTenant::open().await;
    let id = draft(&acme.db, acme.owner.tenant, None, "Yes.").await;
    let other = TenantId::new();
    let mut conn = acme.db.pool().acquire().await.unwrap();
    assert_eq!(drafts::find(&mut conn, other, id).await.unwrap(), None);
    assert_eq!(drafts::lock(&mut conn, other, id).await.unwrap(), None);
    assert_eq!(
        draft_versions::find(&mut conn, other, id, 1).await.unwrap(),
        None
    );
    let whose = (other, acme.owner.reader());
    let listed = read::list(&mut conn, whose, DraftFilter::default(), None, 10).await;
    assert_eq!(listed.unwrap(), []);
}
