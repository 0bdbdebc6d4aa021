//! Accepted and refused models files; faults name the entry and the field, never a value.

use super::*;
use crate::{LlmConfig, Models, Naming, config::tests::SHIPPED};
use base::clock::Clock;
use prometheus::Registry;
use secrecy::ExposeSecret;
use serde_json::json;

const TASKS: &[&str] = &["triage", "draft"];
const ACME: &str = "0198c0de-0000-7000-8000-000000000001";

fn read(file: &str, vars: &[(&str, &str)]) -> Result<ModelsConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("models.json");
    fs::write(&path, file).unwrap();
    let at = [("LLM_MODELS_FILE", path.to_str().unwrap())];
    let mut env = Env::from_vars(at.iter().chain(vars).copied());
    let config = LlmConfig::from_env(&mut env, TASKS);
    match env.finish(config).map_err(|error| error.to_string())? {
        LlmConfig::Several(models) => Ok(*models),
        other => panic!("{other:?}"),
    }
}

fn sample() -> Value {
    json!({
        "default": "main",
        "tasks": {"triage": "local"},
        "tenants": {ACME: {"default": "eu", "draft": "main"}},
        "models": {
            "eu": {"provider": "mistral", "model": "mistral-small", "key_variable": "EU_KEY"},
            "local": {"provider": "ollama", "model": "llama3.1:8b", "timeout_seconds": 120, "fallbacks": ["main"]},
            "main": {"model": "gpt-4.1-mini", "fallbacks": ["eu", "local"]},
        },
    })
}

const KEYS: &[(&str, &str)] = &[("OPENAI_API_KEY", "k7-openai"), ("EU_KEY", "k7-mistral")];

#[test]
fn entry_is_read_as_the_variables_of_one_model_are() {
    let config = read(&sample().to_string(), KEYS).unwrap();
    let by_name = |name: &str| config.models.iter().find(|it| it.name == name).unwrap();
    let (eu, local, main) = (by_name("eu"), by_name("local"), by_name("main"));
    assert_eq!(eu.live.key.expose_secret(), "k7-mistral");
    assert_eq!(main.live.key.expose_secret(), "k7-openai");
    assert_eq!(local.live.timeout.as_secs(), 120);
    assert_eq!(main.live.timeout.as_secs(), 60);
    assert_eq!(main.live.base_url.as_str(), "https://api.openai.com/v1");
    assert!(!format!("{config:?}").contains("k7-"));
}

#[test]
fn model_is_chosen_by_tenant_and_task_and_followed_by_its_fallbacks() {
    let config = LlmConfig::Several(Box::new(read(&sample().to_string(), KEYS).unwrap()));
    let models = Models::from_config(
        &config,
        &Registry::new(),
        Naming::V1_41,
        Clock::System,
        SHIPPED,
    )
    .unwrap();
    let acme: TenantId = ACME.parse().unwrap();
    let chosen = |tenant, task| {
        let route = models.route(tenant, task);
        let models = std::iter::once(&route.first).chain(&route.fallbacks);
        let names: Vec<_> = models.map(|model| model.model_name().to_owned()).collect();
        names.join(" ")
    };
    assert_eq!(
        chosen(TenantId::new(), "triage"),
        "llama3.1:8b gpt-4.1-mini"
    );
    assert_eq!(
        chosen(TenantId::new(), "draft"),
        "gpt-4.1-mini mistral-small llama3.1:8b"
    );
    assert_eq!(chosen(acme, "triage"), "mistral-small");
    assert_eq!(
        chosen(acme, "draft"),
        "gpt-4.1-mini mistral-small llama3.1:8b"
    );
}

