//! The configuration of the tests' Dovecot, in the syntax of versions 2.3 and 2.4. See [`Configuration`].

use crate::support::certificates::Certificates;
use dev::peers::{Dovecot, Syntax};
use nix::unistd::{Gid, Group, Uid, User};
use std::fmt::Write;
use std::path::Path;

/// Its folder for sockets, below the server's own.
pub(super) const SOCKETS: &str = "base";

/// What differs between the servers of the tests.
pub(crate) struct Configuration<'a> {
    port: u16,
    /// Nothing goes unencrypted, and the other port speaks encrypted from the first byte.
    pub(crate) tls: Option<(&'a Certificates, u16)>,
    pub(crate) capabilities: Option<String>,
}

impl Configuration<'_> {
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            tls: None,
            capabilities: None,
        }
    }

    /// The text of the file, for a server that keeps everything below `root`.
    pub(super) fn text(&self, root: &Path, owner: &User, program: &Dovecot) -> String {
        let mut text = match program.syntax {
            Syntax::V2_3 => self.of_2_3(root, owner),
            Syntax::V2_4 => self.of_2_4(root, owner),
        };
        text += &program.settings();
        text += &self.common(root, owner);
        text
    }

    fn of_2_3(&self, root: &Path, owner: &User) -> String {
        let (root, uid, gid) = (root.display(), owner.uid, owner.gid);
        let tls_only = if self.tls.is_some() { "yes" } else { "no" };
        let mut text = format!(
            "disable_plaintext_auth = {tls_only}
mail_location = maildir:{root}/mail/%u
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/mail/%u
}}
"
        );
        if let Some((certificates, _)) = self.tls {
            text += &format!(
                "ssl_cert = <{}\nssl_key = <{}\n",
                certificates.certificate().display(),
                certificates.key().display()
            );
        }
        text
    }

    fn of_2_4(&self, root: &Path, owner: &User) -> String {
        let (root, uid, gid) = (root.display(), owner.uid, owner.gid);
        let cleartext = if self.tls.is_some() { "no" } else { "yes" };
        // The versions have to come first. They are the oldest that name these settings so.
        let mut text = format!(
            "dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
auth_allow_cleartext = {cleartext}
mail_driver = maildir
mail_path = {root}/mail/%{{user}}
passdb passwd-file {{
  passwd_file_path = {root}/users
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {root}/mail/%{{user}}
  }}
}}
"
        );
        if let Some((certificates, _)) = self.tls {
            text += &format!(
                "ssl_server_cert_file = {}\nssl_server_key_file = {}\n",
                certificates.certificate().display(),
                certificates.key().display()
            );
        }
        text
    }

    /// What both generations call the same.
    fn common(&self, root: &Path, owner: &User) -> String {
        let (ssl, tls_port) = match self.tls {
            Some((_, port)) => ("required", port),
            None => ("no", 0),
        };
        let ssl_listener = if self.tls.is_some() { "ssl = yes" } else { "" };
        let login_user = if Uid::effective().is_root() {
            "nobody"
        } else {
            &owner.name
        };
        let mut text = format!(
            "default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_login_user = {login_user}
protocols = imap
listen = 127.0.0.1
base_dir = {root}/{SOCKETS}
state_dir = {root}/state
log_path = {root}/log
first_valid_uid = 1
ssl = {ssl}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
  mailbox \"Deleted Things\" {{
    auto = create
    special_use = \\Trash
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    {ssl_listener}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
",
            root = root.display(),
            internal_user = owner.name,
            internal_group = group(owner.gid),
            port = self.port,
        );
        if let Some(capabilities) = &self.capabilities {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "imap_capability = {capabilities}");
        }
        text
    }
}

fn group(gid: Gid) -> String {
    let found = Group::from_gid(gid).ok().flatten();
    found.map_or_else(|| gid.to_string(), |group| group.name)
}
