//! `password`: nobody can log in by a password that the image is known to have, and, if asked, every password must be
//! changed at the next login.

use firstlight_shared::error::Chain;
use serde::Deserialize;
use serde::de::Error as _;
use sha_crypt::ShaCrypt;
use sha_crypt::password_hash::{Error, PasswordVerifier};
use yescrypt::Yescrypt;

use super::Look;
use super::value::names;
use crate::sys::{SysError, aside, bytes_of};

const SHADOW: &str = "/etc/shadow";
const MAX_FILE: u64 = 4 << 20;
const MAX_KNOWN: usize = 16;
/// A hash that takes longer is not tried: crypt(5) allows hours.
const MAX_ROUNDS: u32 = 1_000_000;
/// Bytes; yescrypt as Debian sets it takes 16 MiB.
const MAX_MEMORY: u64 = 64 << 20;

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Keys")]
pub(super) struct Password {
    known: Vec<String>,
    hashes: Vec<String>,
    users: Vec<String>,
    expired: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    /// Passwords that no account may have.
    known: Vec<String>,
    /// Whole hashes that no account may have.
    hashes: Vec<String>,
    /// The accounts that are looked at; all if empty.
    users: Vec<String>,
    /// Every password must be marked as expired.
    expired: bool,
}

impl TryFrom<Keys> for Password {
    type Error = toml::de::Error;
    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let Keys { known, hashes, users, expired } = keys;
        if known.len() > MAX_KNOWN {
            return Err(Self::Error::custom(format!("at most {MAX_KNOWN} passwords are tried")));
        }
        if known.is_empty() && hashes.is_empty() && !expired {
            return Err(Self::Error::custom("one of `known`, `hashes` and `expired` is wanted"));
        }
        Ok(Self { known, hashes, users, expired })
    }
}

pub(super) async fn look(keys: &Password) -> Look {
    let keys = keys.clone();
    let observed = aside(move || -> Result<Look, SysError> {
        let bytes = bytes_of(SHADOW.as_ref(), MAX_FILE)?;
        Ok(match bytes {
            Some(bytes) => judge(&keys, &zeroize::Zeroizing::new(bytes)),
            None => Look::cannot_tell("there is no /etc/shadow".to_owned()),
        })
    });
    match observed.await {
        Some(Ok(look)) => look,
        Some(Err(error)) => Look::cannot_tell(Chain(&error).to_string()),
        None => Look::no_thread(),
    }
}

/// Source: shadow(5).
fn judge(keys: &Password, shadow: &[u8]) -> Look {
    let text = String::from_utf8_lossy(shadow);
    let (mut wrong, mut unknown, mut count) = (Vec::new(), Vec::new(), 0);
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(user), Some(hash)) = (fields.next(), fields.next()) else { continue };
        // Nobody logs in by a password that is locked or is no hash.
        if (!keys.users.is_empty() && !keys.users.iter().any(|wanted| wanted == user))
            || hash.starts_with(['!', '*'])
        {
            continue;
        }
        count += 1;
        if hash.is_empty() {
            wrong.push(format!("{user} needs no password"));
            continue;
        }
        if keys.hashes.iter().any(|known| known == hash) {
            wrong.push(format!("{user} has a known hash"));
        } else {
            match has_known_password(&keys.known, hash) {
                Some(true) => wrong.push(format!("{user} has a known password")),
                Some(false) => {}
                None => unknown.push(user.to_owned()),
            }
        }
        // Day zero of the last change means: to be changed at the next login.
        if keys.expired && fields.next() != Some("0") {
            wrong.push(format!("the password of {user} is not expired"));
        }
    }
    if !wrong.is_empty() {
        return Look::not_yet(names(&wrong));
    }
    if !unknown.is_empty() {
        return Look::cannot_tell(format!("hashes that cannot be verified: {}", names(&unknown)));
    }
    Look::pass(format!("{count} accounts with a password were looked at"))
}

/// None: the hash is of a kind, or of a cost, that is not tried.
fn has_known_password(known: &[String], hash: &str) -> Option<bool> {
    if known.is_empty() {
        return Some(false);
    }
    if !is_affordable(hash) {
        return None;
    }
    let verify: fn(&[u8], &str) -> Result<(), Error> = match hash.get(..3)? {
        "$y$" => |password, hash| Yescrypt::default().verify_password(password, hash),
        "$5$" | "$6$" => |password, hash| ShaCrypt::default().verify_password(password, hash),
        _ => return None,
    };
    for password in known {
        match verify(password.as_bytes(), hash) {
            Ok(()) => return Some(true),
            Err(Error::PasswordInvalid) => {}
            Err(_) => return None,
        }
    }
    Some(false)
}

