//! What models cost: [`Prices`], a dated table that an operator can replace.
//!
//! Amounts are millionths of a US dollar. A model without a price has no cost, which is not the same as a cost of zero.

use crate::{completion::TokenUsage, tier::ServiceTier};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The table that is shipped.
const SHIPPED: &str = include_str!("prices.json");

/// The prices of models.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The day on which they were read from the providers' pages.
    pub as_of: chrono::NaiveDate,
    models: Vec<Price>,
}

/// The price of a model, in US dollars per million tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    provider: String,
    /// The model's name, or `*` for every model of the provider. Dated versions of a model have its price.
    model: String,
    input: f64,
    /// The same as `input` if absent.
    cached_input: Option<f64>,
    /// Of input that is written to the provider's cache. The same as `input` if absent.
    cache_write: Option<f64>,
    output: f64,
    /// Prices for requests with a longer input, ascending.
    #[serde(default)]
    bands: Vec<Band>,
    /// Prices of other tiers. One without a price costs what the standard tier does, and so does a request of a band.
    #[serde(default)]
    tiers: BTreeMap<ServiceTier, Rates>,
}

/// Other prices for the same model.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    input: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    output: f64,
}

/// Another price for a request whose input has more than so many tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Band {
    above_input_tokens: u64,
    input: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    output: f64,
}

/// The table cannot be used. The position is in the source.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    #[error("is not a table of prices")]
    Syntax(#[source] serde_json::Error),
    #[error("has a price for {provider}/{model} that is not a number of dollars from 0 up")]
    Amount { provider: String, model: String },
}

impl Prices {
    /// Returns the table that is shipped.
    ///
    /// # Panics
    /// Never: a test parses it.
    pub fn shipped() -> Self {
        Self::from_json(SHIPPED).expect("the shipped prices are tested")
    }

    /// Parses a table.
    ///
    /// # Errors
    /// If it has another form, or an amount is negative.
    pub fn from_json(text: &str) -> Result<Self, PricesError> {
        let prices: Self = serde_json::from_str(text).map_err(PricesError::Syntax)?;
        for price in &prices.models {
            let others = (price.bands.iter().map(Band::rates)).chain(price.tiers.values().copied());
            let mut amounts = [price.rates()].into_iter().chain(others).flat_map(|rates| {
                let cached = rates.cached_input.unwrap_or_default();
                let written = rates.cache_write.unwrap_or_default();
                [rates.input, cached, written, rates.output]
            });
            if !amounts.all(|amount| amount.is_finite() && amount >= 0.0) {
                return Err(PricesError::Amount {
                    provider: price.provider.clone(),
                    model: price.model.clone(),
                });
            }
        }
        Ok(prices)
    }

    /// Returns the cost of this usage in millionths of a dollar, rounded up; none if the model has no price.
    pub fn micros(
        &self,
        provider: &str,
        model: &str,
        tier: ServiceTier,
        usage: TokenUsage,
    ) -> Option<u64> {
        let Rates {
            input,
            cached_input,
            cache_write,
            output,
        } = self.find(provider, model)?.rates_for(tier, usage);
        let read = usage.cache_read.min(usage.input);
        let written = usage.cache_write.min(usage.input - read);
        // Dollars per million tokens are millionths of a dollar per token.
        let micros = (usage.input - read - written) as f64 * input
            + read as f64 * cached_input.unwrap_or(input)
            + written as f64 * cache_write.unwrap_or(input)
            + usage.output as f64 * output;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast from a float saturates, and the fraction was rounded up"
        )]
        let micros = micros.ceil() as u64;
        Some(micros)
    }

    /// Finds the price with the longest name that fits.
    fn find(&self, provider: &str, model: &str) -> Option<&Price> {
        let fits = |price: &&Price| {
            price.provider == provider && (price.model == "*" || is_version(&price.model, model))
        };
        self.models
            .iter()
            .filter(fits)
            .max_by_key(|price| match price.model.as_str() {
                "*" => 0,
                name => name.len(),
            })
    }
}

impl Price {
    fn rates(&self) -> Rates {
        Rates {
            input: self.input,
            cached_input: self.cached_input,
            cache_write: self.cache_write,
            output: self.output,
        }
    }

    fn rates_for(&self, tier: ServiceTier, usage: TokenUsage) -> Rates {
        let fits = |band: &&Band| usage.input > band.above_input_tokens;
        let of_band = self.bands.iter().rfind(fits).map(Band::rates);
        let of_tier = || self.tiers.get(&tier).copied();
        of_band.or_else(of_tier).unwrap_or_else(|| self.rates())
    }
}

impl Band {
    fn rates(&self) -> Rates {
        Rates {
            input: self.input,
            cached_input: self.cached_input,
            cache_write: self.cache_write,
            output: self.output,
        }
    }
}

