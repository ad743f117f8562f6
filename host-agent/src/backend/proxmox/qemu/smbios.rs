//! `smbios1`: the UUID that a machine takes its machine-id from, and the serial number that carries its claim.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use firstlight_shared::wire::Claim;

use crate::backend::proxmox::client::properties::Properties;

/// Proxmox takes no longer one, in characters.
const LONGEST: usize = 512;
/// Fields that a guest can do without, in the order in which they are left out of a claim that is too long.
const SPARE: [&str; 3] = ["machine-id", "hostname", "intent"];
/// Values in base64, as all are if this is 1; the UUID never is.
const ENCODED: &str = "base64";
const TEXTS: [&str; 6] = ["version", "serial", "manufacturer", "product", "sku", "family"];

/// A value for `smbios1`, and what a reader of the journal should know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handed {
    pub(super) value: Properties,
    pub(super) remark: Option<String>,
}

/// The archive's value with this UUID and with the claim as serial number: as much of the claim as there is room for,
/// and no serial at all where not even address and pin fit. A serial alone would remove the UUID.
///
/// The claim's secret is never in it: the value can be read on the node, and is kept in backups.
pub(super) fn handed(archived: &Properties, uuid: Option<&str>, claim: &Claim) -> Handed {
    let plain = with_uuid(archived.clone().without("serial"), uuid);
    let base = encoded(&plain).with(ENCODED, 1);
    let mut claim = Claim { secret: None, ..claim.clone() };
    for left_out in 0..=SPARE.len() {
        match left_out {
            0 => {}
            1 => claim.machine_id = None,
            2 => claim.hostname = None,
            _ => claim.intent = None,
        }
        let serial = BASE64_STANDARD.encode(claim.to_one_line().as_bytes());
        let value = base.clone().with("serial", serial);
        if value.to_string().len() <= LONGEST {
            let remark = (left_out > 0).then(|| {
                let fields = SPARE[..left_out].join(", ");
                format!("the claim goes without {fields}: `smbios1` takes no more than {LONGEST} characters")
            });
            return Handed { value, remark };
        }
    }
    let remark = format!(
        "the machine gets no claim: with the golden's other values there is no room in the {LONGEST} characters of `smbios1`"
    );
    Handed { value: plain, remark: Some(remark) }
}

/// Without a serial that is a claim. None: there is none. `uuid` where the value has lost its own.
pub(super) fn without_claim(written: &Properties, uuid: Option<&str>) -> Option<Properties> {
    let serial = BASE64_STANDARD.decode(written.get("serial")?).ok()?;
    if !Claim::is_one_line(&serial) {
        return None;
    }
    let own = written.get("uuid").or(uuid).map(str::to_owned);
    let rest = with_uuid(written.clone().without("serial"), own.as_deref());
    let texts = TEXTS.iter().any(|name| rest.get(name).is_some());
    Some(if texts { rest } else { rest.without(ENCODED) })
}

fn with_uuid(properties: Properties, uuid: Option<&str>) -> Properties {
    match uuid {
        Some(uuid) => properties.with("uuid", uuid),
        None => properties.without("uuid"),
    }
}

/// All texts in base64.
fn encoded(properties: &Properties) -> Properties {
    if properties.get(ENCODED) == Some("1") {
        return properties.clone();
    }
    TEXTS.iter().fold(properties.clone(), |known, name| match properties.get(name) {
        Some(text) => known.with(name, BASE64_STANDARD.encode(text)),
        None => known,
    })
}

#[cfg(test)]
mod tests {
    use firstlight_shared::ids::{GuestName, MachineId};
    use firstlight_shared::secret::Secret;
    use firstlight_shared::wire::Intent;

    use super::*;

    const UUID: &str = "11111111-2222-3333-4444-555555555555";

    fn properties(text: &str) -> Properties {
        let Ok(properties) = text.parse();
        properties
    }

