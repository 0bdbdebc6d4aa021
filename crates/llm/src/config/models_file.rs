//! Reads `LLM_MODELS_FILE`, several models in one file: [`ModelsConfig`].
//!
//! An entry has the fields of the variables that describe one model, and is read by the same code. Faults name the entry and
//! the field and never show a value: a key may have been written into the wrong place.

use super::{
    key,
    live::{self, LiveConfig},
    options, provider,
};
use crate::providers::Provider;
use base::{
    TenantId,
    env::{Env, Variable},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fs};

pub(super) const MODELS_FILE: Variable = Variable::optional(
    "LLM_MODELS_FILE",
    "/etc/postroom/models.json",
    "one model",
    "Several models, with fallbacks and with a model for each task and tenant; docs/operations.md shows the file. The other \
     variables of the model are not read then, except for the providers' own names of credentials",
);

/// The fields of an entry, with the variables that mean the same for a single model.
const FIELDS: [(&str, Variable); 13] = [
    ("provider", provider::PROVIDER),
    ("model", live::MODEL),
    ("base_url", live::BASE_URL),
    ("api_version", live::API_VERSION),
    ("key_file", key::KEY_FILE),
    ("timeout_seconds", live::TIMEOUT),
    ("connect_timeout_seconds", options::CONNECT_TIMEOUT),
    ("temperature", options::TEMPERATURE),
    ("seed", options::SEED),
    ("reasoning_effort", options::REASONING),
    ("max_output_tokens", options::MAX_OUTPUT),
    ("context_tokens", options::CONTEXT),
    ("extra_headers", options::HEADERS),
];
/// The variable that holds the key, by its name.
const KEY_VARIABLE: &str = "key_variable";
const FALLBACKS: &str = "fallbacks";

/// Several models, and which of them is asked. Models are meant by their places in `models`.
#[derive(Clone, Debug)]
pub struct ModelsConfig {
    pub models: Vec<ModelEntry>,
    pub default: usize,
    pub tasks: BTreeMap<&'static str, usize>,
    pub tenants: BTreeMap<TenantId, TenantChoice>,
}

/// A model of the file.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    pub name: String,
    pub live: LiveConfig,
    /// The models that are asked in its place, in this order.
    pub fallbacks: Vec<usize>,
}

/// The models of one tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantChoice {
    pub default: Option<usize>,
    pub tasks: BTreeMap<&'static str, usize>,
}

impl ModelEntry {
    /// Whose model it is, and how its provider calls it.
    fn identity(&self) -> (&'static str, &str) {
        (self.live.provider.name(), &self.live.model)
    }

    /// Whether both ask the same server for the same model with the same credential.
    fn is_copy_of(&self, other: &Self) -> bool {
        let key = |entry: &Self| entry.live.key.expose_secret().to_owned();
        self.identity() == other.identity()
            && self.live.base_url == other.live.base_url
            && key(self) == key(other)
    }
}

impl ModelsConfig {
    /// Returns a name for each model by which its lane, its rate and its metrics differ from those of the others: the
    /// provider's name, with that of the entry if another one has the same.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.models.iter().map(|entry| {
            let model = &entry.live.model;
            let same = (self.models.iter()).filter(|other| other.identity() == entry.identity());
            match same.count() {
                1 => model.clone(),
                _ => format!("{model}@{}", entry.name),
            }
        })
    }

    /// Reads the file that the variable names; none if it is not set. Records faults in `env`.
    pub(super) fn from_env(env: &mut Env, tasks: &[&'static str]) -> Option<Self> {
        let path = env.optional(MODELS_FILE)?;
        let parsed = match fs::read_to_string(&path) {
            Err(error) => Err(format!("names a file that cannot be read: {error}")),
            Ok(text) => serde_json::from_str::<Value>(&text).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                format!("names a file that is not JSON: see line {line}, column {column}")
            }),
        };
        let file = parsed.unwrap_or_else(|problem| {
            env.fault(MODELS_FILE, problem);
            Value::Null
        });
        if file.is_null() {
            return None;
        }
        Some(Reader::new(env, tasks, &file).read(&file))
    }
}

