//! What the address asks of the fleet: search, filters, order, page. And addresses that ask a little else. Pure.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::words::badge;
use crate::job::Phase;
use crate::store::{FleetCount, FleetFilter, FleetPlace, FleetSort};

/// Parameters as they stand in the address; what makes no sense counts as not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::web) struct FleetQuery {
    pub(in crate::web) q: String,
    pub(in crate::web) state: String,
    pub(in crate::web) backend: String,
    pub(in crate::web) golden: String,
    pub(in crate::web) sort: String,
    pub(in crate::web) dir: String,
    pub(in crate::web) after: String,
}

/// A head of the table that can be clicked to sort by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) label: &'static str,
    /// Empty: there is no order by it.
    pub(super) href: String,
    /// As `aria-sort` has it; empty: the rows are not sorted by it.
    pub(super) sorted: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) chosen: bool,
}

const STATES: [(&str, &str, &[Phase]); 5] = [
    ("ready", "Ready", &[Phase::Done]),
    ("working", "At work", &[Phase::Running, Phase::Waiting, Phase::Unwinding]),
    ("queued", "Queued", &[Phase::Queued]),
    ("stuck", "Needs operator", &[Phase::NeedsOperator]),
    (
        "unready",
        "Not ready",
        &[Phase::Queued, Phase::Running, Phase::Waiting, Phase::Unwinding, Phase::NeedsOperator],
    ),
];

const COLUMNS: [(&str, &str); 8] = [
    ("Guest", "name"),
    ("State", "state"),
    ("Trust", ""),
    ("Ready after", "ready"),
    ("Checks", ""),
    ("Report", "report"),
    ("Made", "made"),
    ("Golden", ""),
];

impl FleetQuery {
    pub(super) fn filter(&self, limit: usize) -> FleetFilter {
        let states = STATES.iter().find(|(value, ..)| *value == self.state);
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        FleetFilter {
            search: self.q.trim().chars().take(200).collect(),
            states: states.map(|(_, _, states)| states.to_vec()).unwrap_or_default(),
            backend: text(&self.backend),
            golden: text(&self.golden),
            sort: self.order(),
            descending: self.dir == "desc",
            after: place(&self.after),
            limit,
        }
    }

    fn order(&self) -> FleetSort {
        match self.sort.as_str() {
            "state" => FleetSort::State,
            "ready" => FleetSort::Ready,
            "report" => FleetSort::Report,
            "made" => FleetSort::Made,
            _ => FleetSort::Name,
        }
    }

    pub(super) fn is_first(&self) -> bool {
        place(&self.after).is_none()
    }

    /// Nothing but the order is chosen.
    pub(in crate::web) fn is_whole(&self) -> bool {
        [&self.q, &self.state, &self.backend, &self.golden].iter().all(|text| text.trim().is_empty())
    }

    /// The same, from this place on.
    pub(super) fn at(&self, after: Option<&FleetPlace>) -> String {
        let after = after.map(|place| format!("{}.{}", place.key, place.guest)).unwrap_or_default();
        Self { after, ..self.clone() }.address()
    }

    pub(super) fn columns(&self) -> Vec<Column> {
        let now = if self.sort.is_empty() { "name" } else { self.sort.as_str() };
        let column = |(label, sort): &(&'static str, &'static str)| {
            let is_this = *sort == now;
            let descending = self.dir == "desc";
            let dir = if is_this && !descending { "desc" } else { "" };
            let other =
                Self { sort: (*sort).to_owned(), dir: dir.to_owned(), after: String::new(), ..self.clone() };
            Column {
                label,
                href: if sort.is_empty() { String::new() } else { other.address() },
                sorted: match (is_this, descending) {
                    (true, true) => "descending",
                    (true, false) => "ascending",
                    _ => "",
                },
            }
        };
        COLUMNS.iter().map(column).collect()
    }

    pub(super) fn states(&self) -> Vec<Choice> {
        let choice = |value: &str, label: &str| Choice {
            value: value.to_owned(),
            label: label.to_owned(),
            chosen: self.state == value,
        };
        let mut choices = vec![choice("", "Any state")];
        choices.extend(STATES.iter().map(|(value, label, _)| choice(value, label)));
        choices
    }

