//! An email's own style sheets: [`StyleSheet`]. Selectors are parsed and matched by `scraper`, as for any document.
//!
//! Holds only rules with a declaration that matters here, and none whose selector is costly to match; what an email leaves
//! to `@media` is judged for the window of `values`.

use super::css::{self, Declaration};
use super::values::{MEDIUM, VIEWPORT_HEIGHT, VIEWPORT_WIDTH, length};
use cssparser::{
    AtRuleParser, CowRcStr, DeclarationParser, ParseError, Parser, ParserState,
    QualifiedRuleParser, RuleBodyItemParser, RuleBodyParser, StyleSheetParser,
};
use scraper::{ElementRef, Html, Selector};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// More than any newsletter has; what follows is not applied.
const RULES: usize = 4_000;
/// Rules that have to be tried on every element.
const UNIVERSAL: usize = 32;
/// Rules that search an element's siblings, and the nodes of a document in which they are tried at all.
const SIBLINGS: usize = 8;
const SIBLING_NODES: usize = 2_000;
const CHARS: usize = 500_000;
/// How often a rule is tried on an element: twenty times what newsletters need. What follows is not styled by rules.
const TRIES: usize = 2_000_000;

/// The rules that may hide or show something, findable by what their selector's last part asks for.
#[derive(Default)]
pub(super) struct StyleSheet {
    rules: Vec<Rule>,
    by_key: HashMap<Key, Vec<usize>>,
    /// How many rules that search siblings may still be added.
    siblings_left: usize,
    tries: Cell<usize>,
}

struct Rule {
    selector: Selector,
    specificity: u32,
    declarations: Rc<Vec<Declaration>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Id(String),
    Class(String),
    Tag(String),
    Any,
}

impl StyleSheet {
    /// All `<style>` elements of the document, in their order.
    pub(super) fn of(document: &Html) -> Self {
        let is_small = document.tree.nodes().len() <= SIBLING_NODES;
        let mut sheet = Self {
            siblings_left: if is_small { SIBLINGS } else { 0 },
            ..Self::default()
        };
        let mut budget = CHARS;
        for node in document.tree.nodes() {
            let Some(element) = ElementRef::wrap(node).filter(is_style_sheet) else {
                continue;
            };
            let media = element.attr("media").unwrap_or_default().to_lowercase();
            let source: String = element.text().collect();
            if applies(&media) && source.len() <= budget {
                budget -= source.len();
                let mut input = Parser::new(&source);
                for _ in StyleSheetParser::new(&mut input, &mut sheet) {}
            }
        }
        sheet
    }

    /// The declarations for this element, each with its selector's specificity and the rule's place.
    pub(super) fn matching<'a>(
        &'a self,
        element: &ElementRef<'_>,
    ) -> impl Iterator<Item = (u32, u32, &'a Declaration)> + use<'a> {
        let value = element.value();
        let keys = value
            .id()
            .map(|id| Key::Id(id.to_owned()))
            .into_iter()
            .chain(value.classes().map(|class| Key::Class(class.to_owned())))
            .chain([Key::Tag(value.name().to_owned()), Key::Any]);
        let mut found: Vec<usize> = keys
            .filter_map(|key| self.by_key.get(&key))
            .flatten()
            .copied()
            .filter(|rule| self.is_tried() && self.rules[*rule].selector.matches(element))
            .collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().flat_map(move |place| {
            let rule = &self.rules[place];
            let order = u32::try_from(place).unwrap_or(u32::MAX);
            rule.declarations
                .iter()
                .map(move |declaration| (rule.specificity, order, declaration))
        })
    }

    /// Whether one more rule may be tried.
    fn is_tried(&self) -> bool {
        self.tries.set(self.tries.get() + 1);
        self.tries.get() <= TRIES
    }

    fn add(&mut self, selectors: &str, declarations: Vec<Declaration>) {
        if declarations.is_empty() {
            return;
        }
        let declarations = Rc::new(declarations);
        for text in split_at_commas(selectors) {
            if self.rules.len() >= RULES || is_costly(text) {
                continue;
            }
            let key = key(text);
            let place = self.by_key.entry(key.clone()).or_default();
            if key == Key::Any && place.len() >= UNIVERSAL {
                continue;
            }
            if sibling_searches(text) > 0 {
                let Some(left) = self.siblings_left.checked_sub(1) else {
                    continue;
                };
                self.siblings_left = left;
            }
            let linked = text
                .replace(":any-link", "[href]")
                .replace(":link", "[href]");
            // Dynamic pseudo-classes and pseudo-elements are unknown here, and never match text either.
            let Ok(selector) = Selector::parse(&linked) else {
                continue;
            };
            place.push(self.rules.len());
            self.rules.push(Rule {
                selector,
                specificity: specificity(text),
                declarations: Rc::clone(&declarations),
            });
        }
    }
}

