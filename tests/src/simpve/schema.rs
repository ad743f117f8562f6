//! Which parameters a call may have, and what is said of wrong ones.

use std::collections::BTreeMap;

use super::answer::Refusal;
use super::call::Parameters;
use super::property::Properties;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Short(usize),
    Flag,
    Number(u64),
    VmId,
    DnsName,
    /// `A=1`, NUL, `B=2`.
    Env,
    /// Property string that needs this key; a part without a key has the other one.
    Parts(&'static str),
    QemuMemory,
    Smbios,
    Size,
    Digest,
}

/// The parameters of one method: `name form`, a star for a number at the end, an exclamation mark if it is needed.
#[derive(Debug)]
pub(super) struct Schema(&'static [&'static str]);

const CONTAINER: &str = "arch cmode console? cores#1 cpulimit cpuunits debug? description=8192 dev* entrypoint env:env \
    features hookscript hostname:dns lock memory#16 mp*:mp nameserver net*:net onboot? ostype protection? rootfs \
    searchdomain startup swap#0 tags template? timezone tty#0 unprivileged? unused*";
const MACHINE: &str = "acpi? affinity agent allow-ksm? args arch audio0 autostart? balloon#0 bios boot bootdisk cdrom \
    cicustom cipassword citype ciupgrade? ciuser cores#1 cpu cpulimit cpuunits description=8192 efidisk0 freeze? \
    hookscript hostpci* hotplug hugepages ide* ipconfig* ivshmem keephugepages? keyboard kvm? localtime? lock machine \
    memory:memory name:dns nameserver net* numa? numa* onboot? ostype parallel* protection? reboot? rng0 sata* scsi* \
    scsihw searchdomain serial* smbios1:smbios sockets#1 sshkeys startdate startup tablet? tags template? tpmstate0 \
    unused* usb* vcpus vga virtio* virtiofs* vmgenid vmstatestorage watchdog";
const RESTORE: &str = "vmid!id bwlimit force? pool start? storage unique?";

pub(super) const LXC_CREATE: Schema =
    Schema(&[CONTAINER, RESTORE, "ostemplate! restore? ignore-unpack-errors? password ssh-public-keys"]);
pub(super) const LXC_CONFIG: Schema = Schema(&[CONTAINER, "delete digest:digest revert"]);
pub(super) const QEMU_CREATE: Schema = Schema(&[MACHINE, RESTORE, "archive live-restore?"]);
pub(super) const QEMU_CONFIG: Schema =
    Schema(&[MACHINE, "delete digest:digest revert force? skiplock? background_delay#1"]);
pub(super) const RESIZE: Schema = Schema(&["disk! size!size digest:digest"]);
pub(super) const QEMU_RESIZE: Schema = Schema(&["disk! size!size digest:digest skiplock?"]);
pub(super) const LXC_DELETE: Schema = Schema(&["force? purge? destroy-unreferenced-disks?"]);
pub(super) const QEMU_DELETE: Schema = Schema(&["purge? destroy-unreferenced-disks? skiplock?"]);
pub(super) const POWER: Schema =
    Schema(&["timeout#0 forceStop? skiplock? overrule-shutdown? keepActive? debug?"]);
pub(super) const SNAPSHOT: Schema = Schema(&["snapname!=40 description vmstate?"]);
pub(super) const ROLLBACK: Schema = Schema(&["start?"]);
pub(super) const AGENT_WRITE: Schema = Schema(&["file! content!=61440 encode?"]);

impl Schema {
    fn entries(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(|words| words.split_whitespace())
    }

    /// The form of a parameter; none if the schema has no such one.
    fn form(&self, name: &str) -> Option<Form> {
        self.entries().find_map(|entry| {
            let end = entry.find(['?', '#', '=', ':', '!', '*']).unwrap_or(entry.len());
            let (known, rest) = entry.split_at(end);
            let matches = match rest.strip_prefix('*') {
                Some(_) => name.strip_prefix(known).is_some_and(|tail| tail.parse::<u16>().is_ok()),
                None => name == known,
            };
            matches.then(|| form(rest.trim_start_matches('*')))
        })
    }

    fn needed(&self) -> impl Iterator<Item = &'static str> {
        self.entries().filter_map(|entry| entry.split_once('!').map(|(name, _)| name))
    }

    /// # Errors
    /// 400 with one text for each parameter that is wrong.
    pub(super) fn check(&self, parameters: &Parameters) -> Result<(), Refusal> {
        let mut errors = BTreeMap::new();
        for (name, value) in parameters.iter() {
            let wrong = match self.form(name) {
                None => Some(
                    "property is not defined in schema and the schema does not allow additional properties"
                        .into(),
                ),
                Some(form) => judge(form, name, value),
            };
            if let Some(text) = wrong {
                errors.insert(name.to_owned(), text);
            }
        }
        for name in self.needed().filter(|name| parameters.get(name).is_none()) {
            errors.insert(name.to_owned(), "property is missing and it is not optional".into());
        }
        if parameters.get("unique").is_some()
            && self.form("restore").is_some()
            && parameters.get("restore").is_none()
        {
            errors.insert("restore".into(), "missing property required by 'unique'".into());
        }
        if errors.is_empty() { Ok(()) } else { Err(Refusal::parameters(errors)) }
    }
}

