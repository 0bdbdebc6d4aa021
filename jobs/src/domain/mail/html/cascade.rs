//! Which of an element's declarations win: [`Cascade`]. Attributes count least, then style sheets, then `style`.

use super::css::Declaration;
use super::property::Property;
use super::values::color;
use scraper::node::Element;

/// How strongly a declaration counts against others of its property, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
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
pub(super) struct Cascade {
    winners: Vec<(Property, Weight, String)>,
    /// `bgcolor` asks for a ground, and not one that we can tell.
    pub(super) has_odd_ground: bool,
}

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
        let lower = |value: &str| value.trim().to_ascii_lowercase();
        if element.attr("hidden").is_some() {
            self.add(Property::Display, weight, "none");
        }
        if let Some(value) = element.attr("bgcolor").map(lower) {
            // HTML makes a colour of almost any text, by rules that no sender means.
            let is_read = color(&value).is_some_and(|color| color.a >= 1.0);
            self.has_odd_ground = !is_read && !matches!(value.as_str(), "" | "transparent");
            self.add(Property::BackgroundColor, weight, &value);
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
        if let ("font", Some(size)) = (element.name(), element.attr("size"))
            && let Some(size) = size_of_font(size)
        {
            self.add(Property::FontSize, weight, size);
        }
    }

    fn add(&mut self, property: Property, weight: Weight, value: &str) {
        match self
            .winners
            .iter_mut()
            .find(|(known, _, _)| *known == property)
        {
            Some((_, held, text)) if weight >= *held => {
                *held = weight;
                value.clone_into(text);
            }
            Some(_) => {}
            None => self.winners.push((property, weight, value.to_owned())),
        }
    }

    pub(super) fn get(&self, property: Property) -> Option<&str> {
        self.winners
            .iter()
            .find(|(known, _, _)| *known == property)
            .map(|(_, _, value)| value.as_str())
    }

    pub(super) fn is_one_of(&self, property: Property, values: &[&str]) -> bool {
        self.get(property)
            .is_some_and(|value| values.contains(&value))
    }
}

/// `<font size>`: 1 to 7, or so many steps from 3.
fn size_of_font(size: &str) -> Option<&'static str> {
    let size = size.trim();
    let steps = size.starts_with(['+', '-']);
    let number: usize = match size.parse::<i32>().ok()? {
        number if steps => number.saturating_add(3),
        number => number,
    }
    .clamp(1, 7)
    .try_into()
    .ok()?;
    let sizes = [
        "x-small",
        "small",
        "medium",
        "large",
        "x-large",
        "xx-large",
        "xxx-large",
    ];
    sizes.get(number - 1).copied()
}
