//! Which processor a program is for.

/// `e_machine` of an ELF header; the first 20 bytes do. None: it is no ELF file. Source: elf(5).
#[must_use]
pub fn machine(bytes: &[u8]) -> Option<u16> {
    let number = [*bytes.get(18)?, *bytes.get(19)?];
    let is_big = *bytes.get(5)? == 2;
    let machine = if is_big { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    bytes.starts_with(b"\x7fELF").then_some(machine)
}

/// As Debian and Proxmox call it.
#[must_use]
pub fn name(machine: u16) -> String {
    match machine {
        3 => "i386".to_owned(),
        40 => "arm".to_owned(),
        62 => "amd64".to_owned(),
        183 => "arm64".to_owned(),
        243 => "riscv".to_owned(),
        other => format!("ELF machine {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_its_machine_in_its_own_byte_order() {
        let header = |order: u8, number: [u8; 2]| {
            let mut bytes = b"\x7fELF\x02".to_vec();
            bytes.push(order);
            bytes.resize(18, 0);
            bytes.extend(number);
            bytes
        };
        assert_eq!(machine(&header(1, [62, 0])).map(name).as_deref(), Some("amd64"));
        assert_eq!(machine(&header(2, [0, 183])).map(name).as_deref(), Some("arm64"));
        assert_eq!(machine(&header(1, [1, 1])).map(name).as_deref(), Some("ELF machine 257"));
        assert_eq!(machine(b"#!/bin/sh\nexit 0\n.........."), None);
        assert_eq!(machine(b"\x7fELF"), None);
    }
}
