//! What may be written as a value, and how each kind is read. Pure.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::SecretFile;

/// A value as it was written. Variables and flags are always text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(yes) => write!(f, "{yes}"),
            Self::List(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

impl Value {
    /// What is written in the table of keys.
    pub fn of_default(text: &str) -> Self {
        let list = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match (list, text) {
            (Some(items), _) => {
                let items = items.split(',').map(|item| item.trim().trim_matches('"'));
                Self::List(
                    items.filter(|item| !item.is_empty()).map(|item| Self::Text(item.to_owned())).collect(),
                )
            }
            (None, "true" | "false") => Self::Boolean(text == "true"),
            (None, text) => Self::Text(text.to_owned()),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `""` takes back what was set before.
    pub fn is_empty(&self) -> bool {
        self.text().is_some_and(str::is_empty)
    }
}

/// A type that settings have. `Default` stands in where a problem was found, so that all are found at once.
pub(super) trait Setting: Default {
    /// For messages: `... is wanted`.
    const WANTED: &'static str;
    fn read(value: &Value) -> Option<Self>;
}

impl Setting for String {
    const WANTED: &'static str = "text";
    fn read(value: &Value) -> Option<Self> {
        value.text().map(ToOwned::to_owned)
    }
}

impl Setting for PathBuf {
    const WANTED: &'static str = "an absolute path";
    fn read(value: &Value) -> Option<Self> {
        value.text().map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

impl Setting for Option<PathBuf> {
    const WANTED: &'static str = PathBuf::WANTED;
    fn read(value: &Value) -> Option<Self> {
        PathBuf::read(value).map(Some)
    }
}

impl Setting for Vec<PathBuf> {
    const WANTED: &'static str = "a list of absolute paths";
    fn read(value: &Value) -> Option<Self> {
        list_of(value, |text| Some(PathBuf::from(text)).filter(|path| path.is_absolute()))
    }
}

impl Setting for u32 {
    const WANTED: &'static str = "a whole number from 0 to 4294967295";
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Self::try_from(*number).ok(),
            other => other.text()?.parse().ok(),
        }
    }
}

/// Bytes, written with K, M, G or T: powers of 1024.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl Setting for Bytes {
    const WANTED: &'static str = "a size like 512M, 24G or 1T,";
    fn read(value: &Value) -> Option<Self> {
        let text = value.text()?;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let shift = ["K", "M", "G", "T"].iter().position(|known| *known == unit)? + 1;
        let number = digits.parse::<u64>().ok()?;
        number.checked_mul(1 << (10 * shift)).map(Self)
    }
}

impl Setting for Option<SocketAddr> {
    const WANTED: &'static str = "an IP address and a port that is not 0, `0.0.0.0:7443` for one,";
    fn read(value: &Value) -> Option<Self> {
        let address: SocketAddr = value.text()?.parse().ok()?;
        (address.port() != 0).then_some(Some(address))
    }
}

impl Setting for Duration {
    const WANTED: &'static str = "a time like 500ms, 90s, 5m, 12h or 30d, from 1ms to 3650d,";
    fn read(value: &Value) -> Option<Self> {
        parse_duration(value.text()?)
    }
}

/// A time, or `never`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kept(pub(super) Option<Duration>);

impl Setting for Kept {
    const WANTED: &'static str = "a time like 12h or 90d, at most 3650d, or `never`,";
    fn read(value: &Value) -> Option<Self> {
        match value.text()? {
            "never" => Some(Self(None)),
            text => parse_duration(text).map(|time| Self(Some(time))),
        }
    }
}

/// Who may do what over the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// May look.
    #[default]
    Read,
    /// May do everything.
    Operator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operator => "operator",
        }
    }
}

impl Setting for Role {
    const WANTED: &'static str = "`read` or `operator`";
    fn read(value: &Value) -> Option<Self> {
        [Self::Read, Self::Operator].into_iter().find(|role| Some(role.as_str()) == value.text())
    }
}

impl Setting for Option<SecretFile> {
    const WANTED: &'static str = "the absolute path of a file, or `credential:NAME`,";
    fn read(value: &Value) -> Option<Self> {
        SecretFile::parse(value.text()?).map(Some)
    }
}

impl Setting for bool {
    const WANTED: &'static str = "true or false";
    fn read(value: &Value) -> Option<Self> {
        match (value, value.text()) {
            (Value::Boolean(yes), _) => Some(*yes),
            (_, Some("true")) => Some(true),
            (_, Some("false")) => Some(false),
            _ => None,
        }
    }
}

/// A list of texts; in a variable they are joined by commas. None: something in it is no text, or not of that form.
pub(super) fn list_of<T>(value: &Value, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::List(values) => values.iter().map(|value| read(value.text()?)).collect(),
        Value::Text(text) => text.split(',').map(|one| read(one.trim())).collect(),
        Value::Integer(_) | Value::Boolean(_) => None,
    }
}

/// A user or group, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    Number(u32),
    Name(String),
}

impl Setting for Vec<Account> {
    const WANTED: &'static str = "a list of numbers or names";
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::List(values) => values.iter().map(account).collect(),
            // A variable: joined by commas.
            Value::Text(text) => {
                text.split(',').map(|one| account(&Value::Text(one.trim().to_owned()))).collect()
            }
            one => account(one).map(|one| vec![one]),
        }
    }
}

fn account(value: &Value) -> Option<Account> {
    match (u32::read(value), value.text()) {
        (Some(number), _) => Some(Account::Number(number)),
        (None, Some(name)) if !name.is_empty() => Some(Account::Name(name.to_owned())),
        _ => None,
    }
}

/// `500ms`, `90s`, `5m`, `12h`, `30d`; more than nothing, at most ten years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const TEN_YEARS: u64 = 3650 * 86_400_000;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let product = number.parse::<u64>().ok()?.checked_mul(milliseconds)?;
    (1..=TEN_YEARS).contains(&product).then(|| Duration::from_millis(product))
}
