//! The values of CSS properties as far as they decide whether text can be seen: lengths, font sizes, colours.

use csscolorparser::Color;

/// The root's font size.
pub(super) const MEDIUM: f32 = 16.0;
/// The font size of buttons and fields, whatever is around them.
pub(super) const CONTROL: f32 = 13.333;
/// The window that media queries and relative units are asked about: a reading pane of a desktop program.
pub(super) const VIEWPORT_WIDTH: f32 = 800.0;
pub(super) const VIEWPORT_HEIGHT: f32 = 600.0;

/// A length in pixels. `None` for percentages other than zero, keywords and expressions.
pub(super) fn length(value: &str, font_size: f32) -> Option<f32> {
    let sum = value
        .trim()
        .strip_prefix("calc(")
        .and_then(|rest| rest.strip_suffix(')'));
    if let Some(terms) = sum {
        return sum_of(terms, font_size);
    }
    let (number, unit) = number_and_unit(value)?;
    let pixels = match unit {
        "" | "px" => 1.0,
        "pt" => 4.0 / 3.0,
        "pc" => 16.0,
        "in" => 96.0,
        "cm" => 96.0 / 2.54,
        "mm" => 96.0 / 25.4,
        "em" => font_size,
        "ex" | "ch" => font_size / 2.0,
        "rem" => MEDIUM,
        "vw" => VIEWPORT_WIDTH / 100.0,
        "vh" => VIEWPORT_HEIGHT / 100.0,
        _ if number == 0.0 => 0.0,
        _ => return None,
    };
    Some(number * pixels)
}

/// The terms of a `calc()` that only adds and takes away lengths.
fn sum_of(terms: &str, font_size: f32) -> Option<f32> {
    let (mut total, mut sign) = (0.0, 1.0);
    for term in terms.split_whitespace() {
        match term {
            "+" => sign = 1.0,
            "-" => sign = -1.0,
            // `calc(` within `calc(` is no length.
            term if term.contains('(') => return None,
            term => total += sign * length(term, font_size)?,
        }
    }
    Some(total)
}

/// A font size in pixels, within an element whose own is `parent`.
pub(super) fn font_size(value: &str, parent: f32) -> Option<f32> {
    let size = match value {
        "xx-small" => 9.0,
        "x-small" => 10.0,
        "small" => 13.0,
        "medium" | "initial" => MEDIUM,
        "large" => 18.0,
        "x-large" => 24.0,
        "xx-large" => 32.0,
        "xxx-large" => 48.0,
        "smaller" => parent / 1.2,
        "larger" => parent * 1.2,
        "inherit" | "unset" => parent,
        _ => match number_and_unit(value) {
            Some((number, "%")) => parent * number / 100.0,
            _ => length(value, parent)?,
        },
    };
    (size >= 0.0).then_some(size)
}

/// `1.5em` → (1.5, `em`).
pub(super) fn number_and_unit(value: &str) -> Option<(f32, &str)> {
    let value = value.trim();
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let number: f32 = value[..value.len() - unit.len()].parse().ok()?;
    number.is_finite().then_some((number, unit.trim()))
}

/// A number or a percentage as a share of one.
pub(super) fn share(value: &str) -> Option<f32> {
    match number_and_unit(value)? {
        (number, "") => Some(number),
        (number, "%") => Some(number / 100.0),
        _ => None,
    }
}

/// A colour as style sheets and the older attributes write it.
pub(super) fn color(value: &str) -> Option<Color> {
    match value.trim() {
        "" | "inherit" | "unset" | "currentcolor" => None,
        "initial" | "revert" => Some(BLACK),
        value => csscolorparser::parse(value).ok(),
    }
}

pub(super) const BLACK: Color = Color::new(0.0, 0.0, 0.0, 1.0);
pub(super) const WHITE: Color = Color::new(1.0, 1.0, 1.0, 1.0);
/// Blink's colour of links.
pub(super) const LINK: Color = Color::new(0.0, 0.0, 0.93, 1.0);
/// Its ground of `<mark>`, and of buttons.
pub(super) const MARKED: Color = Color::new(1.0, 1.0, 0.0, 1.0);
pub(super) const BUTTON: Color = Color::new(0.937, 0.937, 0.937, 1.0);

/// The colour that is seen where `top` lies over `ground`.
pub(super) fn over(top: &Color, ground: &Color) -> Color {
    let blend = |top_part: f32, ground_part: f32| top_part * top.a + ground_part * (1.0 - top.a);
    Color::new(
        blend(top.r, ground.r),
        blend(top.g, ground.g),
        blend(top.b, ground.b),
        1.0,
    )
}

/// The contrast ratio of two opaque colours, from 1 (the same) to 21 (WCAG 2.2).
pub(super) fn contrast(one: &Color, other: &Color) -> f32 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// How far apart the colours are in the part in which they differ most, from 0 to 1.
pub(super) fn distance(one: &Color, other: &Color) -> f32 {
    let parts = [one.r - other.r, one.g - other.g, one.b - other.b];
    parts.into_iter().map(f32::abs).fold(0.0, f32::max)
}

fn luminance(color: &Color) -> f32 {
    let linear = |part: f32| match part {
        part if part <= 0.040_45 => part / 12.92,
        part => ((part + 0.055) / 1.055).powf(2.4),
    };
    0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)
}

/// The parts of a value: `rgb(0, 51, 102) none` → two.
pub(super) fn words(value: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let blank = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c.is_whitespace()
    };
    value.split(blank).filter(|word| !word.is_empty()).collect()
}

/// The arguments of the first call of `function`: `rect(0, 0, 0, 0)` → four texts.
pub(super) fn arguments<'a>(value: &'a str, function: &str) -> Option<Vec<&'a str>> {
    let start = value.find(function)? + function.len();
    let inner = value[start..].trim_start().strip_prefix('(')?;
    let inner = &inner[..inner.find(')').unwrap_or(inner.len())];
    let separators = |c: char| c == ',' || c.is_whitespace();
    Some(
        inner
            .split(separators)
            .filter(|part| !part.is_empty())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_pixels_and_percentages_are_not_known() {
        for (value, pixels) in [
            ("0", Some(0.0)),
            ("0%", Some(0.0)),
            ("12px", Some(12.0)),
            ("9pt", Some(12.0)),
            ("1.5em", Some(30.0)),
            ("-9999px", Some(-9999.0)),
            ("50%", None),
            ("auto", None),
            ("calc(1em - 20px)", Some(0.0)),
            ("calc(1px + 2px - 10px)", Some(-7.0)),
            ("calc(50% - 2px)", None),
            ("calc(2 * calc(1px))", None),
        ] {
            assert_eq!(length(value, 20.0), pixels, "{value}");
        }
        assert_eq!(font_size("50%", 20.0), Some(10.0));
        assert_eq!(font_size("-3px", 20.0), None);
    }

    #[test]
    fn contrast_of_a_colour_with_itself_is_one() {
        assert!(contrast(&WHITE, &color("#fefefe").unwrap()) < 1.02);
        assert!(contrast(&WHITE, &BLACK) > 20.9);
        assert!(color("ffffff").is_some() && color("rgba(1, 2, 3, 0.5)").is_some());
    }

    #[test]
    fn arguments_of_a_function_are_split_at_commas_and_blanks() {
        let value = "rect(1px, 1px 1px,1px)";
        assert_eq!(arguments(value, "rect").unwrap(), ["1px"; 4]);
        assert_eq!(arguments(value, "inset"), None);
    }
}
