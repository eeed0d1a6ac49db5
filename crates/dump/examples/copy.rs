//! Dumps a PostgreSQL database of one server and restores it into an empty one of another, with the client
//! programs of chosen folders: for trying versions against each other by hand.
//!
//! ```text
//! cargo run --example copy -- PORT DATABASE PORT DATABASE [FOLDER…]
//! ```
//!
//! Both servers are on 127.0.0.1, and let the user `postgres` in without a password. Without folders, the
//! programs are those of the service. Prints which program dumped, and what was adapted.

use std::error::Error;
use std::path::PathBuf;

use dump::{Limits, Target, Tools, dump, restore};
use shared::connection::Proof;
use shared::models::{DatabaseType, Tls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from_port, from, to_port, to, folders @ ..] = &arguments[..] else {
        return Err("say PORT DATABASE PORT DATABASE [FOLDER…]".into());
    };
    let tools = match folders {
        [] => Tools::standard(),
        folders => Tools::new(folders.iter().map(PathBuf::from).collect()),
    };
    let dump = dump(&tools, &target(from_port, from)?, &Limits::default()).await?;
    println!("dumping with {} from {}", dump.tool(), dump.server_version());
    let restored = restore(&tools, &target(to_port, to)?, dump, &Limits::default(), |_| {}).await?;
    println!("restored {} bytes into {}", restored.bytes, restored.server_version);
    for adapted in restored.adapted {
        println!("adapted: {adapted}");
    }
    Ok(())
}

fn target(port: &str, database: &str) -> Result<Target, Box<dyn Error>> {
    Ok(Target {
        kind: DatabaseType::Postgresql,
        host: "127.0.0.1".to_owned(),
        port: port.parse()?,
        tls: Tls::default(),
        username: "postgres".to_owned(),
        password: "none".into(),
        proof: Proof::Password,
        database: database.to_owned(),
    })
}
