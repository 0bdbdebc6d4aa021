//! What reading users costs in a tenant with many sessions: it grows with the users that are shown, not with the tenant.

use crate::support::{TestDb, people::TestTenant};
use jobs::store::{sessions, users};
use sqlx::{PgPool, Row, postgres::PgPoolOptions};

/// Ten sessions of each of 2,000 users that have ended, as a month leaves them.
const SESSIONS: &str = "
    insert into users (tenant_id, id, email, role, password_hash)
    select id, gen_random_uuid(), n || '@acme.example', 'member', 'x' from tenants, generate_series(1, 2000) n;
    insert into sessions (tenant_id, id, user_id, auth_method, expires_at, idle_timeout, idle_expires_at, revoked_at,
        revoke_reason, ip)
    select tenant_id, gen_random_uuid(), id, 'password', now(), '1 hour', now(), now(), 'logout', '192.0.2.1'
    from users, generate_series(1, 10) n where role = 'member'";

/// The scans of the whole table and the rows that scans of its indexes fetched, up to now.
async fn scans(pool: &PgPool) -> (i64, i64) {
    sqlx::raw_sql("select pg_stat_force_next_flush()")
        .execute(pool)
        .await
        .unwrap();
    let row = sqlx::raw_sql(
        "select seq_scan, idx_tup_fetch from pg_stat_user_tables where relname = 'sessions'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn list_of_users_and_a_log_in_read_only_the_sessions_of_the_users_they_are_about() {
    let acme = TestTenant::open().await;
    let db: &TestDb = &acme.db;
    db.execute(SESSIONS).await;
    db.execute("vacuum analyze sessions, users").await;
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&db.url()).await.unwrap();
    let before = scans(&pool).await;
    let mut conn = pool.acquire().await.unwrap();
    let tenant = acme.owner.tenant;
    let shown = users::list(&mut conn, tenant, None, 51).await.unwrap();
    assert_eq!(shown.len(), 51);
    users::get(&mut conn, tenant, shown[9].id).await.unwrap();
    let address = "198.51.100.1".parse().unwrap();
    let known = sessions::opened_from(&mut conn, tenant, shown[9].id, address);
    assert!(!known.await.unwrap());
    drop(conn);
    let after = scans(&pool).await;
    assert_eq!(after.0 - before.0, 0, "scans of the whole table");
    let rows = after.1 - before.1;
    assert!(
        rows <= 53 * 10 + 10,
        "{rows} sessions were read of 53 users"
    );
}
