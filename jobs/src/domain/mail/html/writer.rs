//! Text as it is laid out in lines: [`Writer`]. White space collapses, blocks stand on lines of their own, quoted blocks
//! are marked with `> `, and the targets of a block's links follow the block.

use url::Url;

/// A link's target is shown up to this length; trackers make theirs much longer.
const TARGET: usize = 100;
const TARGETS: usize = 60;

/// Collects text.
#[derive(Default)]
pub(super) struct Writer {
    text: String,
    gap: Gap,
    quotes: usize,
    targets: Vec<String>,
    targets_told: usize,
    base: Option<Url>,
}

/// What stands between the text so far and the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    #[default]
    None,
    Blank,
    Line,
    Paragraph,
}

impl Writer {
    /// Relative links are resolved against `base`.
    pub(super) fn new(base: Option<Url>) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    /// Text within a line.
    pub(super) fn words(&mut self, text: &str) {
        for (n, word) in text.split([' ', '\n', '\r', '\t', '\u{c}']).enumerate() {
            if n > 0 {
                self.gap = self.gap.max(Gap::Blank);
            }
            if !word.is_empty() {
                self.close_gap();
                self.text.push_str(word);
            }
        }
    }

    /// Text whose line breaks count.
    pub(super) fn lines(&mut self, text: &str) {
        for (n, line) in text.split('\n').enumerate() {
            if n > 0 {
                self.line_break();
            }
            self.words(line);
        }
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        if gap >= Gap::Line {
            self.tell_targets();
        }
        self.gap = self.gap.max(gap);
    }

    /// A second one makes an empty line.
    pub(super) fn line_break(&mut self) {
        self.tell_targets();
        self.gap = match self.gap {
            Gap::Line | Gap::Paragraph => Gap::Paragraph,
            Gap::None | Gap::Blank => Gap::Line,
        };
    }

    pub(super) fn open_quote(&mut self) {
        self.gap(Gap::Paragraph);
        self.quotes += 1;
    }

    pub(super) fn close_quote(&mut self) {
        self.gap(Gap::Paragraph);
        self.quotes = self.quotes.saturating_sub(1);
    }

    /// Where the text goes on, to ask [`Writer::link`] about later.
    pub(super) fn position(&self) -> usize {
        self.text.len()
    }

    /// Notes the target of a link whose text began at `start`, unless nothing of the link is seen or its text says it.
    pub(super) fn link(&mut self, start: usize, href: &str) {
        let Some(shown) = self.text.get(start..).filter(|shown| !shown.is_empty()) else {
            return;
        };
        let absolute = self.base.as_ref().and_then(|base| base.join(href).ok());
        let href = absolute.as_ref().map_or(href, Url::as_str);
        let Some(target) = target(href) else { return };
        let bare = target
            .trim_start_matches("https://")
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let said = shown.contains(bare) || self.targets.contains(&target);
        if !said && self.targets_told < TARGETS {
            self.targets_told += 1;
            self.targets.push(target);
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.tell_targets();
        self.text
    }

    fn tell_targets(&mut self) {
        for target in std::mem::take(&mut self.targets) {
            self.text.push_str(" <");
            self.text.push_str(&target);
            self.text.push('>');
        }
    }

    fn close_gap(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        let quote = "> ".repeat(self.quotes.min(8));
        match gap {
            _ if self.text.is_empty() => self.text.push_str(&quote),
            Gap::None => {}
            Gap::Blank => self.text.push(' '),
            Gap::Line => {
                self.text.push('\n');
                self.text.push_str(&quote);
            }
            Gap::Paragraph => {
                self.text.push_str("\n\n");
                self.text.push_str(&quote);
            }
        }
    }
}

/// `https://…` without what only a tracker reads, or the address of a `mailto:`.
fn target(href: &str) -> Option<String> {
    let href: String = href
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control() && !"<>".contains(*c))
        .collect();
    let lower = href.get(..8).unwrap_or(&href).to_ascii_lowercase();
    if lower.starts_with("mailto:") {
        let address = href[7..].split('?').next().unwrap_or_default();
        return (!address.is_empty()).then(|| address.to_owned());
    }
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return None;
    }
    if href.chars().count() <= TARGET {
        return Some(href);
    }
    let short = href.split(['?', '#']).next().unwrap_or_default();
    Some(short.chars().take(TARGET).chain(['…']).collect())
}
