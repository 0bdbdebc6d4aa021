//! What the receiving servers found out about the sender (RFC 8601): [`dmarc_failed`], [`dkim_domains`].

/// Whether one of the results of a trusted server says that the sender's domain disowns the message.
///
/// Servers put their field on top, and RFC 8601 §5 has them remove what claims to be theirs. So the first field's server is
/// ours, and so is every field under its name.
pub(super) fn dmarc_failed<'a>(fields: impl IntoIterator<Item = &'a str>) -> bool {
    trusted(fields).any(|results| results.iter().any(|result| is_dmarc_failure(result)))
}

/// The domains whose signatures (RFC 6376) a trusted server found to be valid; `None` if no trusted server says anything of
/// signatures.
pub(super) fn dkim_domains<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut passed = None;
    for results in trusted(fields) {
        for result in &results {
            let Some((method, value)) = method_and_value(result) else {
                continue;
            };
            if method != "dkim" {
                continue;
            }
            let passed: &mut Vec<String> = passed.get_or_insert_default();
            if value == "pass" {
                passed.extend(result.split_whitespace().filter_map(signer));
            }
        }
    }
    passed
}

/// `header.d=x.example` and `header.i=@x.example`: who signed.
fn signer(property: &str) -> Option<String> {
    let (name, value) = property.split_once('=')?;
    let domain = match name {
        "header.d" => value,
        "header.i" => value.rsplit_once('@')?.1,
        _ => return None,
    };
    Some(domain.trim_matches('"').to_owned())
}

/// The fields of the servers that are ours, each as its results, in lower case.
fn trusted<'a>(fields: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = Vec<String>> {
    let mut ours: Option<String> = None;
    fields
        .into_iter()
        .map(|field| results(&field.to_ascii_lowercase()))
        .filter(move |results| {
            let server = server(results);
            *ours.get_or_insert_with(|| server.clone()) == server
        })
}

/// The name of the server that speaks; empty where it was left out, as Microsoft does.
fn server(results: &[String]) -> String {
    let first = results.first().map(String::as_str).unwrap_or_default();
    match first.contains('=') {
        true => String::new(),
        false => first
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// `dmarc=fail`, `dmarc/1 = fail header.from=…`.
fn is_dmarc_failure(result: &str) -> bool {
    method_and_value(result) == Some(("dmarc", "fail"))
}

/// `dkim=pass header.d=…` → `dkim`, `pass`.
fn method_and_value(result: &str) -> Option<(&str, &str)> {
    let (method, rest) = result.split_once('=')?;
    // Where the server's name was left out, the first result may follow a blank.
    let method = method.split_whitespace().last().unwrap_or_default();
    let method = method.split('/').next().unwrap_or_default();
    let value = rest.trim_start();
    let end = value
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(value.len());
    Some((method, &value[..end]))
}

/// What stands between the semicolons, without comments. Marks in a quoted string are text: it may be the sender's own
/// address, so nothing in it may end a result or begin a comment. What is found to be unclosed is not looked for again, so
/// that the time grows with the length alone.
fn results(field: &str) -> Vec<String> {
    let (mut results, mut result) = (Vec::new(), String::new());
    let (mut quotes, mut nests, mut ends) = (true, true, true);
    let mut rest = field;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' if quotes => {
                let closed = quoted(rest);
                quotes = closed.is_some();
                closed
            }
            '(' if ends => {
                let closed = nests.then(|| comment(rest)).flatten();
                nests = closed.is_some();
                // Servers quote the sender's address in their comments as it is: it may open what nothing closes.
                let closed = closed.or_else(|| Some(rest.find(')')? + 1));
                ends = closed.is_some();
                closed
            }
            _ => None,
        };
        let (token, after) = rest.split_at(length.unwrap_or(c.len_utf8()));
        rest = after;
        match c {
            ';' => results.push(std::mem::take(&mut result)),
            '(' => result.push(' '),
            _ => result.push_str(token),
        }
    }
    results.push(result);
    results
}

/// How long the quoted string is that the text begins with; one that never ends is none.
fn quoted(text: &str) -> Option<usize> {
    let mut marks = unescaped(&text[1..]);
    marks.find(|(_, c)| *c == '"').map(|(at, _)| at + 2)
}

/// How long the comment is that the text begins with, with those in it; one that never ends is none.
fn comment(text: &str) -> Option<usize> {
    let mut depth = 1_usize;
    for (at, c) in unescaped(&text[1..]) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 2);
        }
    }
    None
}

/// The characters that no backslash stands before.
fn unescaped(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut escaped = false;
    text.char_indices().filter(move |(_, c)| {
        let is_escape = !escaped && *c == '\\';
        let stands = !escaped && !is_escape;
        escaped = is_escape;
        stands
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_found_however_it_is_written() {
        for (fields, failed) in [
            (&["mx.a.example; spf=pass; dmarc=fail (p=reject)"][..], true),
            (&["mx.a.example; dmarc=fail(p=reject) header.from=x"], true),
            (&["mx.a.example;dmarc/1 = FAIL"], true),
            (&["mx.a.example (see) 1; dmarc=fail"], true),
            (
                &["spf=fail smtp.mailfrom=x; dkim=none;dmarc=fail(p=reject) action=oreject"],
                true,
            ),
            (&["dmarc=fail action=none"], true),
            (
                &[
                    "mx.a.example; spf=pass smtp.mailfrom=\"a(b\"@evil.example; dmarc=fail (p=reject)",
                ],
                true,
            ),
            (
                &["mx.a.example; spf=pass smtp.mailfrom=\"a\\\"(b\"@evil.example; dmarc=fail"],
                true,
            ),
            (
                &["mx.a.example; spf=pass (of \\(b) smtp.helo=x; dmarc=fail (p=none)"],
                true,
            ),
            (
                &["mx.a.example; spf=pass (of \"a(b\"@x) smtp.helo=x; dmarc=fail (p=none)"],
                true,
            ),
            (
                &["mx.a.example; spf=pass (a (b) c; dmarc=fail) x; dmarc=pass"],
                false,
            ),
            (
                &["mx.a.example; spf=pass smtp.mailfrom=\"a; dmarc=fail"],
                true,
            ),
            (
                &["mx.a.example; spf=pass smtp.mailfrom=\"a; dmarc=fail;\"@x; dmarc=pass"],
                false,
            ),
            (&["mx.a.example; dmarc=pass (was dmarc=fail)"], false),
            (&["mx.a.example; dmarc=failure"], false),
            (
                &["mx.a.example; spf=pass", "mx.a.example; dmarc=fail"],
                true,
            ),
            (
                &["mx.a.example; dmarc=pass", "evil.example; dmarc=fail"],
                false,
            ),
            (&[], false),
        ] {
            assert_eq!(dmarc_failed(fields.iter().copied()), failed, "{fields:?}");
        }
    }

    /// It took minutes when each bracket was looked for anew.
    #[test]
    fn field_of_open_brackets_is_soon_read() {
        assert_eq!(results(&"(".repeat(2_000_000)).len(), 1);
    }
}
