//! What a server can do, learned from its refusals: [`Capabilities`] and [`Learned`].
//!
//! Servers that speak a provider's protocol lack parts of it, and say so with an error that names the parameter. Each is
//! left out or replaced once and stays so for the life of the process, so that only the first request pays for the lesson.

mod refusal;

use super::{
    http::{Http, HttpResponse},
    options::ModelOptions,
};
use crate::{
    classify,
    error::LlmError,
    prompt::{Message, OutputSchema, Role},
    provider::{AttemptInfo, AttemptRequest},
    tier::ServiceTier,
};
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

/// More refusals in a row than there are parameters to leave out.
const MAX_STEPS: usize = 12;

/// How an answer is made to follow its schema, from the strictest way to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputMode {
    /// The server enforces the schema.
    JsonSchema,
    /// The model must call a function whose parameters are the schema.
    Tool,
    /// The server enforces JSON; the schema stands in the prompt.
    JsonObject,
    /// The schema stands in the prompt.
    Text,
}

/// The name of the limit on output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitName {
    MaxTokens,
    MaxCompletionTokens,
    /// Has one name only, or has been replaced once already.
    Settled(&'static str),
}

/// How a request asks for reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reasoning {
    /// By the effort.
    Effort,
    /// Turns it on, without a level: what Ollama has for most models.
    Switch,
    /// Not at all.
    Nothing,
}

/// What a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) limit: LimitName,
    pub(super) output: OutputMode,
    /// The ways below `output` that the protocol has.
    pub(super) fallbacks: &'static [OutputMode],
    /// Repeats the schema in the prompt, because the server ignored it.
    pub(super) shape_in_prompt: bool,
    /// Has a place for instructions of our own; otherwise they open the first message.
    pub(super) system: bool,
    /// Takes several messages of one role in a row.
    pub(super) separate_messages: bool,
    pub(super) temperature: bool,
    pub(super) seed: bool,
    pub(super) reasoning: Reasoning,
    /// Takes `service_tier`.
    pub(super) flex: bool,
}

impl Capabilities {
    /// Everything that the protocol has.
    pub(super) const fn full(limit: LimitName, fallbacks: &'static [OutputMode]) -> Self {
        Self {
            limit,
            output: OutputMode::JsonSchema,
            fallbacks,
            shape_in_prompt: false,
            system: true,
            separate_messages: true,
            temperature: true,
            seed: true,
            reasoning: Reasoning::Effort,
            flex: false,
        }
    }

    /// Adds OpenAI's cheaper tier.
    #[must_use]
    pub(super) const fn with_flex(self) -> Self {
        Self { flex: true, ..self }
    }

    /// Leaves out what the operator does not ask for, so that its refusal is never looked for.
    #[must_use]
    pub(super) fn asked_for(self, options: &ModelOptions) -> Self {
        Self {
            temperature: self.temperature && options.temperature.is_some(),
            seed: self.seed && options.seed.is_some(),
            reasoning: match options.reasoning {
                Some(_) => self.reasoning,
                None => Reasoning::Nothing,
            },
            ..self
        }
    }

    /// Returns the prompt as this server takes it.
    pub(super) fn messages<'a>(
        &self,
        messages: &'a [Message],
        schema: &OutputSchema,
    ) -> Rendered<'a> {
        let mut system: Vec<Cow<'a, str>> = Vec::new();
        let mut user: Vec<Cow<'a, str>> = Vec::new();
        for message in messages {
            match message.role {
                Role::System => system.push(Cow::Borrowed(&message.content)),
                Role::User => user.push(Cow::Borrowed(&message.content)),
            }
        }
        let unenforced = matches!(self.output, OutputMode::JsonObject | OutputMode::Text);
        if self.shape_in_prompt || unenforced {
            system.push(Cow::Owned(format!(
                "Answer with one JSON object and nothing else. It must match this JSON Schema:\n{}",
                schema.json()
            )));
        }
        if !self.system {
            system.append(&mut user);
            (system, user) = (Vec::new(), system);
        }
        if !self.separate_messages {
            user = vec![Cow::Owned(user.join("\n\n"))];
        }
        let system = match system.len() {
            0 => None,
            1 => system.pop(),
            _ => Some(Cow::Owned(system.join("\n\n"))),
        };
        Rendered { system, user }
    }
}

/// A prompt as a server takes it.
pub(super) struct Rendered<'a> {
    pub(super) system: Option<Cow<'a, str>>,
    /// Never empty, unless the prompt is.
    pub(super) user: Vec<Cow<'a, str>>,
}

/// The capabilities of one server, shared by all requests.
pub(super) struct Learned(Mutex<Capabilities>);

impl Learned {
    pub(super) const fn new(start: Capabilities) -> Self {
        Self(Mutex::new(start))
    }

