//! How a connection is protected, in the words of each client. Pure, but for a look at which list of
//! authorities the machine has.
//!
//! What must stay true: no client does with less than the target asks for. Where a client has no word for a
//! mode, it gets the next stronger one, or is asked afterwards whether it has encrypted.

use std::path::{Path, PathBuf};

use shared::models::{Tls, TlsMode};

use crate::option_file::OptionFile;
use crate::version::Flavour;

/// Where the systems that we run on keep the certificates of the public authorities.
const KNOWN_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Certificates that a client is to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Those in a file of the machine.
    File(PathBuf),
    /// These, which have to be written to a file first.
    Text(String),
}

/// Returns the authorities that a client needs to know: the target's own, else those of the machine.
///
/// None for a mode that does not look at certificates: libpq would otherwise look at them all the same.
pub(crate) fn authority(tls: &Tls) -> Option<Authority> {
    if !tls.mode.verifies() {
        return None;
    }
    if let Some(ca) = &tls.ca {
        return Some(Authority::Text(ca.as_str().to_owned()));
    }
    let file = KNOWN_AUTHORITIES.into_iter().find(|file| Path::new(file).exists());
    // Without any, the client says which file it misses.
    Some(Authority::File(file.unwrap_or(KNOWN_AUTHORITIES[0]).into()))
}

/// Returns the mode in the words of libpq.
pub(crate) fn of_libpq(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "disable",
        TlsMode::Prefer => "prefer",
        TlsMode::Require => "require",
        TlsMode::VerifyCa => "verify-ca",
        TlsMode::VerifyFull => "verify-full",
    }
}

/// Adds the mode to the option file of a client of MySQL or MariaDB.
///
/// MariaDB's clients encrypt when the server offers it and go on without when it does not, unless they
/// look at the certificate, and then at its name as well: for them `verify_ca` is `verify_full`. Whether
/// they have encrypted has to be asked for `require` ([`must_be_asked`]).
pub(crate) fn of_mysql(mode: TlsMode, flavour: Flavour, file: OptionFile) -> OptionFile {
    match (flavour, mode) {
        // Since 11.4 MariaDB's clients refuse certificates that no authority has signed, which are what
        // most servers have.
        (Flavour::Mariadb, TlsMode::Prefer) => file.set("ssl-verify-server-cert", "0"),
        (Flavour::Mariadb, TlsMode::Disable) => file.set("ssl", "0").set("ssl-verify-server-cert", "0"),
        (Flavour::Mariadb, TlsMode::Require) => file.set("ssl", "1").set("ssl-verify-server-cert", "0"),
        (Flavour::Mariadb, TlsMode::VerifyCa | TlsMode::VerifyFull) => {
            file.set("ssl", "1").set("ssl-verify-server-cert", "1")
        }
        // What MySQL's clients do by themselves, and the older ones have no option for.
        (_, TlsMode::Prefer) => file,
        // A program that does not know the option does not start: better than one that does not protect.
        (_, mode) => file.set(
            "ssl-mode",
            match mode {
                TlsMode::Disable => "DISABLED",
                TlsMode::Prefer => "PREFERRED",
                TlsMode::Require => "REQUIRED",
                TlsMode::VerifyCa => "VERIFY_CA",
                TlsMode::VerifyFull => "VERIFY_IDENTITY",
            },
        ),
    }
}

/// Tells whether a client would go on without the encryption that is asked for, so that it has to be asked.
pub(crate) fn must_be_asked(mode: TlsMode, flavour: Flavour) -> bool {
    mode == TlsMode::Require && flavour == Flavour::Mariadb
}

/// Reads from the answer to `SHOW SESSION STATUS LIKE 'Ssl_cipher'` whether the connection is encrypted.
pub(crate) fn is_encrypted(answer: &str) -> bool {
    answer.lines().filter_map(|line| line.strip_prefix("Ssl_cipher")).any(|cipher| !cipher.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn options(mode: TlsMode, flavour: Flavour) -> String {
        of_mysql(mode, flavour, OptionFile::default()).finish().expose_secret().replace('\n', " ")
    }

    #[test]
    fn every_mode_has_its_words_in_every_client() {
        let words = TlsMode::ALL.iter().map(|&mode| {
            let [mysql, mariadb] = [Flavour::Mysql, Flavour::Mariadb].map(|flavour| options(mode, flavour));
            format!("{mode}: {} | {mysql}| {mariadb}", of_libpq(mode))
        });
        insta::assert_snapshot!(words.collect::<Vec<_>>().join("\n"), @r#"
        disable: disable | ssl-mode="DISABLED" | ssl="0" ssl-verify-server-cert="0" 
        prefer: prefer | | ssl-verify-server-cert="0" 
        require: require | ssl-mode="REQUIRED" | ssl="1" ssl-verify-server-cert="0" 
        verify_ca: verify-ca | ssl-mode="VERIFY_CA" | ssl="1" ssl-verify-server-cert="1" 
        verify_full: verify-full | ssl-mode="VERIFY_IDENTITY" | ssl="1" ssl-verify-server-cert="1" 
        "#);
    }

    #[test]
    fn a_program_of_unknown_make_is_never_left_to_its_habits() {
        for mode in [TlsMode::Disable, TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
            assert!(options(mode, Flavour::Unknown).contains("ssl-mode"), "{mode}");
        }
    }

    #[test]
    fn authorities_are_given_only_to_those_who_look_at_them() {
        for mode in [TlsMode::Disable, TlsMode::Prefer, TlsMode::Require] {
            assert_eq!(authority(&Tls { mode, ca: None }), None, "{mode}");
        }
        for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
            assert!(matches!(authority(&Tls { mode, ca: None }), Some(Authority::File(_))), "{mode}");
        }
    }

    #[test]
    fn the_cipher_tells_of_encryption() {
        assert!(is_encrypted("10.11.19-MariaDB\nSsl_cipher\tTLS_AES_256_GCM_SHA384\n"));
        assert!(!is_encrypted("10.11.19-MariaDB\nSsl_cipher\t\n"));
        assert!(!is_encrypted("10.11.19-MariaDB\n"));
    }
}
