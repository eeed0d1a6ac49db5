//! Artifacts that were committed by an attempt that did not live to record them.
//!
//! A blob names its job in its metadata, and the record names the blob that its attempt has chosen.
//! Whoever is about to dump again, to give up, or to end a record looks here first.

use std::collections::BTreeMap;

use super::{BlobAddress, BlobStore, StorageError};
use crate::models::{Artifact, Backup, Consistency, Globals, PlannedBlob, Warnings};

/// The metadata name of the job that a blob belongs to.
pub const JOB_ID: &str = "job_id";

/// The metadata name of the database that a blob is a backup of.
pub const DATABASE_ID: &str = "database_id";

/// How the second of a dump's making is written in the name of its blob, as `chrono` spells it.
pub const NAMED_AT: &str = "%Y%m%d_%H%M%S";

/// The metadata name of the SHA-256 of a blob's bytes.
pub const SHA256: &str = "sha256";

/// The metadata name of the moment to which the rows of a dump belong.
const CONSISTENCY: &str = "consistency";

/// The metadata name of the warnings, a percent-encoded JSON list of texts.
const WARNINGS: &str = "warnings";

/// The room for warnings; a blob's metadata is limited to 8 KiB in all.
const WARNINGS_LIMIT: usize = 4 * 1024;

impl From<&PlannedBlob> for BlobAddress {
    fn from(planned: &PlannedBlob) -> Self {
        Self::new(planned.container.as_str(), &planned.name)
    }
}

/// Describes what is stored at a place.
pub fn artifact(
    blobs: &dyn BlobStore,
    planned: &PlannedBlob,
    bytes: u64,
    sha256: Option<String>,
) -> Artifact {
    let format = planned.name.rsplit('/').next().and_then(|file| file.split_once('.'));
    Artifact {
        blob_name: planned.name.clone(),
        blob_url: Some(blobs.url(&planned.into())),
        container: Some(planned.container.clone()),
        bytes: Some(bytes),
        format: format.map(|(_, format)| format.to_owned()),
        sha256,
        consistency: None,
        warnings: Warnings::default(),
        globals: None,
    }
}

/// Finds the artifact that an attempt at this very job has committed at the planned place.
pub async fn committed(
    blobs: &dyn BlobStore,
    backup: &Backup,
    planned: &PlannedBlob,
) -> Result<Option<Artifact>, StorageError> {
    let Some(properties) = blobs.properties(&planned.into()).await? else { return Ok(None) };
    if properties.metadata.get(JOB_ID).map(String::as_str) != Some(backup.job_id.as_str()) {
        return Ok(None);
    }
    let sha256 = properties.metadata.get(SHA256).cloned();
    let (consistency, warnings) = remarks_in(&properties.metadata);
    let globals = globals_in(&properties.metadata);
    Ok(Some(Artifact {
        consistency,
        warnings,
        globals,
        ..artifact(blobs, planned, properties.bytes, sha256)
    }))
}

/// Tells whether a file is there that an attempt at the job of this backup has stored.
pub(super) async fn is_of(
    blobs: &dyn BlobStore,
    backup: &Backup,
    file: &BlobAddress,
) -> Result<bool, StorageError> {
    let found = blobs.properties(file).await?;
    let job = found.as_ref().and_then(|properties| properties.metadata.get(JOB_ID));
    Ok(job.is_some_and(|job| job == backup.job_id.as_str()))
}

/// The metadata names of what is stored beside a dump.
const GLOBALS: [&str; 3] = ["globals_blob_name", "globals_size_bytes", "globals_sha256"];

/// Returns the metadata that names what is stored beside a dump.
pub fn globals(globals: &Globals) -> BTreeMap<String, String> {
    let values = [ascii(&globals.blob_name), globals.bytes.to_string(), globals.sha256.clone()];
    GLOBALS.map(str::to_owned).into_iter().zip(values).collect()
}

