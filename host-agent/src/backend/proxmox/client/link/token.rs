//! The API token: `USER@REALM!NAME=SECRET`.

use std::fmt;

use firstlight_shared::secret::Secret;
use hyper::header::HeaderValue;

/// Its id may be shown, its secret never.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    id: String,
    secret: Secret,
}

/// Says what is wrong, and nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an API token: USER@REALM!NAME=SECRET is wanted, as `pveum user token add` shows it")]
pub struct TokenError;

impl ApiToken {
    /// Of the content of a credential or file; `PVEAPIToken=` in front of it does not matter.
    ///
    /// # Errors
    /// It is not of that form.
    pub fn parse(content: &Secret) -> Result<Self, TokenError> {
        let text = std::str::from_utf8(content.expose()).map_err(|_| TokenError)?.trim();
        let text = text.strip_prefix("PVEAPIToken=").unwrap_or(text);
        let (id, secret) = text.split_once('=').ok_or(TokenError)?;
        let (user, name) = id.split_once('!').ok_or(TokenError)?;
        let (user, realm) = user.rsplit_once('@').ok_or(TokenError)?;
        let is_word = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let user_is_good =
            !user.is_empty() && user.chars().all(|c| c.is_ascii_graphic() && !":/!=".contains(c));
        let secret_is_good = secret.len() >= 8 && secret.chars().all(|c| c.is_ascii_graphic());
        if !(user_is_good && is_word(realm) && is_word(name) && secret_is_good) {
            return Err(TokenError);
        }
        Ok(Self { id: id.to_owned(), secret: Secret::new(secret.as_bytes().to_vec()) })
    }

    /// `USER@REALM!NAME`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value of `Authorization`; hyper shows it as `Sensitive`.
    pub(super) fn header(&self) -> HeaderValue {
        let mut bytes = format!("PVEAPIToken={}=", self.id).into_bytes();
        bytes.extend_from_slice(self.secret.expose());
        // Graphic ASCII only, as `parse` saw to.
        let mut value = HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static("-"));
        value.set_sensitive(true);
        value
    }

    /// The text without the secret, should a server have put it there.
    pub(super) fn redact(&self, text: &str) -> String {
        match std::str::from_utf8(self.secret.expose()) {
            Ok(secret) => text.replace(secret, "[token]"),
            Err(_) => text.to_owned(),
        }
    }

    /// Bytes without the secret.
    pub(super) fn redact_bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        let secret = self.secret.expose();
        if !bytes.windows(secret.len()).any(|window| window == secret) {
            return bytes;
        }
        self.redact(&String::from_utf8_lossy(&bytes)).into_bytes()
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({}, hidden)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ApiToken, TokenError> {
        ApiToken::parse(&Secret::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn tokens_are_taken_with_and_without_their_scheme() {
        for text in ["root@pam!fl=hunter2-hunter2", " PVEAPIToken=root@pam!fl=hunter2-hunter2\n"] {
            let token = parse(text).unwrap();
            assert_eq!(token.id(), "root@pam!fl");
            assert_eq!(token.header().as_bytes(), b"PVEAPIToken=root@pam!fl=hunter2-hunter2");
            assert!(!format!("{token:?} {:?}", token.header()).contains("hunter2"));
            assert_eq!(token.redact("bad hunter2-hunter2!"), "bad [token]!");
            assert_eq!(token.redact_bytes(b"\xffhunter2-hunter2".to_vec()), "\u{fffd}[token]".as_bytes());
        }
        assert!(parse("a@b@pve!x-1=12345678").is_ok());
        for wrong in [
            "",
            "x",
            "root@pam=hunter2-hunter2",
            "root!fl=hunter2-hunter2",
            "root@pam!=hunter2-hunter2",
            "root@pam!fl=",
            "root@pam!fl=short",
            "root@pam!fl=has space in",
            "@pam!fl=hunter2-hunter2",
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{wrong}");
        }
    }
}