/// Returns whether `model` is `name` or a dated version of it: `gpt-4.1-2025-04-14`.
fn is_version(name: &str, model: &str) -> bool {
    let Some(rest) = model.strip_prefix(name) else {
        return false;
    };
    rest.is_empty()
        || rest.strip_prefix('-').is_some_and(|date| {
            date.len() >= 8
                && date
                    .chars()
                    .all(|char| char.is_ascii_digit() || char == '-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, cache_read: u64, output: u64) -> TokenUsage {
        TokenUsage {
            input,
            output,
            cache_read,
            ..TokenUsage::default()
        }
    }

    #[test]
    fn shipped_prices_parse_and_price_dated_models() {
        let prices = Prices::shipped();
        let standard =
            |provider, model, usage| prices.micros(provider, model, ServiceTier::Standard, usage);
        let of = |model| standard("openai", model, usage(1_000_000, 0, 0));
        assert_eq!(of("gpt-4.1-mini"), Some(400_000));
        assert_eq!(of("gpt-4.1-mini-2025-04-14"), Some(400_000));
        assert_eq!(of("gpt-4.1"), Some(2_000_000));
        assert_eq!(of("gpt-4.1-mega"), None);
        assert_eq!(standard("fixtures", "any", usage(9, 0, 9)), Some(0));
        assert_eq!(standard("other", "gpt-4.1", usage(9, 0, 9)), None);
    }

    #[test]
    fn cost_counts_cached_input_and_bands_and_rounds_up() {
        let prices = Prices::from_json(
            r#"{"as_of": "2026-11-28", "models": [{"provider": "p", "model": "m", "input": 2, "cached_input": 0.5,
                "output": 8, "bands": [{"above_input_tokens": 100, "input": 4, "output": 16}]}]}"#,
        )
        .unwrap();
        let micros = |input, cached, output| {
            let usage = usage(input, cached, output);
            prices.micros("p", "m", ServiceTier::Standard, usage)
        };
        assert_eq!(micros(10, 4, 1), Some(12 + 2 + 8));
        assert_eq!(micros(1, 1, 0), Some(1));
        assert_eq!(micros(101, 1, 1), Some(400 + 4 + 16));
    }

    #[test]
    fn input_that_is_written_to_the_cache_has_a_price_of_its_own() {
        let prices = Prices::from_json(
            r#"{"as_of": "2026-11-28", "models": [
                {"provider": "p", "model": "m", "input": 4, "cached_input": 1, "cache_write": 5, "output": 8},
                {"provider": "p", "model": "n", "input": 4, "output": 8}]}"#,
        )
        .unwrap();
        let micros = |model, cache_read, cache_write| {
            let usage = TokenUsage {
                cache_write,
                ..usage(10, cache_read, 0)
            };
            prices.micros("p", model, ServiceTier::Standard, usage)
        };
        assert_eq!(micros("m", 2, 3), Some(20 + 2 + 15));
        assert_eq!(micros("m", 8, 99), Some(8 + 10));
        assert_eq!(micros("n", 2, 3), Some(40));
    }

    #[test]
    fn tier_has_its_price_and_costs_the_standard_one_without() {
        let prices = Prices::from_json(
            r#"{"as_of": "2026-11-28", "models": [
                {"provider": "p", "model": "m", "input": 2, "output": 8, "tiers": {"flex": {"input": 1, "output": 4}},
                 "bands": [{"above_input_tokens": 100, "input": 4, "output": 16}]},
                {"provider": "p", "model": "n", "input": 2, "output": 8}]}"#,
        )
        .unwrap();
        let micros =
            |model, input| prices.micros("p", model, ServiceTier::Flex, usage(input, 0, 1));
        assert_eq!(micros("m", 10), Some(10 + 4));
        assert_eq!(micros("n", 10), Some(20 + 8));
        // The provider's page has no cheaper price for long requests: too much is better than too little.
        assert_eq!(micros("m", 101), Some(404 + 16));
    }

    #[test]
    fn negative_price_and_unknown_field_are_refused() {
        for text in [
            r#"{"as_of": "2026-11-28", "models": [{"provider": "p", "model": "m", "input": -1, "output": 8}]}"#,
            r#"{"as_of": "2026-11-28", "models": [{"provider": "p", "model": "m", "input": 1, "output": 8, "x": 1}]}"#,
            r#"{"as_of": "2026-11-28", "models": [{"provider": "p", "model": "m", "input": 1, "output": 8,
                "tiers": {"flex": {"input": 1, "output": -1}}}]}"#,
            r#"{"as_of": "2026-11-28", "models": [{"provider": "p", "model": "m", "input": 1, "cache_write": -1,
                "output": 8}]}"#,
            r#"{"as_of": "2026-11-28", "models": [{"provider": "p", "model": "m", "input": 1, "output": 8,
                "tiers": {"slow": {"input": 1, "output": 1}}}]}"#,
            r#"{"models": []}"#,
        ] {
            assert!(Prices::from_json(text).is_err(), "{text}");
        }
    }
}
