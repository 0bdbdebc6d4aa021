//! Accepted and rejected values of the model's variables; keys are never shown.

use super::*;
use secrecy::ExposeSecret;

pub(super) const SHIPPED: &[(&str, &str)] = &[(
    "catch_all.json",
    r#"{"label": "summary", "catch_all": true, "answer": {}}"#,
)];

/// The configuration, or the text of its faults.
fn read(vars: &[(&str, &str)]) -> Result<LlmConfig, String> {
    let mut env = Env::from_vars(vars.iter().copied());
    let config = LlmConfig::from_env(&mut env, &[]);
    env.finish(config).map_err(|error| error.to_string())
}

fn live(vars: &[(&str, &str)]) -> LiveConfig {
    match read(vars) {
        Ok(LlmConfig::Live(live)) => *live,
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
    assert_eq!(config.model, "gpt-4.1-mini");
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
        let read = |environment| read(&[("LLM_TESTING_MODE", on), ("POSTROOM_ENV", environment)]);
        let faults = read("production").unwrap_err();
        assert!(faults.contains("LLM_TESTING_MODE"), "{faults}");
        assert!(read("staging").is_ok());
        for unknown in ["prod", "Production"] {
            let faults = read(unknown).unwrap_err();
            let names = "POSTROOM_ENV: is none of production, staging, test, development";
            assert!(faults.contains(names), "{faults}");
        }
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

fn first(models: &Models) -> &Model {
    &models.route(base::TenantId::new(), "summary").first
}

#[test]
fn model_is_built_in_both_modes_and_once_per_registry() {
    let registry = Registry::new();
    let testing = LlmConfig::Testing { fixtures: None };
    let model = Models::from_config(&testing, &registry, Naming::V1_41, Clock::System, SHIPPED);
    assert_eq!(
        model
            .map(|models| first(&models).provider_name().to_owned())
            .ok(),
        Some("fixtures".to_owned())
    );
    let again =
        Models::from_config(&testing, &registry, Naming::V1_41, Clock::System, SHIPPED).map(|_| ());
    assert!(matches!(again, Err(ModelError::Metrics(_))));
    let live = LlmConfig::Live(Box::new(live(&[("LLM_API_KEY", "k7")])));
    let model = Models::from_config(
        &live,
        &Registry::new(),
        Naming::V1_41,
        Clock::System,
        SHIPPED,
    );
    assert_eq!(
        model
            .map(|models| first(&models).model_name().to_owned())
            .ok(),
        Some("gpt-4.1-mini".to_owned())
    );
    let missing = LlmConfig::Testing {
        fixtures: Some("/nowhere/at/all".into()),
    };
    let model = Models::from_config(
        &missing,
        &Registry::new(),
        Naming::V1_41,
        Clock::System,
        SHIPPED,
    )
    .map(|_| ());
    assert!(matches!(
        model,
        Err(ModelError::Fixtures(FixtureError::Read { .. }))
    ));
}

#[test]
fn each_provider_has_its_address_and_its_own_name_for_the_credential() {
    for (provider, own_key, address) in [
        ("openai", "OPENAI_API_KEY", "https://api.openai.com/v1"),
        (
            "openai-responses",
            "OPENAI_API_KEY",
            "https://api.openai.com/v1",
        ),
        (
            "anthropic",
            "ANTHROPIC_API_KEY",
            "https://api.anthropic.com/",
        ),
        (
            "gemini",
            "GEMINI_API_KEY",
            "https://generativelanguage.googleapis.com/",
        ),
        ("mistral", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    ] {
        let chosen = [("LLM_PROVIDER", provider), ("LLM_MODEL", "m-1")];
        let faults = read(&chosen).unwrap_err();
        assert!(
            faults.contains("LLM_API_KEY_FILE") && faults.contains(own_key),
            "{faults}"
        );
        let config = live(&[&chosen[..], &[(own_key, "k7")]].concat());
        assert_eq!(config.base_url.as_str(), address);
        assert_eq!(config.provider.as_str(), provider);
    }
    for provider in ["anthropic", "gemini", "mistral", "ollama"] {
        let faults = read(&[("LLM_PROVIDER", provider), ("LLM_API_KEY", "k7")]).unwrap_err();
        assert!(faults.contains("LLM_MODEL"), "{faults}");
    }
}

#[test]
fn ollama_needs_no_credential_and_azure_needs_its_address() {
    let config = live(&[("LLM_PROVIDER", "ollama"), ("LLM_MODEL", "llama3.1:8b")]);
    assert_eq!(config.key.expose_secret(), "");
    assert_eq!(config.base_url.as_str(), "http://127.0.0.1:11434/");
    let azure = [
        ("LLM_PROVIDER", "azure"),
        ("LLM_MODEL", "judge"),
        ("AZURE_OPENAI_API_KEY", "k7"),
    ];
    let faults = read(&azure).unwrap_err();
    assert!(faults.contains("LLM_BASE_URL: is not set"), "{faults}");
    let address = ("LLM_BASE_URL", "https://contoso.openai.azure.com");
    assert_eq!(
        live(&[&azure[..], &[address]].concat()).api_version,
        "2024-10-21"
    );
}

#[test]
fn credential_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let at = path.to_str().unwrap();
    let missing = read(&[("LLM_API_KEY_FILE", at)]).unwrap_err();
    assert!(
        missing.contains("LLM_API_KEY_FILE: names a file"),
        "{missing}"
    );
    std::fs::write(&path, " \n").unwrap();
    let empty = read(&[("LLM_API_KEY_FILE", at)]).unwrap_err();
    assert!(
        empty.contains("LLM_API_KEY_FILE: names an empty file"),
        "{empty}"
    );
    std::fs::write(&path, "k7-from-file\n").unwrap();
    let key = |vars: &[(&str, &str)]| live(vars).key.expose_secret().to_owned();
    assert_eq!(key(&[("LLM_API_KEY_FILE", at)]), "k7-from-file");
    assert_eq!(
        key(&[("LLM_API_KEY_FILE", at), ("LLM_API_KEY", "k8")]),
        "k8"
    );
    assert_eq!(
        key(&[("LLM_API_KEY_FILE", at), ("OPENAI_API_KEY", "k9")]),
        "k7-from-file"
    );
}

#[test]
fn options_are_read_and_a_wrong_value_is_named_and_not_shown() {
    let key = ("LLM_API_KEY", "k7");
    let defaults = live(&[key]).options;
    assert_eq!((defaults.temperature, defaults.seed), (Some(0.0), Some(1)));
    let config = live(&[
        key,
        ("LLM_TEMPERATURE", "none"),
        ("LLM_SEED", "42"),
        ("LLM_REASONING_EFFORT", "low"),
        ("LLM_MAX_OUTPUT_TOKENS", "8000"),
        ("LLM_TIMEOUT_SECONDS", "90"),
        ("LLM_EXTRA_HEADERS", "x-team=postroom, x-token=hunter2"),
    ]);
    assert_eq!(config.timeout.as_secs(), 90);
    assert_eq!(
        (config.options.temperature, config.options.seed),
        (None, Some(42))
    );
    assert_eq!(config.options.output_limit(2_000), 8_000);
    assert_eq!(config.options.headers["x-team"], "postroom");
    assert!(!format!("{config:?}").contains("hunter2"));
    for (name, value) in [
        ("LLM_TEMPERATURE", "3"),
        ("LLM_TEMPERATURE", "hunter2"),
        ("LLM_SEED", "-1"),
        ("LLM_REASONING_EFFORT", "hunter2"),
        ("LLM_MAX_OUTPUT_TOKENS", "9"),
        ("LLM_CONTEXT_TOKENS", "512"),
        ("LLM_TIMEOUT_SECONDS", "141"),
        ("LLM_EXTRA_HEADERS", "hunter2"),
        ("LLM_EXTRA_HEADERS", "authorization=hunter2"),
        ("LLM_MODEL", "../../hunter2?key=1"),
        ("LLM_API_VERSION", "hunter2&x=1"),
    ] {
        let faults = read(&[key, (name, value)]).unwrap_err();
        assert!(
            faults.contains(name) && !faults.contains("hunter2"),
            "{faults}"
        );
    }
}
