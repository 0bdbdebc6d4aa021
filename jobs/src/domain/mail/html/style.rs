//! What the styles of an element make of its text: [`Style`], inherited from element to element.
//!
//! Knows no layout. Geometry counts where the declarations alone settle it: a box of no size that cuts off what it holds,
//! a place far outside the page, a clip of no area.

use super::css::{Declaration, Property};
use super::values::{
    BLACK, LINK, MEDIUM, WHITE, arguments, color, contrast, font_size, length, number_and_unit,
    over, share,
};
use csscolorparser::Color;
use scraper::node::Element;

/// Text smaller than this cannot be read.
const READABLE: f32 = 4.0;
/// Boxes of this size and below show nothing of a text.
const SPECK: f32 = 1.0;
/// Farther outside than any layout puts what it wants to be seen.
const OUTSIDE: f32 = -500.0;
/// Colours with less contrast are one colour to the eye. The faintest text of real newsletters has 1.3.
const CONTRAST: f32 = 1.1;
const OPACITY: f32 = 0.05;

/// The computed values that decide whether text can be seen.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Neither the element nor one around it is taken out of sight with all it holds.
    rendered: bool,
    visible: bool,
    font_size: f32,
    color: Color,
    /// The colour behind the text; `None` where a picture may be.
    background: Option<Color>,
    text_indent: f32,
    /// The text takes its colour from the background, on purpose.
    clipped_to_text: bool,
    /// Line breaks of the source are line breaks of the text.
    pub(super) preserves_lines: bool,
    /// What `display` was declared to be, for the element alone.
    pub(super) display: Option<String>,
}

/// How strongly a declaration counts against others of its property, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    important: bool,
    origin: Origin,
    specificity: u32,
    order: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// An attribute such as `bgcolor`.
    Hint,
    Sheet,
    Inline,
}

/// The winning declaration of each property.
#[derive(Default)]
pub(super) struct Cascade(Vec<(Property, Weight, String)>);

impl Cascade {
    pub(super) fn sheet(&mut self, specificity: u32, order: u32, declaration: &Declaration) {
        let weight = Weight {
            important: declaration.important,
            origin: Origin::Sheet,
            specificity,
            order,
        };
        self.add(declaration.property, weight, &declaration.value);
    }

    pub(super) fn inline(&mut self, declaration: &Declaration) {
        let weight = Weight {
            important: declaration.important,
            origin: Origin::Inline,
            specificity: 0,
            order: 0,
        };
        self.add(declaration.property, weight, &declaration.value);
    }

    /// What the older attributes say.
    pub(super) fn hints(&mut self, element: &Element) {
        let weight = Weight {
            important: false,
            origin: Origin::Hint,
            specificity: 0,
            order: 0,
        };
        let lower = |value: &str| value.to_ascii_lowercase();
        if element.attr("hidden").is_some() {
            self.add(Property::Display, weight, "none");
        }
        if let Some(value) = element.attr("bgcolor") {
            self.add(Property::BackgroundColor, weight, &lower(value));
        }
        if element
            .attr("background")
            .is_some_and(|url| !url.trim().is_empty())
        {
            self.add(Property::BackgroundImage, weight, "url()");
        }
        let text = match element.name() {
            "font" => element.attr("color"),
            "body" => element.attr("text"),
            _ => None,
        };
        if let Some(value) = text {
            self.add(Property::Color, weight, &lower(value));
        }
    }

    fn add(&mut self, property: Property, weight: Weight, value: &str) {
        match self.0.iter_mut().find(|(known, _, _)| *known == property) {
            Some((_, held, text)) if weight >= *held => {
                *held = weight;
                value.clone_into(text);
            }
            Some(_) => {}
            None => self.0.push((property, weight, value.to_owned())),
        }
    }

    fn get(&self, property: Property) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _, _)| *known == property)
            .map(|(_, _, value)| value.as_str())
    }

    fn is_one_of(&self, property: Property, values: &[&str]) -> bool {
        self.get(property)
            .is_some_and(|value| values.contains(&value))
    }
}

impl Style {
    /// Of the page before anything is said: black on white, of medium size.
    pub(super) fn initial() -> Self {
        Self {
            rendered: true,
            visible: true,
            font_size: MEDIUM,
            color: BLACK,
            background: Some(WHITE),
            text_indent: 0.0,
            clipped_to_text: false,
            preserves_lines: false,
            display: None,
        }
    }

    /// Of an element within this one. `quirks` says that the document has no doctype: its tables start afresh.
    pub(super) fn child(&self, element: &Element, cascade: &Cascade, quirks: bool) -> Self {
        let mut style = self.clone();
        style.display = cascade.get(Property::Display).map(str::to_owned);
        if !style.rendered {
            return style;
        }
        style.inherit(element, cascade, quirks);
        style.rendered = !is_never_shown(element) && !style.is_out_of_sight(element, cascade);
        style
    }

