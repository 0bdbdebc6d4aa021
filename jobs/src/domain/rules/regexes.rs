//! What the regular expressions of a rule set may take of memory: [`RegexBudget`].
//!
//! One expression of 500 characters may compile to a quarter of a megabyte; a thousand of them would take as much as the
//! rest of a worker.

use regex::{Regex, RegexBuilder};

/// For all expressions of a set.
const BYTES: usize = 24 * 1024 * 1024;
/// Sizes of a compiled expression; the engine says only whether it fits. Unicode classes such as `\w` need the middle ones.
const SIZES: [usize; 6] = [8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10];
/// An expression and its caches, which are limited to its size.
const SHARES: usize = 3;

/// What is left for further expressions.
#[derive(Debug)]
pub(super) struct RegexBudget {
    left: usize,
}

/// Why an expression was not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotCompiled {
    Invalid(String),
    TooComplex,
    /// The other expressions have taken everything.
    NoneLeft,
}

impl Default for RegexBudget {
    fn default() -> Self {
        Self { left: BYTES }
    }
}

impl RegexBudget {
    /// Compiles an expression, case-insensitive, and takes its size from the budget.
    pub(super) fn compile(&mut self, source: &str) -> Result<Regex, NotCompiled> {
        for size in SIZES {
            match build(source, size) {
                Ok(regex) => {
                    let left = self.left.checked_sub(size * SHARES);
                    self.left = left.ok_or(NotCompiled::NoneLeft)?;
                    return Ok(regex);
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => {
                    // The last line says what is wrong; those before it repeat the pattern.
                    let reason = error.to_string();
                    let last = reason.lines().last().unwrap_or_default().trim();
                    return Err(NotCompiled::Invalid(last.to_owned()));
                }
            }
        }
        Err(NotCompiled::TooComplex)
    }

    /// What was taken so far.
    pub(super) fn taken(&self) -> usize {
        BYTES - self.left
    }
}

/// The engine is linear in the text; the limits bound what one expression may cost to build and to hold.
fn build(source: &str, size: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source)
        .case_insensitive(true)
        .size_limit(size)
        .dfa_size_limit(size)
        .nest_limit(50)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_a_set_share_a_budget() {
        let mut budget = RegexBudget::default();
        assert!(matches!(budget.compile("("), Err(NotCompiled::Invalid(_))));
        assert_eq!(
            budget.compile("(a{100}){100}").err(),
            Some(NotCompiled::TooComplex)
        );
        assert_eq!(budget.taken(), 0);
        let large = r"\w\s\w";
        let compiled = (0..1000).take_while(|_| budget.compile(large).is_ok());
        let compiled = compiled.count();
        assert!((10..500).contains(&compiled), "{compiled}");
        assert_eq!(budget.compile(large).err(), Some(NotCompiled::NoneLeft));
        assert!(budget.taken() <= BYTES);
    }

    #[test]
    fn rules_of_people_fit_many_times() {
        let mut budget = RegexBudget::default();
        for n in 0..200 {
            let regex = budget.compile(&format!(r"invoice\s+#?\d{{4,}}-{n}"));
            assert!(regex.is_ok(), "{n}: {regex:?}");
        }
    }
}
