//! A second factor: what it asks for, that each code opens once, and how a user who lost it gets in again.

use crate::{
    actions::sending::KEYS,
    support::{
        TestDb,
        api_keys::key,
        caller::{Caller, admin},
        client::{TestResponse, send},
        people::{PASSWORD, TestTenant},
        process::Process,
        system::TestApi,
        wait::statement_waits,
    },
};
use jobs::domain::{api_key::KeyScope, session::Role};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::SystemTime;
use totp_rs::{Builder, Secret, Totp};

const OWN: &str = "/v1/users/me/second-factor";
const CONFIRM: &str = "/v1/users/me/second-factor/confirm";
pub(super) const OWNER: &str = "owner@acme.example";

/// An authenticator app with one account.
pub(super) struct App(Totp);

impl App {
    fn of(secret: &str) -> Self {
        let secret = Secret::try_from_base32(secret).unwrap();
        Self(Builder::new().with_secret(secret).build().unwrap())
    }

    /// The code of now.
    pub(super) fn code(&self) -> String {
        self.at(0)
    }

    /// The code of the next step: accepted too, and another than [`Self::code`] was a moment ago.
    fn next(&self) -> String {
        self.at(30)
    }

    fn at(&self, later: u64) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        self.0.generate(now + later).to_string()
    }
}

async fn log_in(caller: &Caller, email: &str, code: Option<&str>) -> TestResponse {
    let mut body = json!({"tenant": "acme", "email": email, "password": PASSWORD});
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    send(caller.anonymous(Method::POST, "/v1/sessions").json(&body)).await
}

/// Enrols an app and confirms it; the app, and the recovery codes.
pub(super) async fn enrol(caller: &Caller, token: &str) -> (App, Vec<String>) {
    let made = caller.post(OWN, token).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let app = App::of(made.body["secret"].as_str().unwrap());
    let confirmed = caller
        .post_json(CONFIRM, token, &json!({"code": app.code()}))
        .await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let codes = confirmed.body["recovery_codes"].as_array().unwrap();
    let codes = codes.iter().map(|code| code.as_str().unwrap().to_owned());
    (app, codes.collect())
}

/// As if the codes of the app had never been used: the next ones come in half a minute.
pub(super) async fn forget_steps(db: &TestDb) {
    db.execute("update second_factors set last_step = 0").await;
}

