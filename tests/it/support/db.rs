//! [`TestDb`]: a database of its own for each test, copied from a template that is migrated once.
//!
//! nextest runs every test in a process of its own, so the template is guarded in Postgres: an advisory lock, and a
//! name that is a hash of the migrations. Does not start Postgres ([`super::cluster`] knows where it is).

use super::cluster;
use queue::operate::retention::{FinishedJobs, walk};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{cell::RefCell, str::FromStr, time::Duration};

/// "postroom" in a byte each: no other application of a developer's cluster takes this advisory lock.
const TEMPLATE_LOCK: i64 = i64::from_be_bytes(*b"postroom");

/// `object_in_use`: somebody is still connected to the template.
const SOURCE_IN_USE: &str = "55006";

/// A migrated, empty database. Dropped when the thread of its test ends, also while others are connected to it.
pub(crate) struct TestDb {
    name: String,
    /// On the cluster of all tests.
    is_shared: bool,
    admin: PgConnectOptions,
    pool: PgPool,
}

impl TestDb {
    /// Deletes the finished jobs older than `keep`, as the duty does, and returns how many.
    pub(crate) async fn prune_finished(&self, keep: Duration) -> u64 {
        let table = FinishedJobs {
            pool: &self.pool,
            keep,
        };
        let pruned = walk::prune(&table, Duration::MAX, &walk::WalkPosition::default())
            .await
            .expect("prune finished jobs");
        pruned.rows
    }

    /// A fresh copy of the migrated template.
    pub(crate) async fn new() -> Self {
        let admin = admin_options();
        let template = template(&admin).await;
        Self::copy_of(Some(&template), admin, true).await
    }

    /// A migrated database on another cluster, given by a superuser's address: one that a test may stop.
    pub(crate) async fn on(admin_url: &str) -> Self {
        let admin = PgConnectOptions::from_str(admin_url).expect("a Postgres address");
        let db = Self::copy_of(None, admin, false).await;
        migrate(db.admin.clone().database(&db.name)).await;
        db
    }

    /// A database without any table: for the tests of migrating itself.
    pub(crate) async fn unmigrated() -> Self {
        Self::copy_of(None, admin_options(), true).await
    }

    /// Turns to the same database on another cluster, given by a superuser's address: a standby that was promoted.
    pub(crate) fn follow_to(&mut self, admin_url: &str) {
        self.admin = PgConnectOptions::from_str(admin_url).expect("a Postgres address");
        self.pool = pool(self.admin.clone().database(&self.name));
    }

    async fn copy_of(template: Option<&str>, admin: PgConnectOptions, is_shared: bool) -> Self {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        let template = template.map_or_else(String::new, |name| format!(" template {name}"));
        create(&admin, &format!("create database {name}{template}")).await;
        let pool = pool(admin.clone().database(&name));
        Self {
            name,
            is_shared,
            admin,
            pool,
        }
    }

    /// Five connections of the test's own, apart from those of the processes under test.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// What a process under test gets as `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        use sqlx::ConnectOptions as _;
        self.admin
            .clone()
            .database(&self.name)
            .to_url_lossy()
            .to_string()
    }

    /// The first column of the first row, such as a count.
    pub(crate) async fn one<T>(&self, sql: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let mut conn = self
            .pool
            .acquire()
            .await
            .expect("a connection of the test's pool");
        one(&mut conn, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// All rows of all tables as text: what somebody who steals the database can read.
    pub(crate) async fn dump(&self) -> String {
        let tables = "select table_name::text from information_schema.tables
                      where table_schema = 'public' and table_type = 'BASE TABLE'";
        let tables: Vec<String> = sqlx::query_scalar(tables)
            .fetch_all(&self.pool)
            .await
            .expect("list the tables");
        let mut dump = String::new();
        for table in tables {
            let rows = format!("select to_jsonb(t)::text from \"{table}\" t");
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(rows))
                .fetch_all(&self.pool)
                .await
                .expect("dump a table");
            dump.push_str(&rows.join("\n"));
        }
        dump
    }

    /// Runs statements for their effect: rows that no command would write, faults to be survived.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(5)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(options)
}

impl Drop for TestDb {
    /// Leaves the database to the end of the thread. One on a cluster of the test's own is gone with it.
    fn drop(&mut self) {
        if self.is_shared {
            LEFT.with_borrow_mut(|left| left.0.push((self.admin.clone(), self.name.clone())));
        }
    }
}

thread_local! {
    static LEFT: RefCell<LeftDatabases> = RefCell::default();
}

/// The databases of a thread's tests, dropped when it ends. Not before: `drop database` waits until every connection of the server
/// has heard of it. One that logs in to this thread's runtime would not while the thread waits, and every test that drops its
/// database then waits for `authentication_timeout`, a minute.
#[derive(Default)]
struct LeftDatabases(Vec<(PgConnectOptions, String)>);