#[test]
fn fault_names_the_entry_and_the_field_and_shows_no_value() {
    let changed = |pointer: &str, value: Value| {
        let mut file = sample();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        file.pointer_mut(parent).unwrap()[field] = value;
        file
    };
    for (file, wanted) in [
        (
            changed("/models/eu/provider", json!("hunter2")),
            "`models.eu.provider` is not a known",
        ),
        (
            changed("/models/eu/base_url", json!("ftp://hunter2")),
            "`models.eu.base_url` is not an http",
        ),
        (
            changed("/models/eu/timeout_seconds", json!(141)),
            "`models.eu.timeout_seconds` is longer",
        ),
        (
            changed("/models/eu/seed", json!(["hunter2"])),
            "`models.eu.seed` is neither a text",
        ),
        (
            changed("/models/eu/key", json!("hunter2")),
            "`models.eu.key` is not one of the fields",
        ),
        (
            changed("/models/eu/key_variable", json!("HUNTER2_hunter2")),
            "`models.eu.key_variable` names a variable",
        ),
        (
            changed("/models/eu/key_variable", json!("FILLER")),
            "`models.eu` has no usable credential",
        ),
        (
            changed("/models/eu/key_file", json!("/nowhere/hunter2")),
            "`models.eu.key_file` names a file",
        ),
        (
            changed("/models/main/fallbacks", json!("eu")),
            "`models.main.fallbacks` is not a list",
        ),
        (
            changed("/models/main/fallbacks", json!(["eu", "hunter2"])),
            "`models.main.fallbacks[1]` does not name",
        ),
        (
            changed("/models/main/fallbacks", json!(["main"])),
            "`models.main.fallbacks[0]` names a model that is asked",
        ),
        (
            changed("/models/main/fallbacks", json!(["eu", "eu"])),
            "`models.main.fallbacks[1]` names a model that is asked",
        ),
        (
            changed("/models/other", json!({"model": "gpt-4.1-mini"})),
            "`models.other` asks the same server for the same model",
        ),
        (
            changed("/models/eu", json!("hunter2")),
            "`models.eu` is not an object",
        ),
        (
            changed("/default", json!("hunter2")),
            "`default` does not name",
        ),
        (changed("/default", Value::Null), "`default` does not name"),
        (
            changed("/tasks/summary", json!("eu")),
            "`tasks.summary` is not one of the fields: triage, draft",
        ),
        (
            changed("/tasks/draft", json!(7)),
            "`tasks.draft` does not name",
        ),
        (
            changed("/tenants/acme", json!({})),
            "`tenants.acme` is not the id",
        ),
        (
            changed(&format!("/tenants/{ACME}/triage"), json!("hunter2")),
            "triage` does not name",
        ),
        (
            changed("/model", json!({})),
            "`model` is not one of the fields",
        ),
        (
            changed("/models", json!({})),
            "`models` is not an object with at least one",
        ),
    ] {
        let filler = ("FILLER", "changeme");
        let faults = read(&file.to_string(), &[KEYS, &[filler]].concat()).unwrap_err();
        assert!(
            faults.contains("LLM_MODELS_FILE: ") && faults.contains(wanted),
            "{wanted}: {faults}"
        );
        assert!(!faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn models_that_are_called_the_same_are_told_apart_by_their_entries() {
    let mut file = sample();
    file["models"]["other"] =
        json!({"model": "gpt-4.1-mini", "base_url": "https://eu.api.openai.com/v1"});
    file["models"]["account"] = json!({"model": "gpt-4.1-mini", "key_variable": "EU_KEY"});
    let config = read(&file.to_string(), KEYS).unwrap();
    let mut names: Vec<String> = config.names().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "gpt-4.1-mini@account",
            "gpt-4.1-mini@main",
            "gpt-4.1-mini@other",
            "llama3.1:8b",
            "mistral-small"
        ]
    );
    let config = LlmConfig::Several(Box::new(config));
    let models = Models::from_config(
        &config,
        &Registry::new(),
        Naming::V1_41,
        Clock::System,
        SHIPPED,
    )
    .unwrap();
    let main = models.find("openai", "gpt-4.1-mini@main").unwrap();
    assert_eq!(main.requested_name(), "gpt-4.1-mini");
    // Only models of a route are built into one.
    assert!(models.find("openai", "gpt-4.1-mini@other").is_none());
}

#[test]
fn file_that_cannot_be_read_prevents_the_start() {
    let faults = read("{\"default\": hunter2", KEYS).unwrap_err();
    assert!(
        faults.contains("is not JSON: see line 1") && !faults.contains("hunter2"),
        "{faults}"
    );
    let mut env = Env::from_vars([("LLM_MODELS_FILE", "/nowhere/at/all")]);
    let config = LlmConfig::from_env(&mut env, TASKS);
    let faults = env.finish(config).unwrap_err().to_string();
    assert!(
        faults.contains("LLM_MODELS_FILE: names a file that cannot be read"),
        "{faults}"
    );
}
