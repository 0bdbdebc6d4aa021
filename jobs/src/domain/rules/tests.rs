//! The rule language from outside: what compiles, what is refused and where, what applies to which message.

use super::*;
use proptest::prelude::*;

fn faults(yaml: &str) -> Vec<(String, &'static str)> {
    RuleSet::compile(yaml)
        .err()
        .unwrap_or_default()
        .into_iter()
        .map(|fault| (fault.pointer, fault.code))
        .collect()
}

fn one(fields: &str) -> String {
    format!("rules:\n  - {{name: r, {fields}}}")
}

fn mail(headers: &str, body: &str) -> Mail {
    Mail::parse(format!("{headers}\n\n{body}").as_bytes()).unwrap()
}

fn applied(yaml: &str, mail: &Mail) -> (Vec<String>, Vec<String>) {
    let rules = RuleSet::compile(yaml).unwrap();
    let verdict = rules.evaluate(mail);
    (
        verdict
            .hits
            .iter()
            .map(|hit| hit.rule.name.clone())
            .collect(),
        verdict
            .candidates
            .iter()
            .map(|rule| rule.name.clone())
            .collect(),
    )
}

#[test]
fn sample_compiles_and_does_what_it_says() {
    let invoice = mail(
        "From: Alice <alice@client.com>\nSubject: Invoice 42",
        "Please pay.",
    );
    let rules = RuleSet::compile(SAMPLE_RULES).unwrap();
    let verdict = rules.evaluate(&invoice);
    assert!(!verdict.needs_model());
    let proposals = verdict.hits[0].rule.proposals(&invoice);
    assert_eq!(proposals[0].params.get("title"), Some("Pay: Invoice 42"));
    assert!((proposals[0].confidence - 0.9).abs() < f32::EPSILON);
    assert!(
        rules
            .evaluate(&mail("From: a@b.c\nSubject: Hi", "Hello"))
            .needs_model()
    );
}

/// The names that a fault of an unknown field at this place lists.
fn known_fields(yaml: &str) -> Vec<String> {
    let faults = RuleSet::compile(yaml).unwrap_err();
    let unknown = faults.iter().find(|fault| fault.code == "UNKNOWN_FIELD");
    let (_, known) = unknown.unwrap().message.split_once("known here: ").unwrap();
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn documentation_explains_every_field_and_its_examples_compile() {
    let page = include_str!("../../../../docs/rules.md");
    let examples = page.split("```yaml\n").skip(1);
    let examples: Vec<_> = examples
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() >= 2);
    for example in examples {
        assert_eq!(faults(example), [], "{example}");
    }
    for place in [
        one("zz: 1"),
        one("match: {zz: 1}"),
        one("set: {zz: 1}"),
        one("match: {subject: {zz: 1}}"),
        one("match: {header: {zz: 1}}"),
        one("learned: {zz: 1}"),
        one("actions: [{zz: 1}]"),
    ] {
        for field in known_fields(&place) {
            let shown = page.contains(&format!("`{field}`")) || page.contains(&format!("{field}:"));
            assert!(shown, "docs/rules.md: explain `{field}`");
        }
    }
    for name in template::NAMES {
        assert!(page.contains(&format!("`{{{{{name}}}}}`")), "{name}");
    }
}

#[test]
fn empty_list_of_rules_is_a_rule_set() {
    assert!(RuleSet::compile("rules: []").unwrap().rules().is_empty());
}