/// Reads what [`globals`] wrote.
pub fn globals_in(metadata: &BTreeMap<String, String>) -> Option<Globals> {
    let [blob_name, bytes, sha256] = GLOBALS.map(|name| metadata.get(name));
    Some(Globals {
        blob_name: String::from_utf8(from_ascii(blob_name?)).ok()?,
        bytes: bytes?.parse().ok()?,
        sha256: sha256?.clone(),
    })
}

/// Returns the metadata that tells what has to be known about a backup. As many warnings as there is
/// room for.
pub fn remarks(consistency: Option<Consistency>, warnings: &Warnings) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    if let Some(consistency) = consistency {
        metadata.insert(CONSISTENCY.to_owned(), consistency.to_string());
    }
    let most = warnings.as_slice().len();
    let encoded = (1..=most)
        .rev()
        .map(|most| ascii(&serde_json::json!(warnings.limited_to(most)).to_string()))
        .find(|text| text.len() <= WARNINGS_LIMIT);
    if let Some(text) = encoded {
        metadata.insert(WARNINGS.to_owned(), text);
    }
    metadata
}

/// Reads what [`remarks`] wrote; what cannot be read does not cost the artifact.
fn remarks_in(metadata: &BTreeMap<String, String>) -> (Option<Consistency>, Warnings) {
    let consistency = metadata.get(CONSISTENCY).and_then(|text| text.parse().ok());
    let warnings = metadata.get(WARNINGS).and_then(|text| {
        let texts: Vec<String> = serde_json::from_slice(&from_ascii(text)).ok()?;
        Some(texts.iter().collect())
    });
    (consistency, warnings.unwrap_or_default())
}

/// Renders a text as metadata: it travels as HTTP headers, so other characters than printable ASCII are
/// percent-encoded.
pub fn ascii(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'%' => "%25".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Undoes [`ascii`]; what is no escape stays as it is.
fn from_ascii(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = text_of(after.get(..2)).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(byte)) = (first, escape) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

fn text_of(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_stays_within_ascii() {
        assert_eq!(ascii("shop"), "shop");
        assert_eq!(ascii("Zoë 100%\n"), "Zo%C3%AB 100%25%0A");
        for text in ["shop", "Zoë 100%\n", "%41%", ""] {
            assert_eq!(from_ascii(&ascii(text)), text.as_bytes());
        }
    }

    #[test]
    fn remarks_come_back_from_metadata() {
        let warnings: Warnings = ["the module \"é\" is encrypted", "100 %"].into_iter().collect();
        let metadata = remarks(Some(Consistency::Snapshot), &warnings);
        assert_eq!(remarks_in(&metadata), (Some(Consistency::Snapshot), warnings));
        assert_eq!(remarks(None, &Warnings::default()), BTreeMap::new());
        assert_eq!(remarks_in(&BTreeMap::new()), (None, Warnings::default()));
    }

    #[test]
    fn what_is_stored_beside_comes_back_from_metadata() {
        let beside = Globals {
            blob_name: Globals::beside("postgresql/a.b/20251205_100000.sql.gz"),
            bytes: 7,
            sha256: "ab".to_owned(),
        };
        assert_eq!(beside.blob_name, "postgresql/a.b/20251205_100000.globals.sql.gz");
        let dump = Globals::dump_of(&beside.blob_name);
        assert_eq!(dump.as_deref(), Some("postgresql/a.b/20251205_100000.sql.gz"));
        assert_eq!(Globals::dump_of("postgresql/a.globals.b/x.sql.gz"), None);
        assert_eq!(globals_in(&globals(&beside)), Some(beside));
        assert_eq!(globals_in(&BTreeMap::new()), None);
    }

    #[test]
    fn as_many_warnings_are_kept_as_there_is_room_for() {
        let warnings: Warnings = (0..40).map(|number| format!("{number} {}", "é".repeat(150))).collect();
        let metadata = remarks(None, &warnings);
        assert!(metadata[WARNINGS].len() <= WARNINGS_LIMIT);
        let (_, read) = remarks_in(&metadata);
        assert_eq!(read.as_slice().len(), 5);
        assert_eq!(read.as_slice().last().map(String::as_str), Some("and 36 more"));
    }
}
