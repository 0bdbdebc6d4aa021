//! `text/enriched` (RFC 1896) and its forerunner `text/richtext` (RFC 1341) → plain text: [`plain`].

/// Letters of a command (RFC 1896 §3). Its end is looked for no farther, or a text of open brackets would take minutes.
const COMMAND: usize = 60;

/// The text without its commands. A single line break is a blank; of more in a row one is dropped, as RFC 1896 §2 says.
pub(super) fn plain(source: &str) -> String {
    let source = source.replace("\r\n", "\n");
    let mut text = String::with_capacity(source.len());
    let (mut parameters, mut verbatim) = (0_usize, 0_usize);
    let mut rest = source.as_str();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("<<") {
            if parameters == 0 {
                text.push('<');
            }
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix('<')
            && let Some(end) = after.bytes().take(COMMAND + 1).position(|c| c == b'>')
        {
            let (command, after) = (&after[..end], &after[end + 1..]);
            match command.to_ascii_lowercase().as_str() {
                "param" => parameters += 1,
                "/param" => parameters = parameters.saturating_sub(1),
                "nofill" | "verbatim" => verbatim += 1,
                "/nofill" | "/verbatim" => verbatim = verbatim.saturating_sub(1),
                "nl" | "np" | "paragraph" | "/paragraph" => text.push('\n'),
                "lt" => text.push('<'),
                _ => {}
            }
            rest = after;
            continue;
        }
        if parameters > 0 {
            rest = &rest[c.len_utf8()..];
            continue;
        }
        if c == '\n' && verbatim == 0 {
            let breaks = rest.len() - rest.trim_start_matches('\n').len();
            match breaks {
                1 => text.push(' '),
                _ => text.extend(std::iter::repeat_n('\n', breaks - 1)),
            }
            rest = &rest[breaks..];
            continue;
        }
        text.push(c);
        rest = &rest[c.len_utf8()..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It took minutes when the end of each was looked for in all that follows.
    #[test]
    fn text_of_open_commands_is_soon_read() {
        let open = "<a".repeat(500_000);
        assert_eq!(plain(&open), open);
    }

    #[test]
    fn commands_go_and_words_stay() {
        for (source, text) in [
            (
                "<bold>Now</bold> is\nthe time\n\nfor <<all>",
                "Now is the time\nfor <all>",
            ),
            ("<color><param>red</param>Red</color>", "Red"),
            ("<nofill>a\nb</nofill>", "a\nb"),
            ("a < b", "a < b"),
            ("one<nl>two<lt>three", "one\ntwo<three"),
        ] {
            assert_eq!(plain(source), text, "{source}");
        }
    }
}
