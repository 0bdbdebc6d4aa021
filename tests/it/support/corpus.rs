//! Emails to drive the system with: [`all`] is every message, of three origins.
//!
//! Our fixtures (`tests/mail`), messages generated from a seed, so that a failure names one that can be made again,
//! and the hostile MIME packaged with the `mail-parser` crate, read where cargo unpacked it. Says nothing about what
//! should become of them.

use super::binaries::root;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One message as it would come from the wire.
pub(crate) struct Mail {
    /// Tells where it is from: a file's path below its origin, or the seed.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Every message, in the same order each time.
pub(crate) fn all() -> Vec<Mail> {
    let mut emails = fixtures();
    emails.extend((0..200).map(generated));
    emails.push(large());
    emails.extend(hostile());
    emails
}

/// The fixtures written for these tests.
pub(crate) fn fixtures() -> Vec<Mail> {
    read_all(&root().join("tests/mail"))
}

/// The named fixture of `tests/mail`, without `.eml`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = root().join("tests/mail").join(name).with_extension("eml");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crate's own samples, but for the folder whose licence is unclear.
fn hostile() -> Vec<Mail> {
    let resources = package_dir("mail-parser").join("resources/eml");
    let mut emails = read_all(&resources);
    emails.retain(|mail| !mail.name.starts_with("legacy"));
    emails
}

/// Where cargo keeps the sources of the package our lock file names.
#[expect(
    clippy::disallowed_methods,
    reason = "the cargo that runs this test, not another one on the PATH"
)]
fn package_dir(package: &str) -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let ask = |args: &[&str]| {
        let output = Command::new(&cargo).args(args).current_dir(root()).output();
        output.expect("run cargo").stdout
    };
    // Packages for other platforms were never downloaded, and would be asked for without the filter.
    let version = String::from_utf8(ask(&["-vV"])).expect("cargo prints text");
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("cargo tells its host");
    let filter = ["--offline", "--filter-platform", host];
    let stdout = ask(&[&["metadata", "--format-version", "1"][..], &filter].concat());
    let metadata: serde_json::Value =
        serde_json::from_slice(&stdout).expect("cargo metadata prints JSON");
    let manifest = metadata["packages"]
        .as_array()
        .expect("cargo metadata lists packages")
        .iter()
        .find(|found| found["name"] == package)
        .and_then(|found| found["manifest_path"].as_str())
        .expect("the package is a dependency");
    Path::new(manifest)
        .parent()
        .expect("a manifest lies in a folder")
        .to_owned()
}

fn read_all(folder: &Path) -> Vec<Mail> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no email below {}", folder.display());
    files
        .iter()
        .map(|path| Mail {
            name: path
                .strip_prefix(folder)
                .expect("found below it")
                .display()
                .to_string(),
            bytes: fs::read(path).expect("read a listed file"),
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder)
        .expect("list a folder of emails")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            files.push(path);
        }
    }
}

/// Choices from a seed (`SplitMix64`): no dependency, and the same emails on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("smaller than a usize")
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const SENDERS: [&str; 8] = [
    "Nora Lindqvist <nora@client.example>",
    "\"Okafor, Tomas\" <t.okafor@partner.example>",
    "=?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen@werkstatt.example>",
    "billing@harbour.example",
    "=?utf-8?B?55Sw5Lit?= <tanaka@kaisha.example>",
    "GitForge <notifications@gitforge.example>",
    "no-reply@accounts.shop.example",
    "Anna via team <team@lists.example>",
];

const SUBJECTS: [&str; 8] = [
    "Invoice {n} is due",
    "Re: Offer {n}",
    "Can you approve order {n} today?",
    "=?utf-8?Q?Termin_n=C3=A4chste_Woche_=28{n}=29?=",
    "[team] Build {n} failed",
    "Your receipt {n}",
    "Meeting on the {n}th?",
    "FW: AW: Re: complaint {n}",
];

const SENTENCES: [&str; 10] = [
    "Could you have a look before Friday?",
    "The total is 4,310.00 EUR including VAT.",
    "I have put the file where you can find it.",
    "Bitte bestätigen Sie den Termin am Dienstag um 14 Uhr.",
    "We are still waiting for the signed copy.",
    "お手数ですがご確認をお願いいたします。",
    "No action is needed, this is for your information.",
    "The delivery arrived broken and I want a refund.",
    "Join us at https://meet.example/r/8841 at ten.",
    "Thanks, that works for me 👍",
];

/// The message of one seed: sender, subject, headers, structure and encoding are chosen apart from one another.
pub(crate) fn generated(seed: u64) -> Mail {
    let mut dice = Dice(seed);
    let sentences = 1 + dice.below(30);
    let text = text(&mut dice, sentences);
    let bytes = message(&mut dice, seed, &text);
    Mail {
        name: format!("generated/{seed}"),
        bytes,
    }
}

