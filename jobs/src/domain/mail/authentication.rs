//! What the receiving servers found out about the sender (RFC 8601): [`dmarc_failed`], [`dkim_domains`].

/// Whether one of the results of a trusted server says that the sender's domain disowns the message.
///
/// Servers put their field on top, and RFC 8601 §5 has them remove what claims to be theirs. So the first field's server is
/// ours, and so is every field under its name.
pub(super) fn dmarc_failed<'a>(fields: impl IntoIterator<Item = &'a str>) -> bool {
    trusted(fields).any(|field| field.split(';').any(is_dmarc_failure))
}

/// The domains whose signatures (RFC 6376) a trusted server found to be valid; `None` if no trusted server says anything of
/// signatures.
pub(super) fn dkim_domains<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<Vec<String>> {
    let mut passed = None;
    for field in trusted(fields) {
        for result in field.split(';') {
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

/// The fields of the servers that are ours, without comments, in lower case.
fn trusted<'a>(fields: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let mut ours: Option<String> = None;
    fields
        .into_iter()
        .map(|field| without_comments(field).to_ascii_lowercase())
        .filter(move |field| {
            let server = server(field);
            *ours.get_or_insert_with(|| server.clone()) == server
        })
}

/// The name of the server that speaks; empty where it was left out, as Microsoft does.
fn server(field: &str) -> String {
    let first = field.split(';').next().unwrap_or_default();
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

fn without_comments(field: &str) -> String {
    let mut depth = 0_usize;
    let mut kept = String::with_capacity(field.len());
    for c in field.chars() {
        match c {
            '(' => {
                depth += 1;
                kept.push(' ');
            }
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_found_however_it_is_written() {
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
}
