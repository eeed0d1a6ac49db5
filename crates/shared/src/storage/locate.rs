//! Where the blob of an artifact is.

use url::Url;

use super::{Asking, BlobAddress, Storage};
use crate::models::{Artifact, ContainerName};

impl Storage {
    /// Returns the place of an artifact: its recorded container, else the one in its address, as
    /// earlier systems left it, else the default one.
    pub fn locate(&self, artifact: &Artifact) -> BlobAddress {
        let recorded = artifact.container.as_ref().map(ToString::to_string);
        let addressed = || {
            let url = Url::parse(artifact.blob_url.as_deref()?).ok()?;
            container_in(&url, &artifact.blob_name)
        };
        let container = recorded.or_else(addressed).unwrap_or_else(|| self.container.clone());
        BlobAddress::new(container, &artifact.blob_name)
    }

    /// Returns the places of all files of an artifact: what is stored beside the dump, then the dump itself.
    pub fn locate_all(&self, artifact: &Artifact) -> Vec<BlobAddress> {
        let dump = self.locate(artifact);
        let globals =
            artifact.globals.as_ref().map(|globals| BlobAddress::new(&dump.container, &globals.blob_name));
        globals.into_iter().chain([dump]).collect()
    }

    /// Returns the name of the default container.
    pub fn default_container(&self) -> &str {
        &self.container
    }

    /// Says that somebody waits for an answer, until what is returned is dropped: meanwhile a first count
    /// of the history or of the audit log stands aside.
    pub fn ask(&self) -> Asking {
        self.backups.days.priority.ask()
    }
}

/// Takes the container from an address: the segment right before the blob's name.
fn container_in(url: &Url, blob_name: &str) -> Option<String> {
    let segments: Vec<&str> = url.path_segments()?.collect();
    let own = blob_name.split('/').count();
    let container = segments.len().checked_sub(own + 1).and_then(|at| segments.get(at))?;
    container.parse::<ContainerName>().ok().map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_container_in_both_styles_of_address() {
        let container =
            |url: &str| Url::parse(url).ok().and_then(|url| container_in(&url, "mysql/db/x.sql.gz"));
        assert_eq!(
            container("https://a.blob.core.windows.net/own/mysql/db/x.sql.gz"),
            Some("own".to_owned())
        );
        assert_eq!(
            container("http://127.0.0.1:10000/devstoreaccount1/own/mysql/db/x.sql.gz"),
            Some("own".to_owned())
        );
        assert_eq!(container("https://a.blob.core.windows.net/x.sql.gz"), None);
    }
}
