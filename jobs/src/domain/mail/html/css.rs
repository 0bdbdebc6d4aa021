//! CSS declarations that decide whether text can be seen: [`Declaration`], read with `cssparser`.

use super::property::Property;
use super::validity::is_valid;
use cssparser::{
    AtRuleParser, CowRcStr, DeclarationParser, ParseError, Parser, ParserState,
    QualifiedRuleParser, RuleBodyItemParser, RuleBodyParser, Token,
};

/// One property's value, in lower case, without comments and escapes. Valid, as far as [`is_valid`] can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) property: Property,
    pub(super) value: String,
    pub(super) important: bool,
}

/// The declarations of a `style` attribute.
pub(super) fn inline(style: &str) -> Vec<Declaration> {
    block(&mut Parser::new(style))
}

/// The declarations of a block; what is invalid or does not matter is left out.
pub(super) fn block(input: &mut Parser<'_>) -> Vec<Declaration> {
    let mut reader = Reader;
    RuleBodyParser::new(input, &mut reader)
        .flatten()
        .flatten()
        .collect()
}

struct Reader;

impl<'i> DeclarationParser<'i> for Reader {
    type Declaration = Vec<Declaration>;
    type Error = ();

    fn parse_value(
        &mut self,
        name: CowRcStr<'i>,
        input: &mut Parser<'i>,
        _start: &ParserState,
    ) -> Result<Vec<Declaration>, ParseError<()>> {
        let text = text(input);
        let (value, important) = match text.rsplit_once('!') {
            Some((value, mark)) if mark.trim() == "important" => (value, true),
            _ => (text.as_str(), false),
        };
        let longhands = longhands(&name.to_ascii_lowercase(), value.trim()).into_iter();
        let longhands = longhands.filter(|(property, value)| is_valid(*property, value));
        let declaration = |(property, value)| Declaration {
            property,
            value,
            important,
        };
        Ok(longhands.map(declaration).collect())
    }
}

impl AtRuleParser<'_> for Reader {
    type Prelude = ();
    type AtRule = Vec<Declaration>;
    type Error = ();
}

impl QualifiedRuleParser<'_> for Reader {
    type Prelude = ();
    type QualifiedRule = Vec<Declaration>;
    type Error = ();
}

impl RuleBodyItemParser<'_, Vec<Declaration>, ()> for Reader {
    fn parse_declarations(&self) -> bool {
        true
    }

    fn parse_qualified(&self) -> bool {
        false
    }
}

/// The rest of the input in lower case, comments left out and escapes resolved.
pub(super) fn text(input: &mut Parser<'_>) -> String {
    let mut text = String::new();
    collect(input, &mut text);
    text.make_ascii_lowercase();
    text
}

fn collect(input: &mut Parser<'_>, text: &mut String) {
    loop {
        let start = input.position();
        let Ok(token) = input.next_including_whitespace_and_comments() else {
            return;
        };
        let close = match token {
            Token::Comment(_) => continue,
            Token::WhiteSpace(_) => {
                text.push(' ');
                continue;
            }
            Token::Ident(word) => {
                text.push_str(word);
                continue;
            }
            Token::Function(name) => {
                text.push_str(name);
                text.push('(');
                ')'
            }
            Token::ParenthesisBlock => {
                text.push('(');
                ')'
            }
            Token::SquareBracketBlock | Token::CurlyBracketBlock => return,
            _ => {
                text.push_str(input.slice_from(start));
                continue;
            }
        };
        let nested: Result<(), ParseError<()>> = input.parse_nested_block(|inner| {
            collect(inner, text);
            Ok(())
        });
        text.push(close);
        if nested.is_err() {
            return;
        }
    }
}

