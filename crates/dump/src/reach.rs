//! Which addresses a client program may connect to, found out right before it starts.
//!
//! What must stay true: where an installation has a rule for its targets, no program is started for a host
//! that the rule refuses, whatever was found out about the name before. A program that can be told which
//! address to take is told the very ones that were judged.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::error::DumpError;
use crate::target::{Limits, Target};
use crate::tools::Tools;

/// Where a program will connect to.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    host: String,
    port: u16,
    limit: Duration,
}

impl Reach {
    /// Takes it from a target.
    pub(crate) fn of(target: &Target, limits: &Limits) -> Self {
        Self { host: target.bare_host().to_owned(), port: target.port, limit: limits.connect }
    }

    /// Returns the host, without the brackets of an address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Refuses a host that may not be connected to, by every address that its name has at this moment, and
    /// returns these addresses; none where everything may be connected to.
    pub(crate) async fn admit(&self, tools: &Tools) -> Result<Vec<SocketAddr>, DumpError> {
        let Some(rule) = tools.targets() else { return Ok(Vec::new()) };
        let unknown = |detail| DumpError::UnknownHost { host: self.host.clone(), detail };
        let mut addresses: Vec<SocketAddr> =
            match timeout(self.limit, lookup_host((self.host.as_str(), self.port))).await {
                Ok(Ok(addresses)) => addresses.collect(),
                // A name that cannot be looked up here must not be looked up by a client program a moment
                // later.
                Ok(Err(error)) => return Err(unknown(error.to_string())),
                Err(_) => {
                    let limit = self.limit.as_secs();
                    return Err(unknown(format!("the name service did not answer within {limit} s")));
                }
            };
        if addresses.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        addresses.dedup();
        let plain: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        rule.judge(&self.host, &plain)
            .map_err(|refusal| DumpError::TargetRefused { host: self.host.clone(), refusal })?;
        Ok(addresses)
    }
}

/// Writes the variables by which libpq takes these addresses and no others, while it still holds the
/// server's certificate against the name. One name stands for each address, as libpq wants it.
///
/// None for an address that means something only together with an interface of this machine.
pub(crate) fn of_libpq(host: &str, addresses: &[SocketAddr]) -> Option<[(&'static str, String); 2]> {
    let scoped = |address: &SocketAddr| matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
    if addresses.is_empty() || addresses.iter().any(scoped) {
        return None;
    }
    let names = vec![host; addresses.len()].join(",");
    let addresses: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    Some([("PGHOST", names), ("PGHOSTADDR", addresses.join(","))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpq_gets_the_addresses_that_were_judged_and_the_name_for_each() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().filter_map(|text| text.parse().ok()).collect()
        };
        let found = of_libpq("db.example", &addresses(&["10.0.0.7:5432", "[fd12::7]:5432"]));
        let expected = [("PGHOST", "db.example,db.example"), ("PGHOSTADDR", "10.0.0.7,fd12::7")]
            .map(|(a, b)| (a, b.to_owned()));
        assert_eq!(found, Some(expected));
        assert_eq!(of_libpq("db.example", &[]), None);
        assert_eq!(of_libpq("fe80::1%2", &addresses(&["[fe80::1%2]:5432"])), None);
    }
}
