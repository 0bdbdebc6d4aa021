//! HTML → the text that a person would see.
//!
//! The document's tree is built as the HTML standard says (`tree`), styles are inherited from element to element (`style`,
//! with the email's own style sheets), and the text of every element that can be seen is written in document order. The
//! walk does not recurse, so that nesting cannot hurt. What is hidden is left out: no mail program shows it.

mod cascade;
mod css;
mod geometry;
mod property;
mod sheet;
mod style;
mod tree;
mod validity;
mod values;
mod writer;

use cascade::Cascade;
use ego_tree::iter::Edge;
use html5ever::tree_builder::QuirksMode;
use scraper::{ElementRef, Html, Node, node::Element};
use sheet::StyleSheet;
use style::Style;
use url::Url;
use writer::{Gap, Writer};

/// The visible text, blocks on lines of their own. Not yet sanitised: that is [`super::text::body`]'s part.
pub(super) fn visible_text(html: &str) -> String {
    written(html, false)
}

/// As [`visible_text`], with the texts that mail programs show in the place of pictures.
pub(super) fn picture_texts(html: &str) -> String {
    written(html, true)
}

fn written(html: &str, with_pictures: bool) -> String {
    let document = tree::parse(html);
    let sheet = StyleSheet::of(&document);
    let quirks = document.quirks_mode == QuirksMode::Quirks;
    let mut writer = Writer::new(base(&document));
    // Each open element's style, and where the text stood when it was opened.
    let mut open = vec![(Style::initial(), 0)];
    for edge in document.tree.root().traverse() {
        match edge {
            Edge::Open(node) => {
                let Some((style, _)) = open.last() else { break };
                match node.value() {
                    Node::Element(element) => {
                        let style = styled(style, ElementRef::wrap(node), &sheet, quirks);
                        if style.is_rendered() {
                            start(&mut writer, element, &style);
                        }
                        if let Some(text) = element.attr("alt")
                            && with_pictures
                            && element.name() == "img"
                            && style.shows_text()
                        {
                            writer.words(text);
                            writer.gap(Gap::Line);
                        }
                        open.push((style, writer.position()));
                    }
                    Node::Text(text) if style.shows_text() => match style.preserves_lines {
                        true => writer.lines(text),
                        false => writer.words(text),
                    },
                    _ => {}
                }
            }
            Edge::Close(node) => {
                if let Node::Element(element) = node.value()
                    && let Some((style, position)) = open.pop()
                    && style.is_rendered()
                {
                    end(&mut writer, element, &style, position);
                }
            }
        }
    }
    writer.finish()
}

/// Where relative links lead, as the document's `<base>` says; in an email without it they lead nowhere.
fn base(document: &Html) -> Option<Url> {
    let mut nodes = document.tree.nodes();
    let href = nodes.find_map(|node| {
        let element = node.value().as_element()?;
        (element.name() == "base")
            .then(|| element.attr("href"))
            .flatten()
    });
    Url::parse(href?.trim())
        .ok()
        .filter(|url| url.scheme().starts_with("http"))
}

fn styled(
    parent: &Style,
    element: Option<ElementRef<'_>>,
    sheet: &StyleSheet,
    quirks: bool,
) -> Style {
    let mut cascade = Cascade::default();
    let Some(element) = element else {
        return parent.clone();
    };
    if parent.is_rendered() {
        cascade.hints(element.value());
        for (specificity, order, declaration) in sheet.matching(&element) {
            cascade.sheet(specificity, order, declaration);
        }
        if let Some(style) = element.attr("style") {
            for declaration in css::inline(style) {
                cascade.inline(&declaration);
            }
        }
    }
    parent.child(element.value(), &cascade, quirks)
}

fn start(writer: &mut Writer, element: &Element, style: &Style) {
    match element.name() {
        "br" => writer.line_break(),
        "input" if style.shows_text() => {
            if let Some(label) = button_label(element) {
                writer.gap(Gap::Blank);
                writer.words(label);
                writer.gap(Gap::Blank);
            }
        }
        _ if is_quote(element) => writer.open_quote(),
        _ => writer.gap(gap(element, style)),
    }
}

/// What stands on an input that is a button.
fn button_label(element: &Element) -> Option<&str> {
    let kind = element.attr("type")?.to_ascii_lowercase();
    let is_button = matches!(kind.as_str(), "submit" | "button" | "reset");
    element.attr("value").filter(|_| is_button)
}