/// Whether it is a style sheet of CSS that the document has, and not one of a template's.
fn is_style_sheet(element: &ElementRef<'_>) -> bool {
    let kind = element.attr("type").unwrap_or_default();
    let is_template = |node: ego_tree::NodeRef<'_, scraper::Node>| {
        let element = node.value().as_element();
        element.is_some_and(|element| element.name() == "template")
    };
    element.value().name() == "style"
        && (kind.is_empty() || kind.eq_ignore_ascii_case("text/css"))
        && !element.ancestors().any(is_template)
}

impl<'i> QualifiedRuleParser<'i> for StyleSheet {
    type Prelude = String;
    type QualifiedRule = ();
    type Error = ();

    fn parse_prelude(&mut self, input: &mut Parser<'i>) -> Result<String, ParseError<()>> {
        let start = input.position();
        while input.next().is_ok() {}
        Ok(without_comments(input.slice_from(start)))
    }

    fn parse_block(
        &mut self,
        selectors: String,
        _start: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<(), ParseError<()>> {
        self.add(&selectors, css::block(input));
        Ok(())
    }
}

impl<'i> AtRuleParser<'i> for StyleSheet {
    /// Whether the rules inside apply.
    type Prelude = bool;
    type AtRule = ();
    type Error = ();

    fn parse_prelude(
        &mut self,
        name: CowRcStr<'i>,
        input: &mut Parser<'i>,
    ) -> Result<bool, ParseError<()>> {
        let condition = css::text(input);
        Ok(match name.to_ascii_lowercase().as_str() {
            "media" => applies(&condition),
            // What a style sheet asks for is what its writer's programs can do, but for those that are asked for by their own
            // properties.
            "supports" => {
                let foreign = [
                    "(-ms-",
                    "(-moz-",
                    "(-apple-",
                    "(-webkit-overflow-scrolling",
                    "(-webkit-touch-callout",
                ];
                let is_foreign = foreign.iter().any(|name| condition.contains(name));
                !condition.trim_start().starts_with("not") && !is_foreign
            }
            "layer" => true,
            _ => false,
        })
    }

    fn parse_block(
        &mut self,
        applies: bool,
        _start: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<(), ParseError<()>> {
        if applies {
            for _ in RuleBodyParser::new(input, self) {}
        } else {
            while input.next().is_ok() {}
        }
        Ok(())
    }

    fn rule_without_block(&mut self, _applies: bool, _start: &ParserState) -> Result<(), ()> {
        Ok(())
    }
}

impl DeclarationParser<'_> for StyleSheet {
    type Declaration = ();
    type Error = ();
}

impl RuleBodyItemParser<'_, (), ()> for StyleSheet {
    fn parse_declarations(&self) -> bool {
        false
    }

    fn parse_qualified(&self) -> bool {
        true
    }
}

/// Whether one of the media queries holds for a screen of the usual width. What is not known does not hold.
fn applies(queries: &str) -> bool {
    let holds = |query: &str| {
        let (kind, features) = query
            .split_once('(')
            .map_or((query, ""), |(kind, rest)| (kind, rest));
        let kind = kind.trim().trim_end_matches("and").trim();
        let kind = kind.strip_prefix("only ").unwrap_or(kind).trim();
        matches!(kind, "" | "all" | "screen" | "not print")
            && features.split('(').all(|feature| {
                feature.is_empty() || has(feature.split(')').next().unwrap_or_default())
            })
    };
    queries.trim().is_empty() || queries.split(',').any(|query| holds(query.trim()))
}

fn has(feature: &str) -> bool {
    let (name, value) = feature.split_once(':').unwrap_or((feature, ""));
    let pixels = || length(value.trim(), MEDIUM);
    match name.trim() {
        "min-width" | "min-device-width" => pixels().is_some_and(|width| width <= VIEWPORT_WIDTH),
        "max-width" | "max-device-width" => pixels().is_some_and(|width| width >= VIEWPORT_WIDTH),
        "min-height" => pixels().is_some_and(|height| height <= VIEWPORT_HEIGHT),
        "max-height" => pixels().is_some_and(|height| height >= VIEWPORT_HEIGHT),
        "hover" | "any-hover" => matches!(value.trim(), "" | "hover"),
        "pointer" | "any-pointer" => matches!(value.trim(), "" | "fine"),
        "prefers-reduced-motion" | "prefers-contrast" => value.trim() == "no-preference",
        "-webkit-min-device-pixel-ratio" => {
            value.trim().parse().is_ok_and(|ratio: f32| ratio <= 1.0)
        }
        "prefers-color-scheme" => value.trim() == "light",
        "orientation" => value.trim() == "landscape",
        _ => false,
    }
}