    pub(super) fn get(&self) -> Capabilities {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the request, and again without what the server refuses by name.
    ///
    /// # Errors
    /// An error status that names no parameter which could be left out, or no response.
    pub(super) async fn exchange(
        &self,
        http: &Http,
        build: impl Fn(Capabilities) -> Value,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<(HttpResponse, Capabilities), LlmError> {
        let mut sent = self.get();
        let mut steps = 0;
        loop {
            info.tier = match request.tier {
                ServiceTier::Flex if sent.flex => ServiceTier::Flex,
                ServiceTier::Flex | ServiceTier::Standard | ServiceTier::Batch => {
                    ServiceTier::Standard
                }
            };
            let response = http.post(build(sent), request, info).await?;
            if response.status.is_success() {
                return Ok((response, sent));
            }
            let status = response.status.as_u16();
            if info.tier == ServiceTier::Flex && refusal::has_no_room(status, &response.body) {
                // Not learned: there may be room for the next request. Such a refusal is not billed.
                sent.flex = false;
                continue;
            }
            let now = request.clock.now();
            let (headers, body) = (&response.headers, &response.body);
            let error = classify::error_response(status, headers, body, now);
            match refusal::without_refused(sent, &error, status, body) {
                Some(next) if steps < MAX_STEPS => {
                    steps += 1;
                    sent = self.replace(sent, next);
                }
                _ => return Err(error),
            }
        }
    }

    /// Repeats the schema in later prompts if the server accepted it and the answer is no JSON: proxies drop it silently.
    pub(super) fn judge_answer(&self, sent: Capabilities, text: &str) {
        if !sent.shape_in_prompt && !holds_object(text) {
            let next = Capabilities {
                shape_in_prompt: true,
                ..sent
            };
            self.replace(sent, next);
        }
    }

    /// Stores what one request learned, unless another request has learned something meanwhile. Returns what holds now.
    fn replace(&self, seen: Capabilities, next: Capabilities) -> Capabilities {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == seen {
            *current = next;
            tracing::warn!(
                capabilities = ?next,
                "the model server lacks part of its protocol; requests leave it out from now on"
            );
        }
        *current
    }
}

/// Returns whether the text holds a JSON object, with or without words around it.
fn holds_object(text: &str) -> bool {
    match (text.find('{'), text.rfind('}')) {
        (Some(start), Some(end)) if start < end => {
            serde_json::from_str::<Map<String, Value>>(&text[start..=end]).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Prompt, Trusted, Untrusted, prompt::Boundary, prompt_file::tests::JUDGE};

    const FULL: Capabilities =
        Capabilities::full(LimitName::MaxTokens, &[OutputMode::Tool, OutputMode::Text]);

    fn rendered(capabilities: Capabilities) -> (Option<String>, Vec<String>) {
        let messages = Prompt::new("test.v1")
            .system(Trusted::fixed("Judge."))
            .trusted(Trusted::fixed("Rules: none."))
            .untrusted("body", Untrusted::new("Hello"))
            .render(&Boundary::random());
        let Rendered { system, user } = capabilities.messages(&messages, &JUDGE.schema());
        (
            system.map(Cow::into_owned),
            user.into_iter().map(Cow::into_owned).collect(),
        )
    }

    #[test]
    fn prompt_is_rendered_for_what_the_server_takes() {
        let (system, user) = rendered(FULL);
        assert_eq!((system.as_deref(), user.len()), (Some("Judge."), 2));
        let text = Capabilities {
            output: OutputMode::Text,
            ..FULL
        };
        let (system, _) = rendered(text);
        let system = system.unwrap();
        assert!(system.starts_with("Judge.\n\nAnswer with one JSON object"));
        assert!(system.contains("\"category\""));
        let (system, user) = rendered(Capabilities {
            system: false,
            separate_messages: false,
            ..FULL
        });
        assert_eq!((system, user.len()), (None, 1));
        assert!(user[0].starts_with("Judge.\n\nRules: none.\n\nUNTRUSTED body"));
    }

    #[test]
    fn parameter_that_nobody_asked_for_cannot_be_refused() {
        let options = ModelOptions {
            temperature: None,
            ..ModelOptions::default()
        };
        let start = FULL.asked_for(&options);
        assert_eq!(
            (start.temperature, start.seed, start.reasoning),
            (false, true, Reasoning::Nothing)
        );
    }

    #[test]
    fn lesson_is_kept_unless_another_request_was_faster() {
        let learned = Learned::new(FULL);
        let without_seed = Capabilities {
            seed: false,
            ..FULL
        };
        let without_system = Capabilities {
            system: false,
            ..FULL
        };
        assert_eq!(learned.replace(FULL, without_seed), without_seed);
        assert_eq!(learned.replace(FULL, without_system), without_seed);
        assert_eq!(learned.get(), without_seed);
    }

    #[test]
    fn schema_is_repeated_in_the_prompt_after_prose() {
        let learned = Learned::new(FULL);
        learned.judge_answer(FULL, "Here you are: {\"a\": 1}.");
        assert!(!learned.get().shape_in_prompt);
        learned.judge_answer(FULL, "Sure! What do you want to know?");
        assert!(learned.get().shape_in_prompt);
    }
}
