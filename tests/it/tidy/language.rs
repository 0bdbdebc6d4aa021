//! The field's words only: what docs/glossary.md replaced does not come back, in code, comments, documents or the API.
//!
//! Texts are compared word by word, and an identifier is its words: `claims_amid_litter` and `PostroomLitter` both hold
//! the word litter. The message counts the breaches of each word, the most frequent first.

use crate::support::sources::{self, Source};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _};

/// Words and phrases that are refused wherever they stand, as identifiers and as prose, and what to write instead.
const PHRASES: [(&str, &str); 41] = [
    ("youngest first", "newest first"),
    ("whoever", "name the actor"),
    (
        "is told",
        "name the actor: the worker gets, the API returns",
    ),
    ("is had", "name the actor"),
    ("a mail", "an email, a message"),
    ("the mail", "the email, the message"),
    ("this mail", "this email, this message"),
    ("one mail", "one email"),
    ("same mail", "same email"),
    ("another mail", "another email"),
    ("every mail", "every email"),
    ("each mail", "each email"),
    ("mails", "emails, messages"),
    ("for ever", "never expires, always"),
    ("the house", "our default, external"),
    ("onward", "resume"),
    ("amid", "while vacuum is blocked"),
    ("litter", "dead tuples, vacuum is blocked"),
    ("stray", "missed row"),
    ("strays", "missed rows"),
    ("queue look", "poll"),
    ("deaf", "listener is down"),
    ("heed", "CANCEL_TIMEOUT"),
    ("last words", "SHUTDOWN_TIMEOUT"),
    ("patience", "TIMEOUT"),
    ("carry out", "execute"),
    ("carries out", "executes"),
    ("carried out", "executed"),
    ("carrying out", "executing"),
    ("desk", "tasks, projects, contacts"),
    ("decide against", "reject"),
    ("decides against", "rejects"),
    ("decided against", "rejected"),
    ("foresight", "precheck"),
    ("follow block", "sync_with_decision"),
    ("follow draft", "sync_with_decision"),
    ("leaves the house", "is_external"),
    ("answers the sender", "reaches_sender"),
    ("storm", "chaos run"),
    ("storms", "chaos runs"),
    ("fleet", "operators, all workers"),
];

/// What follows "a mail" and "the mail" in terms of the field.
const AFTER_A_MAIL: [&str; 9] = [
    "server", "servers", "client", "host", "parser", "program", "programs", "and", "files",
];

/// Types and constants that may not be declared: as plain words they are English.
const TYPES: [(&str, &str); 37] = [
    ("Survey", "TableScan"),
    ("Stretch", "BlockRange"),
    ("Held", "LeaseTable"),
    ("Word", "AttemptSignal"),
    ("Claimed", "ClaimedJob, ClaimBatch"),
    ("Writes", "SettleWrites"),
    ("Room", "Capacity"),
    ("Turn", "FairnessTurn"),
    ("BEAT", "HEARTBEAT_INTERVAL"),
    ("Look", "Poll"),
    ("Marks", "ScanCursor"),
    ("Far", "ProviderContext"),
    ("Doing", "ActionContext"),
    ("Trouble", "PrepareError"),
    ("Way", "Executor"),
    ("ByMail", "MailEffect"),
    ("InMailbox", "MailboxEffect"),
    ("HaveWritten", "DraftEffect"),
    ("Kept", "the noun's own name"),
    ("Wish", "Command"),
    ("Asked", "the noun's own name"),
    ("Place", "the noun's own name"),
    ("Answer", "Response, or the noun's own name"),
    ("Fault", "the noun's own name"),
    ("Standing", "ThreadStatus"),
    ("Fleet", "Operators"),
    ("FleetRead", "OperatorsRead"),
    ("FleetWrite", "OperatorsWrite"),
    ("Made", "DecisionKind"),
    ("Asking", "RequestMeta"),
    ("Stopped", "Conflict"),
    ("Occasion", "Cause"),
    ("How", "SubmitOptions"),
    ("House", "TestApp"),
    ("Office", "TestWorker"),
    ("Sent", "Outbox"),
    ("Told", "entry, record"),
];

/// Modules, and so files, that may not be declared.
const MODULES: [(&str, &str); 13] = [
    ("held", "leases"),
    ("look", "poll"),
    ("marks", "cursors"),
    ("survey", "table_scan"),
    ("far", "provider_context"),
    ("asked", "the noun's own name"),
    ("letter", "outgoing_message"),
    ("about", "reply_context"),
    ("written", "draft_request"),
    ("standing", "thread_status"),
    ("halt", "provider_error"),
    ("told", "entry, record"),
    ("tell", "entry, record"),
];

