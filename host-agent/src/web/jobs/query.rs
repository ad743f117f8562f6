//! Which jobs the address asks for. Pure.

use serde::Deserialize;

use super::super::words::encoded;
use crate::bringup::JobFilter;
use crate::job::Phase;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::web) struct JobsQuery {
    pub(super) state: String,
    pub(super) guest: String,
    pub(super) batch: String,
    pub(super) before: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tab {
    pub(super) id: String,
    pub(super) label: &'static str,
    pub(super) href: String,
    pub(super) chosen: bool,
}

const UNFINISHED: &[Phase] =
    &[Phase::Queued, Phase::Running, Phase::Waiting, Phase::Unwinding, Phase::NeedsOperator];

/// The first counts where nothing is said.
const STATES: [(&str, &str, &[Phase]); 6] = [
    ("", "Not ended", UNFINISHED),
    ("queued", "Queued", &[Phase::Queued]),
    ("working", "At work", &[Phase::Running, Phase::Waiting, Phase::Unwinding]),
    ("stuck", "Needs operator", &[Phase::NeedsOperator]),
    ("ended", "Ended", &[Phase::Done, Phase::RolledBack, Phase::Abandoned]),
    ("all", "All", &[]),
];

impl JobsQuery {
    pub(super) fn filter(&self, limit: usize) -> JobFilter {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        JobFilter {
            states: self.states().to_vec(),
            guest: text(&self.guest),
            batch: text(&self.batch),
            limit,
            before: text(&self.before).filter(|before| JobFilter::is_place(before)),
        }
    }

    fn states(&self) -> &'static [Phase] {
        // Whoever asks for a guest or a batch means all of it.
        let wanted = if self.state.is_empty() && !(self.guest.is_empty() && self.batch.is_empty()) {
            "all"
        } else {
            self.state.as_str()
        };
        STATES.iter().find(|(value, ..)| *value == wanted).map_or(UNFINISHED, |(_, _, states)| states)
    }

    pub(super) fn is_first(&self) -> bool {
        self.before.is_empty()
    }

    pub(super) fn at(&self, before: &str) -> String {
        Self { before: before.to_owned(), ..self.clone() }.address()
    }

    pub(super) fn tabs(&self) -> Vec<Tab> {
        let tab = |(value, label, states): &(&'static str, &'static str, &'static [Phase])| {
            let other = Self { state: (*value).to_owned(), before: String::new(), ..self.clone() };
            Tab {
                id: format!("tab-{}", if value.is_empty() { "open" } else { value }),
                label,
                href: other.address(),
                chosen: self.states() == *states,
            }
        };
        STATES.iter().map(tab).collect()
    }

    fn address(&self) -> String {
        let pairs = [
            ("state", &self.state),
            ("guest", &self.guest),
            ("batch", &self.batch),
            ("before", &self.before),
        ];
        let given: Vec<String> = pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        if given.is_empty() { "/ui/jobs".to_owned() } else { format!("/ui/jobs?{}", given.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ended_comes_first_and_a_guest_means_all_its_jobs() {
        let of = |state: &str, guest: &str, before: &str| {
            let query = JobsQuery {
                state: state.into(),
                guest: guest.into(),
                before: before.into(),
                ..JobsQuery::default()
            };
            (query.filter(9).states.len(), query.filter(9).before)
        };
        assert_eq!(of("", "", ""), (5, None));
        assert_eq!(of("odd", "", "'"), (5, None));
        assert_eq!(of("stuck", "", "0af"), (1, Some("0af".into())));
        assert_eq!(of("", "web-01", ""), (0, None));
        assert_eq!(of("queued", "web-01", ""), (1, None));
    }

    #[test]
    fn one_tab_is_chosen_and_each_leads_to_its_jobs() {
        let query = JobsQuery { state: "ended".into(), before: "ab".into(), ..JobsQuery::default() };
        let tabs = query.tabs();
        let chosen: Vec<&str> = tabs.iter().filter(|tab| tab.chosen).map(|tab| tab.id.as_str()).collect();
        assert_eq!(chosen, ["tab-ended"]);
        assert_eq!((&*tabs[0].href, &*tabs[3].href), ("/ui/jobs", "/ui/jobs?state=stuck"));
        assert_eq!(query.at("cd"), "/ui/jobs?state=ended&before=cd");
    }
}
