//! What other programs of the user do meanwhile: [`Dovecot::log_in`], [`Dovecot::remove`], [`Dovecot::move_to`].

use super::{Dovecot, PASSWORD, USER};
use std::fs;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

impl Dovecot {
    /// Logs another program of the user in; its session ends with the value.
    pub(crate) async fn log_in(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .expect("connect to dovecot");
        let login = format!("L1 LOGIN {USER} {PASSWORD}\r\n");
        stream
            .write_all(login.as_bytes())
            .await
            .expect("send a login");
        let mut said = String::new();
        while !said.contains("L1 ") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).await.expect("read its answer");
            assert_ne!(read, 0, "the session ended: {said}");
            said.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        assert!(said.contains("L1 OK"), "{said}");
        stream
    }

    /// Deletes the emails of a folder that hold this text, as another program of its user would.
    pub(crate) fn remove(&self, folder: &str, text: &str) {
        for part in ["cur", "new"] {
            let emails = fs::read_dir(self.maildir(folder).join(part));
            for entry in emails.into_iter().flatten().flatten() {
                let held = fs::read_to_string(entry.path()).unwrap_or_default();
                if held.contains(text) {
                    fs::remove_file(entry.path()).expect("delete an email");
                }
            }
        }
    }

    /// Moves an email to another folder, as another program of its user would. Returns whether it was there.
    pub(crate) fn move_to(&self, from: &str, to: &str, text: &str) -> bool {
        let mut is_moved = false;
        for part in ["cur", "new"] {
            let emails = fs::read_dir(self.maildir(from).join(part));
            for entry in emails.into_iter().flatten().flatten() {
                let held = fs::read_to_string(entry.path()).unwrap_or_default();
                if held.contains(text) {
                    let name = format!("{}.moved", base::JobId::new());
                    let target = self.maildir(to).join("new").join(name);
                    is_moved |= fs::rename(entry.path(), target).is_ok();
                }
            }
        }
        is_moved
    }
}