/// The selectors of a list; commas in brackets are not between two.
fn split_at_commas(list: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0_usize, 0);
    let mut parts = Vec::new();
    for (at, c) in list.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    parts
}

/// Selectors that search descendants or more than once all siblings, or are longer than people write them.
fn is_costly(selector: &str) -> bool {
    selector.len() > 300 || selector.contains(":has") || sibling_searches(selector) > 1
}

/// How often a selector searches all siblings of an element.
fn sibling_searches(selector: &str) -> usize {
    let pseudos = [":nth", ":only-of", ":last-of", ":first-of"];
    let counted = pseudos
        .iter()
        .map(|pseudo| selector.matches(pseudo).count());
    counted.sum::<usize>() + selector.replace("~=", "=").matches('~').count()
}

/// The selectors without the comments in them.
fn without_comments(selectors: &str) -> String {
    let mut kept = String::new();
    let mut rest = selectors;
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    kept + rest
}

/// What the last compound of a selector asks for first.
fn key(selector: &str) -> Key {
    let compound = last_compound(selector);
    let names = simple_names(compound);
    let of = |mark: char| {
        names
            .iter()
            .find(|(kind, name)| *kind == mark && !name.is_empty())
            .map(|(_, name)| (*name).to_owned())
    };
    of('#')
        .map(Key::Id)
        .or_else(|| of('.').map(Key::Class))
        .or_else(|| of('t').map(|tag| Key::Tag(tag.to_ascii_lowercase())))
        .unwrap_or(Key::Any)
}

/// (ids, classes, types) as one number, counted from the text: close enough to order an email's rules.
fn specificity(selector: &str) -> u32 {
    let mut total = 0_u32;
    for part in selector.split([' ', '>', '+']) {
        for (kind, name) in simple_names(part) {
            total += match kind {
                '#' => 0x1_0000,
                't' if name.is_empty() => 0,
                't' => 1,
                _ => 0x100,
            };
        }
    }
    total
}

fn last_compound(selector: &str) -> &str {
    let mut depth = 0_usize;
    let mut start = 0;
    let selector = selector.trim();
    for (at, c) in selector.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ' ' | '>' | '+' | '~' | '\n' | '\t' | '\r' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    &selector[start..]
}

/// `div.note#x[y]:not(.z)` → (`t`, div), (`.`, note), (`#`, x), (`[`, y]), (`:`, not(.z)).
fn simple_names(compound: &str) -> Vec<(char, &str)> {
    let mut names = Vec::new();
    let mut kind = 't';
    let mut start = 0;
    let mut depth = 0_usize;
    for (at, c) in compound.char_indices() {
        if depth == 0 && matches!(c, '.' | '#' | '[' | ':') {
            names.push((kind, &compound[start..at]));
            (kind, start) = (c, at + 1);
        }
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    names.push((kind, &compound[start..]));
    if let Some((_, name)) = names.first_mut()
        && *name == "*"
    {
        *name = "";
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_filed_under_the_most_telling_part_of_their_last_compound() {
        for (selector, expected) in [
            ("div.note", Key::Class("note".into())),
            ("#x .a > P", Key::Tag("p".into())),
            ("td#top.a", Key::Id("top".into())),
            ("* [class=\"a b\"]", Key::Any),
            ("[data-x=\"a.b\"]", Key::Any),
            ("p:not(.keep)", Key::Tag("p".into())),
            (":is(.a, .b)", Key::Any),
            ("*", Key::Any),
            ("h1~.a", Key::Class("a".into())),
        ] {
            assert_eq!(key(selector), expected, "{selector}");
        }
        assert!(specificity("#x p") > specificity(".a .b p"));
        assert!(specificity(".a") > specificity("div p"));
    }

    #[test]
    fn media_queries_are_judged_for_a_reading_pane() {
        for (query, expected) in [
            ("", true),
            ("screen", true),
            ("print", false),
            ("only screen and (max-width: 600px)", false),
            ("only screen and (min-width:480px)", true),
            ("print, all and (max-width:2000px)", true),
            ("(prefers-color-scheme: dark)", false),
            ("not print", true),
            ("not screen", false),
            ("not all and (min-resolution:.001dpcm)", false),
            ("(hover: hover) and (min-height:1px)", true),
            ("(prefers-reduced-motion: reduce)", false),
            ("screen and (-webkit-min-device-pixel-ratio: 0)", true),
        ] {
            assert_eq!(applies(query), expected, "{query}");
        }
    }
}