fn is_affordable(hash: &str) -> bool {
    let parameters = hash.split('$').nth(2).unwrap_or_default();
    if hash.starts_with("$y$") {
        let parsed = parameters.parse::<yescrypt::Params>();
        return parsed.is_ok_and(|parameters| {
            let memory = parameters.n().checked_mul(128 * u64::from(parameters.r()));
            memory.is_some_and(|memory| memory <= MAX_MEMORY) && parameters.p() <= 16
        });
    }
    match parameters.strip_prefix("rounds=") {
        Some(rounds) => rounds.parse::<u32>().is_ok_and(|rounds| rounds <= MAX_ROUNDS),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::units::said;
    use super::*;

    /// Of the password `debian`, by crypt(3) of libxcrypt.
    const YESCRYPT: &str = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$XqXU4ntqeK4HFbYETCsg/QROC5nX8XBgfOVq4zA.Lq1";
    const SHA512: &str =
        "$6$saltsalt$CFJE.1JeH61pSmTnYJBbpGSu/ceC738N42ACX0uYpBcn67czQ6bwbctRZ3mGp4MarXUnLD6p0zQidguPdSyAc0";
    const SHA512_ROUNDS: &str = "$6$rounds=10000$Zs9.Xq/w1$y3zwb1b6BxY9k76Y8DmyI4Fyjm705nD8IHqsbSZnrPZM3ytNaHMQ2zpuTekGp37qdR0rS7yKhaXZD/wARuZ4R/";
    const SHA256: &str = "$5$saltsalt$1QIKVx0jymiPsPX1gBln93Op8Q33803qouy.rzPIwr6";
    const MD5: &str = "$1$saltsalt$sBcryli67u/ZPqdkUb7320";

    fn check(keys: &str) -> Password {
        toml::from_str(keys).unwrap()
    }

    #[test]
    fn a_known_password_is_found_behind_every_usual_hash() {
        let keys = check("known = [\"other\", \"debian\"]");
        for hash in [YESCRYPT, SHA512, SHA512_ROUNDS, SHA256] {
            let look = judge(&keys, format!("root:*:1::::::\nuser:{hash}:19000:0:99999:7:::\n").as_bytes());
            assert_eq!(said(&look), (Verdict::Fail, "user has a known password"), "{hash}");
            let others = judge(&check("known = [\"else\"]"), format!("user:{hash}:1::::::\n").as_bytes());
            assert_eq!(said(&others).0, Verdict::Pass, "{hash}: {others:?}");
        }
    }

    #[test]
    fn what_cannot_be_tried_is_unknown_and_never_passes() {
        let keys = check("known = [\"debian\"]");
        let dear = "$6$rounds=999999999$saltsalt$hash";
        for hash in [MD5, "$2b$12$abc", "$y$jFT$x$y", "$y$", "$6$", dear, "x"] {
            let look = judge(&keys, format!("user:{hash}:1::::::\n").as_bytes());
            assert_eq!(said(&look).0, Verdict::Unknown, "{hash}: {look:?}");
        }
    }

    #[test]
    fn accounts_are_judged_by_hash_lock_and_expiry() {
        let hashes = format!("hashes = [\"{MD5}\"]");
        for (keys, line, verdict) in [
            (hashes.as_str(), format!("user:{MD5}:1::::::"), Verdict::Fail),
            (&hashes, format!("user:!{MD5}:1::::::"), Verdict::Pass),
            (&hashes, format!("user:{SHA512}:1::::::"), Verdict::Pass),
            (&hashes, "user::1::::::".to_owned(), Verdict::Fail),
            ("expired = true", format!("user:{SHA512}:0::::::"), Verdict::Pass),
            ("expired = true", format!("user:{SHA512}:19000::::::"), Verdict::Fail),
            ("expired = true", format!("user:{SHA512}:::::::"), Verdict::Fail),
            ("expired = true\nusers = [\"admin\"]", format!("user:{SHA512}:1::::::"), Verdict::Pass),
        ] {
            let look = judge(&check(keys), format!("odd\nroot:*:1::::::\n{line}\n").as_bytes());
            assert_eq!(said(&look).0, verdict, "{keys} {line}: {look:?}");
        }
        for wrong in ["", "known = \"debian\"", "users = [\"a\"]"] {
            assert!(toml::from_str::<Password>(wrong).is_err(), "{wrong}");
        }
    }
}
