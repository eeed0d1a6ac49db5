//! `dilux show`: what is known of one stored backup. Needs nothing but the storage account.

use std::process::ExitCode;

use shared::models::ContainerName;

use crate::ending::print;
use crate::restore::{RestoreError, load, source};
use crate::stored;
use crate::text::{on_one_line, size};

/// The command line of `dilux show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The backup: its id, the name of its blob, or latest:DATABASE
    backup: source::Wanted,
    /// The container of a blob that no record tells of; the default one otherwise
    #[arg(long, value_name = "NAME")]
    container: Option<ContainerName>,
}

/// Shows where a backup is, how large it is, and all that its blob says of itself.
pub(crate) async fn run(options: Options) -> Result<ExitCode, RestoreError> {
    let (_, storage) = stored::open()?;
    let found = source::find(&storage, &options.backup, options.container.as_ref()).await?;
    let backup = load::look_at(&storage, found).await?;
    let properties = backup.properties();
    let created = properties.created_at.map(|at| at.to_rfc3339()).unwrap_or_default();
    let mut lines = vec![
        ("blob".to_owned(), backup.address().to_string()),
        ("size".to_owned(), format!("{} ({} bytes)", size(properties.bytes), properties.bytes)),
        ("stored at".to_owned(), created),
        ("type".to_owned(), properties.content_type.clone().unwrap_or_default()),
    ];
    lines.extend(properties.metadata.iter().map(|(name, value)| (name.clone(), on_one_line(value))));
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let text: Vec<String> = lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect();
    print(&text.concat()).map_err(RestoreError::Print)?;
    Ok(ExitCode::SUCCESS)
}
