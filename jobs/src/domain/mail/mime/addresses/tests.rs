//! Address lists as senders write them.

use super::*;
use proptest::prelude::*;

fn shown(value: &str) -> Vec<String> {
    read(value).iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_are_read_as_people_mean_them() {
    for (value, expected) in [
        ("nora@client.example", vec!["nora@client.example"]),
        (
            "Nora L. <nora@client.example>, bob@x.example",
            vec!["Nora L. <nora@client.example>", "bob@x.example"],
        ),
        (
            "Lindqvist, Nora <nora@client.example>",
            vec!["Lindqvist, Nora <nora@client.example>"],
        ),
        (
            "\"Lindqvist, Nora\" <nora@client.example>",
            vec!["Lindqvist, Nora <nora@client.example>"],
        ),
        (
            "Lindqvist, Nora, PhD <n@x>, Berg, Bo <b@x>",
            vec!["Lindqvist, Nora, PhD <n@x>", "Berg, Bo <b@x>"],
        ),
        (
            "a@x, Lindqvist, Nora <n@x>",
            vec!["a@x", "Lindqvist, Nora <n@x>"],
        ),
        ("<<nora@client.example>>", vec!["nora@client.example"]),
        (
            "Nora <<nora@client.example>>, b@x",
            vec!["Nora <nora@client.example>", "b@x"],
        ),
        ("<mailto:nora@client.example>", vec!["nora@client.example"]),
        (
            "mailto:nora@client.example?subject=x",
            vec!["nora@client.example"],
        ),
        (
            "nora@client.example (Nora L)",
            vec!["Nora L <nora@client.example>"],
        ),
        ("a@x; b@x", vec!["a@x", "b@x"]),
        (
            "Friends: a@x, Bo <b@x>;, c@x",
            vec!["a@x", "Bo <b@x>", "c@x"],
        ),
        ("undisclosed-recipients:;", vec![]),
        (
            "=?utf-8?q?Lindqvist=2C_Nora?= <n@x>",
            vec!["Lindqvist, Nora <n@x>"],
        ),
        (
            "=?utf-8?q?Eve_=3Cboss=40x=3E?= <eve@y>",
            vec!["Eve <boss@x> <eve@y>"],
        ),
        ("=?utf-8?q?L,_N?= <n@x>", vec!["L, N <n@x>"]),
        ("\"=?utf-8?q?=C3=BC?=\" <u@x>", vec!["ü <u@x>"]),
        (
            "Nora nora@client.example",
            vec!["Nora <nora@client.example>"],
        ),
        (
            "Nora <nora@client.example",
            vec!["Nora <nora@client.example>"],
        ),
        ("nora @ client . example", vec!["nora@client.example"]),
        (
            "<@relay.example:nora@client.example>",
            vec!["nora@client.example"],
        ),
        ("n@x <n@x>", vec!["n@x <n@x>"]),
        ("\"unclosed <n@x>", vec!["unclosed <n@x>"]),
        ("Nora", vec!["Nora"]),
        (
            "\"john doe\"@client.example",
            vec!["\"john doe\"@client.example"],
        ),
        (
            "<\"john doe\"@client.example>, b@x",
            vec!["\"john doe\"@client.example", "b@x"],
        ),
        (
            "\"nora,lind\"@client.example",
            vec!["\"nora,lind\"@client.example"],
        ),
        (
            "\"nora.lind\"@client.example",
            vec!["nora.lind@client.example"],
        ),
        (
            "Nora <\"nora.lind\"@client.example>",
            vec!["Nora <nora.lind@client.example>"],
        ),
        (
            "\"Nora\" nora@client.example",
            vec!["Nora <nora@client.example>"],
        ),
        (
            "Nora Lindqvist, nora@client.example",
            vec!["Nora Lindqvist <nora@client.example>"],
        ),
        (
            "Lindqvist; Nora <nora@client.example>",
            vec!["Lindqvist", "Nora <nora@client.example>"],
        ),
        (
            "Lindqvist, Nora nora@client.example",
            vec!["Lindqvist", "Nora <nora@client.example>"],
        ),
        (
            "<Nora nora@client.example>",
            vec!["Nora <nora@client.example>"],
        ),
        (
            "Nora <3 Trees <nora@client.example>",
            vec!["Nora <nora@client.example>"],
        ),
        (
            "Nora < nora @ client.example >",
            vec!["Nora <nora@client.example>"],
        ),
        ("<nora@client .example>", vec!["nora@client.example"]),
        (
            "Nora [nora@client.example]",
            vec!["Nora <nora@client.example>"],
        ),
        (
            "Nora [mailto:nora@client.example]",
            vec!["Nora <nora@client.example>"],
        ),
        (
            "Pete(A nice \\) chap) <pete(his account)@client.example(his host)>",
            vec!["Pete <pete@client.example>"],
        ),
        (
            "Nora <boss@acme.example> <nora@client.example>",
            vec!["Nora <boss@acme.example> <nora@client.example>"],
        ),
        ("nora@[192.0.2.1]", vec!["nora@[192.0.2.1]"]),
        ("<>", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(shown(value), expected, "{value}");
    }
}

/// Each took seconds when every mark was looked for anew.
#[test]
fn field_of_open_marks_is_soon_read() {
    for mark in ["(", "\"\\", "<", "=?"] {
        assert!(read(&mark.repeat(100_000)).len() <= 1, "{mark}");
    }
}

proptest! {
    #[test]
    fn no_list_panics(value in "(<|>|\"|\\(|\\)|,|;|:|@|=\\?|\\?=|a|mailto:|[\\s\\S]){0,40}") {
        read(&value);
    }
}
