//! What a user says of an account: [`NewConnection`] and [`NewSecret`], checked field by field.

use crate::error::{ApiError, Code};
use jobs::{
    commands::connections::connect::Connect,
    domain::connection::{
        MailSecret, MailSettings, Provider, Secret, Server, Settings, SigningSecret, WebSettings,
        WebUrl,
    },
};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A connection to be. Each provider takes the fields that name it, and no others.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewConnection {
    provider: Provider,
    /// `imap_smtp`: what mail is sent as.
    #[serde(default)]
    address: Option<String>,
    /// Beside the address, up to 100 characters.
    #[serde(default)]
    display_name: Option<String>,
    /// `imap_smtp`: the server that takes mail.
    #[serde(default)]
    smtp: Option<Server>,
    /// `imap_smtp`: the server that has the mailbox, opened with the same name and password. Without it mail can only be
    /// sent.
    #[serde(default)]
    imap: Option<Server>,
    /// `caldav`: the calendar collection. `webhook`: where calls are posted to. An https URL of up to 300 characters,
    /// without a name and password.
    #[serde(default)]
    url: Option<String>,
    /// `imap_smtp` and `caldav`: up to 320 characters; empty if the server asks for none.
    #[serde(default)]
    username: Option<String>,
    /// `imap_smtp` and `caldav`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    password: Option<SecretString>,
    /// `webhook`: what calls are signed with (Standard Webhooks), `whsec_` and 24 to 64 bytes as base64. If it is left
    /// out, one is made and shown in the answer, once.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    signing_secret: Option<SecretString>,
    /// `imap_smtp`: mails an hour at most, 1 to 10,000; 60 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10_000))]
    sends_per_hour: Option<i32>,
    /// `imap_smtp`: recipients of one mail at most, 1 to 1,000; 20 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000))]
    max_recipients: Option<i32>,
}

/// What opens a connection: a name and password, or what a webhook's calls are signed with; one is made if nothing is given.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConnectionSecret")]
pub(super) struct NewSecret {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    password: Option<SecretString>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    signing_secret: Option<SecretString>,
}

/// What was found sound.
pub(super) struct Checked {
    address: String,
    display_name: Option<String>,
    settings: Settings,
    pub(super) secret: Secret,
    /// Whether the secret is our own.
    pub(super) made: bool,
    sends_per_hour: i32,
    max_recipients: i32,
}

impl Checked {
    pub(super) fn as_command(&self) -> Connect<'_> {
        Connect {
            address: &self.address,
            display_name: self.display_name.as_deref(),
            settings: &self.settings,
            secret: &self.secret,
            sends_per_hour: self.sends_per_hour,
            max_recipients: self.max_recipients,
        }
    }
}

impl NewConnection {
    /// # Errors
    /// 422 with a pointer to the first field that does not fit.
    pub(super) fn check(self) -> Result<Checked, ApiError> {
        self.only_its_own()?;
        let name = self.display_name.as_deref();
        sound(
            name.is_none_or(|name| is_line(name, 1, 100)),
            "/display_name",
            "Use a name of 1 to 100 characters, none of them a control character.",
        )?;
        let sends_per_hour = self.sends_per_hour.unwrap_or(60);
        sound(
            (1..=10_000).contains(&sends_per_hour),
            "/sends_per_hour",
            "Use 1 to 10,000 mails an hour.",
        )?;
        let max_recipients = self.max_recipients.unwrap_or(20);
        sound(
            (1..=1_000).contains(&max_recipients),
            "/max_recipients",
            "Use 1 to 1,000 recipients.",
        )?;
        let (address, settings) = match self.provider {
            Provider::ImapSmtp => {
                let address = self.address.ok_or_else(|| missing("/address"))?;
                let smtp = self.smtp.ok_or_else(|| missing("/smtp"))?;
                let detail = "Use one plain mail address.";
                sound(is_address(&address), "/address", detail)?;
                let detail = "Name a host and a port from 1 to 65535.";
                sound(smtp.is_sound(), "/smtp", detail)?;
                let imap = self.imap;
                sound(imap.as_ref().is_none_or(Server::is_sound), "/imap", detail)?;
                (address, Settings::Mail(MailSettings { smtp, imap }))
            }
            Provider::Caldav => {
                let url = web_url(self.url.as_deref())?.as_collection();
                (url.to_string(), Settings::Calendar(WebSettings { url }))
            }
            Provider::Webhook => {
                let url = web_url(self.url.as_deref())?;
                (url.to_string(), Settings::Webhook(WebSettings { url }))
            }
        };
        let (secret, made) = match self.provider {
            Provider::ImapSmtp | Provider::Caldav => (login(self.username, self.password)?, false),
            Provider::Webhook => signing(self.signing_secret)?,
        };
        Ok(Checked {
            address,
            display_name: self.display_name,
            settings,
            secret,
            made,
            sends_per_hour,
            max_recipients,
        })
    }