fn longhands(name: &str, value: &str) -> Vec<(Property, String)> {
    let one = |property| vec![(property, value.to_owned())];
    match name {
        "background" => vec![
            (Property::BackgroundColor, value.to_owned()),
            (Property::BackgroundImage, value.to_owned()),
        ],
        "background-clip" | "-webkit-background-clip" => one(Property::BackgroundClip),
        "background-color" => one(Property::BackgroundColor),
        "background-image" => one(Property::BackgroundImage),
        "bottom" => one(Property::Bottom),
        "clip" => one(Property::Clip),
        "clip-path" | "-webkit-clip-path" => one(Property::ClipPath),
        "color" => one(Property::Color),
        "content-visibility" => one(Property::ContentVisibility),
        "display" => one(Property::Display),
        "filter" => one(Property::Filter),
        "float" => one(Property::Float),
        "font" => font_size_of(value)
            .map(|(size, line_height)| {
                vec![
                    (Property::FontSize, size),
                    (Property::LineHeight, line_height),
                ]
            })
            .unwrap_or_default(),
        "font-size" => one(Property::FontSize),
        "height" | "block-size" => one(Property::Height),
        "inset" => sides(
            value,
            [
                Property::Top,
                Property::Right,
                Property::Bottom,
                Property::Left,
            ],
        ),
        "left" | "inset-inline-start" => one(Property::Left),
        "line-height" => one(Property::LineHeight),
        "margin" => {
            let mut sides = sides(
                value,
                [
                    Property::MarginTop,
                    Property::Right,
                    Property::Bottom,
                    Property::MarginLeft,
                ],
            );
            sides.retain(|(side, _)| matches!(side, Property::MarginTop | Property::MarginLeft));
            sides
        }
        "margin-left" | "margin-inline-start" => one(Property::MarginLeft),
        "margin-top" | "margin-block-start" => one(Property::MarginTop),
        "max-height" | "max-block-size" => one(Property::MaxHeight),
        "max-width" | "max-inline-size" => one(Property::MaxWidth),
        "min-height" => one(Property::MinHeight),
        "min-width" => one(Property::MinWidth),
        "opacity" => one(Property::Opacity),
        "overflow" | "overflow-x" | "overflow-y" => one(Property::Overflow),
        "position" => one(Property::Position),
        "right" => one(Property::Right),
        "scale" => one(Property::Scale),
        "-webkit-text-fill-color" => one(Property::TextFill),
        "text-indent" => one(Property::TextIndent),
        "top" => one(Property::Top),
        "transform" | "-webkit-transform" => one(Property::Transform),
        "translate" => one(Property::Translate),
        "visibility" => one(Property::Visibility),
        "white-space" => one(Property::WhiteSpace),
        "width" | "inline-size" => one(Property::Width),
        _ => Vec::new(),
    }
}

/// The size in `italic bold 12px/1.5 Arial`, the first part that is one, and the height of lines behind its slash.
fn font_size_of(value: &str) -> Option<(String, String)> {
    let parts = value
        .split_whitespace()
        .map(|part| part.split_once('/').unwrap_or((part, "normal")));
    // A number without a unit is the weight.
    let is_size = |(size, _): &(&str, &str)| {
        super::values::font_size(size, 1.0).is_some()
            && !size.ends_with(|c: char| c.is_ascii_digit())
            || *size == "0"
    };
    parts
        .into_iter()
        .find(is_size)
        .map(|(size, line_height)| (size.to_owned(), line_height.to_owned()))
}

/// One to four values for four sides, as CSS deals them out.
fn sides(value: &str, names: [Property; 4]) -> Vec<(Property, String)> {
    let values: Vec<&str> = value.split_whitespace().collect();
    let of = |side: usize| match (values.len(), side) {
        (0, _) => None,
        (1, _) => Some(values[0]),
        (2 | 3, 3) => Some(values[1]),
        (2, 2) => Some(values[0]),
        _ => values.get(side).copied(),
    };
    (0..4)
        .filter_map(|side| Some((names[side], of(side)?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(style: &str) -> Vec<(Property, String, bool)> {
        inline(style)
            .into_iter()
            .map(|one| (one.property, one.value, one.important))
            .collect()
    }

    #[test]
    fn declarations_are_read_without_comments_escapes_and_case() {
        assert_eq!(
            read("DISPLAY : n\\6fne/**/ !important; color:red;;bogus; mso-hide:all; font-size:0"),
            [
                (Property::Display, "none".into(), true),
                (Property::Color, "red".into(), false),
                (Property::FontSize, "0".into(), false),
            ]
        );
    }

    #[test]
    fn shorthands_are_taken_apart() {
        assert_eq!(
            read("font: bold 1px/1 Arial; margin: 0 0 0 -9999px"),
            [
                (Property::FontSize, "1px".into(), false),
                (Property::LineHeight, "1".into(), false),
                (Property::MarginTop, "0".into(), false),
                (Property::MarginLeft, "-9999px".into(), false),
            ]
        );
    }
}
