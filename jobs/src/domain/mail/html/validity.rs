//! Whether a declaration counts at all: [`is_valid`]. A browser drops one whose value it cannot read, and the one before it
//! stays; so must we, or `display:none; display:nonsense` would show what nobody sees.
//!
//! Judges by single words, not by a property's whole grammar, and lets every function pass.

use super::property::Property;
use super::values::{MEDIUM, color, font_size, length, number_and_unit, share, words};

const GLOBAL: &[&str] = &["inherit", "initial", "revert", "revert-layer", "unset"];
const DISPLAY: &[&str] = &[
    "-webkit-box",
    "-webkit-flex",
    "-webkit-inline-box",
    "block",
    "contents",
    "flex",
    "flow",
    "flow-root",
    "grid",
    "inline",
    "inline-block",
    "inline-flex",
    "inline-grid",
    "inline-table",
    "list-item",
    "none",
    "ruby",
    "run-in",
    "table",
    "table-caption",
    "table-cell",
    "table-column",
    "table-column-group",
    "table-footer-group",
    "table-header-group",
    "table-row",
    "table-row-group",
];
/// What a size may be beside a length.
const SIZES: &[&str] = &[
    "-moz-fit-content",
    "-webkit-fill-available",
    "-webkit-fit-content",
    "auto",
    "fit-content",
    "max-content",
    "min-content",
    "none",
    "normal",
    "stretch",
];
const BACKGROUND: &[&str] = &[
    "/",
    "auto",
    "border-box",
    "bottom",
    "center",
    "contain",
    "content-box",
    "cover",
    "fixed",
    "left",
    "local",
    "no-repeat",
    "none",
    "padding-box",
    "repeat",
    "repeat-x",
    "repeat-y",
    "right",
    "round",
    "scroll",
    "space",
    "text",
    "top",
];
const WHITE_SPACE: &[&str] = &[
    "break-spaces",
    "normal",
    "nowrap",
    "pre",
    "pre-line",
    "pre-wrap",
];
/// Colours of the desktop whose names do not end in `text`.
const SYSTEM_COLORS: &[&str] = &[
    "buttonface",
    "canvas",
    "currentcolor",
    "field",
    "highlight",
    "mark",
    "menu",
    "window",
];
/// Units of lengths that no email needs to have computed.
const OTHER_UNITS: &[&str] = &[
    "%", "cap", "dvh", "dvw", "ic", "lh", "lvh", "lvw", "q", "rlh", "svh", "svw", "vb", "vi",
    "vmax", "vmin",
];

/// Whether a browser can read the value of this property.
pub(super) fn is_valid(property: Property, value: &str) -> bool {
    if value.contains('(') || GLOBAL.contains(&value) {
        return true;
    }
    let all_of = |known: &[&str]| {
        let words = words(value);
        !words.is_empty() && words.iter().all(|word| known.contains(word))
    };
    match property {
        Property::BackgroundClip => all_of(BACKGROUND),
        Property::BackgroundColor | Property::BackgroundImage => is_background(value),
        Property::Clip | Property::Transform | Property::Filter => matches!(value, "none" | "auto"),
        Property::ClipPath => value == "none" || value.ends_with("-box"),
        Property::Color | Property::TextFill => is_color(value),
        Property::ContentVisibility => all_of(&["auto", "hidden", "visible"]),
        Property::Display => all_of(DISPLAY),
        Property::Float => all_of(&["inline-end", "inline-start", "left", "none", "right"]),
        Property::FontSize => font_size(value, MEDIUM).is_some() || is_length(value, 0.0),
        Property::Height
        | Property::LineHeight
        | Property::MaxHeight
        | Property::MaxWidth
        | Property::MinHeight
        | Property::MinWidth
        | Property::Width => SIZES.contains(&value) || is_length(value, 0.0),
        Property::Bottom
        | Property::Left
        | Property::MarginLeft
        | Property::MarginTop
        | Property::Right
        | Property::TextIndent
        | Property::Top => value == "auto" || is_length(value, f32::MIN),
        Property::Opacity => share(value).is_some(),
        Property::Overflow => all_of(&["auto", "clip", "hidden", "overlay", "scroll", "visible"]),
        Property::Position => all_of(&[
            "-webkit-sticky",
            "absolute",
            "fixed",
            "relative",
            "static",
            "sticky",
        ]),
        Property::Scale => {
            value == "none" || words(value).into_iter().all(|one| share(one).is_some())
        }
        Property::Translate => {
            value == "none" || words(value).into_iter().all(|one| is_length(one, f32::MIN))
        }
        Property::Visibility => all_of(&["collapse", "hidden", "visible"]),
        Property::WhiteSpace => all_of(WHITE_SPACE),
    }
}

fn is_color(value: &str) -> bool {
    color(value).is_some() || value.ends_with("text") || SYSTEM_COLORS.contains(&value)
}

/// The shorthand, or one part of it.
fn is_background(value: &str) -> bool {
    words(value)
        .into_iter()
        .all(|word| BACKGROUND.contains(&word) || is_color(word) || is_length(word, f32::MIN))
}

/// A length or a percentage, of at least so much.
fn is_length(value: &str, least: f32) -> bool {
    number_and_unit(value).is_some_and(|(number, unit)| {
        number >= least && (length(value, MEDIUM).is_some() || OTHER_UNITS.contains(&unit))
    })
}
