//! What blobs may be called, checked before anything is sent.
//!
//! A name that the service, or the address it is put into, would read as another name is refused,
//! so that every implementation stores under exactly the name it was given. The limits are those of
//! <https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata>.

use std::collections::BTreeMap;

use super::blob::BlobAddress;
use super::{StorageError, StorageErrorKind};

const LONGEST_NAME: usize = 1024;

/// Refuses an address whose container or blob name would not survive unchanged.
pub(super) fn check_address(blob: &BlobAddress, operation: &'static str) -> Result<(), StorageError> {
    check_container(&blob.container, operation)?;
    let problem = match blob.name.as_str() {
        "" => "the name is empty",
        name if name.chars().count() > LONGEST_NAME => "the name is longer than 1,024 characters",
        name if name.contains('\\') => "the name holds a backslash, which storage turns into a slash",
        name if name.chars().any(char::is_control) => "the name holds a control character",
        name if name.starts_with('/') || name.ends_with('/') => "the name begins or ends with a slash",
        name if name.ends_with('.') => "the name ends with a dot",
        name if name.split('/').any(|part| part == "." || part == "..") => {
            "a part of the name is . or .., which addresses resolve"
        }
        _ => return Ok(()),
    };
    Err(StorageError::new(StorageErrorKind::Invalid, operation, blob.to_string()).because(problem))
}

/// Refuses container names that the service does not take.
pub(super) fn check_container(container: &str, operation: &'static str) -> Result<(), StorageError> {
    let of_allowed_characters =
        container.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let well_formed = of_allowed_characters
        && (3..=63).contains(&container.len())
        && !container.starts_with('-')
        && !container.ends_with('-')
        && !container.contains("--");
    if well_formed {
        return Ok(());
    }
    Err(StorageError::new(StorageErrorKind::Invalid, operation, container)
        .because("a container name has 3 to 63 lower-case letters, digits and single inner hyphens"))
}

/// Refuses metadata that cannot travel as a header of `blob`'s commit.
///
/// To be asked before a long upload begins, since the commit comes last.
pub fn check_metadata(blob: &BlobAddress, metadata: &BTreeMap<String, String>) -> Result<(), StorageError> {
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
    };
    let is_value = |value: &str| value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let unfit = metadata.iter().find(|(name, value)| !is_name(name) || !is_value(value));
    unfit.map_or(Ok(()), |(name, _)| {
        Err(StorageError::new(StorageErrorKind::Invalid, "commit blob", blob.to_string()).because(format!(
            "metadata {name:?} needs a lower-case identifier as its name and a value of visible ASCII"
        )))
    })
}

/// Returns metadata as it arrives: headers lose the spaces around their values, and empty ones are
/// not sent.
pub(super) fn as_sent(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let trimmed = metadata.iter().map(|(name, value)| (name.clone(), value.trim().to_owned()));
    trimmed.filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_that_survive() {
        let long = "a".repeat(LONGEST_NAME);
        for name in ["a", "a/b.sql.gz", "a//b", "a+b %&=#?'\"", "größe/数据", ".hidden", "..x/a", &long] {
            assert!(check_address(&BlobAddress::new("backups", name), "read").is_ok(), "{name}");
        }
    }

    #[test]
    fn refuses_names_that_would_change() {
        let long = "a".repeat(LONGEST_NAME + 1);
        for name in ["", "/a", "a/", "a\\b", "a/../b", "..", "./a", "a.", "a\nb", "a\u{85}", &long] {
            let error = check_address(&BlobAddress::new("backups", name), "read").err();
            assert_eq!(error.map(|error| error.kind()), Some(StorageErrorKind::Invalid), "{name}");
        }
    }

    #[test]
    fn refuses_container_names_that_the_service_refuses() {
        for name in ["", "ab", "Backups", "-abc", "abc-", "a--b", "..", "a/b", "a.b", &"a".repeat(64)] {
            assert!(check_container(name, "create").is_err(), "{name}");
        }
        for name in ["abc", "a-b-c", "0backups", &"a".repeat(63)] {
            assert!(check_container(name, "create").is_ok(), "{name}");
        }
    }

    #[test]
    fn refuses_metadata_that_is_no_header() {
        let blob = BlobAddress::new("backups", "a");
        let of = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        for (name, value) in
            [("Sha", "a"), ("", "a"), ("1a", "a"), ("a-b", "a"), ("a", "x\r\ny: z"), ("a", "ä")]
        {
            assert!(check_metadata(&blob, &of(name, value)).is_err(), "{name}={value}");
        }
        for value in ["x y", " x", ""] {
            assert!(check_metadata(&blob, &of("sha256_1", value)).is_ok());
        }
    }
}
