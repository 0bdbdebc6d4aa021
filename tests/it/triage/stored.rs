//! What a model says is stored, whatever characters it uses.

use super::{INVOICE, answer, test_worker::TestWorker};
use serde_json::{Value, json};

#[tokio::test]
async fn nul_in_an_answer_does_not_keep_the_judgement_from_being_stored() {
    let nul = |reply: &mut Value| {
        reply["reasoning"] = json!("The client\0 asks for payment.");
        reply["actions"][0]["params"]["title"] = json!("Pay\0 12.50");
    };
    let worker = TestWorker::open(None, [answer(nul)]).await;
    let output = worker.triage(INVOICE, |_| ()).await;
    assert_eq!(output.source.as_str(), "llm");
    assert_eq!(output.rationale, "The client asks for payment.");
}