    /// A field that nobody would read is a misunderstanding.
    fn only_its_own(&self) -> Result<(), ApiError> {
        let mail = self.provider == Provider::ImapSmtp;
        let webhook = self.provider == Provider::Webhook;
        for (given, belongs, pointer) in [
            (self.address.is_some(), mail, "/address"),
            (self.smtp.is_some(), mail, "/smtp"),
            (self.imap.is_some(), mail, "/imap"),
            (self.url.is_some(), !mail, "/url"),
            (self.username.is_some(), !webhook, "/username"),
            (self.password.is_some(), !webhook, "/password"),
            (self.signing_secret.is_some(), webhook, "/signing_secret"),
            (self.sends_per_hour.is_some(), mail, "/sends_per_hour"),
            (self.max_recipients.is_some(), mail, "/max_recipients"),
        ] {
            if given && !belongs {
                let detail = "A connection of this provider has no such field.";
                return Err(unfit(detail).at(pointer, "UNKNOWN_FIELD", detail));
            }
        }
        Ok(())
    }
}

impl NewSecret {
    /// The secret, and whether it is our own.
    ///
    /// # Errors
    /// 422 with a pointer to the field that does not fit.
    pub(super) fn check(self) -> Result<(Secret, bool), ApiError> {
        if self.username.is_none() && self.password.is_none() {
            return signing(self.signing_secret);
        }
        let detail = "Give a name and password, or a signing secret, not both.";
        sound(self.signing_secret.is_none(), "/signing_secret", detail)?;
        Ok((login(self.username, self.password)?, false))
    }
}

/// What is shown of a secret: only the one that nobody else knows.
pub(super) fn shown(made: bool, secret: &Secret) -> Option<String> {
    match secret {
        Secret::Signing(secret) if made => Some(secret.text().expose_secret().to_owned()),
        Secret::Signing(_) | Secret::Login(_) => None,
    }
}

fn web_url(text: Option<&str>) -> Result<WebUrl, ApiError> {
    let text = text.ok_or_else(|| missing("/url"))?;
    text.parse()
        .map_err(|fault: jobs::domain::connection::WebUrlFault| {
            let detail = fault.to_string();
            unfit(&detail).at(
                "/url",
                "INVALID_VALUE",
                "The value does not fit this field.",
            )
        })
}

fn login(username: Option<String>, password: Option<SecretString>) -> Result<Secret, ApiError> {
    let username = username.ok_or_else(|| missing("/username"))?;
    let password = password.ok_or_else(|| missing("/password"))?;
    sound(
        is_line(&username, 0, 320),
        "/username",
        "Use a user name of at most 320 characters, none of them a control character.",
    )?;
    sound(
        is_line(password.expose_secret(), 0, 1_000),
        "/password",
        "Use a password of at most 1,000 characters, none of them a control character.",
    )?;
    Ok(Secret::Login(MailSecret { username, password }))
}

fn signing(given: Option<SecretString>) -> Result<(Secret, bool), ApiError> {
    let Some(text) = given else {
        return Ok((Secret::Signing(SigningSecret::generate()), true));
    };
    let detail = "Use `whsec_` and 24 to 64 bytes as base64, or leave it out.";
    let secret = SigningSecret::parse(&text).ok_or_else(|| invalid("/signing_secret", detail))?;
    Ok((Secret::Signing(secret), false))
}

fn is_line(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn is_address(text: &str) -> bool {
    let plain = text.is_ascii()
        && text.len() <= 320
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;\"()".contains(c));
    plain
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}

fn sound(sound: bool, pointer: &'static str, detail: &str) -> Result<(), ApiError> {
    if sound {
        Ok(())
    } else {
        Err(invalid(pointer, detail))
    }
}

fn invalid(pointer: &'static str, detail: &str) -> ApiError {
    unfit(detail).at(
        pointer,
        "INVALID_VALUE",
        "The value does not fit this field.",
    )
}

fn missing(pointer: &'static str) -> ApiError {
    unfit("A connection of this provider needs one more field.").at(
        pointer,
        "MISSING_FIELD",
        "A required field is missing here.",
    )
}

fn unfit(detail: &str) -> ApiError {
    ApiError::new(Code::InvalidBody, detail.to_owned())
}
