//! The identity items: everything that a clone shares with its golden unless somebody resets it, as one table.
//!
//! Data and pure functions only. The guest's first boot, `seal` and `lint` walk the same table, each with its own
//! way to the files.

mod detect;
mod glob;
mod item;
mod markdown;
mod reset;
mod table;

pub use detect::{Detect, EntryKind, Finding};
pub use glob::{is_literal, matches};
pub use item::{FirstBoot, Fresh, Item, Renewer, Renewers, Seal, Severity};
pub use markdown::markdown;
pub use reset::Reset;
pub use table::{GROUPS, Group};

/// Every item, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Item> {
    GROUPS.iter().flat_map(|group| group.items)
}

/// The item of that name.
pub fn named(name: &str) -> Option<&'static Item> {
    all().find(|item| item.name == name)
}

#[cfg(test)]
mod tests;
