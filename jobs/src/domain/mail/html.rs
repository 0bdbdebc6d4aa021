//! HTML → the text that a person would see.
//!
//! Works on the token stream of `html5ever`, without building a tree: one pass, no recursion, so that neither size nor
//! nesting of hostile markup can hurt. Follows inline styles and the `hidden` attribute; does *not* evaluate style
//! sheets. Where an unclosed hidden element leaves doubt about what follows, that text is dropped too.

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::{Attribute, LocalName};
use std::cell::RefCell;
use std::collections::HashMap;

/// The visible text, blocks on lines of their own. Not yet sanitised: that is [`super::text::body`]'s part.
pub(super) fn visible_text(html: &str) -> String {
    let tokenizer = Tokenizer::new(Collector::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    // The sink never asks for a script to be run, which is the only reason to stop early.
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.0.into_inner().text
}

/// The tokenizer hands out `&self`, hence the cell.
#[derive(Default)]
struct Collector(RefCell<State>);

#[derive(Default)]
struct State {
    text: String,
    /// Open elements, outermost first, each with whether it hides its content.
    open: Vec<(LocalName, bool)>,
    /// How often each name occurs in `open`: a stray end tag is known without a search, which keeps the pass linear.
    open_by_name: HashMap<LocalName, usize>,
    hidden: usize,
}

impl TokenSink for Collector {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return state.start(&tag),
            Token::TagToken(tag) => state.end(&tag.name),
            Token::CharacterTokens(text) if state.hidden == 0 => state.text.push_str(&text),
            Token::CharacterTokens(_)
            | Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

impl State {
    fn start(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name = &*tag.name;
        if closes_its_like(name) && self.open.last().is_some_and(|(top, _)| *top == tag.name) {
            self.end(&tag.name);
        }
        self.break_at(name);
        if is_void(name) {
            return TokenSinkResult::Continue;
        }
        let hides = is_never_shown(name) || tag.attrs.iter().any(hides);
        self.hidden += usize::from(hides);
        *self.open_by_name.entry(tag.name.clone()).or_default() += 1;
        self.open.push((tag.name.clone(), hides));
        match name {
            "script" | "style" | "noembed" | "noframes" | "iframe" | "xmp" => {
                TokenSinkResult::RawData(RawKind::Rawtext)
            }
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            _ => TokenSinkResult::Continue,
        }
    }

    fn end(&mut self, name: &LocalName) {
        self.break_at(name);
        if self.open_by_name.get(name).is_none_or(|count| *count == 0) {
            return;
        }
        while let Some((open, hid)) = self.open.pop() {
            self.hidden -= usize::from(hid);
            if let Some(count) = self.open_by_name.get_mut(&open) {
                *count -= 1;
            }
            if open == *name {
                break;
            }
        }
    }

    fn break_at(&mut self, name: &str) {
        if self.hidden > 0 {
            return;
        }
        match name {
            "td" | "th" => self.text.push(' '),
            "p" | "blockquote" | "table" | "ul" | "ol" | "h1" | "h2" | "h3" | "h4" | "h5"
            | "h6" => {
                self.text.push_str("\n\n");
            }
            "br" | "div" | "tr" | "li" | "hr" | "section" | "article" | "header" | "footer"
            | "dt" | "dd" | "pre" | "center" | "address" | "title" | "body" => self.text.push('\n'),
            _ => {}
        }
    }
}

/// Elements whose start tag closes an open one of the same name.
fn closes_its_like(name: &str) -> bool {
    matches!(
        name,
        "p" | "li" | "td" | "th" | "tr" | "dt" | "dd" | "option"
    )
}

fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "basefont"
            | "bgsound"
            | "br"
            | "col"
            | "embed"
            | "frame"
            | "hr"
            | "img"
            | "input"
            | "keygen"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
    )
}

fn is_never_shown(name: &str) -> bool {
    matches!(
        name,
        "script"
            | "style"
            | "head"
            | "title"
            | "template"
            | "noscript"
            | "noembed"
            | "noframes"
            | "iframe"
            | "object"
            | "svg"
            | "math"
            | "select"
            | "datalist"
            | "textarea"
            | "audio"
            | "video"
            | "canvas"
    )
}

