//! Judges one email without a job and without a database: [`evaluate`], to measure a model and its prompt.
//!
//! The guards, the prompt, the checks, the one repair and the merge are those of the job. Rules and memories are left out:
//! they belong to a tenant, and what they decide says nothing about the model.

use super::guards::{Correspondents, guard};
use super::judge::{BUDGET, MAX_OUTPUT_TOKENS, reason};
use super::load::Case;
use super::mailbox::Mailbox;
use super::merge::{ModelAnswer, merge};
use super::parse_reply::{parse_repaired, parse_reply};
use super::prompt;
use super::thread_status::Contact;
use crate::handlers::{ask::ModelAccess, corrections::Examples};
use crate::prompts::{TRIAGE_TASK, mailbox::Owner, triage_schema};
use base::{JobId, TenantId, clock::Clock};
use jobs::domain::{
    MessageId, action::ActionType, gate::TrustMode, judgement::Judgement, mail::Mail,
    rules::Verdict,
};
use llm::{Call, Completion, LlmError, Prompt, ServiceTier, TokenUsage};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// An email, and what the tables of a tenant would say about it.
pub struct EvaluatedEmail {
    pub mail: Mail,
    /// The address of the mailbox's owner.
    pub owner: String,
    /// The owner's, an IANA name.
    pub timezone: String,
    /// The sender is one of the owner's contacts.
    pub known_sender: bool,
}

/// The judgement of an email and its cost.
pub struct Evaluation {
    pub judgement: Judgement,
    /// The proposed actions.
    pub actions: Vec<ActionType>,
    /// Why the model gave no usable answer; the judgement is then the one that leaves the email to a person.
    pub failure: Option<LlmError>,
    pub cost: EvaluationCost,
}

/// The requests for one email, failed ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvaluationCost {
    /// 0 if a guard decided.
    pub requests: u32,
    pub usage: TokenUsage,
    /// Millionths of a dollar, of the requests whose model has a price.
    pub micros: u64,
    /// Requests whose model has no price.
    pub unpriced: u32,
}

/// Judges the email as if it had just arrived.
pub async fn evaluate(access: &ModelAccess, email: EvaluatedEmail) -> Evaluation {
    let case = case_of(email);
    if let Some(guard) = guard(&case.mail, &case.correspondents) {
        return Evaluation {
            judgement: guard.judgement(),
            actions: Vec::new(),
            failure: None,
            cost: EvaluationCost::default(),
        };
    }
    let verdict = Verdict::default();
    let mut questions = Questions {
        access,
        deadline: Instant::now() + BUDGET,
        cost: EvaluationCost::default(),
    };
    let (answer, failure) = match questions.judge(&case, &verdict).await {
        Ok(answer) => (answer, None),
        Err(error) => (ModelAnswer::Unusable, Some(error)),
    };
    let contact = Contact::with(&case.mail, &case.correspondents);
    let decision = merge(&case.mail, &verdict, &answer, contact);
    Evaluation {
        judgement: decision.judgement,
        actions: decision.proposals.iter().map(|it| it.kind).collect(),
        failure,
        cost: questions.cost,
    }
}

/// Builds the case that a tenant with this owner, without rules and memories, would have.
fn case_of(email: EvaluatedEmail) -> Case {
    let EvaluatedEmail {
        mail,
        owner,
        timezone,
        known_sender,
    } = email;
    let owner = owner.to_lowercase();
    let domain_of = |address: &str| Some(address.rsplit_once('@')?.1.to_owned());
    let sender = mail.from.as_ref();
    let correspondents = Correspondents {
        own_digest: false,
        own_sender: sender.is_some_and(|from| from.addr.to_lowercase() == owner),
        own_recipient: mail.recipient_addresses().contains(&owner),
        own_domain: sender
            .and_then(|from| from.domain())
            .is_some_and(|domain| domain_of(&owner) == Some(domain)),
        known_sender,
    };
    Case {
        message: MessageId::new(),
        content_hash: mail.content_hash(),
        mailbox: Mailbox {
            owner: Owner::new(&owner, &[], timezone),
            memories: Vec::new(),
            examples: Examples::default(),
        },
        correspondents,
        bounced: None,
        owner: None,
        trust: TrustMode::TrainingWheels,
        rules: Arc::default(),
        outage_jobs: Vec::new(),
        former: None,
        mail,
    }
}

/// The question about one email and its repair.
struct Questions<'a> {
    access: &'a ModelAccess,
    deadline: Instant,
    cost: EvaluationCost,
}

impl Questions<'_> {
    async fn judge(&mut self, case: &Case, verdict: &Verdict<'_>) -> Result<ModelAnswer, LlmError> {
        // Deadlines in the email are compared with the time of its arrival, not with that of the evaluation.
        let asked_on = case.mail.date.unwrap_or_else(|| Clock::System.now());
        let first = self.ask(prompt::question(case, verdict, asked_on)).await?;
        let fault = match parse_reply(&first.text, &case.mail, &[]) {
            Ok(reply) => return Ok(ModelAnswer::Reply(reply)),
            Err(fault) => fault,
        };
        let repair = prompt::repair(case, verdict, asked_on, &first.text, &fault);
        let again = self.ask(repair).await?;
        match parse_repaired(&again.text, &case.mail, &[]) {
            Ok(reply) => Ok(ModelAnswer::Reply(reply)),
            Err(fault) => Err(LlmError::InvalidOutput {
                reason: reason(fault.class),
            }),
        }
    }

    async fn ask(&mut self, prompt: Prompt) -> Result<Completion, LlmError> {
        let (model, prices) = (self.access.first_of_triage(), &self.access.prices);
        let call = Call {
            prompt,
            schema: triage_schema(&[]),
            max_output_tokens: MAX_OUTPUT_TOKENS,
            task: TRIAGE_TASK,
            tier: ServiceTier::Standard,
            deadline: self.deadline,
            tenant: TenantId::new(),
            job: JobId::new(),
            attempt: 1,
            cancelled: &CancellationToken::new(),
        };
        let (result, cost) = model.complete_with_cost(&call).await;
        let price = |name: &str| {
            let tier = ServiceTier::Standard;
            prices.micros(model.provider_name(), name, tier, cost.usage)
        };
        let answered = result.as_ref().ok().map(|answer| answer.model.as_str());
        // A proxy may answer under a name of its own.
        let micros = answered
            .and_then(price)
            .or_else(|| price(model.requested_name()));
        self.cost.requests += cost.tries;
        self.cost.usage += cost.usage;
        match micros {
            Some(micros) => self.cost.micros += micros,
            None => self.cost.unpriced += cost.tries,
        }
        result
    }
}
