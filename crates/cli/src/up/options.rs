//! The command line of `dilux up`, and the ports that everything listens on.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use super::error::UpError;

/// The key of the storage emulator's only account: the same published value on every machine.
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";

/// The command line of `dilux up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The checkout to run from; data goes to its folder .local
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) root: PathBuf,
    /// Come back after the first backups and leave everything running; `dilux down` stops it
    #[arg(long)]
    pub(super) detach: bool,
    /// Start no sample servers and take no sample backups
    #[arg(long)]
    pub(super) no_samples: bool,
    #[command(flatten)]
    pub(super) ports: Ports,
}

/// Where everything listens, on the loopback address only.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ports {
    /// Port of the storage emulator for blobs
    #[arg(
        long = "azurite-blob-port",
        value_name = "PORT",
        env = "AZURITE_BLOB_PORT",
        default_value_t = 10000
    )]
    pub(super) azurite_blobs: u16,
    /// Port of the storage emulator for queues
    #[arg(
        long = "azurite-queue-port",
        value_name = "PORT",
        env = "AZURITE_QUEUE_PORT",
        default_value_t = 10001
    )]
    pub(super) azurite_queues: u16,
    /// Port of the storage emulator for tables
    #[arg(
        long = "azurite-table-port",
        value_name = "PORT",
        env = "AZURITE_TABLE_PORT",
        default_value_t = 10002
    )]
    pub(super) azurite_tables: u16,
    /// Port of the sample MariaDB server
    #[arg(long = "mariadb-port", value_name = "PORT", env = "DILUX_MARIADB_PORT", default_value_t = 13306)]
    pub(super) mariadb: u16,
    /// Port of the sample PostgreSQL server
    #[arg(
        long = "postgresql-port",
        value_name = "PORT",
        env = "DILUX_POSTGRESQL_PORT",
        default_value_t = 15432
    )]
    pub(super) postgresql: u16,
    /// Port of the api app
    #[arg(long = "api-port", value_name = "PORT", env = "DILUX_API_PORT", default_value_t = 7071)]
    pub(super) api: u16,
    /// Port of the scheduler app
    #[arg(
        long = "scheduler-port",
        value_name = "PORT",
        env = "DILUX_SCHEDULER_PORT",
        default_value_t = 7072
    )]
    pub(super) scheduler: u16,
    /// Port of the processor app
    #[arg(
        long = "processor-port",
        value_name = "PORT",
        env = "DILUX_PROCESSOR_PORT",
        default_value_t = 7073
    )]
    pub(super) processor: u16,
}

impl Ports {
    /// Checks that nobody else listens on the ports and that no two of them are the same.
    pub(super) fn check_free(&self, samples: bool) -> Result<(), UpError> {
        let all = self.all(samples);
        for (index, &(name, port, option, variable)) in all.iter().enumerate() {
            if let Some(&(other, ..)) = all[..index].iter().find(|(_, earlier, ..)| *earlier == port) {
                return Err(UpError::PortTwice { port, first: other, second: name });
            }
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
                return Err(UpError::PortTaken { port, name, option, variable });
            }
        }
        Ok(())
    }

    /// The connection string for the storage emulator. The short form stands for the standard ports.
    pub(super) fn storage_connection_string(&self) -> String {
        let ports = (self.azurite_blobs, self.azurite_queues, self.azurite_tables);
        if ports == (10000, 10001, 10002) {
            return "UseDevelopmentStorage=true".to_owned();
        }
        let (blob, queue, table) = ports;
        format!(
            "DefaultEndpointsProtocol=http;AccountName={EMULATOR_ACCOUNT};AccountKey={EMULATOR_KEY};\
             BlobEndpoint=http://127.0.0.1:{blob}/{EMULATOR_ACCOUNT};\
             QueueEndpoint=http://127.0.0.1:{queue}/{EMULATOR_ACCOUNT};\
             TableEndpoint=http://127.0.0.1:{table}/{EMULATOR_ACCOUNT};"
        )
    }

    /// Each port with what listens there, the option and the variable that change it.
    fn all(&self, samples: bool) -> Vec<(&'static str, u16, &'static str, &'static str)> {
        let mut all = vec![
            ("Azurite blobs", self.azurite_blobs, "--azurite-blob-port", "AZURITE_BLOB_PORT"),
            ("Azurite queues", self.azurite_queues, "--azurite-queue-port", "AZURITE_QUEUE_PORT"),
            ("Azurite tables", self.azurite_tables, "--azurite-table-port", "AZURITE_TABLE_PORT"),
            ("api", self.api, "--api-port", "DILUX_API_PORT"),
            ("scheduler", self.scheduler, "--scheduler-port", "DILUX_SCHEDULER_PORT"),
            ("processor", self.processor, "--processor-port", "DILUX_PROCESSOR_PORT"),
        ];
        if samples {
            all.push(("MariaDB", self.mariadb, "--mariadb-port", "DILUX_MARIADB_PORT"));
            all.push(("PostgreSQL", self.postgresql, "--postgresql-port", "DILUX_POSTGRESQL_PORT"));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn ports(arguments: &[&str]) -> Ports {
        let command = Ports::augment_args(Command::new("ports").no_binary_name(true));
        Ports::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
    }

    #[test]
    fn standard_ports_use_the_short_connection_string() {
        assert_eq!(ports(&[]).storage_connection_string(), "UseDevelopmentStorage=true");
    }

    #[test]
    fn other_ports_are_spelled_out() {
        let text = ports(&["--azurite-queue-port", "20001"]).storage_connection_string();
        assert!(text.contains("QueueEndpoint=http://127.0.0.1:20001/devstoreaccount1;"), "{text}");
        assert!(text.contains("BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"), "{text}");
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_to_change_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = ports(&["--azurite-blob-port", &port.to_string()]).check_free(false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&port.to_string()) && text.contains("AZURITE_BLOB_PORT"), "{text}");
    }

    #[test]
    fn one_port_for_two_is_refused() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let free = free.to_string();
        let error = ports(&["--azurite-blob-port", &free, "--azurite-queue-port", &free]).check_free(false);
        assert!(matches!(error, Err(UpError::PortTwice { .. })), "{error:?}");
    }
}
