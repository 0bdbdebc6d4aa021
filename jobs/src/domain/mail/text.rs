//! Plain text made safe to show, match and put before a model: nothing invisible, bounded, tidy whitespace.
//!
//! [`line`] is for header values, [`body`] for bodies. Judges no content: what a text says is left as it is.

use std::borrow::Cow;

/// A header value: one line, at most `max` characters.
pub fn line(raw: &str, max: usize) -> String {
    let mut out = String::new();
    let mut budget = max;
    for word in raw.split(|c: char| c.is_whitespace() || c.is_control()) {
        let mut visible = visible(word).peekable();
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

/// A body: lines trimmed, runs of blanks made one, at most one empty line in a row, at most `max` characters. A longer one
/// keeps its head and its tail, as [`super::excerpt`] does.
///
/// Whether something was left out is the second value, so that readers can be told.
pub fn body(raw: &str, max: usize) -> (String, bool) {
    let ends = ends(raw, max.saturating_mul(16).max(1_024));
    let text = tidied(&ends);
    match text.chars().count() > max {
        true => (super::excerpt(&text, max), true),
        false => (text, matches!(ends, Cow::Owned(_))),
    }
}

/// A text without its middle if it is so long that the middle is left out in any case: tidying costs time.
fn ends(raw: &str, max: usize) -> Cow<'_, str> {
    if raw.len() <= max {
        return Cow::Borrowed(raw);
    }
    let head = raw.floor_char_boundary(max / 2);
    let tail = raw.ceil_char_boundary(raw.len() - max / 2);
    Cow::Owned(format!("{}\n{}", &raw[..head], &raw[tail..]))
}

fn tidied(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut empty_lines = 0;
    for raw_line in raw.split(is_line_end) {
        let text = line(raw_line, usize::MAX);
        if text.is_empty() {
            empty_lines += 1;
            continue;
        }
        out.push_str(match (out.is_empty(), empty_lines) {
            (true, _) => "",
            (false, 0) => "\n",
            (false, _) => "\n\n",
        });
        empty_lines = 0;
        out.push_str(&text);
    }
    out
}

/// The characters of a word but for those that show nothing. Joiners stay where they shape what is seen: a zero-width
/// non-joiner between letters of Persian or an Indic script, a joiner there and between two emoji.
fn visible(word: &str) -> impl Iterator<Item = char> {
    let mut before = None;
    let mut rest = word.chars().peekable();
    std::iter::from_fn(move || {
        loop {
            let c = rest.next()?;
            if is_joiner(c) {
                // What stands between two joiners or selectors is looked through.
                while rest.peek().is_some_and(|next| is_invisible(*next)) {
                    rest.next();
                }
                if before
                    .zip(rest.peek().copied())
                    .is_some_and(|(before, after)| joins(before, c, after))
                {
                    return Some(c);
                }
            } else if !is_invisible(c) {
                before = Some(c);
                return Some(c);
            }
        }
    })
}

pub(super) const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

fn joins(before: char, joiner: char, after: char) -> bool {
    let both = |in_script: fn(char) -> bool| in_script(before) && in_script(after);
    both(is_joined_script) || joiner == '\u{200d}' && both(is_emoji)
}

/// Scripts whose letters change with their neighbours: Arabic and its kin, the Indic scripts, Khmer, Mongolian.
fn is_joined_script(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{18af}'
        | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}')
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// CRLF yields an empty line between its halves; [`body`] counts only lines that hold text, so LF decides and CR is a
/// blank. A lone CR is how very old email ends its lines and is rare enough to become a blank too.
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
    fn joiners_stay_where_they_shape_what_is_seen() {
        for text in ["می\u{200c}خواهم", "क्\u{200d}ष", "👩\u{200d}👧"] {
            assert_eq!(line(text, 100), text);
        }
        for (hostile, text) in [
            ("pay\u{200d}pal", "paypal"),
            ("می\u{200c}", "می"),
            ("می\u{200c}\u{200d}\u{200c}خ", "می\u{200c}خ"),
            ("👁\u{fe0f}\u{200d}🗨\u{fe0f}", "👁\u{200d}🗨"),
        ] {
            assert_eq!(line(hostile, 100), text);
        }
    }

    #[test]
    fn header_value_never_holds_a_line_break() {
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
    fn cut_is_reported() {
        assert_eq!(body("one two\nthree", 9), ("one two\nt".into(), true));
        assert_eq!(body("one two\nthree", 13), ("one two\nthree".into(), false));
        assert_eq!(body("anything", 0), (String::new(), true));
    }

    proptest! {
        #[test]
        fn no_text_leaves_anything_invisible_or_breaks_its_bound(raw in "\\PC*|[\\s\\S]{0,200}", max in 0usize..80) {
            let (text, _) = body(&raw, max);
            prop_assert!(text.chars().count() <= max);
            prop_assert!(!text.chars().any(|c| c != '\n' && !is_joiner(c) && is_invisible(c)));
            let text = line(&raw, max);
            prop_assert!(text.chars().count() <= max);
            prop_assert!(!text.chars().any(|c| !is_joiner(c) && is_invisible(c)));
        }

        #[test]
        fn sanitising_twice_changes_nothing_more(raw in "[\\s\\S]{0,200}") {
            let (once, _) = body(&raw, 1000);
            prop_assert_eq!(body(&once, 1000).0, once);
        }
    }
}