fn form(mark: &str) -> Form {
    match mark.trim_start_matches('!') {
        "?" => Form::Flag,
        "id" => Form::VmId,
        "size" => Form::Size,
        ":dns" => Form::DnsName,
        ":env" => Form::Env,
        ":net" => Form::Parts("name"),
        ":mp" => Form::Parts("mp"),
        ":memory" => Form::QemuMemory,
        ":smbios" => Form::Smbios,
        ":digest" => Form::Digest,
        other => match other.split_at_checked(1) {
            Some(("#", least)) => Form::Number(least.parse().unwrap_or(0)),
            Some(("=", most)) => Form::Short(most.parse().unwrap_or(usize::MAX)),
            _ => Form::Text,
        },
    }
}

/// What is wrong with a value, in the validator's words.
fn judge(form: Form, name: &str, value: &str) -> Option<String> {
    match form {
        Form::Text => None,
        Form::Short(most) => too_long(value, most),
        Form::Flag => {
            let known = ["0", "1", "on", "off", "yes", "no", "true", "false"];
            (!known.contains(&value.to_ascii_lowercase().as_str()))
                .then(|| format!("type check ('boolean') failed - got '{value}'"))
        }
        Form::Number(least) => number(value, least),
        Form::VmId => match value.parse::<u64>() {
            Err(_) => number(value, 0),
            Ok(id) => (!(100..=999_999_999).contains(&id))
                .then(|| "invalid format - value does not look like a valid VM ID\n".into()),
        },
        Form::DnsName => (!is_dns_name(value))
            .then(|| "invalid format - value does not look like a valid DNS name\n".into()),
        Form::Env => (!value.split('\0').all(is_assignment)).then(|| pattern().into()),
        Form::Parts(key) => {
            let default = if name.starts_with("mp") { "volume" } else { key };
            Properties::parse(value, default).get(key).is_none().then(|| {
                format!("invalid format - format error\n{name}.{key}: property is missing and it is not optional\n")
            })
        }
        Form::QemuMemory => number(value.split(',').next()?.trim_start_matches("current="), 16)
            .map(|text| format!("invalid format - format error\n{name}.current: {text}\n")),
        Form::Smbios => too_long(value, 512).or_else(|| smbios(name, value)),
        Form::Size => {
            (super::property::parse_size(value.trim_start_matches('+')).is_none()).then(|| pattern().into())
        }
        Form::Digest => too_long(value, 40),
    }
}

fn pattern() -> &'static str {
    "value does not match the regex pattern"
}

fn too_long(value: &str, most: usize) -> Option<String> {
    (value.chars().count() > most).then(|| format!("value may only be {most} characters long"))
}

fn number(value: &str, least: u64) -> Option<String> {
    match value.parse::<u64>() {
        Err(_) => Some(format!("type check ('integer') failed - got '{value}'")),
        Ok(number) => (number < least).then(|| format!("value must have a minimum value of {least}")),
    }
}

fn is_dns_name(value: &str) -> bool {
    let label = |label: &str| {
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-';
        !label.is_empty() && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    value.split('.').all(label)
}

/// `NAME=value`: a word, and nothing that controls a terminal but the tab.
fn is_assignment(part: &str) -> bool {
    let Some((name, value)) = part.split_once('=') else { return false };
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    !name.is_empty()
        && name.chars().all(word)
        && !value.chars().any(|letter| letter.is_control() && letter != '\t')
}

fn smbios(name: &str, value: &str) -> Option<String> {
    let base64 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let parsed = Properties::parse(value, "");
    let wrong = ["serial", "manufacturer", "product", "sku", "family", "version"]
        .into_iter()
        .find(|key| parsed.get(key).is_some_and(|text| !base64(text)))?;
    Some(format!("invalid format - format error\n{name}.{wrong}: {}\n", pattern()))
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Answer, Body};
    use super::*;

    fn errors(schema: &Schema, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let Err(refusal) = schema.check(&Parameters::of(pairs)) else { return Vec::new() };
        let Body::Json(body) = Answer::from(refusal).body else { return Vec::new() };
        let errors = body["errors"].as_object().unwrap().iter();
        errors.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn each_wrong_value_has_the_validators_words() {
        let restore = [("vmid", "101"), ("ostemplate", "x")];
        let table = [
            ("memory", "3", "value must have a minimum value of 16"),
            ("restore", "maybe", "type check ('boolean') failed - got 'maybe'"),
            ("hostname", "unit_1", "invalid format - value does not look like a valid DNS name\n"),
            ("env", "A-B=1", "value does not match the regex pattern"),
            ("env", "A=1\nB=2", "value does not match the regex pattern"),
            (
                "net0",
                "bridge=vmbr0",
                "invalid format - format error\nnet0.name: property is missing and it is not optional\n",
            ),
        ];
        for (name, value, text) in table {
            let found = errors(&LXC_CREATE, &[restore[0], restore[1], (name, value)]);
            assert_eq!(found, [(name.to_owned(), text.to_owned())]);
        }
        assert_eq!(
            errors(&LXC_CREATE, &[restore[0], restore[1], ("env", "A=1\0B=á b"), ("mp3", "local:1,mp=/x")]),
            []
        );
    }

    #[test]
    fn what_is_missing_and_what_is_unknown_is_named() {
        let names = |pairs: &[(&str, &str)]| {
            errors(&LXC_CREATE, pairs).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[("restore", "1")]), ["ostemplate", "vmid"]);
        assert_eq!(names(&[("vmid", "101"), ("ostemplate", "x"), ("unique", "1")]), ["restore"]);
        assert_eq!(
            names(&[("vmid", "101"), ("ostemplate", "x"), ("netx", "1"), ("name", "x")]),
            ["name", "netx"]
        );
    }
}
