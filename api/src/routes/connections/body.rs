//! The bodies that describe an account: [`NewConnection`] and [`NewSecret`], checked field by field.

use crate::error::{ApiError, Code};
use jobs::{
    commands::connections::connect::Connect,
    domain::{
        connection::{
            MailSecret, MailSettings, Provider, Secret, Server, Settings, SigningSecret, SmtpLogin,
            WebSettings, WebUrl, WebhookSecret,
        },
        mail::deliverable,
    },
};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A new connection. Each provider takes its own fields and no others.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {
        "properties": { "provider": { "const": "imap_smtp" }, "url": false, "signing_secret": false },
        "required": ["address", "smtp", "username", "password"],
    },
    {
        "properties": {
            "provider": { "const": "caldav" }, "address": false, "smtp": false, "imap": false, "signing_secret": false,
            "smtp_username": false, "smtp_password": false, "sends_per_hour": false, "max_recipients": false,
        },
        "required": ["url", "username", "password"],
    },
    {
        "properties": {
            "provider": { "const": "webhook" }, "address": false, "smtp": false, "imap": false, "username": false,
            "password": false, "smtp_username": false, "smtp_password": false, "sends_per_hour": false,
            "max_recipients": false,
        },
        "required": ["url"],
    },
]))]
pub(super) struct NewConnection {
    provider: Provider,
    /// `imap_smtp`: the sender's address.
    #[serde(default)]
    #[schemars(with = "String", email, length(min = 3, max = 320))]
    address: Option<String>,
    /// Shown beside the address.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    display_name: Option<String>,
    /// `imap_smtp`: the server that accepts email.
    #[serde(default)]
    #[schemars(with = "Server")]
    smtp: Option<Server>,
    /// `imap_smtp`: the server of the mailbox, with the same user name and password unless `smtp` has its own. Without it,
    /// email can only be sent.
    #[serde(default)]
    #[schemars(with = "Option<Server>")]
    imap: Option<Server>,
    /// `caldav`: the calendar collection. `webhook`: the address that calls are posted to, sealed like a password. An
    /// https URL without user name and password.
    #[serde(default)]
    #[schemars(with = "String", url, length(min = 8, max = 300))]
    url: Option<String>,
    /// `imap_smtp` and `caldav`; empty if the server asks for none.
    #[serde(default)]
    #[schemars(with = "String", length(max = 320))]
    username: Option<String>,
    /// `imap_smtp` and `caldav`.
    #[serde(default)]
    #[schemars(with = "String", length(max = 1000))]
    password: Option<SecretString>,
    /// `imap_smtp`: the user name for `smtp` if it has one of its own; empty if `smtp` wants no login.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(max = 320))]
    smtp_username: Option<String>,
    /// `imap_smtp`: the password that belongs to `smtp_username`.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(max = 1000))]
    smtp_password: Option<SecretString>,
    /// `webhook`: the key that signs calls (Standard Webhooks), `whsec_` and 24 to 64 bytes as base64. Without it, one is
    /// generated and returned once.
    #[serde(default)]
    #[schemars(
        with = "Option<String>",
        regex(pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$")
    )]
    signing_secret: Option<SecretString>,
    /// `imap_smtp`: the most emails per hour; 60 by default.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10_000))]
    sends_per_hour: Option<i32>,
    /// `imap_smtp`: the most recipients of one email; 20 by default.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000))]
    max_recipients: Option<i32>,
}

/// A new secret: user name and password, or a webhook's signing secret, which is generated if nothing is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "NewConnectionSecret",
    extend("oneOf" = [
        { "properties": { "signing_secret": false }, "required": ["username", "password"] },
        {
            "properties": {
                "username": false, "password": false, "smtp_username": false, "smtp_password": false,
            },
        },
    ])
)]
pub(super) struct NewSecret {
    #[serde(default)]
    #[schemars(with = "String", length(max = 320))]
    username: Option<String>,
    #[serde(default)]
    #[schemars(with = "String", length(max = 1000))]
    password: Option<SecretString>,
    /// Only of an email account: the user name for `smtp` if it has one of its own; empty if `smtp` wants no login.
    #[serde(default)]
    #[schemars(with = "String", length(max = 320))]
    smtp_username: Option<String>,
    #[serde(default)]
    #[schemars(with = "String", length(max = 1000))]
    smtp_password: Option<SecretString>,
    #[serde(default)]
    #[schemars(with = "String", regex(pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$"))]
    signing_secret: Option<SecretString>,
}