    fn claim(hostname: &str, url: &str) -> Claim {
        Claim {
            version: 1,
            id: "0b6c4d1e9f0b6c4d".to_owned(),
            secret: Some(Secret::new(vec![7; 32])),
            intent: Some(Intent::Provision),
            hostname: Some(hostname.parse::<GuestName>().unwrap()),
            url: Some(url.to_owned()),
            pin: Some("sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse().unwrap()),
            machine_id: Some("0123456789abcdef0123456789abcdef".parse::<MachineId>().unwrap().derived()),
            secrets: Vec::new(),
        }
    }

    /// What the guest's agent finds in `/sys/class/dmi/id/product_serial` and makes of it.
    fn as_the_guest_reads_it(value: &Properties) -> Option<Claim> {
        assert_eq!(value.get(ENCODED), Some("1"), "else QEMU would be given the letters of the base64");
        let mut bytes = BASE64_STANDARD.decode(value.get("serial")?).unwrap();
        bytes.push(b'\n');
        assert!(Claim::is_one_line(&bytes));
        Some(Claim::parse(&bytes).unwrap())
    }

    #[test]
    fn as_much_of_the_claim_as_fits_reaches_the_guest_and_never_its_secret() {
        let (v4, v6) = ("https://10.77.0.1:7443", "https://[2001:db8:1234:5678:9abc:def0:1234:5678]:7443");
        let short = "web-01";
        let long = "a-host-name-as-long-as-they-may-be-which-is-63-letters-and-d1gi";
        let vendor = "manufacturer=Rmlyc3RsaWdodA==,product=R29sZGVu,base64=1";
        let much = format!("family={}", "A".repeat(100));
        let too_much = format!("family={}", "A".repeat(200));
        for (archived, hostname, url, left_out) in [
            ("", short, v4, 0),
            ("", long, v4, 1),
            ("", short, v6, 1),
            ("", long, v6, 2),
            (vendor, short, v4, 0),
            (vendor, long, v4, 2),
            (vendor, long, v6, 2),
            (&much, short, v4, 2),
            (&too_much, short, v4, 4),
        ] {
            let asked = claim(hostname, url);
            let Handed { value, remark } = handed(&properties(archived), Some(UUID), &asked);
            let case = format!("{archived} {hostname} {url}: {value} {remark:?}");
            assert!(value.to_string().len() <= LONGEST, "{case}");
            assert_eq!(value.get("uuid"), Some(UUID), "{case}");
            assert_eq!(value.get("product").is_some(), archived == vendor, "{case}");
            assert_eq!(remark.is_some(), left_out > 0, "{case}");
            if left_out > SPARE.len() {
                assert_eq!(value.get("serial"), None, "{case}");
                continue;
            }
            let got = as_the_guest_reads_it(&value).unwrap();
            assert!(got.secret.is_none(), "{case}");
            assert_eq!((&got.id, &got.url, &got.pin), (&asked.id, &asked.url, &asked.pin), "{case}");
            let there =
                [got.machine_id.is_some(), got.hostname.is_some(), got.intent.is_some()].map(u8::from);
            let expected = [0, 1, 2].map(|place| u8::from(place >= left_out));
            assert_eq!(there, expected, "{case}");
        }
    }

    #[test]
    fn a_claim_without_a_prediction_fits_whole() {
        let asked = Claim { machine_id: None, ..claim("web-01", "https://10.77.0.1:7443") };
        let Handed { value, remark: None } = handed(&properties("uuid=old"), Some(UUID), &asked) else {
            panic!()
        };
        assert!(as_the_guest_reads_it(&value).unwrap().hostname.is_some());
    }

    #[test]
    fn the_goldens_other_values_stay_and_are_all_in_base64() {
        let archived = properties("uuid=old,manufacturer=QUJD,serial=T0xE,base64=1");
        let asked = Claim { machine_id: None, ..claim("a", "https://10.77.0.1:7443") };
        let value = handed(&archived, Some(UUID), &asked).value;
        assert_eq!((value.get("manufacturer"), value.get("uuid")), (Some("QUJD"), Some(UUID)));
        assert_ne!(value.get("serial"), Some("T0xE"));
        // Without the flag QEMU was given the letters as they are, and shall be given the same ones.
        let value = handed(&properties("manufacturer=QUJD"), Some(UUID), &asked).value;
        assert_eq!(value.get("manufacturer"), Some("UVVKRA=="));
    }

    #[test]
    fn without_a_uuid_there_is_none_to_lose() {
        let value =
            handed(&properties("uuid=of-the-golden"), None, &claim("a", "https://10.77.0.1:7443")).value;
        assert_eq!(value.get("uuid"), None);
    }

    #[test]
    fn taking_the_claim_out_never_takes_the_uuid_and_no_other_serial() {
        let asked = claim("web-01", "https://10.77.0.1:7443");
        for (archived, rest) in
            [("", format!("uuid={UUID}")), ("sku=QQ==,base64=1", format!("sku=QQ==,base64=1,uuid={UUID}"))]
        {
            let written = handed(&properties(archived), Some(UUID), &asked).value;
            let left = without_claim(&written, Some("another")).unwrap();
            assert_eq!(left, properties(&rest));
            assert_eq!(without_claim(&left, Some(UUID)), None, "it is out already");
            let lost = written.without("uuid");
            assert_eq!(without_claim(&lost, Some(UUID)).unwrap().get("uuid"), Some(UUID));
        }
        for own in ["uuid=x,serial=T0xE,base64=1", "uuid=x", "", "serial=%"] {
            assert_eq!(without_claim(&properties(own), Some(UUID)), None, "{own}");
        }
    }
}
