//! The marks of an email: flags, and labels, which are keywords on most servers. Gmail shows no keyword to its users; its labels
//! are an extension of its own (X-GM-EXT-1).

use super::{
    names,
    outcomes::{change_error, changed, read},
    responses,
    session::{Selected, Session},
};
use crate::providers::{
    ProviderError,
    mailbox::{Mark, MessageLocation},
};

/// A mark as this server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServerMark {
    Flag(String),
    /// A label of Gmail, as on the wire.
    Label(String),
}

impl Session {
    fn server_mark(&self, mark: Mark<'_>) -> ServerMark {
        match mark {
            Mark::Flag(flag) => ServerMark::Flag(flag.to_owned()),
            Mark::Label(label) if self.is_gmail => ServerMark::Label(names::gmail_label(label)),
            Mark::Label(label) => ServerMark::Flag(names::keyword(label)),
        }
    }

    /// Whether an email of the selected folder has a mark; none if it is gone.
    pub(super) async fn is_marked(
        &mut self,
        spot: &MessageLocation,
        mark: Mark<'_>,
    ) -> Result<Option<bool>, ProviderError> {
        let mark = self.server_mark(mark);
        let query = match &mark {
            ServerMark::Flag(_) => "(UID FLAGS)",
            ServerMark::Label(_) => "(UID X-GM-LABELS)",
        };
        let fetched = read(responses::fetch(&mut self.inner, &[spot.uid], query)).await?;
        let ours = fetched.iter().find(|email| email.uid == Some(spot.uid));
        Ok(ours.map(|email| match &mark {
            ServerMark::Flag(flag) => email.flags.iter().any(|it| it.eq_ignore_ascii_case(flag)),
            // Gmail leaves the label out that the selected folder is.
            ServerMark::Label(label) => {
                let mut labels = email.labels.iter().chain([&spot.folder]);
                labels.any(|it| names::folded(it) == names::folded(label))
            }
        }))
    }

    /// Sets or removes a mark of an email of the selected folder.
    pub(super) async fn set_mark(
        &mut self,
        uid: u32,
        mark: Mark<'_>,
        on: bool,
    ) -> Result<(), ProviderError> {
        let sign = if on { '+' } else { '-' };
        let not_kept = || ProviderError::Permanent {
            code: "flag_not_kept",
            message: "The mail server does not store this flag.".into(),
        };
        match self.server_mark(mark) {
            ServerMark::Label(label) if label.is_empty() => Err(not_kept()),
            ServerMark::Label(label) => {
                let quoted = names::quoted(&label).map_err(|error| change_error(&error))?;
                self.store(uid, &format!("{sign}X-GM-LABELS ({quoted})"))
                    .await
            }
            ServerMark::Flag(flag) => {
                let keeps = |selected: &Selected| selected.keeps(&flag);
                if on && !self.selected.as_ref().is_some_and(keeps) {
                    return Err(not_kept());
                }
                self.store(uid, &format!("{sign}FLAGS.SILENT ({flag})"))
                    .await
            }
        }
    }

    pub(super) async fn store(&mut self, uid: u32, change: &str) -> Result<(), ProviderError> {
        let command = format!("UID STORE {uid} {change}");
        changed(responses::change(&mut self.inner, &command)).await?;
        Ok(())
    }
}
