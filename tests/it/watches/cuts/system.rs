//! What a watch depends on: [`WatchedSystem`] has the mail server behind a way that can be cut, two workers and a Postgres of
//! its own.

use super::super::{QUICK, email, oracle, watch};
use crate::{
    actions::sending::TestApp,
    database::own_cluster,
    mailbox::app_on,
    support::{cutter::Cutter, dovecot::Dovecot, eventually, system::Worker, wait::SOON},
};
use dev::postgres::Cluster;
use nix::sys::signal::Signal;
use rand::{RngExt as _, rngs::StdRng};
use std::{collections::BTreeSet, time::Duration};

const FOLDERS: [&str; 2] = ["INBOX", "Team"];

/// The lease of a worker that Postgres did not answer may have to expire by itself, in a minute and a half.
const LATE: Duration = Duration::from_secs(150);

/// The whole system around one watched mailbox.
pub(super) struct WatchedSystem {
    pub(super) dovecot: Dovecot,
    pub(super) cutter: Cutter,
    app: TestApp,
    workers: Vec<Worker>,
    /// The emails that arrived, by number.
    delivered: usize,
    /// Those that were deleted, and need not have been read before.
    deleted: BTreeSet<usize>,
    step: String,
    /// Ends last: the database is dropped before.
    pub(super) cluster: Cluster,
}

impl WatchedSystem {
    /// A mailbox with two watched folders.
    pub(super) async fn around(dovecot: Dovecot) -> Self {
        let cutter = Cutter::before(dovecot.port).await;
        let (cluster, db) = own_cluster().await;
        let app = app_on(db, cutter.port).await;
        for (number, folder) in FOLDERS.iter().enumerate() {
            dovecot.deliver(folder, &email(number));
        }
        watch(&app, &FOLDERS).await;
        let (one, other) = tokio::join!(app.worker_with(QUICK), app.worker_with(QUICK));
        let this = Self {
            dovecot,
            cutter,
            app,
            workers: vec![one, other],
            delivered: FOLDERS.len(),
            deleted: BTreeSet::new(),
            step: "the start".to_owned(),
            cluster,
        };
        this.all_read().await;
        this
    }

    /// Names what happens now, for the text of a failure.
    pub(super) fn step(&mut self, text: &str) {
        text.clone_into(&mut self.step);
    }

    pub(super) const fn delivered(&self) -> usize {
        self.delivered
    }

    /// Delivers emails, each to either folder.
    pub(super) fn deliver(&mut self, count: usize, random: &mut StdRng) {
        for _ in 0..count {
            let folder = FOLDERS[random.random_range(0..FOLDERS.len())];
            self.dovecot.deliver(folder, &email(self.delivered));
            self.delivered += 1;
        }
    }

    /// Waits for a cut that was armed. Delivers emails until something is said that can be cut.
    pub(super) async fn cut_happens(&mut self, random: &mut StdRng) {
        let before = self.cutter.cuts();
        for _ in 0..10 {
            self.deliver(1, random);
            let is_cut = tokio::time::timeout(Duration::from_secs(3), async {
                let mut pace = tokio::time::interval(Duration::from_millis(50));
                while self.cutter.cuts() == before {
                    pace.tick().await;
                }
            });
            if is_cut.await.is_ok() {
                return;
            }
            self.nudge().await;
        }
        panic!("{}: nothing was cut", self.step);
    }

    /// Deletes one of the last emails.
    pub(super) fn delete_one(&mut self, random: &mut StdRng) {
        let number = self.recent(random);
        self.deleted.insert(number);
        for folder in FOLDERS {
            self.dovecot.remove(folder, &body(number));
        }
    }

    /// Moves one of the last emails to the other folder.
    pub(super) fn move_one(&mut self, random: &mut StdRng) {
        let body = body(self.recent(random));
        if !self.dovecot.move_to("INBOX", "Team", &body) {
            self.dovecot.move_to("Team", "INBOX", &body);
        }
    }

    fn recent(&self, random: &mut StdRng) -> usize {
        random.random_range(self.delivered.saturating_sub(4)..self.delivered)
    }

    /// Kills the worker that watches the mailbox, and starts another one.
    pub(super) async fn kill_holder(&mut self) {
        let holder = self.holder().await;
        self.workers[holder].process.kill();
        self.end_lease().await;
        // A cut that the killed worker did not live to see.
        self.cutter.disarm();
        self.workers[holder] = self.app.worker_with(QUICK).await;
    }