#[test]
fn every_kind_of_fault_is_found_at_its_place() {
    let at = |pointer: &str, code| vec![(pointer.to_owned(), code)];
    for (yaml, expected) in [
        (String::new(), at("", "WRONG_TYPE")),
        ("a: [".into(), at("", "YAML_SYNTAX")),
        ("rules: {}".into(), at("/rules", "WRONG_TYPE")),
        ("{}".into(), at("/rules", "MISSING_FIELD")),
        ("rules: []\nrule: []".into(), at("/rule", "UNKNOWN_FIELD")),
        (
            "rules: [{match: {from: a@b.c}}]".into(),
            at("/rules/0/name", "MISSING_FIELD"),
        ),
        (
            "rules: [{name: 'a b', match: {from: a@b.c}}]".into(),
            at("/rules/0/name", "BAD_NAME"),
        ),
        (one("match: {}"), at("/rules/0/match", "EMPTY_MATCH")),
        (one("enabled: true"), at("/rules/0/match", "EMPTY_MATCH")),
        (
            one("match: {form: a@b.c}"),
            at("/rules/0/match/form", "UNKNOWN_FIELD"),
        ),
        (
            one("match: {from: '*'}"),
            at("/rules/0/match/from", "BAD_PATTERN"),
        ),
        (
            one("match: {from: [a@b.c, 'a@b@c']}"),
            at("/rules/0/match/from/1", "BAD_PATTERN"),
        ),
        (
            one("match: {from: []}"),
            at("/rules/0/match/from", "EMPTY_LIST"),
        ),
        (
            one("match: {from: 7}"),
            at("/rules/0/match/from", "WRONG_TYPE"),
        ),
        (
            one("match: {subject: ' '}"),
            at("/rules/0/match/subject", "BLANK"),
        ),
        (
            one("match: {subject: {}}"),
            at("/rules/0/match/subject", "EMPTY_MATCH"),
        ),
        (
            one("match: {subject: {regex: '('}}"),
            at("/rules/0/match/subject/regex", "BAD_REGEX"),
        ),
        (
            one("match: {subject: {regex: 'x*'}}"),
            at("/rules/0/match/subject/regex", "BAD_REGEX"),
        ),
        (
            one("match: {body: {regex: '(a{100}){100}'}}"),
            at("/rules/0/match/body/regex", "BAD_REGEX"),
        ),
        (
            one("match: {header: {contains: x}}"),
            at("/rules/0/match/header/name", "MISSING_FIELD"),
        ),
        (
            one("match: {is_reply: yes}"),
            at("/rules/0/match/is_reply", "WRONG_TYPE"),
        ),
        (
            one("match: {from: a@b.c}, op: XOR"),
            at("/rules/0/op", "UNKNOWN_WORD"),
        ),
        (
            one("match: {from: a@b.c}, priority: -1"),
            at("/rules/0/priority", "OUT_OF_RANGE"),
        ),
        (
            one("match: {from: a@b.c}, set: {category: taks}"),
            at("/rules/0/set/category", "UNKNOWN_WORD"),
        ),
        (
            one("match: {from: a@b.c}, actions: [{type: lable}]"),
            at("/rules/0/actions/0/type", "UNKNOWN_WORD"),
        ),
        (
            one("match: {from: a@b.c}, actions: [{}]"),
            at("/rules/0/actions/0/type", "MISSING_FIELD"),
        ),
        (
            one("match: {from: a@b.c}, actions: [{type: label}]"),
            at("/rules/0/actions/0/params/label", "MISSING_FIELD"),
        ),
        (
            one("match: {from: a@b.c}, actions: [{type: label, params: {label: '{{body}}'}}]"),
            at("/rules/0/actions/0/params/label", "UNKNOWN_PLACEHOLDER"),
        ),
        (
            one("learned: {include: [{}]}"),
            at("/rules/0/learned/include/0", "EMPTY_MATCH"),
        ),
        (
            one("match: {from: a@b.c}, learned: {exclude: [{from: '*'}]}"),
            at("/rules/0/learned/exclude/0/from", "BAD_PATTERN"),
        ),
    ] {
        let mut found = faults(&yaml);
        // A learned include that is faulty leaves the rule with nothing to match as well.
        found.retain(|fault| found_matters(fault, &expected));
        assert_eq!(found, expected, "{yaml}");
    }
}

fn found_matters(fault: &(String, &'static str), expected: &[(String, &'static str)]) -> bool {
    expected.contains(fault) || fault.1 != "EMPTY_MATCH"
}

