//! What the styles of an element make of its text: [`Style`], inherited from element to element.
//!
//! Knows no layout. Geometry counts where the declarations alone settle it: a box of no size that cuts off what it holds,
//! a place far outside the page, a clip of no area.

use super::cascade::Cascade;
use super::geometry::{
    OPACITY, OUTSIDE, SPECK, cuts_off, is_block, is_clipped_away, is_far, is_moved_outside,
    is_scaled_away, is_transformed_away,
};
use super::property::Property;
use super::values::{
    BLACK, BUTTON, CONTROL, LINK, MARKED, MEDIUM, WHITE, arguments, color, contrast, distance,
    font_size, length, number_and_unit, over, share, words,
};
use csscolorparser::Color;
use scraper::node::Element;

/// Text smaller than this cannot be read.
const READABLE: f32 = 4.0;
/// Colours with less contrast are one colour to the eye. The faintest text of real newsletters has 1.3.
const CONTRAST: f32 = 1.1;
/// Colours of one brightness are two colours all the same if one of their parts differs as much.
const SHADE: f32 = 0.12;

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
    /// The lines of the block have no height.
    has_flat_lines: bool,
    /// A block around it grows with its lines only, had flat ones itself, and cuts off what does not fit.
    is_cut_to_lines: bool,
    /// The text takes its colour from the background, on purpose.
    clipped_to_text: bool,
    /// Line breaks of the source are line breaks of the text.
    pub(super) preserves_lines: bool,
    /// What `display` was declared to be, for the element alone.
    pub(super) display: Option<String>,
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
            has_flat_lines: false,
            is_cut_to_lines: false,
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
            && !(self.has_flat_lines && self.is_cut_to_lines)
            && (self.clipped_to_text || self.stands_out())
    }

    pub(super) fn is_rendered(&self) -> bool {
        self.rendered
    }

    fn stands_out(&self) -> bool {
        if self.color.a < OPACITY {
            return false;
        }
        self.background.as_ref().is_none_or(|ground| {
            let seen = over(&self.color, ground);
            contrast(&seen, ground) >= CONTRAST || distance(&seen, ground) >= SHADE
        })
    }

    fn inherit(&mut self, element: &Element, cascade: &Cascade, quirks: bool) {
        let name = element.name();
        if quirks && name == "table" {
            self.font_size = MEDIUM;
        }
        if matches!(name, "button" | "input" | "textarea") {
            self.font_size = CONTROL;
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
        self.inherit_lines(element, cascade);
        self.inherit_colors(element, cascade);
    }

    fn inherit_lines(&mut self, element: &Element, cascade: &Cascade) {
        let is_block = is_block(element, cascade);
        match cascade.get(Property::LineHeight) {
            None | Some("inherit" | "unset") => {}
            Some(height) => {
                let flat = number_and_unit(height).is_some_and(|(height, unit)| {
                    height == 0.0 || (unit == "px" && height <= SPECK)
                });
                // A line is as high as its block wants it at least, whatever stands in it.
                self.has_flat_lines = flat && (is_block || self.has_flat_lines);
            }
        }
        let grows_with_lines = cascade
            .get(Property::Height)
            .is_none_or(|height| height == "auto")
            && !self.grows(cascade, Property::MinHeight);
        if is_block && self.has_flat_lines && grows_with_lines && cuts_off(cascade) {
            self.is_cut_to_lines = true;
        }
    }

    fn inherit_colors(&mut self, element: &Element, cascade: &Cascade) {
        let name = element.name();
        let declared = [Property::TextFill, Property::Color]
            .into_iter()
            .find_map(|property| cascade.get(property).and_then(color));
        // `inherit` is what senders say of links that are to look like text.
        let inherits = cascade.is_one_of(Property::Color, &["inherit"]);
        match declared {
            Some(declared) => self.color = declared,
            None if inherits => {}
            None if name == "a" && element.attr("href").is_some() => self.color = LINK,
            None if matches!(name, "button" | "input" | "mark" | "textarea") => self.color = BLACK,
            None => {}
        }
        match name {
            "mark" => self.background = Some(MARKED),
            "button" | "input" => self.background = Some(BUTTON),
            "textarea" => self.background = Some(WHITE),
            _ => {}
        }
        if cascade.has_odd_ground {
            self.background = None;
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
        let grows = is_table_part(element) && cascade.get(Property::Display).is_none();
        if grows || !is_block(element, cascade) || !cuts_off(cascade) {
            return false;
        }
        let no_more_than = |property, most: f32| {
            cascade
                .get(property)
                .and_then(|value| length(value, self.font_size))
                .is_some_and(|size| size <= most)
        };
        let no_height = (no_more_than(Property::MaxHeight, SPECK)
            || no_more_than(Property::Height, SPECK))
            && !self.grows(cascade, Property::MinHeight);
        let no_width = (no_more_than(Property::MaxWidth, SPECK)
            || no_more_than(Property::Width, SPECK))
            && !self.grows(cascade, Property::MinWidth);
        no_height || no_width
    }

    /// Whether a box is larger than nothing by this minimum; what only a layout can tell counts as large.
    fn grows(&self, cascade: &Cascade, minimum: Property) -> bool {
        cascade
            .get(minimum)
            .is_some_and(|value| match length(value, self.font_size) {
                Some(size) => size > SPECK,
                None => value.contains('(') || share(value).is_some_and(|part| part > 0.0),
            })
    }
}

fn background_color(value: &str) -> Option<Color> {
    color(value).or_else(|| words(value).into_iter().find_map(color))
}

/// Tables and their rows, which are as large as what is in them.
fn is_table_part(element: &Element) -> bool {
    matches!(element.name(), "table" | "tbody" | "tfoot" | "thead" | "tr")
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
            | "rp"
            | "script"
            | "select"
            | "style"
            | "svg"
            | "template"
            | "title"
            | "video"
    ) || element.name() == "dialog" && element.attr("open").is_none()
}