    /// Stops the worker that watches the mailbox, in order, and starts another one.
    pub(super) async fn stop_holder(&mut self) {
        let holder = self.holder().await;
        let next = self.app.worker_with(QUICK).await;
        let stopping = std::mem::replace(&mut self.workers[holder], next);
        stopping.process.signal(Signal::SIGTERM);
        let ended = stopping.process.ended().await;
        assert!(ended.status.success(), "{}: {}", self.step, ended.stderr);
    }

    /// Freezes the worker that watches the mailbox until the other one has it.
    pub(super) async fn freeze_holder(&mut self, random: &mut StdRng) {
        let holder = self.holder().await;
        self.workers[holder].process.signal(Signal::SIGSTOP);
        let epoch = self.epoch().await;
        self.deliver(2, random);
        let step = &self.step;
        eventually(SOON, async || {
            // Its session may hold the row until Postgres ends it.
            self.end_lease().await;
            let now = self.epoch().await;
            (now != epoch)
                .then_some(())
                .ok_or_else(|| format!("{step}: nobody took the mailbox over"))
        })
        .await;
        self.workers[holder].process.signal(Signal::SIGCONT);
    }

    /// Lets any worker take the mailbox, as if its lease had run out.
    pub(super) async fn end_lease(&self) {
        self.app
            .db
            .execute(
                "set lock_timeout = '1s';
                 update mailbox_watches set lease_until = now(), next_check_at = now()
                 where (tenant_id, connection_id) in
                     (select tenant_id, connection_id from mailbox_watches for update skip locked)",
            )
            .await;
    }

    /// The worker that watches the mailbox; waits until one does.
    async fn holder(&self) -> usize {
        eventually(SOON, async || {
            self.nudge().await;
            let held: Option<String> = self
                .app
                .db
                .one(
                    "select max(lease_worker::text) from mailbox_watches where lease_until > now()",
                )
                .await;
            let holder = held.and_then(|id| {
                let has_id = |worker: &Worker| worker.process.log().contains(&id);
                self.workers.iter().position(has_id)
            });
            holder.ok_or_else(|| format!("{}: nobody watches", self.step))
        })
        .await
    }

    async fn epoch(&self) -> i64 {
        self.app.db.one("select epoch from mailbox_watches").await
    }

    /// Skips the wait after a failure, which is for a server's sake.
    async fn nudge(&self) {
        self.app
            .db
            .execute(
                "update mailbox_watches set next_check_at = now()
                 where lease_worker is null and next_check_at > now()",
            )
            .await;
    }

    /// Waits until every email that is in the mailbox has a job.
    pub(super) async fn all_read(&self) {
        eventually(LATE, async || {
            let mut pace = tokio::time::interval(Duration::from_millis(200));
            pace.tick().await;
            self.nudge().await;
            pace.tick().await;
            let lost = oracle::lost(&self.dovecot, &self.app.db).await;
            // A server that renames a file hides it from the oracle for a moment.
            let read = oracle::read(&self.app.db).await;
            let expected = (0..self.delivered).filter(|number| !self.deleted.contains(number));
            let unread: Vec<usize> = expected.filter(|number| !read.contains(number)).collect();
            if lost.is_empty() && unread.is_empty() {
                return Ok(());
            }
            let watch: String = self
                .app
                .db
                .one(
                    "select row_to_json(w)::text
                         || (select string_agg(row_to_json(f)::text, ' ') from watched_folders f)
                     from mailbox_watches w",
                )
                .await;
            Err(format!(
                "{}: without a job: {lost:?} {unread:?}\n{watch}",
                self.step
            ))
        })
        .await;
    }

    /// Judges: no email of the mailbox lacks a job, none has two, and there is no job without an email.
    pub(super) async fn judge(&self) {
        let read = oracle::read(&self.app.db).await;
        for number in 0..self.delivered {
            let jobs = read.iter().filter(|read| **read == number).count();
            let is_right = jobs == 1 || (jobs == 0 && self.deleted.contains(&number));
            assert!(is_right, "{}: email {number} has {jobs} jobs", self.step);
        }
        let strange = read.iter().find(|read| **read >= self.delivered);
        assert_eq!(strange, None, "{}: of no email", self.step);
        // The user's own view moves in the same transaction.
        let counted: i64 = self
            .app
            .db
            .one("select sum(emails)::bigint from watched_folders")
            .await;
        assert_eq!(usize::try_from(counted).ok(), Some(read.len()));
    }
}

/// What is only in this email.
fn body(number: usize) -> String {
    format!("Hello {number}\n")
}
