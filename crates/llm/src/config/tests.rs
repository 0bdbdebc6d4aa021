//! Accepted and rejected values of the model's variables; keys are never shown.

use super::*;
use secrecy::ExposeSecret;

const SHIPPED: &[(&str, &str)] = &[(
    "catch_all.json",
    r#"{"label": "summary", "catch_all": true, "answer": {}}"#,
)];

/// The configuration, or the text of its faults.
fn read(vars: &[(&str, &str)]) -> Result<LlmConfig, String> {
    let mut env = Env::from_vars(vars.iter().copied());
    let config = LlmConfig::from_env(&mut env);
    env.finish(config).map_err(|error| error.to_string())
}

fn live(vars: &[(&str, &str)]) -> LiveConfig {
    match read(vars) {
        Ok(LlmConfig::Live(live)) => live,
        other => panic!("{other:?}"),
    }
}

#[test]
fn missing_credential_prevents_the_start_and_is_named() {
    for mode in [
        vec![],
        vec![("LLM_TESTING_MODE", "false")],
        vec![("LLM_TESTING_MODE", "0")],
    ] {
        let faults = read(&mode).unwrap_err();
        assert!(faults.contains("LLM_API_KEY"), "{faults}");
        assert!(faults.contains("OPENAI_API_KEY"), "{faults}");
        assert!(faults.contains("LLM_TESTING_MODE=true"), "{faults}");
    }
}

#[test]
fn placeholder_is_no_credential() {
    for placeholder in [
        "",
        "  ",
        "changeme",
        "CHANGE_ME",
        "sk-xxx",
        "sk-xxxxxxxx",
        "sk-...",
        "sk-proj-***",
        "your-api-key",
        "your_api_key_here",
        "sk-your-key",
        "<your key>",
        "{{key}}",
        "none",
        "null",
        "api-key",
        "placeholder",
        "xxx",
        "replace-me",
    ] {
        for name in ["LLM_API_KEY", "OPENAI_API_KEY"] {
            let read = read(&[(name, placeholder)]);
            assert!(read.is_err(), "{name}={placeholder}");
        }
    }
    for real in [
        "sk-proj-7Qb2",
        "ollama",
        "local",
        "dummy",
        "not-needed",
        "gsk_4f",
    ] {
        assert_eq!(live(&[("LLM_API_KEY", real)]).key.expose_secret(), real);
    }
}

#[test]
fn own_variable_wins_unless_it_contains_a_placeholder() {
    let both = |ours| live(&[("LLM_API_KEY", ours), ("OPENAI_API_KEY", "sk-theirs")]);
    assert_eq!(both("sk-ours").key.expose_secret(), "sk-ours");
    assert_eq!(both("changeme").key.expose_secret(), "sk-theirs");
}

#[test]
fn defaults_are_those_of_openai() {
    let config = live(&[("OPENAI_API_KEY", "sk-7Qb2")]);
    assert_eq!(config.base_url.as_str(), "https://api.openai.com/v1");
    assert_eq!(config.model, OPENAI_MODEL);
}

#[test]
fn other_server_needs_a_model_and_any_credential() {
    let local = ("LLM_BASE_URL", "http://127.0.0.1:11434/v1");
    let faults = read(&[local]).unwrap_err();
    assert!(
        faults.contains("LLM_MODEL") && faults.contains("LLM_API_KEY"),
        "{faults}"
    );
    let config = live(&[
        local,
        ("LLM_MODEL", "llama3.1:8b"),
        ("LLM_API_KEY", "local"),
    ]);
    assert_eq!(config.model, "llama3.1:8b");
}

#[test]
fn invalid_address_is_rejected_and_not_shown() {
    for (address, problem) in [
        ("ftp://host/hunter2", "not an http"),
        ("host:80/hunter2", "not an http"),
        ("hunter2", "not a URL"),
        ("https://user:hunter2@host/v1", "user name"),
        ("https://host/v1?key=hunter2", "more than"),
    ] {
        let vars = [
            ("LLM_BASE_URL", address),
            ("LLM_MODEL", "m"),
            ("LLM_API_KEY", "k7"),
        ];
        let faults = read(&vars).unwrap_err();
        assert!(
            faults.contains("LLM_BASE_URL") && faults.contains(problem),
            "{faults}"
        );
        assert!(!faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn unknown_provider_is_rejected() {
    let faults = read(&[("LLM_PROVIDER", "oracle"), ("LLM_API_KEY", "k7")]).unwrap_err();
    assert!(
        faults.contains("LLM_PROVIDER: is not a known provider"),
        "{faults}"
    );
}

#[test]
fn testing_mode_needs_no_credential_and_is_rejected_in_production() {
    for on in ["true", "1"] {
        let config = read(&[("LLM_TESTING_MODE", on)]);
        assert!(matches!(config, Ok(LlmConfig::Testing { fixtures: None })));
        for environment in ["production", "Production", "prod"] {
            let vars = [("LLM_TESTING_MODE", on), ("POSTROOM_ENV", environment)];
            let faults = read(&vars).unwrap_err();
            assert!(faults.contains("LLM_TESTING_MODE"), "{faults}");
        }
        assert!(read(&[("LLM_TESTING_MODE", on), ("POSTROOM_ENV", "staging")]).is_ok());
    }
}

#[test]
fn invalid_mode_is_rejected_even_with_a_credential() {
    for mode in ["yes", "TRUE", "on", "2", "hunter2"] {
        let vars = [("LLM_TESTING_MODE", mode), ("LLM_API_KEY", "sk-7Qb2")];
        let faults = read(&vars).unwrap_err();
        assert!(
            faults.contains("LLM_TESTING_MODE: is neither true nor false"),
            "{faults}"
        );
        assert!(!faults.contains("hunter2"));
    }
}

#[test]
fn credential_is_not_shown() {
    let config = live(&[("LLM_API_KEY", "sk-hunter2")]);
    assert!(!format!("{config:?}").contains("hunter2"));
    let faults = read(&[("LLM_API_KEY", "sk hunter2 ü")]).unwrap_err();
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn model_is_built_in_both_modes_and_once_per_registry() {
    let registry = Registry::new();
    let testing = LlmConfig::Testing { fixtures: None };
    let model = Model::from_config(&testing, &registry, Clock::System, SHIPPED);
    assert_eq!(
        model.map(|model| model.provider_name().to_owned()).ok(),
        Some("fixtures".to_owned())
    );
    let again = Model::from_config(&testing, &registry, Clock::System, SHIPPED).map(|_| ());
    assert!(matches!(again, Err(ModelError::Metrics(_))));
    let live = LlmConfig::Live(live(&[("LLM_API_KEY", "k7")]));
    let model = Model::from_config(&live, &Registry::new(), Clock::System, SHIPPED);
    assert_eq!(
        model.map(|model| model.model_name().to_owned()).ok(),
        Some(OPENAI_MODEL.to_owned())
    );
    let missing = LlmConfig::Testing {
        fixtures: Some("/nowhere/at/all".into()),
    };
    let model = Model::from_config(&missing, &Registry::new(), Clock::System, SHIPPED).map(|_| ());
    assert!(matches!(
        model,
        Err(ModelError::Fixtures(FixtureError::Read { .. }))
    ));
}
