//! Reads the claim from the channel that the hypervisor alone writes: a systemd credential.

use firstlight_shared::paths::CLAIM_CREDENTIAL;
use firstlight_shared::wire::Claim;

use crate::sys::Machine;

/// The claim, if one was handed in that this version understands; otherwise the reason stands in `problems`.
/// The message of a malformed claim never holds its text, which may be a secret.
pub(crate) fn load(machine: &Machine, problems: &mut Vec<String>) -> Option<Claim> {
    let bytes = zeroize::Zeroizing::new(machine.credential(CLAIM_CREDENTIAL)?);
    match parse(&bytes) {
        Ok(claim) => Some(claim),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Claim, String> {
    let claim: Claim = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "the claim is not the JSON of version 1 (line {line}, column {column}): reported without a claim"
        )
    })?;
    if claim.version == 1 {
        Ok(claim)
    } else {
        Err(format!("the claim has version {}, only 1 is known: reported without a claim", claim.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_claims_are_named_without_their_text() {
        let right = br#"{"version":1,"id":"a","secret":"00ff"}"#;
        assert_eq!(parse(right).unwrap().id, "a");
        for wrong in
            [&br#"{"version":2,"id":"a","secret":"00ff"}"#[..], b"00ff", b"", br#"{"secret":"00ffz"}"#]
        {
            assert!(!parse(wrong).unwrap_err().contains("00ff"));
        }
    }
}
