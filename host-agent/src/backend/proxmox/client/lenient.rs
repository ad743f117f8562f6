//! Proxmox's JSON comes from Perl: numbers may be strings, booleans are 0 and 1, and keys come and go by version.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A whole number, however it is written. Fractions lose what is behind the point.
pub(super) fn number_of(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked, and the fraction is to go"
)]
fn whole(number: f64) -> Option<u64> {
    (0.0..9e15).contains(&number).then_some(number as u64)
}

/// true, 1, "1", "yes", "on" and their contraries.
pub(super) fn flag_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_f64()? != 0.0),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "yes" | "true" => Some(true),
            "0" | "off" | "no" | "false" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a scalar.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        _ => None,
    }
}

/// For fields that we do not rely on: what cannot be read is None.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(number_of(&Value::deserialize(deserializer)?))
}

/// For fields that we do not rely on: what cannot be read is false.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(flag_of(&Value::deserialize(deserializer)?).unwrap_or_default())
}

/// For fields that we do not rely on: what is no text and no number is None.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(text_of(&Value::deserialize(deserializer)?))
}

/// For fields that we rely on.
pub(super) fn needed_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    number_of(&value).ok_or_else(|| serde::de::Error::custom("a whole number is wanted"))
}

/// A VMID that we rely on.
pub(super) fn vmid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = needed_number(deserializer)?;
    u32::try_from(number).map_err(|_| serde::de::Error::custom("a VMID is below 2^32"))
}

/// A VMID where there may be one.
pub(super) fn maybe_vmid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(number_of(&Value::deserialize(deserializer)?).and_then(|number| u32::try_from(number).ok()))
}

/// A comma-separated list.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = text_of(&Value::deserialize(deserializer)?).unwrap_or_default();
    Ok(text.split([',', ' ', ';']).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn perl_writes_scalars_as_it_pleases() {
        for (value, number, flag) in [
            (json!(7), Some(7), Some(true)),
            (json!("7"), Some(7), None),
            (json!(7.0), Some(7), Some(true)),
            (json!("1"), Some(1), Some(true)),
            (json!(0), Some(0), Some(false)),
            (json!(""), None, Some(false)),
            (json!(true), None, Some(true)),
            (json!(-1), None, Some(true)),
            (json!(1e300), None, Some(true)),
            (json!(null), None, None),
            (json!([1]), None, None),
        ] {
            assert_eq!((number_of(&value), flag_of(&value)), (number, flag), "{value}");
        }
    }
}