struct Reader<'a> {
    env: &'a mut Env,
    tasks: &'a [&'static str],
    /// Of the models, in the order of the entries.
    names: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(env: &'a mut Env, tasks: &'a [&'static str], file: &Value) -> Self {
        let names = file["models"].as_object();
        let names = names.map(|models| models.keys().cloned().collect());
        Self {
            env,
            tasks,
            names: names.unwrap_or_default(),
        }
    }

    fn fault(&mut self, at: &str, problem: &str) {
        self.env.fault(MODELS_FILE, format!("`{at}` {problem}"));
    }

    fn read(mut self, file: &Value) -> ModelsConfig {
        self.refuse_others(file, "", &["models", "default", "tasks", "tenants"]);
        if self.names.is_empty() {
            self.fault("models", "is not an object with at least one model");
        }
        let models: Vec<_> = (self.names.clone().into_iter())
            .map(|name| self.entry(name, file))
            .collect();
        self.refuse_copies(&models);
        ModelsConfig {
            models,
            default: self.reference("default", &file["default"]).unwrap_or(0),
            tasks: self.task_models(&file["tasks"], "tasks", &[]),
            tenants: self.tenants(&file["tenants"]),
        }
    }

    fn entry(&mut self, name: String, file: &Value) -> ModelEntry {
        let at = format!("models.{name}");
        let entry = &file["models"][&name];
        let mut known: Vec<&str> = FIELDS.iter().map(|(field, _)| *field).collect();
        known.extend([KEY_VARIABLE, FALLBACKS]);
        self.refuse_others(entry, &at, &known);
        let mut variables = Vec::new();
        for (field, variable) in FIELDS {
            match &entry[field] {
                Value::Null => {}
                Value::String(text) => variables.push((variable.name, text.clone())),
                Value::Number(number) => variables.push((variable.name, number.to_string())),
                _ => self.fault(&format!("{at}.{field}"), "is neither a text nor a number"),
            }
        }
        variables.extend(self.key(entry, &at));
        let pairs = variables.iter().map(|(name, text)| (*name, text.as_str()));
        let mut own = Env::from_vars(pairs);
        let live = LiveConfig::from_env(&mut own);
        if let Err(error) = own.finish(()) {
            for fault in error.faults {
                let field = FIELDS.iter().find(|(_, it)| it.name == fault.name);
                match field {
                    Some((field, _)) => self.fault(&format!("{at}.{field}"), &fault.problem),
                    None => self.fault(
                        &at,
                        "has no usable credential: name a variable in `key_variable` or a file in `key_file`",
                    ),
                }
            }
        }
        let fallbacks = self.fallbacks(&entry[FALLBACKS], &format!("{at}.{FALLBACKS}"), &name);
        ModelEntry {
            name,
            live,
            fallbacks,
        }
    }

    /// Returns the credential: that of the variable that the entry names, or else of the provider's own variables.
    fn key(&mut self, entry: &Value, at: &str) -> Vec<(&'static str, String)> {
        match &entry[KEY_VARIABLE] {
            Value::Null if entry["key_file"].is_null() => Provider::ALL
                .iter()
                .filter_map(|provider| {
                    let variable = provider.key()?;
                    Some((variable.name, self.env.optional(variable)?))
                })
                .collect(),
            Value::Null => Vec::new(),
            Value::String(name) => match self.env.named(name) {
                Some(key) => vec![(key::KEY.name, key)],
                None => {
                    let problem = "names a variable that is not set";
                    self.fault(&format!("{at}.{KEY_VARIABLE}"), problem);
                    Vec::new()
                }
            },
            _ => {
                self.fault(
                    &format!("{at}.{KEY_VARIABLE}"),
                    "is not the name of a variable",
                );
                Vec::new()
            }
        }
    }

    fn fallbacks(&mut self, value: &Value, at: &str, own: &str) -> Vec<usize> {
        let names = match value {
            Value::Null => return Vec::new(),
            Value::Array(names) => names,
            _ => {
                self.fault(at, "is not a list of models");
                return Vec::new();
            }
        };
        let mut places = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let Some(place) = self.reference(&at, name) else {
                continue;
            };
            if self.names[place] == own || places.contains(&place) {
                self.fault(&at, "names a model that is asked before");
            }
            places.push(place);
        }
        places
    }

    /// Reads the model of each task. `others` are the fields beside the tasks, which the caller reads.
    fn task_models(
        &mut self,
        value: &Value,
        at: &str,
        others: &[&str],
    ) -> BTreeMap<&'static str, usize> {
        if value.is_null() {
            return BTreeMap::new();
        }
        let tasks = self.tasks;
        self.refuse_others(value, at, &[tasks, others].concat());
        let chosen = tasks.iter().filter(|task| !value[**task].is_null());
        chosen
            .filter_map(|task| {
                let place = self.reference(&format!("{at}.{task}"), &value[*task])?;
                Some((*task, place))
            })
            .collect()
    }

    fn tenants(&mut self, value: &Value) -> BTreeMap<TenantId, TenantChoice> {
        let empty = Map::new();
        let choices = value.as_object().unwrap_or_else(|| {
            if !value.is_null() {
                self.fault(
                    "tenants",
                    "is not an object with a tenant's models under its id",
                );
            }
            &empty
        });
        let mut tenants = BTreeMap::new();
        for (id, choice) in choices {
            let at = format!("tenants.{id}");
            let Ok(tenant) = id.parse() else {
                self.fault(&at, "is not the id of a tenant");
                continue;
            };
            let default = (!choice["default"].is_null())
                .then(|| self.reference(&format!("{at}.default"), &choice["default"]));
            let tasks = self.task_models(choice, &at, &["default"]);
            let default = default.flatten();
            tenants.insert(tenant, TenantChoice { default, tasks });
        }
        tenants
    }

    /// Returns the place of the model that is named.
    fn reference(&mut self, at: &str, value: &Value) -> Option<usize> {
        let name = value.as_str();
        let place = name.and_then(|name| self.names.iter().position(|it| it == name));
        if place.is_none() {
            self.fault(at, "does not name a model of `models`");
        }
        place
    }

    /// Refuses fields that nothing reads: a misspelt one would be ignored.
    fn refuse_others(&mut self, value: &Value, at: &str, known: &[&str]) {
        let Some(fields) = value.as_object() else {
            let at = if at.is_empty() { "the file" } else { at };
            self.fault(at, "is not an object");
            return;
        };
        let separator = if at.is_empty() { "" } else { "." };
        for field in fields
            .keys()
            .filter(|field| !known.contains(&field.as_str()))
        {
            let known = known.join(", ");
            let problem = format!("is not one of the fields: {known}");
            self.fault(&format!("{at}{separator}{field}"), &problem);
        }
    }

    /// A copy of a model is no fallback for it: what stops one stops the other.
    fn refuse_copies(&mut self, models: &[ModelEntry]) {
        for (index, entry) in models.iter().enumerate() {
            if models[..index].iter().any(|other| entry.is_copy_of(other)) {
                let at = format!("models.{}", entry.name);
                self.fault(
                    &at,
                    "asks the same server for the same model with the same credential as another entry",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