fn end(writer: &mut Writer, element: &Element, style: &Style, position: usize) {
    if let Some(href) = element.attr("href").filter(|_| element.name() == "a") {
        writer.link(position, href);
    }
    match element.name() {
        "br" => {}
        _ if is_quote(element) => writer.close_quote(),
        _ => writer.gap(gap(element, style)),
    }
}

/// What sets an element's text off from what is around it.
fn gap(element: &Element, style: &Style) -> Gap {
    match (element.name(), style.display.as_deref()) {
        (_, Some("inline" | "contents")) => Gap::None,
        ("td" | "th", _) | (_, Some("inline-block" | "inline-table" | "table-cell")) => Gap::Blank,
        (
            "p" | "blockquote" | "table" | "ul" | "ol" | "dl" | "h1" | "h2" | "h3" | "h4" | "h5"
            | "h6",
            _,
        ) => Gap::Paragraph,
        (name, display) if is_block_by_default(name) || display.is_some() => Gap::Line,
        ("button" | "textarea", _) => Gap::Blank,
        _ => Gap::None,
    }
}

/// A block that quotes an earlier message, as mail programs mark it.
fn is_quote(element: &Element) -> bool {
    element.name() == "blockquote"
        && (element
            .attr("type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("cite"))
            || element
                .attr("class")
                .is_some_and(|class| class.contains("quote")))
}

/// Elements that are blocks unless a style says otherwise.
fn is_block_by_default(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "center"
            | "dd"
            | "details"
            | "dir"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hr"
            | "html"
            | "legend"
            | "li"
            | "listing"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "p"
            | "pre"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "tfoot"
            | "thead"
            | "tr"
            | "ul"
            | "xmp"
    )
}