    /// Whether text directly in the element can be seen.
    pub(super) fn shows_text(&self) -> bool {
        self.rendered
            && self.visible
            && self.font_size >= READABLE
            && self.text_indent > OUTSIDE
            && (self.clipped_to_text || self.stands_out())
    }

    pub(super) fn is_rendered(&self) -> bool {
        self.rendered
    }

    fn stands_out(&self) -> bool {
        if self.color.a < OPACITY {
            return false;
        }
        self.background
            .as_ref()
            .is_none_or(|ground| contrast(&over(&self.color, ground), ground) >= CONTRAST)
    }

    fn inherit(&mut self, element: &Element, cascade: &Cascade, quirks: bool) {
        let name = element.name();
        if quirks && name == "table" {
            self.font_size = MEDIUM;
        }
        if let Some(value) = cascade.get(Property::FontSize)
            && let Some(size) = font_size(value, self.font_size)
        {
            self.font_size = size;
        }
        match cascade.get(Property::Visibility) {
            Some("hidden" | "collapse") => self.visible = false,
            Some("visible" | "initial") => self.visible = true,
            _ => {}
        }
        match (name, cascade.get(Property::WhiteSpace)) {
            (_, Some(value)) if value != "inherit" => {
                self.preserves_lines = value.starts_with("pre") || value == "break-spaces";
            }
            ("pre" | "listing" | "xmp" | "textarea" | "plaintext", _) => {
                self.preserves_lines = true;
            }
            _ => {}
        }
        if let Some(indent) = cascade
            .get(Property::TextIndent)
            .and_then(|value| length(value, self.font_size))
        {
            self.text_indent = indent;
        }
        self.inherit_colors(element, cascade);
    }

    fn inherit_colors(&mut self, element: &Element, cascade: &Cascade) {
        let declared = [Property::TextFill, Property::Color]
            .into_iter()
            .find_map(|property| cascade.get(property).and_then(color));
        match declared {
            Some(declared) => self.color = declared,
            None if element.name() == "a" && element.attr("href").is_some() => {
                // `inherit` is what senders say of links that are to look like text.
                let inherits = cascade.is_one_of(Property::Color, &["inherit"]);
                if !inherits {
                    self.color = LINK;
                }
            }
            None if matches!(element.name(), "button" | "mark") => self.color = BLACK,
            None => {}
        }
        if cascade.get(Property::BackgroundClip) == Some("text") {
            self.clipped_to_text = true;
        }
        let lifted = cascade.is_one_of(Property::Position, &["absolute", "fixed"]);
        if lifted {
            // It lies over something else, and what that is only a layout can tell.
            self.background = None;
        }
        let painted = cascade
            .get(Property::BackgroundColor)
            .and_then(background_color);
        if let Some(paint) = painted.filter(|paint| paint.a > OPACITY) {
            self.background = match &self.background {
                _ if paint.a > 0.95 => Some(paint),
                Some(ground) => Some(over(&paint, ground)),
                None => None,
            };
        }
        let pictured = |value: &str| value.contains("url(") || value.contains("gradient(");
        if cascade.get(Property::BackgroundImage).is_some_and(pictured) {
            self.background = None;
        }
    }

    fn is_out_of_sight(&self, element: &Element, cascade: &Cascade) -> bool {
        let get = |property| cascade.get(property);
        let pixels = |property| get(property).and_then(|value| length(value, self.font_size));
        let opacity = get(Property::Opacity).and_then(share);
        let filtered = get(Property::Filter)
            .and_then(|value| arguments(value, "opacity"))
            .and_then(|parts| share(parts.first()?));
        get(Property::Display) == Some("none")
            || get(Property::ContentVisibility) == Some("hidden")
            || [opacity, filtered]
                .into_iter()
                .flatten()
                .any(|part| part < OPACITY)
            || self.is_cut_to_nothing(element, cascade)
            || is_moved_outside(cascade, &pixels)
            || is_clipped_away(cascade, self.font_size)
            || get(Property::Transform)
                .is_some_and(|value| is_transformed_away(value, self.font_size))
            || get(Property::Translate).is_some_and(|value| is_far(value, self.font_size))
            || get(Property::Scale).is_some_and(is_scaled_away)
    }

    /// A block of no width or no height that cuts off what does not fit.
    fn is_cut_to_nothing(&self, element: &Element, cascade: &Cascade) -> bool {
        if !is_block(element, cascade)
            || !cascade.is_one_of(Property::Overflow, &["hidden", "clip", "scroll", "auto"])
        {
            return false;
        }
        let no_more_than = |property, most: f32| {
            cascade
                .get(property)
                .and_then(|value| length(value, self.font_size))
                .is_some_and(|size| size <= most)
        };
        let grows = |property| {
            cascade
                .get(property)
                .and_then(|value| length(value, self.font_size))
                .is_some_and(|size| size > SPECK)
        };
        let no_height = (no_more_than(Property::MaxHeight, SPECK)
            || no_more_than(Property::Height, SPECK))
            && !grows(Property::MinHeight);
        let no_width = (no_more_than(Property::MaxWidth, SPECK)
            || no_more_than(Property::Width, SPECK))
            && !grows(Property::MinWidth);
        let flat_lines = cascade
            .get(Property::Height)
            .is_none_or(|height| height == "auto")
            && cascade
                .get(Property::LineHeight)
                .and_then(number_and_unit)
                .is_some_and(|(height, unit)| height == 0.0 || (unit == "px" && height <= SPECK));
        no_height || no_width || flat_lines
    }
}