/// A new connection that passed every check.
pub(super) struct CheckedConnection {
    address: String,
    display_name: Option<String>,
    settings: Settings,
    pub(super) secret: Secret,
    /// Whether we generated the secret.
    pub(super) secret_is_generated: bool,
    sends_per_hour: i32,
    max_recipients: i32,
}

impl CheckedConnection {
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
    pub(super) fn check(self) -> Result<CheckedConnection, ApiError> {
        self.check_fields_of_provider()?;
        let name = self.display_name.as_deref();
        ensure(
            name.is_none_or(|name| is_line(name, 1, 100)),
            "/display_name",
            "Use a display_name of 1 to 100 characters without control characters.",
        )?;
        let sends_per_hour = self.sends_per_hour.unwrap_or(60);
        ensure(
            (1..=10_000).contains(&sends_per_hour),
            "/sends_per_hour",
            "Use 1 to 10,000 emails per hour.",
        )?;
        let max_recipients = self.max_recipients.unwrap_or(20);
        ensure(
            (1..=1_000).contains(&max_recipients),
            "/max_recipients",
            "Use 1 to 1,000 recipients.",
        )?;
        let (address, settings) = match self.provider {
            Provider::ImapSmtp => {
                let address = self.address.ok_or_else(|| missing("/address"))?;
                let smtp = self.smtp.ok_or_else(|| missing("/smtp"))?;
                let detail = "Use one plain email address, such as ada@example.com.";
                ensure(is_address(&address), "/address", detail)?;
                let detail = "Use a host of 1 to 253 characters and a port from 1 to 65535.";
                ensure(smtp.is_sound(), "/smtp", detail)?;
                let imap = self.imap;
                ensure(imap.as_ref().is_none_or(Server::is_sound), "/imap", detail)?;
                (address, Settings::Mail(MailSettings { smtp, imap }))
            }
            Provider::Caldav => {
                let url = web_url(self.url.as_deref())?.as_collection();
                (url.to_string(), Settings::Calendar(WebSettings { url }))
            }
            Provider::Webhook => {
                let url = web_url(self.url.as_deref())?;
                let settings = WebSettings { url: url.origin() };
                (url.fingerprint(), Settings::Webhook(settings))
            }
        };
        let (secret, secret_is_generated) = match self.provider {
            Provider::ImapSmtp => {
                let smtp = smtp_login(self.smtp_username, self.smtp_password)?;
                (login(self.username, self.password, smtp)?, false)
            }
            Provider::Caldav => {
                let secret = login(self.username, self.password, SmtpLogin::Same)?;
                (secret, false)
            }
            Provider::Webhook => {
                let url = web_url(self.url.as_deref())?;
                signing(self.signing_secret, Some(url))?
            }
        };
        Ok(CheckedConnection {
            address,
            display_name: self.display_name,
            settings,
            secret,
            secret_is_generated,
            sends_per_hour,
            max_recipients,
        })
    }

    /// Refuses fields of other providers: they would have no effect.
    fn check_fields_of_provider(&self) -> Result<(), ApiError> {
        let mail = self.provider == Provider::ImapSmtp;
        let webhook = self.provider == Provider::Webhook;
        for (given, belongs, pointer) in [
            (self.address.is_some(), mail, "/address"),
            (self.smtp.is_some(), mail, "/smtp"),
            (self.imap.is_some(), mail, "/imap"),
            (self.url.is_some(), !mail, "/url"),
            (self.username.is_some(), !webhook, "/username"),
            (self.password.is_some(), !webhook, "/password"),
            (self.smtp_username.is_some(), mail, "/smtp_username"),
            (self.smtp_password.is_some(), mail, "/smtp_password"),
            (self.signing_secret.is_some(), webhook, "/signing_secret"),
            (self.sends_per_hour.is_some(), mail, "/sends_per_hour"),
            (self.max_recipients.is_some(), mail, "/max_recipients"),
        ] {
            if given && !belongs {
                let detail = "Remove this field: it belongs to another provider.";
                return Err(invalid_body(detail).at(pointer, "UNKNOWN_FIELD", detail));
            }
        }
        Ok(())
    }
}

