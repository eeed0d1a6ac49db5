//! The SHA-256 of the bytes of a blob, taken as they pass.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A digest under way, as [`open`](crate::open()) takes it of a blob.
#[derive(Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest in hexadecimal.
    pub fn finish(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

/// Writes bytes in hexadecimal, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_digest_of_all_parts() {
        let mut digest = Digest::default();
        digest.update(b"a");
        digest.update(b"bc");
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
