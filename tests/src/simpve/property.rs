//! Property strings, `key=value,key=value`, and sizes, as Proxmox reads and prints them.

/// The parts of a property string, in order; the first may lack a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// `default` is the key of a part that names none.
    pub fn parse(text: &str, default: &str) -> Self {
        let parts = text.split(',').filter(|part| !part.is_empty());
        let pair = |part: &str| match part.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (default.to_owned(), part.to_owned()),
        };
        Self(parts.map(pair).collect())
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    pub fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(found, _)| found == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((key.into(), value.into())),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(found, _)| found != key);
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// The first of `first` without its key where `bare`, then the others of `first`, then the rest by name.
    pub fn print(&self, first: &[&str], bare: bool) -> String {
        let mut rest: Vec<&(String, String)> =
            self.0.iter().filter(|(key, _)| !first.contains(&key.as_str())).collect();
        rest.sort();
        let leading = first.iter().filter_map(|key| self.0.iter().find(|(found, _)| found == key));
        let parts = leading.chain(rest).enumerate().map(|(place, (key, value))| {
            if place == 0 && bare { value.clone() } else { format!("{key}={value}") }
        });
        parts.collect::<Vec<_>>().join(",")
    }

    /// In the order in which it was given.
    pub fn print_as_given(&self) -> String {
        self.0.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }
}

/// Bytes of `10`, `10G` or `1536M`; a bare number is bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.find(|letter: char| letter.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Bytes of a number of GiB with a point in it.
pub fn gibibytes(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    if !(0.0..=1e9).contains(&number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    Some((number * 1024.0 * 1024.0).round() as u64 * 1024)
}

/// With the largest unit that leaves no rest.
pub fn print_size(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_with_the_largest_whole_unit() {
        for (text, printed) in
            [("10G", "10G"), ("1536M", "1536M"), ("2048M", "2G"), ("1024K", "1M"), ("5", "5")]
        {
            assert_eq!(print_size(parse_size(text).unwrap()), printed);
        }
        assert_eq!(gibibytes("0.5"), Some(512 << 20));
        assert_eq!((parse_size("lots"), gibibytes("-1")), (None, None));
    }

    #[test]
    fn properties_are_printed_in_the_order_of_the_real_printer() {
        let net = Properties::parse("ip=dhcp,name=eth0,hwaddr=BC:24:11:00:00:01,bridge=vmbr0", "name");
        assert_eq!(net.print(&["name"], false), "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp");
        let mount = Properties::parse("local:1,size=1G,mp=/data,backup=1", "volume");
        assert_eq!(mount.print(&["volume", "mp"], true), "local:1,mp=/data,backup=1,size=1G");
    }
}