fn hides(attribute: &Attribute) -> bool {
    match &*attribute.name.local {
        "hidden" => true,
        "aria-hidden" => attribute.value.trim().eq_ignore_ascii_case("true"),
        "style" => style_hides(&attribute.value),
        _ => false,
    }
}

fn style_hides(style: &str) -> bool {
    let style = without_comments(style).to_ascii_lowercase();
    style.split(';').any(|declaration| {
        let Some((property, value)) = declaration.split_once(':') else {
            return false;
        };
        let value = value.trim().trim_end_matches("!important").trim();
        match property.trim() {
            "display" => value == "none",
            "visibility" => matches!(value, "hidden" | "collapse"),
            "opacity" => is_zero(value),
            // 1px and below is as good as invisible; senders of hidden preheaders use both.
            "font-size" => length(value).is_some_and(|size| size <= 1.0),
            "mso-hide" => value == "all",
            _ => false,
        }
    })
}

fn is_zero(value: &str) -> bool {
    length(value) == Some(0.0)
}

/// The number in front of an absolute unit (or none).
fn length(value: &str) -> Option<f64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    let number: f64 = digits.trim().parse().ok()?;
    match value[digits.len()..].trim() {
        "" | "px" | "pt" => Some(number),
        // 1em is full size: only nothing at all is invisible.
        _ => (number == 0.0).then_some(0.0),
    }
}

/// CSS comments may be put between any two tokens (`display:/**/none`).
fn without_comments(style: &str) -> String {
    let mut out = String::with_capacity(style.len());
    let mut rest = style;
    while let Some(start) = rest.find("/*") {
        out.push_str(&rest[..start]);
        match rest[start + 2..].find("*/") {
            Some(end) => rest = &rest[start + 2 + end + 2..],
            None => return out,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(html: &str) -> String {
        visible_text(html)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn hidden_text_is_dropped_in_all_its_guises() {
        for hidden in [
            "<p style='display:none'>x</p>",
            "<div style=\"DISPLAY : NONE !important\">x</div>",
            "<div style='color:red;display:/* */none'><b>x</b></div>",
            "<span style='visibility:hidden'>x</span>",
            "<span style='font-size:0'>x</span>",
            "<span style='font-size:0px'>x</span>",
            "<span style='font-size:1px'>x</span>",
            "<span style='font-size: 0.0em'>x</span>",
            "<span style='opacity:0'>x</span>",
            "<span hidden>x</span>",
            "<span aria-hidden=true>x</span>",
            "<!-- x -->",
            "<!--[if mso]>x<![endif]-->",
            "<script>x</script>",
            "<style>x</style>",
            "<template>x</template>",
            "<head><title>x</title></head>",
            "<div hidden><div>x</div>x</div>",
        ] {
            assert_eq!(
                seen(&format!("before {hidden} after")),
                "before after",
                "{hidden}"
            );
        }
    }

    #[test]
    fn shown_text_stays() {
        for (html, text) in [
            (
                "<p>Dear Ann</p><p>pay &euro;&nbsp;5 &lt;now&gt;</p>",
                "Dear Ann pay € 5 <now>",
            ),
            ("<span style='font-size:12px'>a</span>", "a"),
            ("<span style='font-size:0.9em'>a</span>", "a"),
            ("<span style='display:block'>a</span>", "a"),
            ("<p style='display:none'>secret<p>shown", "shown"),
            ("<table><tr><td>a<td>b<tr><td>c</table>", "a b c"),
            ("a<br>b", "a b"),
            ("</div></div>a", "a"),
            ("<< a", "<< a"),
            ("a < b", "a < b"),
        ] {
            assert_eq!(seen(html), text, "{html}");
        }
    }

    #[test]
    fn deep_nesting_and_stray_ends_take_linear_time() {
        let deep = "<div>".repeat(60_000) + "x" + &"</span>".repeat(60_000);
        assert_eq!(seen(&deep), "x");
    }

    proptest! {
        #[test]
        fn no_markup_panics(html in "(<|>|/|=|'|\"|style|hidden|display:|none|/\\*|p|div|script|!--|--|&|;|[\\s\\S]){0,60}") {
            visible_text(&html);
        }
    }
}
