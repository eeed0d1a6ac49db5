//! Secrets in the owner's row, sealed with a key of the installation.
//!
//! A sealed text is `v1:<key id>:<nonce and ciphertext in base64>`. It opens only with the key of that id,
//! and only for the owner that it was sealed for: copied into another row it is worthless.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, Generate as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest as _, Sha256};

use super::SecretError;

const VERSION: &str = "v1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// A key that seals secrets.
#[derive(Clone)]
pub struct SealingKey {
    id: String,
    bytes: Arc<SecretBox<[u8; KEY_BYTES]>>,
}

/// The error of a text that is no key. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 random bytes in base64 or hexadecimal; `openssl rand -base64 32` makes one")]
pub struct InvalidKey;

impl SealingKey {
    /// Reads a key from its text form.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes = match text.len() {
            64 => hex(text).ok_or(InvalidKey)?,
            _ => STANDARD.decode(text).map_err(|_| InvalidKey)?,
        };
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| InvalidKey)?;
        // A placeholder such as AAAA… would be a key that everybody has.
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(InvalidKey);
        }
        // The id tells keys apart and nothing else about them.
        let digest = Sha256::new().chain_update(b"dilux-backup key id\0").chain_update(bytes).finalize();
        let id = URL_SAFE_NO_PAD.encode(&digest[..6]);
        Ok(Self { id, bytes: Arc::new(SecretBox::new(Box::new(bytes))) })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes.expose_secret().into())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The keys of the installation: one that seals, and perhaps the one before it, which still opens.
#[derive(Debug, Clone)]
pub struct SealingKeys {
    current: SealingKey,
    previous: Option<SealingKey>,
}

impl SealingKeys {
    /// Takes the present key and the one before it.
    pub fn new(current: SealingKey, previous: Option<SealingKey>) -> Self {
        Self { current, previous }
    }

    /// Seals a secret for an owner.
    pub(super) fn seal(&self, owner: &str, secret: &SecretString) -> Result<String, SecretError> {
        let key = &self.current;
        let nonce = XNonce::generate();
        let bound_to = bound_to(&key.id, owner);
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: bound_to.as_bytes() };
        // Only a text beyond any memory cannot be encrypted.
        let ciphertext = key.cipher().encrypt(&nonce, payload).map_err(|_| SecretError::Damaged)?;
        let bytes = [nonce.as_slice(), &ciphertext].concat();
        Ok(format!("{VERSION}:{}:{}", key.id, URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Opens a text that was sealed for this owner.
    pub(super) fn open(&self, owner: &str, sealed: &str) -> Result<SecretString, SecretError> {
        let (id, body) = parts(sealed).ok_or(SecretError::Damaged)?;
        let keys = [Some(&self.current), self.previous.as_ref()];
        let key = keys.into_iter().flatten().find(|key| key.id == id).ok_or(SecretError::UnknownKey)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| SecretError::Damaged)?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE_BYTES).ok_or(SecretError::Damaged)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| SecretError::Damaged)?;
        let bound_to = bound_to(id, owner);
        let payload = Payload { msg: ciphertext, aad: bound_to.as_bytes() };
        let opened = key.cipher().decrypt(&nonce, payload).map_err(|_| SecretError::Damaged)?;
        String::from_utf8(opened).map(Into::into).map_err(|_| SecretError::Damaged)
    }

    /// Tells whether a text is sealed with the present key.
    pub(super) fn is_current(&self, sealed: &str) -> bool {
        parts(sealed).is_some_and(|(id, _)| id == self.current.id)
    }
}

fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(VERSION)?.strip_prefix(':')?.split_once(':')
}

/// Returns what is authenticated besides the secret: changed in any part, the text does not open.
fn bound_to(key_id: &str, owner: &str) -> String {
    format!("dilux-backup secret {VERSION}\0{key_id}\0{owner}")
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some((digit(pair.first()?)? << 4) | digit(pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const TWO: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    fn keys(current: &str, previous: Option<&str>) -> SealingKeys {
        let key = |text| SealingKey::parse(text).unwrap();
        SealingKeys::new(key(current), previous.map(key))
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_alone() {
        let keys = keys(ONE, None);
        let sealed = keys.seal("database/password/d-1", &"pä'ss".into()).unwrap();
        assert!(sealed.starts_with(&format!("v1:{}:", keys.current.id)), "{sealed}");
        assert_eq!(keys.open("database/password/d-1", &sealed).unwrap().expose_secret(), "pä'ss");
        for other in ["database/password/d-2", "engine/password/d-1", ""] {
            assert!(matches!(keys.open(other, &sealed), Err(SecretError::Damaged)), "{other}");
        }
        let again = keys.seal("database/password/d-1", &"pä'ss".into()).unwrap();
        assert_ne!(sealed, again, "each sealing has its own nonce");
    }

    #[test]
    fn the_key_before_opens_and_does_not_seal() {
        let old = keys(ONE, None);
        let sealed = old.seal("o", &"word".into()).unwrap();
        let rotating = keys(TWO, Some(ONE));
        assert_eq!(rotating.open("o", &sealed).unwrap().expose_secret(), "word");
        assert!(old.is_current(&sealed) && !rotating.is_current(&sealed));
        let resealed = rotating.seal("o", &"word".into()).unwrap();
        let rotated = keys(TWO, None);
        assert_eq!(rotated.open("o", &resealed).unwrap().expose_secret(), "word");
        assert!(matches!(rotated.open("o", &sealed), Err(SecretError::UnknownKey)));
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let keys = keys(ONE, Some(TWO));
        let sealed = keys.seal("o", &"a longer word than most".into()).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys.open("o", &changed).is_err(), "{at}: {changed}");
        }
        for cut in [0, 1, 3, 15, 16, 17, sealed.len() - 1] {
            assert!(keys.open("o", &sealed[..cut]).is_err(), "{cut}");
        }
        // The key's id is authenticated as well.
        let (id, other) = (keys.current.id.as_str(), keys.previous.as_ref().unwrap().id.as_str());
        assert!(matches!(keys.open("o", &sealed.replace(id, other)), Err(SecretError::Damaged)));
    }

    #[test]
    fn keys_that_are_none_are_refused_and_never_shown() {
        let zeros = "00".repeat(32);
        for text in
            ["", "short", "MDEyMzQ1", zeros.as_str(), &ONE.replace('=', "==="), &TWO.replace('f', "g")]
        {
            assert_eq!(SealingKey::parse(text).err(), Some(InvalidKey), "{text}");
        }
        let shown = format!("{:?}", keys(ONE, Some(TWO)));
        assert!(!shown.contains("MDEy") && !shown.contains("fedc") && !shown.contains("48, 49"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_secret_comes_back(secret in ".{0,200}", owner in ".{0,40}") {
            let keys = keys(TWO, None);
            let sealed = keys.seal(&owner, &secret.as_str().into()).unwrap();
            let opened = keys.open(&owner, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), secret);
        }
    }
}
