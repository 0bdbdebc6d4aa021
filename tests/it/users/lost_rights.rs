//! The invites and password resets that a user made end with the right to make them.

use super::{change, remove, user_of};
use crate::support::{
    Client, TestDb,
    caller::Caller,
    client::{TestResponse, send},
    people::PASSWORD,
    system::TestApi,
};
use jobs::domain::session::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;

/// An admin, with the tokens of an invite and of a reset that they made.
struct Maker {
    client: Client,
    invite: String,
    reset: String,
}

fn token(made: &TestResponse) -> String {
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["token"].as_str().unwrap().to_owned()
}

async fn maker(db: &TestDb, owner: &Client) -> Maker {
    let client = owner.colleague(db, Role::Admin).await;
    let invitation = json!({"email": "new@acme.example", "role": "member"});
    let invite = client.request(Method::POST, "/v1/invites");
    let invite = token(&send(invite.json(&invitation)).await);
    let member = owner.colleague(db, Role::Member).await;
    let path = format!("/v1/users/{}/password-reset", user_of(db, &member).await);
    let reset = token(&send(client.request(Method::POST, &path)).await);
    Maker {
        client,
        invite,
        reset,
    }
}

/// What comes of both tokens.
async fn used(api: &TestApi, maker: &Maker) -> [StatusCode; 2] {
    let caller = Caller::at(api.addr);
    let post = async |path: &str, token: &str| {
        let body = json!({"token": token, "password": PASSWORD});
        send(caller.anonymous(Method::POST, path).json(&body))
            .await
            .status
    };
    [
        post("/v1/onboarding/accept", &maker.invite).await,
        post("/v1/onboarding/reset-password", &maker.reset).await,
    ]
}

#[tokio::test]
async fn invites_and_resets_end_when_their_maker_is_removed_suspended_or_demoted() {
    for what in ["removed", "suspended", "demoted"] {
        let db = TestDb::new().await;
        let api = TestApi::start(&db).await;
        let owner = api.sign_in(&db).await;
        let maker = maker(&db, &owner).await;
        let user = user_of(&db, &maker.client).await;
        let status = match what {
            "removed" => remove(&owner, user).await.status,
            "suspended" => {
                change(&owner, user, &json!({"suspended": true}))
                    .await
                    .status
            }
            _ => {
                change(&owner, user, &json!({"role": "member"}))
                    .await
                    .status
            }
        };
        assert!(status.is_success(), "{what}: {status}");
        assert_eq!(used(&api, &maker).await, [410, 410], "{what}");
        let audited: i64 = db
            .one("select count(*) from audit_entries where action = 'invite_revoked'")
            .await;
        assert_eq!(audited, 1, "{what}");
    }
}

#[tokio::test]
async fn invites_and_resets_stay_while_their_maker_may_make_them() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let maker = maker(&db, &owner).await;
    let user = user_of(&db, &maker.client).await;
    let raised = change(&owner, user, &json!({"role": "owner"})).await;
    assert_eq!(raised.status, 200, "{}", raised.text);
    assert_eq!(used(&api, &maker).await, [201, 204]);
}