impl NewSecret {
    /// Returns the secret, and whether we generated it.
    ///
    /// # Errors
    /// 422 with a pointer to the field that does not fit.
    pub(super) fn check(self) -> Result<(Secret, bool), ApiError> {
        let smtp = smtp_login(self.smtp_username, self.smtp_password)?;
        if self.username.is_none() && self.password.is_none() {
            let own = !matches!(smtp, SmtpLogin::Same);
            let detail = "Send `username` and `password` as well.";
            ensure(!own, "/smtp_username", detail)?;
            return signing(self.signing_secret, None);
        }
        let detail = "Send either `username` and `password` or `signing_secret`.";
        ensure(self.signing_secret.is_none(), "/signing_secret", detail)?;
        Ok((login(self.username, self.password, smtp)?, false))
    }
}

/// Returns the text of a generated secret: only we know it, so the user reads it here.
pub(super) fn shown_once(is_generated: bool, secret: &Secret) -> Option<String> {
    match secret {
        Secret::Webhook(secret) if is_generated => {
            Some(secret.signing.text().expose_secret().to_owned())
        }
        Secret::Webhook(_) | Secret::Login(_) => None,
    }
}

fn web_url(text: Option<&str>) -> Result<WebUrl, ApiError> {
    let text = text.ok_or_else(|| missing("/url"))?;
    text.parse()
        .map_err(|fault: jobs::domain::connection::WebUrlFault| {
            let detail = fault.to_string();
            invalid("/url", &detail)
        })
}

fn login(
    username: Option<String>,
    password: Option<SecretString>,
    smtp: SmtpLogin,
) -> Result<Secret, ApiError> {
    let username = username.ok_or_else(|| missing("/username"))?;
    let password = password.ok_or_else(|| missing("/password"))?;
    check_login((&username, "/username"), (&password, "/password"))?;
    Ok(Secret::Login(MailSecret {
        username,
        password,
        smtp,
    }))
}

/// The login of the server that accepts email, if it has one of its own.
fn smtp_login(
    username: Option<String>,
    password: Option<SecretString>,
) -> Result<SmtpLogin, ApiError> {
    let Some(username) = username else {
        let detail = "Send `smtp_username` as well.";
        ensure(password.is_none(), "/smtp_password", detail)?;
        return Ok(SmtpLogin::Same);
    };
    if username.is_empty() {
        let detail = "Leave out the password, or send the user name that it belongs to.";
        ensure(password.is_none(), "/smtp_password", detail)?;
        return Ok(SmtpLogin::Without);
    }
    let password = password.ok_or_else(|| missing("/smtp_password"))?;
    check_login((&username, "/smtp_username"), (&password, "/smtp_password"))?;
    Ok(SmtpLogin::Own { username, password })
}

fn check_login(
    (username, name_pointer): (&str, &'static str),
    (password, password_pointer): (&SecretString, &'static str),
) -> Result<(), ApiError> {
    ensure(
        is_line(username, 0, 320),
        name_pointer,
        "Use a user name of at most 320 characters without control characters.",
    )?;
    ensure(
        is_line(password.expose_secret(), 0, 1_000),
        password_pointer,
        "Use a password of at most 1,000 characters without control characters.",
    )
}

fn signing(given: Option<SecretString>, url: Option<WebUrl>) -> Result<(Secret, bool), ApiError> {
    let (signing, is_generated) = match given {
        None => (SigningSecret::generate(), true),
        Some(text) => {
            let detail = "Use `whsec_` and 24 to 64 bytes as base64, or leave it out: one is generated then.";
            let signing =
                SigningSecret::parse(&text).ok_or_else(|| invalid("/signing_secret", detail))?;
            (signing, false)
        }
    };
    Ok((
        Secret::Webhook(WebhookSecret { signing, url }),
        is_generated,
    ))
}

fn is_line(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn is_address(text: &str) -> bool {
    text.len() <= 320 && deliverable(text).is_some()
}

fn ensure(is_valid: bool, pointer: &'static str, detail: &str) -> Result<(), ApiError> {
    if is_valid {
        Ok(())
    } else {
        Err(invalid(pointer, detail))
    }
}

fn invalid(pointer: &'static str, detail: &str) -> ApiError {
    invalid_body(detail).at(pointer, "INVALID_VALUE", detail)
}

fn missing(pointer: &'static str) -> ApiError {
    invalid_body("A required field of this provider is missing. Send it.").at(
        pointer,
        "MISSING_FIELD",
        "Must be set for this provider.",
    )
}

fn invalid_body(detail: &str) -> ApiError {
    ApiError::new(Code::InvalidBody, detail.to_owned())
}
