//! Exchanges with the model are recorded in development only, and a job is replayed with them: today's outcome beside the
//! stored one, without a call, a write or a key.

use crate::support::{
    TestDb,
    model::{FakeModel, Reply, VERDICT},
    process::{Ended, Process},
    system::{TestApi, Variables, Worker},
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const EMAIL: &[u8] = b"From: Ann <ann@client.example>\r\nTo: mira@postroom.example\r\nSubject: The call\r\n\
    Message-ID: <1@client.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nrecorded-body: could we move it?\r\n";
const KEY: &str = "recording-key-0123456789abcdef";

/// A triaged email whose exchanges were recorded.
struct Recorded {
    db: TestDb,
    job: String,
    folder: TempDir,
}

impl Recorded {
    /// By a real worker and a model that says this.
    async fn triage(replies: impl IntoIterator<Item = Reply>) -> Self {
        let (db, folder) = (TestDb::new().await, tempfile::tempdir().unwrap());
        let exchanges = folder.path().join("exchanges");
        let model = FakeModel::start(replies).await;
        let variables = [
            ("LLM_RECORD_DIR", exchanges.to_str().unwrap()),
            ("POSTROOM_ENV", "development"),
            ("LLM_API_KEY", KEY),
        ];
        let (api, _worker) = tokio::join!(TestApi::start(&db), model.worker(&db, &variables));
        let client = api.sign_in(&db).await;
        let job = client.submitted(EMAIL, "recorded").await;
        assert_eq!(client.finished(&job).await["state"], "succeeded");
        Self { db, job, folder }
    }

    fn exchanges(&self) -> PathBuf {
        self.folder.path().join("exchanges")
    }

    /// The files in the order of their names.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.exchanges()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Runs the command; returns its exit code and what it wrote.
    async fn replay(&self, args: &[&str]) -> (i32, Ended) {
        replay(&self.db, &self.job, args).await
    }
}

async fn replay(db: &TestDb, job: &str, args: &[&str]) -> (i32, Ended) {
    let url = db.url();
    let args: Vec<_> = ["replay", job]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let process = Process::spawn("postroom-dev", &args, &[("DATABASE_URL", &url)]);
    let ended = process.ended().await;
    (ended.status.code().expect("it ends by itself"), ended)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn exchange_is_recorded_for_its_owner_only_and_without_the_key() {
    let recorded = Recorded::triage([Reply::Refuses(500, None), Reply::Says(VERDICT.into())]).await;
    let files = recorded.files();
    assert_eq!(
        files.len(),
        1,
        "one file for a question, whatever its requests"
    );
    assert_eq!(
        (mode(&recorded.exchanges()), mode(&files[0])),
        (0o700, 0o600)
    );
    let text = fs::read_to_string(&files[0]).unwrap();
    assert!(!text.contains(KEY));
    let exchange: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exchange["job"], recorded.job.as_str());
    assert_eq!(exchange["step"], "triage");
    assert_eq!(exchange["model"], "fake-1");
    assert_eq!(exchange["answer"]["text"], VERDICT);
    let messages = exchange["messages"].as_array().unwrap();
    assert!(
        messages
            .iter()
            .any(|message| message.to_string().contains("recorded-body"))
    );
}

#[tokio::test]
async fn replay_compares_with_the_stored_outcome_and_writes_nothing() {
    let recorded = Recorded::triage([Reply::Says(VERDICT.into())]).await;
    let folder = recorded.exchanges();
    let args = ["--recorded", folder.to_str().unwrap()];
    let state = "select (select count(*) from llm_calls) || ' ' || (select count(*) from approvals) || ' ' ||
        (select count(*) from triage_results) || ' ' || (select count(*) from audit_entries)";
    let before: String = recorded.db.one(state).await;
    let (code, ended) = recorded.replay(&args).await;
    assert_eq!(code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended
            .stdout
            .contains("triage: answered as then, to the same prompt"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("The outcome is the same."),
        "{}",
        ended.stdout
    );

    // As if the answer had been read otherwise then.
    let file = &recorded.files()[0];
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replace("scheduling", "needs_response")).unwrap();
    let (code, ended) = recorded.replay(&args).await;
    assert_eq!(code, 1);
    let said = "/category: \"scheduling\" → \"needs_response\"";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    assert_eq!(recorded.db.one::<String>(state).await, before);
}

#[tokio::test]
async fn question_that_was_not_asked_then_is_named() {
    let recorded = Recorded::triage([Reply::Says(VERDICT.into())]).await;
    let (folder, file) = (recorded.exchanges(), &recorded.files()[0]);
    // An answer that today's code finds invalid: it would ask for a repair.
    let mut exchange: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    exchange["answer"]["text"] = "I cannot say.".into();
    fs::write(file, exchange.to_string()).unwrap();
    let (code, ended) = recorded
        .replay(&["--recorded", folder.to_str().unwrap()])
        .await;
    assert_eq!(code, 1);
    let said = "triage.repair: asked by today's code only, so there is no answer";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    assert!(ended.stdout.contains("not_recorded"), "{}", ended.stdout);
}

#[tokio::test]
async fn job_without_answers_is_not_replayed() {
    let recorded = Recorded::triage([Reply::Says(VERDICT.into())]).await;
    let (code, ended) = recorded.replay(&[]).await;
    assert_eq!(code, 1);
    assert!(ended.stderr.contains("LLM_RECORD_DIR"), "{}", ended.stderr);
    let unknown = "01a22305-0ccb-76e5-9504-8fa5c4c859e7";
    let (code, ended) = replay(&recorded.db, unknown, &[]).await;
    assert_eq!(code, 1);
    assert!(
        ended.stderr.contains("no job has the id"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn recording_is_refused_outside_of_development() {
    let db = TestDb::new().await;
    let (url, folder) = (db.url(), tempfile::tempdir().unwrap());
    let folder = folder.path().to_str().unwrap();
    let with = |more: Variables<'_>| {
        let mut variables = vec![
            ("DATABASE_URL", url.as_str()),
            ("WORKER_OPS_ADDR", "127.0.0.1:0"),
            ("LLM_API_KEY", KEY),
            ("LLM_RECORD_DIR", folder),
        ];
        variables.extend(more);
        Process::spawn("postroom-worker", &[], &variables).ended()
    };
    for environment in ["", "staging", "production"] {
        let ended = with(&[("POSTROOM_ENV", environment)]).await;
        assert_eq!(ended.status.code(), Some(1), "{environment}");
        let said = "LLM_RECORD_DIR: writes emails and answers to disk";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let testing = [("LLM_TESTING_MODE", "true"), ("LLM_RECORD_DIR", folder)];
    Worker::spawn_with(&db, &testing).await;
}