#[test]
fn all_faults_are_told_at_once() {
    let yaml = "rules:\n- {name: a, match: {form: x@y.z, subject: {regex: '['}}}\n- {name: A, match: {from: 'x y@'}, stop: 1}\n- 7";
    assert_eq!(
        faults(yaml),
        [
            ("/rules/0/match/form".into(), "UNKNOWN_FIELD"),
            ("/rules/0/match/subject/regex".into(), "BAD_REGEX"),
            ("/rules/1/stop".into(), "WRONG_TYPE"),
            ("/rules/1/name".into(), "DUPLICATE_NAME"),
            ("/rules/2".into(), "WRONG_TYPE"),
        ]
    );
}

#[test]
fn typo_gets_a_suggestion() {
    let faults =
        RuleSet::compile(&one("match: {form: a@b.c}, actions: [{type: lable}]")).unwrap_err();
    assert!(
        faults[0].message.contains("did you mean `from`"),
        "{faults:?}"
    );
    assert!(
        faults[1].message.contains("did you mean `label`"),
        "{faults:?}"
    );
}

#[test]
fn size_and_count_are_bounded() {
    assert_eq!(
        faults(&" ".repeat(limits::YAML_BYTES + 1)),
        [(String::new(), "TOO_LARGE")]
    );
    let many: String = (0..=limits::RULES)
        .map(|n| format!("- {{name: r{n}, match: {{from: a@b.c}}}}\n"))
        .collect();
    assert_eq!(
        faults(&format!("rules:\n{many}")),
        [("/rules".into(), "TOO_MANY")]
    );
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nrules: [*g,*g,*g,*g,*g,*g,*g,*g,*g]";
    assert!(!faults(bomb).is_empty());
}

#[test]
fn mail_is_never_sent_on_the_word_of_a_forgeable_sender() {
    let reply = "actions: [{type: reply}]";
    for (matched, refused) in [
        ("match: {from: alice@client.com}", false),
        (
            "match: {from: [alice@client.com, bob@client.com], subject: x}",
            false,
        ),
        ("match: {from: '*@client.com'}", true),
        ("match: {from: Alice}", true),
        ("match: {from: [alice@client.com, Alice]}", true),
        ("match: {subject: x}", true),
        ("llm_condition: is it nice", true),
        ("op: OR, match: {from: alice@client.com, subject: x}", true),
        (
            "match: {from: alice@client.com}, learned: {include: [{from: '*@x.y'}]}",
            true,
        ),
        (
            "match: {from: alice@client.com}, learned: {include: [{from: a@x.y}]}",
            false,
        ),
    ] {
        let found = faults(&one(&format!("{matched}, {reply}")));
        assert_eq!(
            found == [("/rules/0/actions/0/type".into(), "SPOOFABLE_SENDER")],
            refused,
            "{matched}: {found:?}"
        );
        assert_eq!(found.is_empty(), !refused);
    }
    for action in [
        "forward, params: {to: a@b.c}",
        "call_webhook, params: {connection: '019e9a1c-5f2a-7c3e-9d1b-2f4a6c8e0b1d'}",
        "send, params: {to: a@b.c, subject: s, body: b}",
    ] {
        assert_eq!(
            faults(&one(&format!(
                "match: {{from: '*@c.d'}}, actions: [{{type: {action}}}]"
            )))
            .len(),
            1
        );
    }
}

#[test]
fn rules_run_by_priority_and_stop_when_told() {
    let yaml = "rules:\n- {name: late, priority: 9, match: {subject: x}}\n- {name: first, priority: 1, match: {subject: x}}\n\
                - {name: second, priority: 1, stop: true, match: {subject: x}}\n- {name: off, priority: 0, enabled: false, match: {subject: x}}";
    assert_eq!(
        applied(yaml, &mail("Subject: X", "")).0,
        ["first", "second"]
    );
}

#[test]
fn and_asks_for_all_conditions_and_or_for_one() {
    let rule = |op| {
        one(&format!(
            "op: {op}, match: {{from: '*@client.com', subject: [invoice, bill]}}"
        ))
    };
    let both = mail("From: a@client.com\nSubject: Your BILL", "");
    let half = mail("From: a@other.com\nSubject: Your bill", "");
    let none = mail("From: a@other.com\nSubject: Hi", "");
    let hits = |op, mail: &Mail| applied(&rule(op), mail).0.len();
    assert_eq!(
        [hits("AND", &both), hits("AND", &half), hits("AND", &none)],
        [1, 0, 0]
    );
    assert_eq!(
        [hits("OR", &both), hits("OR", &half), hits("OR", &none)],
        [1, 1, 0]
    );
}

