//! A real calendar server on a port of its own: [`Radicale`], with one user and one calendar, stopped when it goes out of
//! scope. Its page can be read past us, as another client of its would.

use super::{client::http, eventually, wait::SOON};
use reqwest::{Method, Response};
use std::{
    fs,
    net::TcpListener,
    process::{Child, Stdio},
};
use tempfile::TempDir;

pub(crate) const USER: &str = "ada";
pub(crate) const PASSWORD: &str = "hunter2-marked";

/// A running server; it ends with its value.
pub(crate) struct Radicale {
    child: Child,
    /// The user's calendar.
    pub(crate) calendar: String,
    _dir: TempDir,
}

impl Radicale {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the calendars");
        let users = dir.path().join("users");
        fs::write(&users, format!("{USER}:{PASSWORD}\n")).expect("write the users");
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let python = dev::peers::python_servers().unwrap_or_else(|error| panic!("{error}"));
        let child = python
            .command()
            .args(["-m", "radicale", "--config", "", "--logging-level", "error"])
            .args(["--server-hosts", &format!("127.0.0.1:{port}")])
            .arg("--storage-filesystem-folder")
            .arg(dir.path().join("collections"))
            .args([
                "--auth-type",
                "htpasswd",
                "--auth-htpasswd-encryption",
                "plain",
            ])
            .arg("--auth-htpasswd-filename")
            .arg(&users)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start python3");
        let mut started = Self {
            child,
            calendar: format!("http://127.0.0.1:{port}/{USER}/work/"),
            _dir: dir,
        };
        eventually(SOON, async || {
            if let Ok(Some(status)) = started.child.try_wait() {
                panic!("radicale ended ({status})");
            }
            let made = Method::from_bytes(b"MKCALENDAR").expect("a method");
            match started.request(made, "").send().await {
                Ok(answer) if answer.status() == 201 => Ok(()),
                Ok(answer) => Err(answer.status().to_string()),
                Err(_) => Err("it does not listen yet".to_owned()),
            }
        })
        .await;
        started
    }

    /// Whatever another client asks of a file in the calendar.
    pub(crate) fn request(&self, method: Method, file: &str) -> reqwest::RequestBuilder {
        http()
            .request(method, format!("{}{file}", self.calendar))
            .basic_auth(USER, Some(PASSWORD))
    }

    pub(crate) async fn get(&self, file: &str) -> Response {
        let request = self.request(Method::GET, file);
        request.send().await.expect("radicale answers")
    }

    /// All that is in the calendar.
    pub(crate) async fn all(&self) -> String {
        self.get("").await.text().await.expect("a text")
    }
}

impl Drop for Radicale {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
