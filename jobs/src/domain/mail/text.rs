//! Plain text made safe to show, match and put before a model: nothing invisible, bounded, tidy whitespace.
//!
//! [`line`] is for header values, [`body`] for bodies. Judges no content: what a text says is left as it is.

/// A header value: one line, at most `max` characters.
pub fn line(raw: &str, max: usize) -> String {
    let mut out = String::new();
    let mut budget = max;
    for word in raw.split(|c: char| c.is_whitespace() || c.is_control()) {
        let mut visible = word.chars().filter(|c| !is_invisible(*c)).peekable();
        if visible.peek().is_none() {
            continue;
        }
        if !out.is_empty() && budget > 1 {
            out.push(' ');
            budget -= 1;
        }
        for c in visible {
            if budget == 0 {
                return out;
            }
            out.push(c);
            budget -= 1;
        }
    }
    out
}

/// A body: lines trimmed, runs of blanks made one, at most one empty line in a row, at most `max` characters.
///
/// Whether something was cut off is the second value, so that readers can be told.
pub fn body(raw: &str, max: usize) -> (String, bool) {
    let mut out = String::with_capacity(raw.len().min(max));
    let mut budget = max;
    let mut empty_lines = 0;
    for raw_line in raw.split(is_line_end) {
        // The rest of the budget bounds the work on one line, however long it is.
        let text = line(raw_line, budget.saturating_add(1));
        if text.is_empty() {
            empty_lines += 1;
            continue;
        }
        let breaks = match (out.is_empty(), empty_lines) {
            (true, _) => 0,
            (false, 0) => 1,
            (false, _) => 2,
        };
        empty_lines = 0;
        if breaks >= budget {
            return (out, true);
        }
        out.extend(std::iter::repeat_n('\n', breaks));
        budget -= breaks;
        let length = text.chars().count();
        if length > budget {
            out.extend(text.chars().take(budget));
            return (out, true);
        }
        out.push_str(&text);
        budget -= length;
    }
    (out, false)
}

/// CRLF yields an empty line between its halves; [`body`] counts only lines that hold text, so LF decides and CR is a
/// blank. A lone CR is how very old mail ends its lines and is rare enough to become a blank too.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{c}')
}

/// Characters that show nothing but change how text reads to a person or to a model: zero-width, bidirectional
/// overrides, Unicode tags and variation selectors (both carry hidden ASCII), fillers and annotation marks.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn invisible_characters_are_dropped_and_the_words_stay() {
        let hostile = "Pay\u{200b}ment \u{202e}eur\u{2066}t\0 \u{e0041}\u{e0042}now\u{fe0f}\u{ad}";
        assert_eq!(line(hostile, 100), "Payment eurt now");
    }

    #[test]
    fn a_header_value_never_holds_a_line_break() {
        assert_eq!(
            line("Hi\r\nBcc: x@example.org", 100),
            "Hi Bcc: x@example.org"
        );
    }

    #[test]
    fn paragraphs_survive_and_runs_of_whitespace_do_not() {
        let (text, cut) = body(
            "\r\n\r\n Dear  Ann,\t\r\n\r\n\r\n\r\nplease   pay.\r\nBob \r\n",
            1000,
        );
        assert_eq!(text, "Dear Ann,\n\nplease pay.\nBob");
        assert!(!cut);
    }

    #[test]
    fn a_cut_is_reported() {
        assert_eq!(body("one two\nthree", 9), ("one two\nt".into(), true));
        assert_eq!(body("one two\nthree", 13), ("one two\nthree".into(), false));
        assert_eq!(body("anything", 0), (String::new(), true));
    }

    proptest! {
        #[test]
        fn no_text_leaves_anything_invisible_or_breaks_its_bound(raw in "\\PC*|[\\s\\S]{0,200}", max in 0usize..80) {
            let (text, _) = body(&raw, max);
            prop_assert!(text.chars().count() <= max);
            prop_assert!(!text.chars().any(|c| c != '\n' && is_invisible(c)));
            let text = line(&raw, max);
            prop_assert!(text.chars().count() <= max);
            prop_assert!(!text.chars().any(is_invisible));
        }

        #[test]
        fn sanitising_twice_changes_nothing_more(raw in "[\\s\\S]{0,200}") {
            let (once, _) = body(&raw, 1000);
            prop_assert_eq!(body(&once, 1000).0, once);
        }
    }
}
