//! What holds for every id, pin, text and delay, and that no text at all makes a parser panic.

#![expect(clippy::unwrap_used, reason = "a test stops where it is surprised")]

use std::time::Duration;

use firstlight_shared::backoff::Backoff;
use firstlight_shared::ids::{DerivedMachineId, GuestName, MacAddress, MachineId};
use firstlight_shared::pin::SpkiPin;
use firstlight_shared::secret::Secret;
use firstlight_shared::text::escape;
use firstlight_shared::wire::Claim;
use proptest::prelude::*;

/// Texts near to what is wanted reach further into a parser than random ones.
fn nearly(right: &'static str) -> impl Strategy<Value = String> {
    (0..=right.len(), 0..=right.len(), any::<String>()).prop_map(move |(a, b, middle)| {
        let (start, end) = (a.min(b), a.max(b));
        format!("{}{middle}{}", &right[..start], &right[end..])
    })
}

/// A text that is taken must be shown as something that is taken for the same.
fn comes_back<T>(text: &str) -> Result<(), TestCaseError>
where
    T: std::str::FromStr<Err: std::fmt::Debug> + ToString + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = text.parse::<T>() {
        prop_assert_eq!(value.to_string().parse::<T>().unwrap(), value);
    }
    Ok(())
}

proptest! {
    #[test]
    fn mac_addresses_come_back(bytes in any::<[u8; 6]>()) {
        let mac = MacAddress(bytes);
        prop_assert_eq!(mac.to_string().to_uppercase().parse::<MacAddress>().unwrap(), mac);
    }

    #[test]
    fn local_mac_addresses_are_unicast_and_locally_administered(prefix in any::<[u8; 3]>(), random in any::<[u8; 3]>()) {
        let MacAddress([first, _, _, d, e, f]) = MacAddress::local(prefix, random);
        prop_assert_eq!((first & 0b11, [d, e, f]), (0b10, random));
    }

    #[test]
    fn machine_ids_come_back_in_both_forms_and_never_show(bytes in any::<[u8; 16]>()) {
        let id = MachineId::from_random(bytes);
        let plain = id.expose();
        let dashed =
            [&plain[..8], &plain[8..12], &plain[12..16], &plain[16..20], &plain[20..]].join("-");
        prop_assert_eq!(plain.parse::<MachineId>().unwrap(), id);
        prop_assert_eq!(dashed.parse::<MachineId>().unwrap(), id);
        let shown = format!("{id:?}");
        prop_assert!(!shown.contains(&plain));
        let derived = id.derived();
        prop_assert!(derived.to_string() != plain);
        prop_assert_eq!(derived.to_string().parse::<DerivedMachineId>().unwrap(), derived);
    }

    #[test]
    fn guest_names_are_dns_labels_and_nothing_else(text in "[a-z0-9-]{0,66}") {
        let right = (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-');
        prop_assert_eq!(text.parse::<GuestName>().is_ok(), right);
    }

    #[test]
    fn pins_come_back(spki in proptest::collection::vec(any::<u8>(), 0..100)) {
        let pin = SpkiPin::of(&spki);
        prop_assert_eq!(pin.to_string().parse::<SpkiPin>().unwrap(), pin);
    }

    #[test]
    fn no_text_makes_a_parser_panic_and_what_is_taken_comes_back(
        mac in nearly("52:54:00:ab:cd:ef"),
        id in nearly("0123456789abcdef0123456789abcdef"),
        name in nearly("web-01"),
        pin in nearly("sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        claim in nearly(r#"{"version":1,"id":"a","secret":"00ff","intent":"provision","hostname":"web-01"}"#),
    ) {
        comes_back::<MacAddress>(&mac)?;
        comes_back::<DerivedMachineId>(&id)?;
        comes_back::<GuestName>(&name)?;
        comes_back::<SpkiPin>(&pin)?;
        if let Ok(id) = id.parse::<MachineId>() {
            prop_assert_eq!(id.expose().parse::<MachineId>().unwrap(), id);
        }
        if let Ok(claim) = Claim::parse(claim.as_bytes()) {
            let line = claim.to_one_line();
            prop_assert_eq!(Claim::parse(line.as_bytes()).unwrap().to_one_line(), line);
        }
    }

    #[test]
    fn shown_text_is_short_and_without_control(text in any::<String>(), limit in 0usize..50) {
        let shown = escape(&text, limit);
        let unsafe_ones = |c: &char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        prop_assert_eq!(shown.chars().find(unsafe_ones), None);
        // Each character becomes at most `\u{10ffff}`.
        prop_assert!(shown.chars().count() <= limit * 10 + 1);
    }

    #[test]
    fn secrets_do_not_show(bytes in proptest::collection::vec(any::<u8>(), 4..40)) {
        let shown = format!("{:?}", Secret::new(bytes.clone()));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{bytes:?}");
        prop_assert!(!shown.contains(&hex) && !shown.contains(&list), "{}", shown);
    }

    #[test]
    fn delays_stay_in_the_upper_half_of_their_step(attempt in any::<u32>(), random in any::<u32>()) {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };
        let delay = backoff.delay(attempt, random);
        prop_assert!(delay >= Duration::from_millis(50) && delay <= backoff.max, "{:?}", delay);
    }
}