/// 300 kB of text: more than any prompt takes, and not a reason to refuse an email.
fn large() -> Mail {
    let mut dice = Dice(u64::MAX);
    let mut body = String::new();
    while body.len() < 300_000 {
        body.push_str(&text(&mut dice, 20));
    }
    let mut bytes = headers(&mut dice, 300_000).into_bytes();
    bytes.extend(b"Content-Type: text/plain; charset=utf-8\r\n\r\n");
    bytes.extend(body.into_bytes());
    Mail {
        name: "generated/large".to_owned(),
        bytes,
    }
}

fn text(dice: &mut Dice, sentences: usize) -> String {
    let mut text = String::new();
    for _ in 0..sentences {
        text.push_str(["", "", "", "> ", ">> "][dice.below(5)]);
        text.push_str(dice.of(&SENTENCES));
        text.push_str(["\r\n", "\r\n\r\n"][dice.below(2)]);
    }
    text
}

fn headers(dice: &mut Dice, seed: u64) -> String {
    let mut headers = format!(
        "From: {}\r\nTo: Mira <mira@postroom.example>\r\nSubject: {}\r\nDate: {} Oct 2026 {:02}:15:00 +0000\r\n",
        dice.of(&SENDERS),
        dice.of(&SUBJECTS).replace("{n}", &seed.to_string()),
        1 + seed % 28,
        seed % 24,
    );
    // One in eight has none, as email from scripts often does.
    if dice.below(8) > 0 {
        let _ = write!(
            headers,
            "Message-ID: <{seed}.{:x}@generated.example>\r\n",
            dice.roll()
        );
    }
    headers.push_str(dice.of(&[
        "",
        "",
        "",
        "In-Reply-To: <earlier@postroom.example>\r\nReferences: <first@x.example>\r\n\t<earlier@postroom.example>\r\n",
        "List-Id: Team <team.lists.example>\r\nPrecedence: list\r\n",
        "List-Unsubscribe: <https://news.example/u>\r\nPrecedence: bulk\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Auto-Submitted: auto-replied\r\nX-Autoreply: yes\r\n",
    ]));
    headers.push_str("MIME-Version: 1.0\r\n");
    headers
}

fn message(dice: &mut Dice, seed: u64, text: &str) -> Vec<u8> {
    let mut mail = headers(dice, seed);
    let html = format!(
        "<html><body><p>{}</p></body></html>",
        text.replace("\r\n", "<br>\r\n")
    );
    let structure = dice.below(6);
    match structure {
        0 | 1 => mail.push_str(&part(dice, "plain", text)),
        2 => mail.push_str(&part(dice, "html", &html)),
        3 => multipart(
            &mut mail,
            "alternative",
            &[part(dice, "plain", text), part(dice, "html", &html)],
            true,
        ),
        4 => multipart(
            &mut mail,
            "mixed",
            &[part(dice, "plain", text), attachment()],
            true,
        ),
        _ => multipart(
            &mut mail,
            "mixed",
            &[part(dice, "html", &html), attachment()],
            dice.below(2) == 0,
        ),
    }
    match dice.below(10) {
        // Lines as Unix ends them, and an email that was cut while it was handed over.
        0 => mail.replace("\r\n", "\n").into_bytes(),
        1 => mail.as_bytes()[..mail.len() * 3 / 4].to_vec(),
        _ => mail.into_bytes(),
    }
}

/// Headers and body of one part, in one of the encodings.
fn part(dice: &mut Dice, subtype: &str, text: &str) -> String {
    let encoding = dice.of(&["7bit", "8bit", "quoted-printable"]);
    let body = match encoding {
        "quoted-printable" => quoted_printable(text),
        "7bit" => text
            .chars()
            .map(|c| if c.is_ascii() { c } else { '?' })
            .collect(),
        _ => text.to_owned(),
    };
    format!(
        "Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n"
    )
}

fn attachment() -> String {
    "Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n\
     Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQKJSVFT0YK\r\n"
        .to_owned()
}

fn multipart(mail: &mut String, subtype: &str, parts: &[String], closed: bool) {
    let _ = write!(
        mail,
        "Content-Type: multipart/{subtype}; boundary=\"=_b\"\r\n\r\n"
    );
    for part in parts {
        let _ = write!(mail, "--=_b\r\n{part}");
    }
    if closed {
        mail.push_str("--=_b--\r\n");
    }
}

fn quoted_printable(text: &str) -> String {
    let mut encoded = String::new();
    for line in text.split_inclusive("\r\n") {
        let mut width = 0;
        for byte in line.bytes() {
            if width > 70 {
                encoded.push_str("=\r\n");
                width = 0;
            }
            if byte.is_ascii() && byte != b'=' {
                encoded.push(char::from(byte));
                width += 1;
            } else {
                let _ = write!(encoded, "={byte:02X}");
                width += 3;
            }
        }
    }
    encoded
}

#[test]
fn corpus_is_large_and_the_same_each_time() {
    let emails = all();
    assert!(emails.len() >= 250, "only {} messages", emails.len());
    assert!(emails.iter().any(|mail| mail.bytes.len() >= 300_000));
    assert!(
        emails
            .iter()
            .map(|mail| &mail.bytes)
            .eq(all().iter().map(|mail| &mail.bytes))
    );
}
