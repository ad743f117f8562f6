//! Identities that guests share, each with who shares it and what to do.

use super::paper::{Ink, Look, Paper};
use crate::bringup::{DuplicatePage, Holder};

/// Open ones first, as they come.
pub fn duplicates(page: &DuplicatePage, look: Look) -> String {
    let mut paper = Paper::new(look);
    let settled = page.total.saturating_sub(page.open);
    let ink = if page.open > 0 { Ink::Bad } else { Ink::Good };
    let open = if page.open == 0 {
        "no identity is shared".to_owned()
    } else {
        format!("{} shared by guests that are there", page.open)
    };
    let settled = if settled > 0 { format!("{settled} settled") } else { String::new() };
    let parts = [(ink, open.as_str()), (Ink::Dim, settled.as_str())];
    paper.title(if settled.is_empty() { &parts[..1] } else { &parts });
    for shared in &page.duplicates {
        paper.heading(&shared.kind, &shared.value);
        let (mark, ink) = if shared.open { ("open", Ink::Bad) } else { ("settled", Ink::Dim) };
        paper.item(mark, ink, &holders(&shared.holders, shared.holder_count));
        paper.item("", Ink::Plain, &shared.advice);
        for command in &shared.commands {
            paper.item("to do", Ink::Strong, command);
        }
    }
    paper.text()
}

fn holders(holders: &[Holder], count: u64) -> String {
    let one = |holder: &Holder| {
        let from = holder.from.as_deref().map(|from| format!(" from {from}")).unwrap_or_default();
        format!("{}{from}{}", holder.guest, if holder.gone { " (gone)" } else { "" })
    };
    let mut told: Vec<String> = holders.iter().map(one).collect();
    let hidden = count.saturating_sub(u64::try_from(holders.len()).unwrap_or(u64::MAX));
    if hidden > 0 {
        told.push(format!("{hidden} more"));
    }
    told.join(", ")
}