/// Whether sizes and overflow apply: not to inline elements, and a cell grows with what is in it.
fn is_block(element: &Element, cascade: &Cascade) -> bool {
    if cascade.is_one_of(Property::Position, &["absolute", "fixed"])
        || cascade.is_one_of(Property::Float, &["left", "right"])
    {
        return true;
    }
    match cascade.get(Property::Display) {
        Some(display) => {
            !display.starts_with("inline") && !display.starts_with("table") && display != "contents"
                || matches!(display, "inline-block" | "inline-flex" | "inline-grid")
        }
        None => super::is_block_by_default(element.name()),
    }
}

fn is_moved_outside(cascade: &Cascade, pixels: &impl Fn(Property) -> Option<f32>) -> bool {
    let far = |property| pixels(property).is_some_and(|offset| offset <= OUTSIDE);
    let positioned = cascade.is_one_of(
        Property::Position,
        &["absolute", "fixed", "relative", "sticky"],
    );
    far(Property::MarginLeft)
        || far(Property::MarginTop)
        || positioned
            && [
                Property::Left,
                Property::Top,
                Property::Right,
                Property::Bottom,
            ]
            .into_iter()
            .any(far)
}

fn is_clipped_away(cascade: &Cascade, font_size: f32) -> bool {
    let pixels = |value: &str| length(value, font_size);
    // `clip` applies to positioned elements only; its edges count from the top left corner.
    let clipped = cascade.is_one_of(Property::Position, &["absolute", "fixed"])
        && cascade
            .get(Property::Clip)
            .and_then(|value| arguments(value, "rect"))
            .and_then(|edges| {
                let edge = |n: usize| edges.get(n).copied().and_then(pixels);
                Some((edge(2)? - edge(0)?).min(edge(1)? - edge(3)?))
            })
            .is_some_and(|size| size <= SPECK);
    let shaped = cascade.get(Property::ClipPath).is_some_and(|value| {
        let inset = arguments(value, "inset").is_some_and(|edges| {
            let half =
                |edge: &str| share(edge).is_some_and(|part| edge.ends_with('%') && part >= 0.5);
            match edges[..] {
                [all] => half(all),
                [vertical, horizontal, ..] => half(vertical) || half(horizontal),
                [] => false,
            }
        });
        let circle = ["circle", "ellipse"].iter().any(|shape| {
            arguments(value, shape)
                .and_then(|parts| pixels(parts.first()?))
                .is_some_and(|radius| radius <= SPECK)
        });
        let polygon = arguments(value, "polygon")
            .is_some_and(|points| points.iter().all(|point| pixels(point) == Some(0.0)));
        inset || circle || polygon
    });
    clipped || shaped
}

/// The values of `translate`.
fn is_far(value: &str, font_size: f32) -> bool {
    value
        .split_whitespace()
        .filter_map(|offset| length(offset, font_size))
        .any(|offset| offset <= OUTSIDE)
}

/// The values of `scale`; the third is the depth.
fn is_scaled_away(value: &str) -> bool {
    let factors = value.split_whitespace().take(2);
    factors.filter_map(share).any(|part| part.abs() < OPACITY)
}

fn is_transformed_away(value: &str, font_size: f32) -> bool {
    let scaled = ["scale", "scalex", "scaley", "scale3d"]
        .iter()
        .any(|function| {
            arguments(value, function).is_some_and(|parts| {
                parts
                    .iter()
                    .take(2)
                    .filter_map(|part| share(part))
                    .any(|part| part.abs() < OPACITY)
            })
        });
    let moved = ["translate", "translatex", "translatey", "translate3d"]
        .iter()
        .any(|function| {
            arguments(value, function).is_some_and(|parts| {
                parts
                    .iter()
                    .filter_map(|part| length(part, font_size))
                    .any(|offset| offset <= OUTSIDE)
            })
        });
    scaled || moved
}

fn background_color(value: &str) -> Option<Color> {
    color(value).or_else(|| value.split_whitespace().find_map(color))
}

/// Elements whose content no mail program shows as text.
fn is_never_shown(element: &Element) -> bool {
    matches!(
        element.name(),
        "area"
            | "audio"
            | "canvas"
            | "datalist"
            | "head"
            | "iframe"
            | "math"
            | "noembed"
            | "noframes"
            | "object"
            | "script"
            | "select"
            | "style"
            | "svg"
            | "template"
            | "title"
            | "video"
    ) || element.name() == "dialog" && element.attr("open").is_none()
}
