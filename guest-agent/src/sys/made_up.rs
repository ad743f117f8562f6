//! A running machine that a test makes up: its files are a folder's, the kernel's answers stand here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Interface;

use super::{Fuse, Machine, Root};

#[derive(Debug, Default)]
pub(crate) struct MadeUp {
    pub hostname: RefCell<Option<String>>,
    /// PID 1's environment.
    pub variables: BTreeMap<String, String>,
    pub interfaces: Vec<Interface>,
    /// How often the random pool was stirred.
    pub stirred: Cell<u32>,
    /// The state folder is in memory.
    pub forgets: bool,
}

impl MadeUp {
    /// A machine that runs from `folder`.
    pub(crate) fn machine(self, folder: &Path) -> Machine {
        let root = Root::open(folder, Fuse::intact()).unwrap();
        Machine { root, live: true, made_up: Some(self) }
    }

    pub(crate) fn named(mut self, hostname: &str) -> Self {
        self.hostname = RefCell::new(Some(hostname.to_owned()));
        self
    }

    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.insert(variable.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn card(mut self, last: u8) -> Self {
        let mac = Some(MacAddress([2, 0, 0, 0, 0, last]));
        self.interfaces.push(Interface { name: format!("eth{last}"), mac, up: true, addresses: Vec::new() });
        self
    }
}
