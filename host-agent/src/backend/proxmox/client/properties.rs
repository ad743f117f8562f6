//! Proxmox's property strings: `name=eth0,bridge=vmbr0` or, with a value that needs no name, `local:7/disk.raw,size=4G`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Of machines' network devices.
pub const MODELS: [&str; 14] = [
    "virtio",
    "e1000",
    "e1000e",
    "vmxnet3",
    "rtl8139",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
];

/// Pairs in their order. What we do not know is kept as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(Option<String>, String)>);

impl Properties {
    /// Begins with a value without a name: a volume.
    pub fn of(value: impl Into<String>) -> Self {
        Self(vec![(None, value.into())])
    }

    /// The value without a name, if there is one.
    pub fn unnamed(&self) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.is_none()).map(|(_, value)| value.as_str())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.as_deref() == Some(name)).map(|(_, value)| value.as_str())
    }

    /// Those with names, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_deref()?, value.as_str())))
    }

    /// In the place of the old value, or at the end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        match self.0.iter_mut().find(|(known, _)| known.as_deref() == Some(name)) {
            Some((_, old)) => *old = value.to_string(),
            None => self.0.push((Some(name.to_owned()), value.to_string())),
        }
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known.as_deref() != Some(name));
        self
    }

    /// The MAC of a network device: a container's `hwaddr`, or the value of a machine's model (`virtio=AA:BB:..`).
    pub fn mac(&self) -> Option<&str> {
        self.get("hwaddr")
            .or_else(|| self.get("macaddr"))
            .or_else(|| MODELS.iter().find_map(|model| self.get(model)))
    }
}

impl FromStr for Properties {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let pairs = text.split(',').filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
            Some((name, value)) => (Some(name.to_owned()), value.to_owned()),
            None => (None, part.to_owned()),
        });
        Ok(Self(pairs.collect()))
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, value)) in self.0.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            match name {
                Some(name) => write!(f, "{comma}{name}={value}")?,
                None => write!(f, "{comma}{value}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_strings_survive_a_change_of_one_value() {
        let Ok(net) =
            "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:F3:4D:7B,ip=dhcp,type=veth".parse::<Properties>();
        assert_eq!(net.mac(), Some("BC:24:11:F3:4D:7B"));
        assert_eq!(
            net.with("hwaddr", "BC:24:11:00:00:01").without("ip").with("tag", 5).to_string(),
            "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth,tag=5"
        );
        let Ok(disk) = "local:104/vm-104-disk-1.raw,mp=/mnt/data,size=1G".parse::<Properties>();
        assert_eq!(
            (disk.unnamed(), disk.get("mp")),
            (Some("local:104/vm-104-disk-1.raw"), Some("/mnt/data"))
        );
        let Ok(card) = "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0".parse::<Properties>();
        assert_eq!(card.mac(), Some("BC:24:11:AA:BB:CC"));
        assert_eq!(Properties::of("local:4").with("mp", "/x").to_string(), "local:4,mp=/x");
    }
}
