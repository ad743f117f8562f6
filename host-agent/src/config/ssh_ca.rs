//! `[ssh_ca]`: the host CA.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read::Reader;
use super::settings::SshCaSettings;
use super::value::{Setting, Value, list_of};

/// The shortest that makes sense: guests look for a new one every quarter of an hour at most.
const LEAST: Duration = Duration::from_secs(60);
/// In bytes, of a DNS name.
const LONGEST: usize = 180;

#[derive(Default)]
struct Domains(Vec<String>);

impl Setting for Domains {
    const WANTED: &'static str = "a list of DNS names, `lab.example` for one,";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, |text| is_domain(text).then(|| text.to_owned())).map(Self)
    }
}

impl Reader<'_> {
    pub(super) fn ssh_ca(&mut self, state: &Path) -> SshCaSettings {
        let validity: Duration = self.get("ssh_ca.validity");
        let renew_before: Duration = self.get("ssh_ca.renew_before");
        if validity < LEAST {
            self.wrong("ssh_ca.validity", "at least 60s are wanted");
        }
        if renew_before >= validity {
            self.wrong("ssh_ca.renew_before", "less than ssh_ca.validity is wanted");
        }
        let Domains(domains) = self.get("ssh_ca.domains");
        SshCaSettings {
            enabled: self.get("ssh_ca.enabled"),
            key: self.path_or("ssh_ca.key", &state.join("ssh_ca")),
            agent: self.get::<Option<PathBuf>>("ssh_ca.agent"),
            validity,
            renew_before,
            domains,
        }
    }
}

/// Labels of letters, digits, `-` and `_`: never a pattern.
fn is_domain(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() <= LONGEST && text.split('.').all(|label| !label.is_empty() && label.bytes().all(fits))
}

#[cfg(test)]
impl SshCaSettings {
    /// Ninety days, as by default.
    pub(crate) fn testing() -> Self {
        Self {
            enabled: true,
            key: PathBuf::from("/nonexistent/ssh_ca"),
            agent: None,
            validity: Duration::from_secs(90 * 86_400),
            renew_before: Duration::from_secs(30 * 86_400),
            domains: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_domain;

    #[test]
    fn a_domain_is_no_pattern() {
        for (text, is) in [
            ("lab.example", true),
            ("lab", true),
            ("", false),
            ("*.example", false),
            ("a..b", false),
            ("a.", false),
            ("a,b", false),
        ] {
            assert_eq!(is_domain(text), is, "{text:?}");
        }
    }
}