/// Functions, locals, parameters and fields that may not have these names.
const LOCALS: [(&str, &str); 5] = [
    ("told", "entries, detail: what it is"),
    ("tell", "what it does: notify, describe"),
    ("wish", "command, payload"),
    ("wishes", "commands"),
    ("occasion", "cause"),
];

/// Texts that stand in for an address or a macro, compared as they are.
const LITERALS: [(&str, &str); 7] = [
    ("e-mail", "email"),
    ("way_of", "executor_for"),
    ("/v1/queue", "/v1/inbox"),
    ("/v1/schedule", "/v1/blocks"),
    ("}/skip", "}/reject"),
    ("words! {", "str_enum! {"),
    ("PostroomDeafListener", "PostroomListenerDown"),
];

/// Where the old words are named, or were never ours: other people's emails, licences, what tools write.
const LEFT_OUT: [&str; 11] = [
    // Versioned: a change of a word is a new prompt.
    "worker/src/prompts/",
    "docs/glossary.md",
    "tests/it/tidy/language.rs",
    "tests/mail/",
    "dev/samples/",
    "dev/evals/",
    ".sqlx/",
    // As people name their folders.
    "worker/src/providers/imap/usual_names.rs",
    "Cargo.lock",
    "LICENSE-",
    "typos.toml",
];

