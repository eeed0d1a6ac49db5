//! How a connection to a database server is protected.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::InvalidText;
use super::kinds::names;

names! {
    /// How much a connection must be protected, from nothing to everything.
    TlsMode, "TLS mode" {
        /// Never encrypted.
        Disable = "disable",
        /// Encrypted when the server offers it; the server's certificate is not looked at.
        Prefer = "prefer",
        /// Always encrypted; the server's certificate is not looked at.
        Require = "require",
        /// Always encrypted, with a certificate of a known authority.
        VerifyCa = "verify_ca",
        /// Always encrypted, with a certificate of a known authority for the host's name.
        VerifyFull = "verify_full",
    }
}

impl TlsMode {
    /// Tells whether the server's certificate is looked at.
    pub const fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// How connections to a server are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// How much.
    pub mode: TlsMode,
    /// The authorities whose certificates are accepted; without them those that the machine knows.
    pub ca: Option<Authorities>,
}

impl Default for Tls {
    /// What rows mean that say nothing.
    fn default() -> Self {
        Self { mode: TlsMode::Prefer, ca: None }
    }
}

/// The longest text of certificates, in characters; it has to fit into a property of a row.
const LONGEST: usize = 30_000;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Certificates of authorities, one or more, in PEM form and nothing else.
///
/// Held to that form because the text is written to a file that the client programs read, where a private
/// key has no business and a broken certificate would only be noticed at night.
#[derive(Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Authorities(String);

impl Authorities {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Authorities {
    /// Certificates are public, but long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({} certificates)", self.0.matches(BEGIN).count())
    }
}

impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Authorities {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        const FORM: InvalidText = InvalidText(
            "must be one or more certificates in PEM form, each from -----BEGIN CERTIFICATE----- to \
             -----END CERTIFICATE-----, and nothing else",
        );
        if text.len() > LONGEST {
            return Err(InvalidText(
                "must be at most 30000 bytes; leave out the certificates that are not needed",
            ));
        }
        let mut written = String::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (body, after) = rest.strip_prefix(BEGIN).and_then(|rest| rest.split_once(END)).ok_or(FORM)?;
            let body: String = body.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(&body).map_err(|_| FORM)?;
            // A certificate is one ASN.1 sequence (RFC 5280, section 4.1), of more than 127 bytes.
            if !bytes.starts_with(&[0x30, 0x82]) && !bytes.starts_with(&[0x30, 0x81]) {
                return Err(FORM);
            }
            written.push_str(BEGIN);
            for (index, character) in body.chars().enumerate() {
                if index % 64 == 0 {
                    written.push('\n');
                }
                written.push(character);
            }
            written.push('\n');
            written.push_str(END);
            written.push('\n');
            rest = after.trim_start();
        }
        if written.is_empty() { Err(FORM) } else { Ok(Self(written)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes bytes in the form of a certificate.
    fn pem(bytes: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(bytes))
    }

    #[test]
    fn certificates_are_kept_in_lines_of_64_characters() {
        let one = [&[0x30, 0x82, 1, 0][..], &[7; 96]].concat();
        let text = format!("\r\n{}\r\n{}", pem(&one).replace('\n', "\r\n"), pem(&one));
        let kept = text.parse::<Authorities>().map(|kept| kept.to_string()).unwrap_or_default();
        assert_eq!(kept.matches(BEGIN).count(), 2);
        assert!(kept.lines().all(|line| line.len() <= 64), "{kept}");
        assert_eq!(kept.parse::<Authorities>().map(|again| again.to_string()), Ok(kept));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let good = pem(&[0x30, 0x82, 1, 0]);
        for bad in [
            "",
            "  ",
            "ca.pem",
            BEGIN,
            &good.replace("CERTIFICATE", "PRIVATE KEY"),
            &format!("{good}trailing"),
            &format!("subject=CN\n{good}"),
            &pem(b"hello"),
            &format!("{BEGIN}\n!!!\n{END}"),
            &good.repeat(1000),
        ] {
            assert!(bad.parse::<Authorities>().is_err(), "{bad}");
        }
    }
}