#[cfg(test)]
mod cases;
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
            "<span style='font:1px Arial'>x</span>",
            "<span style='font-size: 0.0em'>x</span>",
            "<span style='opacity:0'>x</span>",
            "<span hidden>x</span>",
            "<style>.pre{display:none}</style><div class=pre>x</div>",
            "<style>@media screen{#a p,.z{visibility:hidden!important}}</style><i id=a style='visibility:visible'><p>x</p></i>",
            "<style><!-- div.pre > span { max-height:0; overflow:hidden; display:block } --></style><div class=pre><span>x</span></div>",
            "<div style='height:0;overflow:hidden'>x</div>",
            "<div style='max-height:0px;max-width:0px;overflow:hidden'><b>x</b></div>",
            "<div style='width:1px;height:1px;overflow:hidden'>x</div>",
            "<div style='position:absolute;left:-9999px'>x</div>",
            "<div style='text-indent:-9999px'>x</div>",
            "<div style='margin-left:-9999px'>x</div>",
            "<div style='position:absolute;clip:rect(0,0,0,0)'>x</div>",
            "<div style='clip-path:inset(100%)'>x</div>",
            "<div style='transform:scale(0)'>x</div>",
            "<div style='color:#fff'>x</div>",
            "<div style='color:#fefefe;background:#ffffff'>x</div>",
            "<table bgcolor=#123456><td><font color=#123456>x</font></table>",
            "<div style='background-color:rgb(10, 10, 10)'><p style='color:#0a0a0a'>x</p></div>",
            "<div style='color:transparent'>x</div>",
            "<div style='color:rgba(0,0,0,0)'>x</div>",
            "<div style='filter:opacity(0)'>x</div>",
            "<!-- x -->",
            "<!--[if mso]>x<![endif]-->",
            "<script>x</script>",
            "<style>x</style>",
            "<template>x</template>",
            "<dialog>x</dialog>",
            "<div style='content-visibility:hidden'>x</div>",
            "<div style='font-size:calc(1px - 1px)'>x</div>",
            "<div style='translate:-9999px'>x</div>",
            "<div style='scale:0'>x</div>",
            "<style>@supports (display:grid){.g{display:none}}</style><p class=g>x</p>",
            "<style>@layer base{.g{display:none}}</style><p class=g>x</p>",
            "<style>:is(.g,.h){display:none}</style><p class=g>x</p>",
            "<style>p:not(.keep){display:none}</style><p>x</p>",
            "<style>[data-x='a.b']{display:none}</style><p data-x='a.b'>x</p>",
            "<input type=hidden value=x>",
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
            (
                "<table><td style='font-size:0px'><div style='font-size:13px'>a</div></table>",
                "a",
            ),
            (
                "<div style='visibility:hidden'><b style='visibility:visible'>a</b>b</div>",
                "a",
            ),
            ("<head><title>t</title><body><p>a", "a"),
            ("<span aria-hidden=true>a</span>", "a"),
            (
                "<a style='mso-hide:all'>a</a><!--[if mso]>a<![endif]-->",
                "a",
            ),
            ("<!--[if !mso]><!-->a<!--<![endif]-->", "a"),
            ("<noscript>a</noscript>", "a"),
            ("<dialog open>a</dialog>", "a"),
            ("<details><summary>a</summary>b</details>", "a b"),
            ("<input type=submit value='Confirm now'>", "Confirm now"),
            (
                "<style>@supports not (x:y){p{display:none}}</style><p>a",
                "a",
            ),
            (
                "<style>@supports (-ms-ime-align:auto){p{display:none}}</style><p>a",
                "a",
            ),
            ("<style>@media print{p{display:none}}</style><p>a", "a"),
            (
                "<span style='width:0;height:0;overflow:hidden'>a</span>",
                "a",
            ),
            (
                "<table><td height=0 style='height:0;overflow:hidden'>a</table>",
                "a",
            ),
            (
                "<div style='background:url(x.png)'><p style='color:#fff'>a</p></div>",
                "a",
            ),
            (
                "<table><td bgcolor=#000000><p style='color:#fff'>a</p></table>",
                "a",
            ),
            (
                "<style>@media (max-width:600px){p{display:none}}@media print{p{display:none}}</style><p>a",
                "a",
            ),
            (
                "<style>p{display:none}p.b{display:block}</style><p class=b>a",
                "a",
            ),
            ("<style>p:hover{display:none}</style><p>a", "a"),
            ("<div hidden style='display:block'>a</div>", "a"),
            (
                "<p>Your booking 8841\n was <b>moved</b>.</p>",
                "Your booking 8841 was moved.",
            ),
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
    fn targets_of_links_follow_their_block_and_only_if_the_link_is_seen() {
        for (html, text) in [
            (
                "<p><a href='https://x.example/a?b=1'>Pay</a> today.</p><p>Bye</p>",
                "Pay today. <https://x.example/a?b=1>\n\nBye",
            ),
            ("<a href='https://x.example/'>x.example</a>", "x.example"),
            (
                "<a href='MAILTO:ada@x.example?subject=Hi'>Write</a>",
                "Write <ada@x.example>",
            ),
            ("<a href='javascript:alert(1)'>No</a>", "No"),
            (
                "<a style='display:none' href='https://x.example'>No</a>",
                "",
            ),
            ("<a href='https://x.example'><img alt=logo></a>", ""),
            (
                "<base href='https://x.example/a/'><a href='b?c=1'>Pay</a>",
                "Pay <https://x.example/a/b?c=1>",
            ),
            ("<a href='b'>Pay</a>", "Pay"),
        ] {
            assert_eq!(visible_text(html), text, "{html}");
        }
        let long = format!("<a href='https://x.example/a?{}'>Pay</a>", "t".repeat(300));
        assert_eq!(visible_text(&long), "Pay <https://x.example/a…>");
    }

    #[test]
    fn lines_and_quotes_are_as_people_see_them() {
        let html = "<div>One\n two<br><br>three</div><table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>\
            <blockquote type=cite>Old<div>older</div></blockquote><pre>x\n y</pre>";
        assert_eq!(
            visible_text(html),
            "One two\n\nthree\n\na b\nc\n\n> Old\n> older\n\nx\ny"
        );
    }

    #[test]
    fn deep_nesting_and_unmatched_end_tags_take_linear_time() {
        let deep = "<div>".repeat(60_000) + "x" + &"</span>".repeat(60_000);
        assert_eq!(seen(&deep), "x");
    }

    proptest! {
        #[test]
        fn no_markup_panics(html in "(<|>|/|=|'|\"|style|hidden|display:|none|/\\*|p|div|script|<table>|<tr>|<td>|</table>|<svg>|<math>|<template>|<select>|<option>|<b>|</b>|<a href=x>|</a>|<form>|<frameset>|<style>|</style>|!--|--|&|;|[\\s\\S]){0,60}") {
            visible_text(&html);
        }
    }
}
