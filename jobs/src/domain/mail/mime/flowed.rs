//! `format=flowed` (RFC 3676) → paragraphs on one line each: [`unfold`].

/// Joins the lines that were broken only to fit. With `delete_space` (DelSp=yes) the blank before the break was added.
pub(super) fn unfold(text: &str, delete_space: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // The quote depth of the paragraph that goes on.
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let depth = line.len() - line.trim_start_matches('>').len();
        let content = &line[depth..];
        let content = content.strip_prefix(' ').unwrap_or(content);
        // The signature's separator ends in a blank and flows nowhere.
        let is_separator = content == "-- ";
        let joins = open == Some(depth) && !is_separator;
        if !joins {
            if !out.is_empty() {
                out.push('\n');
            }
            if depth > 0 {
                out.push_str(&">".repeat(depth));
                out.push(' ');
            }
        }
        let flows = content.ends_with(' ') && !is_separator;
        out.push_str(match flows && delete_space {
            true => &content[..content.len() - 1],
            false => content,
        });
        open = flows.then_some(depth);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_flow_are_joined_within_their_quote() {
        for (raw, delete, text) in [
            ("one \ntwo\nthree", false, "one two\nthree"),
            ("one \ntwo", true, "onetwo"),
            (" >no quote\n From", false, ">no quote\nFrom"),
            ("> a \n> b\n>> c \nd", false, "> a b\n>> c \nd"),
            ("bye \n-- \nAda", false, "bye \n-- \nAda"),
        ] {
            assert_eq!(unfold(raw, delete), text, "{raw:?}");
        }
    }
}