/// Breaches by refused word.
#[derive(Default)]
struct Findings(BTreeMap<String, (&'static str, Vec<String>)>);

impl Findings {
    fn add(&mut self, word: String, instead: &'static str, place: String) {
        let (_, places) = self.0.entry(word).or_insert_with(|| (instead, Vec::new()));
        places.push(place);
    }

    /// Fails with the counts first, then each place.
    fn hold(self) {
        let mut found: Vec<_> = self.0.into_iter().collect();
        found.sort_by_key(|(_, (_, places))| std::cmp::Reverse(places.len()));
        let total: usize = found.iter().map(|(_, (_, places))| places.len()).sum();
        let mut message = format!("{total} breach(es)\n");
        for (word, (instead, places)) in &found {
            writeln!(message, "{:5}  {word}  ->  {instead}", places.len())
                .expect("a string takes all");
        }
        for (word, (_, places)) in &found {
            for place in places {
                writeln!(message, "{place}: {word}").expect("a string takes all");
            }
        }
        assert!(found.is_empty(), "{message}");
    }
}

/// The words of a text, in lower case; identifiers are taken apart at underscores and at capitals.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before_is_lower = false;
    for c in text.chars() {
        let starts = c.is_uppercase() && before_is_lower;
        if (starts || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before_is_lower = c.is_lowercase() || c.is_numeric();
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The refused phrases that stand in the words, but for the field's own terms.
fn found(words: &[String]) -> Vec<(&'static str, &'static str)> {
    let starts = |at: usize, phrase: &str| {
        let mut wanted = phrase.split(' ').zip(at..);
        wanted.all(|(word, at)| words.get(at).is_some_and(|found| found == word))
    };
    let is_term = |at: usize, phrase: &str| {
        let next = words.get(at + 2).map(String::as_str);
        phrase.ends_with(" mail") && next.is_some_and(|next| AFTER_A_MAIL.contains(&next))
    };
    let places = PHRASES.iter().filter(|(phrase, _)| {
        (0..words.len()).any(|at| starts(at, phrase) && !is_term(at, phrase))
    });
    places.copied().collect()
}

/// The keyword and the name of what a line of Rust declares, if it declares something.
fn declared(line: &str) -> Option<(&str, &str)> {
    const KEYWORDS: [&str; 8] = [
        "struct", "enum", "trait", "type", "const", "static", "mod", "fn",
    ];
    const BEFORE: [&str; 4] = ["pub", "pub(crate)", "pub(super)", "async"];
    // `pub(in crate::path) struct Name`: the visibility has a blank.
    let path = line.trim_start().strip_prefix("pub(in ");
    let line = path
        .and_then(|path| path.split_once(')'))
        .map_or(line, |(_, rest)| rest);
    let mut parts = line.split_whitespace();
    let keyword = parts.find(|part| !BEFORE.contains(part))?;
    let name = parts.next()?;
    let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    KEYWORDS
        .contains(&keyword)
        .then(|| (keyword, &name[..end.unwrap_or(name.len())]))
}

/// The names of locals, parameters and fields that a line of Rust introduces.
fn bound(line: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let code = line.split("//").next().unwrap_or_default();
    let mut names = Vec::new();
    // `name: Type`, but no path and no key in a string.
    for (at, _) in code.match_indices(": ") {
        let before = code[..at].trim_end_matches(is_name);
        names.push(&code[before.len()..at]);
    }
    // What stands between `let` or `for` and the value that is bound.
    for (keyword, end) in [("let ", " = "), ("for ", " in ")] {
        if let Some((_, rest)) = code.trim_start().split_once(keyword) {
            let pattern = rest.split(end).next().unwrap_or_default();
            names.extend(pattern.split(|c| !is_name(c)));
        }
    }
    names
}

#[test]
fn refused_words_stand_nowhere() {
    let mut findings = Findings::default();
    for Source { path, text } in sources::all() {
        if LEFT_OUT.iter().any(|left_out| path.starts_with(left_out)) {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            let place = || format!("{path}:{number}");
            let words = words_of(line);
            for (phrase, instead) in found(&words) {
                findings.add(phrase.to_owned(), instead, place());
            }
            for (literal, instead) in LITERALS {
                if line.contains(literal) {
                    findings.add(literal.to_owned(), instead, place());
                }
            }
            let declared = declared(line).filter(|_| path.ends_with(".rs"));
            if let Some((keyword, name)) = declared {
                let refused: &[_] = match keyword {
                    "mod" => &MODULES,
                    "fn" => &LOCALS,
                    _ => &TYPES,
                };
                for (_, instead) in refused.iter().filter(|(refused, _)| *refused == name) {
                    findings.add(name.to_owned(), instead, place());
                }
            }
            if path.ends_with(".rs") {
                let names = bound(line);
                for (refused, instead) in LOCALS {
                    if names.contains(&refused) {
                        findings.add(refused.to_owned(), instead, place());
                    }
                }
            }
        }
    }
    findings.hold();
}

#[test]
fn schemas_of_the_api_have_names_of_their_own() {
    let document: Value = serde_json::from_str(&sources::read("api/openapi.json")).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let numbered: Vec<_> = schemas
        .keys()
        .filter(|name| name.ends_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert!(numbered.is_empty(), "two types share a name: {numbered:?}");
}

#[test]
fn words_are_found_in_prose_and_in_identifiers() {
    let refused = [
        ("claims_amid_litter", "litter"),
        ("alert: PostroomLitter", "litter"),
        ("// List the jobs, the youngest first", "youngest first"),
        ("use crate::queue::onward;", "onward"),
        ("the worker is told of it", "is told"),
        ("hands in a mail, once", "a mail"),
        ("What should this mail say?", "this mail"),
        ("let mails = all();", "mails"),
    ];
    for (line, phrase) in refused {
        assert!(
            found(&words_of(line))
                .iter()
                .any(|(found, _)| *found == phrase),
            "{line}"
        );
    }
    for line in [
        "a splitter of lines",
        "a mail server",
        "the mail and calendar servers",
        "forever",
        "the households",
    ] {
        assert_eq!(found(&words_of(line)), [], "{line}");
    }
}

#[test]
fn declarations_are_found_behind_their_visibility() {
    for (line, declaration) in [
        ("pub(crate) struct Held {", Some(("struct", "Held"))),
        ("    const BEAT: Duration = ONE;", Some(("const", "BEAT"))),
        ("mod held;", Some(("mod", "held"))),
        (
            "pub(in crate::handlers) struct Told(u8);",
            Some(("struct", "Told")),
        ),
        ("    async fn told(", Some(("fn", "told"))),
        ("    Held,", None),
        ("let held = 1;", None),
    ] {
        assert_eq!(declared(line), declaration, "{line}");
    }
}

#[test]
fn names_are_found_where_they_are_bound() {
    for line in [
        "    let told = 1;",
        "    let mut told: i64 = db",
        "    let (url, mut told) = connect().await;",
        "    for (told, n) in all {",
        "    told: String,",
        "fn f(told: &str) {}",
    ] {
        assert!(bound(line).contains(&"told"), "{line}");
    }
    for line in [
        "// let told = 1;",
        "    assert!(said.told());",
        "use told::Line;",
    ] {
        assert!(!bound(line).contains(&"told"), "{line}");
    }
}
