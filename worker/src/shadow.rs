//! Shadow mode: which share of the triaged emails a second model or prompt judges too ([`ShadowConfig`]), and its prompt.
//!
//! The second model is that of the task `shadow` in `LLM_MODELS_FILE`, else the default one.

use crate::prompts::TRIAGE;
use base::{
    JobId,
    env::{Env, Variable},
    hex,
};
use llm::{Prompt, Trusted};
use sha2::{Digest as _, Sha256};
use std::fs;

pub(crate) const SHARE: Variable = Variable::with_default(
    "LLM_SHADOW_SHARE",
    "0",
    "The share of triaged emails, 0 to 1, that the model of the task `shadow` judges as well, to be compared; without effects, and 0 is off",
)
.example("0.05");
pub(crate) const PROMPT: Variable = Variable::optional(
    "LLM_SHADOW_PROMPT_FILE",
    "/etc/postroom/triage-next.txt",
    "the prompt of triage",
    "Instructions for that second judgement; they must ask for the same JSON object as the shipped prompt, see docs/operations.md",
);

/// Shadow mode of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShadowConfig {
    /// In [0, 1]; 0 is off.
    share: f64,
    pub prompt: Option<ShadowPrompt>,
}

/// Instructions that an operator configured, under a name that follows from their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowPrompt {
    version: &'static str,
    text: &'static str,
}

impl ShadowConfig {
    pub(crate) fn from_env(env: &mut Env) -> Self {
        let share: f64 = env.parse(SHARE, "a number");
        if !(0.0..=1.0).contains(&share) {
            env.fault(SHARE, "is not between 0 and 1");
        }
        let prompt = env.optional(PROMPT).and_then(|path| {
            let text = fs::read_to_string(&path);
            let text = text.map_err(|error| env.fault(PROMPT, format!("cannot be read: {error}")));
            let text = text.ok()?;
            if text.trim().is_empty() {
                env.fault(PROMPT, "names an empty file");
            }
            Some(ShadowPrompt::of(&text))
        });
        Self { share, prompt }
    }

    /// Whether the judgement of this job is compared: the same for all its attempts.
    pub(crate) fn samples(&self, job: JobId) -> bool {
        // The last bits of a UUID are random.
        let [.., a, b, c, d] = *job.0.as_bytes();
        let draw = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        draw < self.share
    }
}

impl ShadowPrompt {
    fn of(text: &str) -> Self {
        let digest = Sha256::digest(text);
        let hash = hex(&digest[..4]);
        // Read once per process, and needed for as long as it lives.
        Self {
            version: format!("{}-shadow-{hash}", TRIAGE.version).leak(),
            text: text.trim().to_owned().leak(),
        }
    }

    /// Starts a prompt with the instructions.
    pub(crate) fn prompt(&self) -> Prompt {
        Prompt::new(self.version).system(Trusted::fixed(self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn share_is_that_of_the_jobs_and_the_same_at_each_attempt() {
        let sampled = |share: f64| {
            let config = ShadowConfig {
                share,
                prompt: None,
            };
            let jobs = (0..1000_u128).map(|n| JobId(Uuid::from_u128(n * 4_294_967)));
            jobs.filter(|job| config.samples(*job)).count()
        };
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 1000));
        assert!((245..=255).contains(&sampled(0.25)), "{}", sampled(0.25));
        assert_eq!(sampled(0.25), sampled(0.25));
    }

    #[test]
    fn share_outside_of_its_bounds_and_a_missing_prompt_are_refused() {
        for (name, value) in [
            ("LLM_SHADOW_SHARE", "1.5"),
            ("LLM_SHADOW_SHARE", "NaN"),
            ("LLM_SHADOW_SHARE", "some"),
            ("LLM_SHADOW_PROMPT_FILE", "/nowhere"),
        ] {
            let mut env = Env::from_vars([(name, value)]);
            let config = ShadowConfig::from_env(&mut env);
            assert!(env.finish(config).is_err(), "{name}={value}");
        }
        let mut env = Env::from_vars([]);
        assert_eq!(ShadowConfig::from_env(&mut env), ShadowConfig::default());
    }

    #[test]
    fn another_text_is_another_version() {
        let (one, other) = (ShadowPrompt::of("Judge."), ShadowPrompt::of("Judge well."));
        assert_ne!(one.version, other.version);
        assert!(
            one.version.starts_with("triage.v3-shadow-"),
            "{}",
            one.version
        );
    }
}