    pub(super) fn backends(&self, counts: &[FleetCount]) -> Vec<Choice> {
        let known: BTreeSet<&str> =
            counts.iter().map(|count| count.backend.as_str()).chain([self.backend.as_str()]).collect();
        let choice = |value: &str| Choice {
            label: if value.is_empty() { "Any backend".to_owned() } else { value.to_owned() },
            value: value.to_owned(),
            chosen: self.backend == value,
        };
        let named = known.into_iter().filter(|name| !name.is_empty()).map(choice);
        std::iter::once(choice("")).chain(named).collect()
    }

    fn address(&self) -> String {
        let pairs = [
            ("q", &self.q),
            ("state", &self.state),
            ("backend", &self.backend),
            ("golden", &self.golden),
            ("sort", &self.sort),
            ("dir", &self.dir),
            ("after", &self.after),
        ];
        let given: Vec<String> = pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", super::super::words::encoded(value)))
            .collect();
        if given.is_empty() { "/ui/".to_owned() } else { format!("/ui/?{}", given.join("&")) }
    }
}

/// The fleet's address for these states, as the counts lead to it.
pub(super) fn state_of(phase: Phase) -> &'static str {
    STATES.iter().find(|(_, _, states)| states.contains(&phase)).map_or("", |(value, ..)| value)
}

pub(super) fn label_of(state: &str) -> (&'static str, &'static str) {
    let found = STATES.iter().find(|(value, ..)| *value == state);
    found.map_or(("Guests", ""), |(_, label, phases)| {
        (label, phases.first().map_or("", |phase| badge(*phase).class))
    })
}

fn place(after: &str) -> Option<FleetPlace> {
    let (key, guest) = after.split_once('.')?;
    let fits = !guest.is_empty() && guest.len() <= 255;
    fits.then_some(FleetPlace { key: key.parse().ok()?, guest: guest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_what_they_are_read_as() {
        let query = FleetQuery {
            q: "web 1&<".into(),
            state: "working".into(),
            sort: "ready".into(),
            dir: "desc".into(),
            ..FleetQuery::default()
        };
        let filter = query.filter(100);
        assert_eq!(filter.states, [Phase::Running, Phase::Waiting, Phase::Unwinding]);
        assert!(filter.descending && filter.sort == FleetSort::Ready && filter.backend.is_none());
        let next = query.at(Some(&FleetPlace { key: -1, guest: "web-01".into() }));
        assert_eq!(next, "/ui/?q=web%201%26%3C&state=working&sort=ready&dir=desc&after=-1.web-01");
        let there = FleetQuery { after: "-1.web-01".into(), ..query.clone() };
        assert_eq!(there.filter(1).after, Some(FleetPlace { key: -1, guest: "web-01".into() }));
        assert!(query.is_first() && !there.is_first());
    }

    #[test]
    fn what_makes_no_sense_counts_as_not_given() {
        for after in ["", "x", "1", "1.", "x.y", ".a"] {
            let query = FleetQuery {
                after: after.into(),
                state: "odd".into(),
                sort: "'".into(),
                ..FleetQuery::default()
            };
            let filter = query.filter(10);
            assert_eq!(
                (filter.after, filter.states.len(), filter.sort),
                (None, 0, FleetSort::Name),
                "{after}"
            );
        }
    }

    #[test]
    fn a_click_on_the_sorted_column_turns_it_round() {
        let query = FleetQuery { q: "a".into(), ..FleetQuery::default() };
        let columns = query.columns();
        assert_eq!((columns[0].sorted, &*columns[0].href), ("ascending", "/ui/?q=a&sort=name&dir=desc"));
        assert_eq!((columns[1].sorted, &*columns[1].href), ("", "/ui/?q=a&sort=state"));
        assert_eq!(columns[2].href, "");
        let turned = FleetQuery { sort: "state".into(), dir: "desc".into(), ..query };
        assert_eq!(
            (turned.columns()[1].sorted, &*turned.columns()[1].href),
            ("descending", "/ui/?q=a&sort=state")
        );
    }
}
