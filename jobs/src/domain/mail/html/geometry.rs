//! Where declarations alone settle that a box is not seen: no area, a place far outside the page.

use super::cascade::Cascade;
use super::property::Property;
use super::values::{arguments, length, share};
use scraper::node::Element;

/// Boxes of this size and below show nothing of a text.
pub(super) const SPECK: f32 = 1.0;
/// Farther outside than any layout puts what it wants to be seen.
pub(super) const OUTSIDE: f32 = -500.0;
/// Less of something than this is nothing of it.
pub(super) const OPACITY: f32 = 0.05;

/// Whether the element cuts off what does not fit.
pub(super) fn cuts_off(cascade: &Cascade) -> bool {
    cascade.is_one_of(Property::Overflow, &["hidden", "clip", "scroll", "auto"])
}

/// Whether sizes and overflow apply: not to inline elements, and a cell grows with what is in it.
pub(super) fn is_block(element: &Element, cascade: &Cascade) -> bool {
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

/// Whether offsets or margins put it where nobody looks.
pub(super) fn is_moved_outside(
    cascade: &Cascade,
    pixels: &impl Fn(Property) -> Option<f32>,
) -> bool {
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

/// Whether a clip leaves nothing of it.
pub(super) fn is_clipped_away(cascade: &Cascade, font_size: f32) -> bool {
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
pub(super) fn is_far(value: &str, font_size: f32) -> bool {
    value
        .split_whitespace()
        .filter_map(|offset| length(offset, font_size))
        .any(|offset| offset <= OUTSIDE)
}

/// The values of `scale`; the third is the depth.
pub(super) fn is_scaled_away(value: &str) -> bool {
    let factors = value.split_whitespace().take(2);
    factors.filter_map(share).any(|part| part.abs() < OPACITY)
}

/// Whether `transform` makes it a point, or moves it far away.
pub(super) fn is_transformed_away(value: &str, font_size: f32) -> bool {
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
