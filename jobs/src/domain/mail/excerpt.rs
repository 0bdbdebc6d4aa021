//! The part of a long text that is worth reading: [`excerpt`]. Quotes go first, then the middle.

/// Of a quote that has to be shortened, as many lines stay at its beginning and at its end.
const QUOTE_HEAD: usize = 4;
const QUOTE_TAIL: usize = 2;

/// At most `max` characters of a text: its quotes shortened if it is longer, and then its head and its tail. An answer below
/// a long quote stays, and so does one above it.
pub fn excerpt(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let text = with_short_quotes(text);
    let length = text.chars().count();
    if length <= max {
        return text;
    }
    let note = format!(
        "\n[… {} characters left out …]\n",
        length.saturating_sub(max)
    );
    let room = max.saturating_sub(note.chars().count());
    if room < note.chars().count() {
        return text.chars().take(max).collect();
    }
    let head = room * 2 / 3;
    let mut kept: String = text.chars().take(head).collect();
    kept.push_str(&note);
    kept.extend(text.chars().skip(length - (room - head)));
    kept
}

fn with_short_quotes(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut quote: Vec<&str> = Vec::new();
    for line in text.lines() {
        // An empty line does not end a quote.
        if line.starts_with('>') || line.is_empty() && !quote.is_empty() {
            quote.push(line);
            continue;
        }
        lines.extend(shortened(&std::mem::take(&mut quote)));
        lines.push(line.to_owned());
    }
    lines.extend(shortened(&quote));
    lines.join("\n")
}

fn shortened(quote: &[&str]) -> Vec<String> {
    let quoted = quote
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(0, |last| last + 1);
    let (quote, after) = quote.split_at(quoted);
    let own = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    if quote.len() <= QUOTE_HEAD + QUOTE_TAIL + 1 {
        return [own(quote), own(after)].concat();
    }
    let left_out = quote.len() - QUOTE_HEAD - QUOTE_TAIL;
    [
        own(&quote[..QUOTE_HEAD]),
        vec![format!("> [… {left_out} quoted lines left out …]")],
        own(&quote[quote.len() - QUOTE_TAIL..]),
        own(after),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answer_below_a_long_quote_is_kept() {
        let quote = "> as you wrote before, the matter stands open\n".repeat(260);
        let text = format!("Nora wrote:\n{quote}\nNo, please cancel the whole order today.");
        let kept = excerpt(&text, 12_000);
        assert!(
            kept.ends_with("\n\nNo, please cancel the whole order today."),
            "{kept}"
        );
        assert!(
            kept.starts_with("Nora wrote:\n> as you")
                && kept.contains("[… 254 quoted lines left out …]")
        );
    }

    #[test]
    fn of_a_long_text_head_and_tail_are_kept() {
        let text = format!("First. {} Last.", "middle ".repeat(5_000));
        let kept = excerpt(&text, 1_000);
        assert!(
            kept.starts_with("First.")
                && kept.ends_with("Last.")
                && kept.contains("characters left out")
        );
        assert_eq!(kept.chars().count(), 1_000);
        assert_eq!(excerpt("short\n> quote", 100), "short\n> quote");
    }

    proptest! {
        #[test]
        fn no_excerpt_is_too_long(text in "(> |\n|[\\s\\S]){0,300}", max in 0usize..300) {
            prop_assert!(excerpt(&text, max).chars().count() <= max);
        }
    }
}
