//! The target of a request: its length, and segments that are percent-encoded.

use crate::support::{TestDb, corpus, system::TestApi};

#[tokio::test]
async fn id_may_be_percent_encoded_as_rfc_3986_allows() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = client.submitted(&corpus::generated(1).bytes, "k").await;
    let plain = client.job(&id).await;
    let first = format!("%{:02X}{}", id.as_bytes()[0], &id[1..]);
    for encoded in [id.replace('-', "%2D"), id.replace('-', "%2d"), first] {
        assert_eq!(client.job(&encoded).await, plain, "{encoded}");
    }
    for nothing in [format!("{id}%00"), format!("{id}%2F"), format!("%zz{id}")] {
        let answer = client.get(&format!("/v1/jobs/{nothing}")).await;
        answer.assert_problem(404, "NOT_FOUND", &nothing);
    }
}

#[tokio::test]
async fn target_of_more_than_8_kib_is_too_long() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let of = |bytes: usize| {
        let path = "/v1/tasks?x=";
        format!("{path}{}", "y".repeat(bytes - path.len()))
    };
    let fits = client.get(&of(8 * 1024)).await;
    fits.assert_problem(400, "INVALID_PARAMETER", "8 KiB of an unknown parameter");
    for bytes in [8 * 1024 + 1, 60_000] {
        let answer = client.get(&of(bytes)).await;
        answer.assert_problem(414, "TARGET_TOO_LONG", &bytes.to_string());
    }
}
