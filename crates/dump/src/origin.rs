//! Where a dump comes from, as its blob tells: enough to say whether it will load elsewhere. Pure.

use std::collections::BTreeMap;

use shared::storage::committed;

const SERVER_VERSION: &str = "server_version";
const EXTENSIONS: &str = "extensions";
const DUMPED_BYTES: &str = "dumped_bytes";

/// The most that is kept of a list; metadata travel as headers of 8 KiB in all.
const LONGEST: usize = 2000;

/// Where a dump comes from. Backups of earlier versions tell nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The version of the server, in its own words.
    pub server_version: Option<String>,
    /// The extensions of PostgreSQL that the database uses.
    pub extensions: Vec<String>,
    /// The size of the dump in bytes.
    pub dumped_bytes: Option<u64>,
}

impl Origin {
    /// Renders what is known when a dump begins, as metadata of its blob.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::new();
        if let Some(version) = &self.server_version {
            let version: String = version.chars().take(200).collect();
            metadata.insert(SERVER_VERSION.to_owned(), committed::ascii(&version));
        }
        let mut list = String::new();
        for name in &self.extensions {
            let name = committed::ascii(name);
            if list.len() + name.len() < LONGEST {
                list = if list.is_empty() { name } else { format!("{list},{name}") };
            }
        }
        if !list.is_empty() {
            metadata.insert(EXTENSIONS.to_owned(), list);
        }
        metadata
    }

    /// Reads the metadata of a blob.
    pub fn read(metadata: &BTreeMap<String, String>) -> Self {
        let list = metadata.get(EXTENSIONS).map_or("", String::as_str);
        Self {
            server_version: metadata.get(SERVER_VERSION).cloned(),
            extensions: list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            dumped_bytes: metadata.get(DUMPED_BYTES).and_then(|bytes| bytes.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_come_back() {
        let origin = Origin {
            server_version: Some("15.18 (Debian 15.18-0+deb12u1)".to_owned()),
            extensions: vec!["pgcrypto".to_owned(), "uuid-ossp".to_owned()],
            dumped_bytes: None,
        };
        assert_eq!(Origin::read(&origin.metadata()), origin);
        assert_eq!(Origin::default().metadata(), BTreeMap::new());
        let many = Origin { extensions: vec!["x".repeat(63); 100], ..Origin::default() };
        assert!(many.metadata().values().all(|value| value.len() < LONGEST));
    }
}