#[test]
fn every_field_matches_what_it_names() {
    let full = mail(
        "From: Ann <ann@x.org>\nTo: Me <me@y.org>\nCc: ops@y.org\nSubject: Build #7 failed\nIn-Reply-To: <a@b>\n\
         List-Id: Builds <builds.y.org>\nX-Env: prod\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=q",
        "--q\nContent-Type: text/plain\n\nThe log is attached.\n--q\nContent-Type: text/x-log\n\
         Content-Disposition: attachment; filename=Build.LOG\n\nboom\n--q--",
    );
    let bare = mail("From: bob@x.org\nSubject: Hi", "Hello");
    for condition in [
        "from: Ann",
        "to: 'me@*'",
        "cc: ops@y.org",
        "subject: {regex: '#\\d+ failed'}",
        "subject: {contains: [zzz, FAILED]}",
        "body: log is",
        "header: {name: X-ENV, contains: prod}",
        "header: {name: x-env}",
        "header: {name: x-env, regex: '^p'}",
        "list: true",
        "list: builds.y.*",
        "has_attachment: true",
        "has_attachment: '*.log'",
        "is_reply: true",
    ] {
        let yaml = one(&format!("match: {{{condition}}}"));
        assert_eq!(applied(&yaml, &full).0, ["r"], "{condition}");
        assert!(applied(&yaml, &bare).0.is_empty(), "{condition}");
    }
}

#[test]
fn rules_can_leave_replies_alone() {
    let yaml = one("run_on_threads: false, match: {subject: x}");
    assert_eq!(applied(&yaml, &mail("Subject: x", "")).0, ["r"]);
    assert!(
        applied(&yaml, &mail("Subject: Re: x\nIn-Reply-To: <a@b>", ""))
            .0
            .is_empty()
    );
}

#[test]
fn learned_patterns_come_before_conditions_and_excludes_before_includes() {
    let yaml = "rules:\n- {name: ask, match: {subject: x}, llm_condition: is it so}\n\
                - {name: r, match: {subject: zzz}, llm_condition: c, learned: {include: [{from: '*@x.org'}], exclude: [{from: bob@x.org, subject: no}]}}\n\
                - {name: last, match: {subject: x}}";
    let rules = RuleSet::compile(yaml).unwrap();
    let included = mail("From: ann@x.org\nSubject: x", "");
    let verdict = rules.evaluate(&included);
    assert_eq!(verdict.hits.len(), 1);
    assert!(verdict.hits[0].learned && verdict.candidates.is_empty() && !verdict.needs_model());
    let excluded = applied(yaml, &mail("From: bob@x.org\nSubject: x no", ""));
    assert_eq!(excluded, (vec!["last".to_owned()], vec!["ask".to_owned()]));
}

#[test]
fn rule_with_a_question_is_a_candidate_only() {
    let yaml = one("match: {subject: x}, llm_condition: is it urgent");
    assert_eq!(
        applied(&yaml, &mail("Subject: x", "")),
        (vec![], vec!["r".to_owned()])
    );
    assert_eq!(applied(&yaml, &mail("Subject: y", "")), (vec![], vec![]));
}

proptest! {
    #[test]
    fn no_yaml_panics(yaml in "(rules:|- |name: |match: |from: |[{}\\[\\]:,'\"*&!|>\n -]|[\\s\\S]){0,60}") {
        let _ = RuleSet::compile(&yaml);
    }

    #[test]
    fn compiled_set_judges_any_mail(from in "[\\s\\S]{0,40}", subject in "[\\s\\S]{0,40}") {
        let rules = RuleSet::compile(SAMPLE_RULES).unwrap();
        if let Ok(mail) = Mail::parse(format!("From: {from}\nSubject: {subject}\n\nx").as_bytes()) {
            rules.evaluate(&mail);
        }
    }
}
