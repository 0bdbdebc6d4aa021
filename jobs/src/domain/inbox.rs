//! The inbox: its items and their states ([`ItemState`]), and when a deferred item returns ([`Until`], [`Bucket`]).

mod bucket;
mod item;

pub use bucket::Bucket;
pub use item::{ItemSource, ItemState, ItemStep, NewItem, Until, asks_for_action, title_of};