pub(super) async fn open() -> (TestTenant, TestApi, Caller) {
    let acme = TestTenant::open().await;
    let api = TestApi::start_with(&acme.db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let caller = Caller::at(api.addr);
    (acme, api, caller)
}

#[tokio::test]
async fn session_that_a_log_in_opened_without_a_second_factor_ends_when_one_is_confirmed() {
    let (acme, _api, caller) = open().await;
    let token = acme.owner_token.expose();
    let made = caller.post(OWN, token).await;
    let app = App::of(made.body["secret"].as_str().unwrap());
    let code = json!({"code": app.code()});
    let mut log_in = acme.db.pool().begin().await.unwrap();
    let (_, elsewhere) = acme.sign_in_within(&mut log_in).await;
    let commit = async {
        statement_waits(&acme.db).await;
        log_in.commit().await.unwrap();
    };
    let (confirmed, ()) = tokio::join!(caller.post_json(CONFIRM, token, &code), commit);
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let ended = caller.get("/v1/sessions", elsewhere.expose()).await;
    assert_eq!(ended.status, 401, "{}", ended.text);
}

#[tokio::test]
async fn second_factor_is_asked_for_once_a_code_of_the_app_has_confirmed_it() {
    let (acme, _api, caller) = open().await;
    let token = acme.owner_token.expose();
    let (_, elsewhere) = acme.sign_in().await;
    let none = caller
        .post_json(CONFIRM, token, &json!({"code": "123456"}))
        .await;
    none.assert_problem(409, "CONFLICT", "nothing is being enrolled");

    let first = caller.post(OWN, token).await;
    let made = caller.post(OWN, token).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_ne!(first.body["secret"], made.body["secret"]);
    let secret = made.body["secret"].as_str().unwrap();
    let uri = made.body["uri"].as_str().unwrap();
    assert!(
        uri.starts_with("otpauth://totp/Postroom:owner@acme.example") && uri.contains(secret),
        "{uri}"
    );
    assert_eq!(log_in(&caller, OWNER, None).await.status, 201, "not yet");
    assert_eq!(caller.get(OWN, token).await.body["active"], false);
    let replaced = App::of(first.body["secret"].as_str().unwrap());
    for wrong in [replaced.code(), String::from("nonsense")] {
        let refused = caller
            .post_json(CONFIRM, token, &json!({"code": wrong}))
            .await;
        refused.assert_problem(401, "LOGIN_REFUSED", "not the app's");
    }
    let app = App::of(secret);
    let confirmed = caller
        .post_json(CONFIRM, token, &json!({"code": app.code()}))
        .await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let codes = confirmed.body["recovery_codes"].as_array().unwrap();
    assert_eq!(codes.len(), 10);

    assert_eq!(caller.get("/v1/sessions", token).await.status, 200);
    let ended = caller.get("/v1/sessions", elsewhere.expose()).await;
    assert_eq!(ended.status, 401, "other sessions had no second factor");
    let state = caller.get(OWN, token).await.body;
    assert_eq!(state["active"], true);
    assert_eq!(state["recovery_codes_left"], 10);
    let again = caller.post(OWN, token).await;
    again.assert_problem(409, "CONFLICT", "it is removed first");

    let asked = log_in(&caller, OWNER, None).await;
    asked.assert_problem(401, "SECOND_FACTOR_REQUIRED", "the password alone");
    assert_eq!(asked.body["errors"][0]["pointer"], "/code");
    assert_eq!(log_in(&caller, OWNER, Some(&app.next())).await.status, 201);
    let users = caller.get("/v1/users", token).await.body;
    assert_eq!(users["items"][0]["second_factor"], true);
}

#[tokio::test]
async fn code_opens_once_however_many_send_it_at_a_time() {
    let (acme, _api, caller) = open().await;
    let (app, _) = enrol(&caller, acme.owner_token.expose()).await;
    let code = app.next();
    let tries = (0..6).map(|_| log_in(&caller, OWNER, Some(&code)));
    let answers = futures::future::join_all(tries).await;
    let opened = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(opened, 1, "of two at once one gets it");
    let refused = log_in(&caller, OWNER, Some(&code)).await;
    refused.assert_problem(401, "LOGIN_REFUSED", "it was used");
    assert_eq!(refused.body["errors"][0]["code"], "WRONG_CODE");
    let older = log_in(&caller, OWNER, Some(&app.code())).await;
    older.assert_problem(401, "LOGIN_REFUSED", "nor one of a step before it");
}

#[tokio::test]
async fn recovery_code_opens_once_and_says_in_the_audit_log_how_many_are_left() {
    let (acme, _api, caller) = open().await;
    let token = acme.owner_token.expose();
    let (_, codes) = enrol(&caller, token).await;
    let typed = codes[3].to_uppercase().replace('-', " ");
    assert_eq!(log_in(&caller, OWNER, Some(&typed)).await.status, 201);
    let again = log_in(&caller, OWNER, Some(&codes[3])).await;
    again.assert_problem(401, "LOGIN_REFUSED", "it was used");
    assert_eq!(log_in(&caller, OWNER, Some(&codes[4])).await.status, 201);
    assert_eq!(caller.get(OWN, token).await.body["recovery_codes_left"], 8);
    let left: String = acme
        .db
        .one(
            "select string_agg(detail->>'left', ' ' order by id) from audit_entries
             where action = 'authn_recovery_code_used'",
        )
        .await;
    assert_eq!(left, "9 8");
}

#[tokio::test]
async fn wrong_codes_are_slowed_down_like_wrong_passwords_and_missing_ones_are_not() {
    let (acme, _api, caller) = open().await;
    let (app, _) = enrol(&caller, acme.owner_token.expose()).await;
    for _ in 0..11 {
        let asked = log_in(&caller, OWNER, None).await;
        asked.assert_problem(401, "SECOND_FACTOR_REQUIRED", "nobody has guessed");
    }
    let never = |code: &str| if code == "000000" { "000001" } else { "000000" };
    for _ in 0..10 {
        let wrong = never(&app.code());
        assert_eq!(log_in(&caller, OWNER, Some(wrong)).await.status, 401);
    }
    let throttled = log_in(&caller, OWNER, Some(&app.next())).await;
    throttled.assert_problem(429, "TOO_MANY_REQUESTS", "the eleventh guess");
    let audited: String = acme
        .db
        .one(
            "select string_agg(distinct error_code, ' ' order by error_code) from audit_entries
             where action in ('authn_login_fail', 'authn_login_lock')",
        )
        .await;
    assert_eq!(
        audited, "LOGIN_THROTTLED WRONG_CODE",
        "the first step of two is no failure"
    );
}

#[tokio::test]
async fn password_alone_confirms_and_changes_nothing_of_who_has_a_second_factor() {
    let (acme, _api, caller) = open().await;
    let token = acme.owner_token.expose();
    let (app, codes) = enrol(&caller, token).await;
    let confirm = async |code: Option<&str>| {
        let mut body = json!({"password": PASSWORD});
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        caller
            .post_json("/v1/sessions/current/confirm", token, &body)
            .await
    };
    acme.db
        .execute("update sessions set authenticated_at = now() - interval '601 s'")
        .await;
    let stale = caller.delete(OWN, token).await;
    stale.assert_problem(
        403,
        "CONFIRMATION_REQUIRED",
        "it asks for a recent password",
    );
    let change = json!({"current_password": PASSWORD, "new_password": "another quiet owl"});
    let request = caller
        .anonymous(Method::PUT, "/v1/users/me/password")
        .bearer_auth(token);
    let changed = send(request.json(&change)).await;
    changed.assert_problem(401, "SECOND_FACTOR_REQUIRED", "the password alone");
    let asked = confirm(None).await;
    asked.assert_problem(401, "SECOND_FACTOR_REQUIRED", "the password alone");
    let wrong = confirm(Some(&codes[0].replace(&codes[0][..4], "2222"))).await;
    wrong.assert_problem(401, "LOGIN_REFUSED", "a wrong code");
    assert_eq!(confirm(Some(&app.next())).await.status, 204);
    assert_eq!(caller.delete(OWN, token).await.status, 204);
    assert_eq!(log_in(&caller, OWNER, None).await.status, 201);
    let refused = confirm(None).await;
    assert_eq!(refused.status, 204, "nothing else is asked now");
    let history: String = acme
        .db
        .one(
            "select string_agg(action, ' ' order by id) from audit_entries
             where action like 'authn\\_second\\_factor%'",
        )
        .await;
    assert_eq!(
        history,
        "authn_second_factor_enrolled authn_second_factor_confirmed authn_second_factor_removed"
    );
}

#[tokio::test]
async fn tenant_that_requires_a_second_factor_lets_those_without_one_only_enrol() {
    let (acme, api, caller) = open().await;
    let owner = acme.owner_token.expose();
    let (_, member) = acme.join("ada@acme.example", Role::Member).await;
    let member = member.expose();
    let settings = json!({
        "trust_mode": "training_wheels", "sending_disabled": false, "require_second_factor": true,
    });
    let put = async |settings: &Value| {
        let request = caller
            .anonymous(Method::PUT, "/v1/settings")
            .bearer_auth(owner);
        send(request.json(settings)).await
    };
    assert_eq!(put(&settings).await.body["require_second_factor"], true);
    for path in ["/v1/jobs", "/v1/settings", "/v1/approvals"] {
        for token in [owner, member] {
            let refused = caller.get(path, token).await;
            refused.assert_problem(403, "ENROLMENT_REQUIRED", path);
        }
    }
    assert_eq!(caller.get("/v1/sessions", member).await.status, 200);
    let program = key(&acme.db, acme.owner.tenant, [KeyScope::JobsRead]).await;
    assert_eq!(caller.get("/v1/jobs", &program).await.status, 200);

    let (app, _) = enrol(&caller, member).await;
    assert_eq!(caller.get("/v1/jobs", member).await.status, 200);
    let opened = log_in(&caller, "ada@acme.example", Some(&app.next())).await;
    assert_eq!(opened.status, 201, "{}", opened.text);
    assert_eq!(caller.delete(OWN, member).await.status, 204);
    let refused = caller.get("/v1/jobs", member).await;
    refused.assert_problem(403, "ENROLMENT_REQUIRED", "it was removed");
    api.stop().await;

    let without_keys = TestApi::start(&acme.db).await;
    acme.db
        .execute("update tenants set require_second_factor = false; delete from second_factors")
        .await;
    let caller = Caller::at(without_keys.addr);
    let request = caller
        .anonymous(Method::PUT, "/v1/settings")
        .bearer_auth(owner);
    let refused = send(request.json(&settings)).await;
    refused.assert_problem(501, "NOT_CONFIGURED", "nobody could enrol one");
}

#[tokio::test]
async fn required_second_factor_and_four_eyes_stay_until_they_are_named_by_those_who_may() {
    let (acme, _api, caller) = open().await;
    let owner = acme.owner_token.expose();
    let (_, operator) = acme.join("ops@acme.example", Role::Operator).await;
    let put = async |token: &str, more: Value| {
        let mut settings = json!({"trust_mode": "training_wheels", "sending_disabled": false});
        let fields = settings.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let request = caller
            .anonymous(Method::PUT, "/v1/settings")
            .bearer_auth(token);
        send(request.json(&settings)).await
    };
    let operator = operator.expose();
    let refused = put(operator, json!({"require_second_factor": true})).await;
    refused.assert_problem(403, "FORBIDDEN", "by one who may not manage users");
    enrol(&caller, owner).await;
    enrol(&caller, operator).await;
    let both = json!({"require_second_factor": true, "four_eyes": true});
    assert_eq!(put(owner, both).await.status, 200);
    let refused = put(operator, json!({"require_second_factor": false})).await;
    refused.assert_problem(403, "FORBIDDEN", "by one who may not manage users");
    for token in [operator, owner] {
        let stored = put(token, json!({})).await;
        assert_eq!(stored.status, 200, "{}", stored.text);
        assert_eq!(stored.body["require_second_factor"], true);
        assert_eq!(stored.body["four_eyes"], true);
    }
    let stored = put(
        owner,
        json!({"require_second_factor": false, "four_eyes": false}),
    )
    .await;
    assert_eq!(stored.body["require_second_factor"], false);
    assert_eq!(stored.body["four_eyes"], false);
}

#[tokio::test]
async fn lost_second_factor_is_reset_by_an_admin_but_not_that_of_an_owner() {
    let (acme, _api, caller) = open().await;
    let owner = acme.owner_token.expose();
    let (ada, ada_token) = acme.join("ada@acme.example", Role::Member).await;
    let (_, admin_token) = acme.join("admin@acme.example", Role::Admin).await;
    enrol(&caller, ada_token.expose()).await;
    enrol(&caller, owner).await;
    let path = |user| format!("/v1/users/{user}/second-factor");
    let above = caller
        .delete(&path(acme.owner.user), admin_token.expose())
        .await;
    above.assert_problem(403, "FORBIDDEN", "an owner's");
    let reset = caller.delete(&path(ada.user), admin_token.expose()).await;
    assert_eq!(reset.status, 204, "{}", reset.text);
    let ended = caller.get("/v1/sessions", ada_token.expose()).await;
    assert_eq!(ended.status, 401, "their sessions end");
    assert_eq!(log_in(&caller, "ada@acme.example", None).await.status, 201);

    let args = [
        "user",
        "reset-second-factor",
        "--tenant",
        "acme",
        "--email",
        OWNER,
    ];
    let shell = admin(&acme.db.url(), &args).await;
    assert!(shell.status.success(), "{}", shell.stderr);
    assert_eq!(log_in(&caller, OWNER, None).await.status, 201);
    let actors: String = acme
        .db
        .one(
            "select string_agg(actor_kind, ' ' order by id) from audit_entries
             where action = 'authn_second_factor_reset'",
        )
        .await;
    assert_eq!(actors, "user cli");
    let again = admin(&acme.db.url(), &args).await;
    assert!(
        again.stdout.contains("has no second factor"),
        "{}",
        again.stdout
    );
}

#[tokio::test]
async fn secret_is_stored_sealed_and_opens_under_a_new_key_after_resealing() {
    const NEW: &str = "k2:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
    let (acme, api, caller) = open().await;
    let token = acme.owner_token.expose();
    let made = caller.post(OWN, token).await;
    let secret = made.body["secret"].as_str().unwrap().to_owned();
    let app = App::of(&secret);
    let confirmed = caller
        .post_json(CONFIRM, token, &json!({"code": app.code()}))
        .await;
    let recovery = confirmed.body["recovery_codes"][0].as_str().unwrap();
    let dump = acme.db.dump().await;
    for plain in [&secret, recovery, &recovery.replace('-', "")] {
        assert!(
            !dump.contains(plain) && !dump.contains(&base::hex(plain.as_bytes())),
            "{plain}"
        );
    }
    api.stop().await;

    let url = acme.db.url();
    let both = format!("{NEW},{KEYS}");
    let variables = [("DATABASE_URL", url.as_str()), ("CREDENTIAL_KEYS", &both)];
    let ended = Process::spawn("postroom-api", &["admin", "reseal"], &variables)
        .ended()
        .await;
    assert!(ended.stdout.starts_with("1 secret(s)"), "{}", ended.stdout);
    assert!(ended.stdout.contains("from now on: k2"), "{}", ended.stdout);
    let api = TestApi::start_with(&acme.db, &[("CREDENTIAL_KEYS", NEW)]).await;
    forget_steps(&acme.db).await;
    let opened = log_in(&Caller::at(api.addr), OWNER, Some(&app.code())).await;
    assert_eq!(opened.status, 201, "{}", opened.text);
}