impl Drop for LeftDatabases {
    /// On a thread with a runtime of its own: this one's has ended.
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.0);
        let names: Vec<_> = left.iter().map(|(_, name)| name.clone()).collect();
        let dropped = std::thread::spawn(move || drop_databases(left)).join();
        // A second panic would hide the first; a database that stays behind is gone with its cluster.
        if !matches!(dropped, Ok(Ok(()))) && !std::thread::panicking() {
            panic!("could not drop {names:?}: {dropped:?}");
        }
    }
}

fn drop_databases(left: Vec<(PgConnectOptions, String)>) -> Result<(), sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for (admin, name) in left {
            let mut conn = PgConnection::connect_with(&admin).await?;
            let drop = format!("drop database if exists {name} with (force)");
            statement(&mut conn, &drop).await?;
        }
        Ok(())
    })
}

fn admin_options() -> PgConnectOptions {
    PgConnectOptions::from_str(&cluster::admin_url())
        .expect("POSTROOM_TEST_DATABASE_URL is a Postgres address")
}

/// The name of the migrated template; migrates it first when no test of this schema has done so.
async fn template(admin: &PgConnectOptions) -> String {
    let name = format!("postroom_template_{:016x}", migrations_hash());
    let mut conn = PgConnection::connect_with(admin)
        .await
        .expect("connect to the tests' Postgres");
    lock(&mut conn).await.expect("lock the template");
    if !exists(&mut conn, &name)
        .await
        .expect("look for the template")
    {
        // Migrated under another name and renamed when it is complete: a killed run leaves no half template.
        let draft = format!("{name}_draft");
        statement(
            &mut conn,
            &format!("drop database if exists {draft} with (force)"),
        )
        .await
        .expect("drop an old draft");
        statement(&mut conn, &format!("create database {draft}"))
            .await
            .expect("create the template");
        migrate(admin.clone().database(&draft)).await;
        statement(
            &mut conn,
            &format!("alter database {draft} rename to {name}"),
        )
        .await
        .expect("name the template");
    }
    conn.close().await.expect("release the template's lock");
    name
}

async fn migrate(options: PgConnectOptions) {
    let mut conn = PgConnection::connect_with(&options)
        .await
        .expect("connect to the template");
    jobs::MIGRATOR
        .run(&mut conn)
        .await
        .expect("migrate the template");
    // Waits for the server's goodbye, because a database in use can be neither renamed nor copied.
    conn.close().await.expect("leave the template");
}

/// FNV-1a over the migrations' own checksums.
fn migrations_hash() -> u64 {
    jobs::MIGRATOR
        .iter()
        .flat_map(|migration| migration.checksum.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// Copies the template; waits only for others who are copying it at this moment.
async fn create(admin: &PgConnectOptions, sql: &str) {
    let mut conn = PgConnection::connect_with(admin)
        .await
        .expect("connect to the tests' Postgres");
    super::eventually(super::wait::SOON, async || {
        match statement(&mut conn, sql).await {
            Ok(()) => Ok(()),
            Err(error)
                if error.as_database_error().and_then(|e| e.code()).as_deref()
                    == Some(SOURCE_IN_USE) =>
            {
                Err(error.to_string())
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    })
    .await;
    conn.close().await.expect("close the connection");
}

async fn lock(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    statement(conn, &format!("select pg_advisory_lock({TEMPLATE_LOCK})")).await
}

async fn exists(conn: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists(select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(conn)
        .await
}

async fn statement(conn: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(conn)
        .await
        .map(drop)
}

async fn one<T>(conn: &mut PgConnection, sql: &'static str) -> Result<T, sqlx::Error>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "a test looks at the schema from outside, unchecked on purpose"
    )]
    sqlx::query(sql).fetch_one(conn).await?.try_get(0)
}

#[tokio::test]
async fn each_test_has_a_migrated_database_of_its_own() {
    let (first, second) = (TestDb::new().await, TestDb::new().await);
    first
        .execute("insert into tenants (id, slug) values (gen_random_uuid(), 'one')")
        .await;
    assert_eq!(first.one::<i64>("select count(*) from tenants").await, 1);
    assert_eq!(second.one::<i64>("select count(*) from tenants").await, 0);
}

#[tokio::test]
async fn database_is_gone_with_the_thread_of_its_test() {
    let keeper = TestDb::unmigrated().await;
    let test = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { TestDb::unmigrated().await.name.clone() })
    });
    let gone = test.join().unwrap();
    let left: bool =
        sqlx::query_scalar("select exists(select from pg_database where datname = $1)")
            .bind(gone)
            .fetch_one(keeper.pool())
            .await
            .unwrap();
    assert!(!left);
}
