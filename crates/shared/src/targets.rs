//! Which hosts the service may connect to on somebody's word. Pure.
//!
//! Whoever may configure a database names a host, and the service then connects to it from where it
//! stands: inside a network that the caller may not be in. Addresses at which machines of a cloud get their
//! own credentials are therefore refused, in every way of writing them and whatever name leads to them, and
//! an installation can narrow the rest with `ALLOWED_TARGETS`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The rule of an installation.
#[derive(Debug, Clone, Default)]
pub struct TargetRule {
    /// What is allowed; everything that is not refused by itself when there is nothing here.
    allowed: Vec<AllowedTarget>,
    /// Whether this machine itself is refused as well.
    refuse_loopback: bool,
}

/// What `ALLOWED_TARGETS` may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedTarget {
    /// A host name.
    Host(String),
    /// Every name that ends in this text, which begins with a dot.
    Suffix(String),
    /// A range of addresses.
    Range {
        /// Its first address, or any other one.
        address: IpAddr,
        /// How many bits the addresses of the range have in common.
        bits: u8,
    },
}

impl AllowedTarget {
    /// Tells whether this is the name of a host, which is in lower case and without a dot at its end.
    pub(crate) fn names(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => name == host,
            Self::Suffix(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
            Self::Range { .. } => false,
        }
    }
}

/// Why a host is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An address of the local link, where clouds keep the credentials of their machines.
    LinkLocal,
    /// An address at which a cloud serves its machines.
    Metadata,
    /// This machine itself.
    Loopback,
    /// No address of a single machine.
    NoHost,
    /// Not one of those that the installation allows.
    NotAllowed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkLocal => "is an address of the local link",
            Self::Metadata => "is an address at which a cloud serves its own machines",
            Self::Loopback => "is the machine of this service itself",
            Self::NoHost => "is not the address of a single machine",
            Self::NotAllowed => "is not among the hosts that this installation allows (ALLOWED_TARGETS)",
        })
    }
}

impl TargetRule {
    /// Makes the rule of an installation.
    pub fn new(allowed: Vec<AllowedTarget>, refuse_loopback: bool) -> Self {
        Self { allowed, refuse_loopback }
    }

    /// Judges a host by how it is written: what can be known without asking a name service.
    pub fn judge_written(&self, host: &str) -> Result<(), Refusal> {
        match written_address(host) {
            Some(address) => self.judge(host, &[address]),
            None if self.allowed.is_empty() || self.names(host) || self.has_ranges() => Ok(()),
            None => Err(Refusal::NotAllowed),
        }
    }

    /// Judges a host by all addresses that its name has. One bad address among them is enough: which of
    /// them is connected to is not ours to say.
    pub fn judge(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let named = self.allowed.is_empty() || self.names(host);
        for address in addresses {
            let address = plain(*address);
            if self.in_a_range(address) {
                continue;
            }
            match refusal(address) {
                Some(Refusal::Loopback) if !self.refuse_loopback => {}
                Some(refusal) => return Err(refusal),
                None => {}
            }
            if !named {
                return Err(Refusal::NotAllowed);
            }
        }
        Ok(())
    }

    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        self.allowed.iter().any(|allowed| allowed.names(&host))
    }

    fn has_ranges(&self) -> bool {
        self.allowed.iter().any(|allowed| matches!(allowed, AllowedTarget::Range { .. }))
    }

    fn in_a_range(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|allowed| match allowed {
            AllowedTarget::Range { address: within, bits } => shares(address, plain(*within), *bits),
            AllowedTarget::Host(_) | AllowedTarget::Suffix(_) => false,
        })
    }
}

/// The error of a text that names no targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use host names, names such as *.example.com, addresses, or ranges such as 10.0.0.0/8, with commas")]
pub struct InvalidTarget;

impl FromStr for AllowedTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (start, bits) = text.split_once('/').map_or((text, None), |(start, bits)| (start, Some(bits)));
        if let Ok(address) = start.trim_matches(['[', ']']).parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), str::parse).map_err(|_| InvalidTarget)?;
            return if bits <= most { Ok(Self::Range { address, bits }) } else { Err(InvalidTarget) };
        }
        let name = text.trim_end_matches('.').to_lowercase();
        let (name, is_suffix) = name.strip_prefix('*').map_or((name.as_str(), false), |rest| (rest, true));
        let usable = !name.is_empty()
            && bits.is_none()
            && name.starts_with('.') == is_suffix
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
        match (usable, is_suffix) {
            (false, _) => Err(InvalidTarget),
            (true, true) => Ok(Self::Suffix(name.to_owned())),
            (true, false) => Ok(Self::Host(name.to_owned())),
        }
    }
}

/// Tells whether an address is refused unless an installation allows it.
fn refusal(address: IpAddr) -> Option<Refusal> {
    match address {
        IpAddr::V4(address) => refusal_of_v4(address),
        IpAddr::V6(address) => refusal_of_v6(address),
    }
}

fn refusal_of_v4(address: Ipv4Addr) -> Option<Refusal> {
    // Azure's own services to a machine: names, health, the agent.
    const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    match address {
        _ if address.is_link_local() => Some(Refusal::LinkLocal),
        WIRE_SERVER | ALIBABA => Some(Refusal::Metadata),
        _ if address.is_loopback() => Some(Refusal::Loopback),
        // All of 0.0.0.0/8 leads to this machine on some systems and nowhere on others.
        _ if address.octets()[0] == 0 || address.is_multicast() || address.is_broadcast() => {
            Some(Refusal::NoHost)
        }
        _ => None,
    }
}

fn refusal_of_v6(address: Ipv6Addr) -> Option<Refusal> {
    // Amazon's place for the same, in a range that is private otherwise.
    const AMAZON: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        AMAZON => Some(Refusal::Metadata),
        _ if address.is_unicast_link_local() => Some(Refusal::LinkLocal),
        _ if address.is_loopback() => Some(Refusal::Loopback),
        _ if address.is_unspecified() || address.is_multicast() => Some(Refusal::NoHost),
        // Each network's translators put the IPv4 address elsewhere in it (RFC 8215), so where one leads
        // cannot be told from here.
        _ if address.segments().starts_with(&[0x64, 0xff9b, 1]) => Some(Refusal::NoHost),
        _ => None,
    }
}

/// Takes the IPv4 address out of the IPv6 addresses that stand for one: mapped, translated, compatible, and
/// those of translators (`64:ff9b::/96`) and of 6to4 (`2002::/16`).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([one, two], [three, four]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(one, two, three, four))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        // ::1 and :: are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => v4(high, low),
        _ => address,
    }
}

/// Reads an address in any of the forms that the system's name service takes for one: `127.1`,
/// `0x7f000001`, `2130706433`, `0177.0.0.1` are all the same machine.
fn written_address(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let without_zone = host.split_once('%').map_or(host, |(address, _)| address);
    if let Ok(address) = without_zone.parse() {
        return Some(address);
    }
    let host = host.trim_end_matches('.');
    let numbers: Option<Vec<u64>> = host.split('.').map(number).collect();
    let numbers = numbers.filter(|numbers| numbers.len() <= 4)?;
    let (last, first) = numbers.split_last()?;
    let room = 8 * (4 - u32::try_from(first.len()).ok()?);
    if first.iter().any(|number| *number > 255) || *last >= 1 << room {
        return None;
    }
    let head = first.iter().fold(0_u64, |address, number| (address << 8) | number);
    let address = u32::try_from((head << room) | last).ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(address)))
}

/// Reads a number as C does: decimal, octal after `0`, hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    // A sign is no digit, though the parser would take it.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, radix).ok())?
}

/// Tells whether two addresses have their first bits in common.
fn shares(one: IpAddr, two: IpAddr, bits: u8) -> bool {
    let equal = |one: u128, two: u128, width: u32| {
        let differing = width - u32::from(bits).min(width);
        one.checked_shr(differing).unwrap_or(0) == two.checked_shr(differing).unwrap_or(0)
    };
    match (one, two) {
        (IpAddr::V4(one), IpAddr::V4(two)) => equal(one.to_bits().into(), two.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(two)) => equal(one.to_bits(), two.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use proptest::prelude::*;

    use super::*;

    fn rule(allowed: &[&str]) -> TargetRule {
        TargetRule::new(allowed.iter().map(|text| text.parse().unwrap()).collect(), true)
    }

    #[test]
    fn the_credentials_of_a_machine_are_refused_however_they_are_written() {
        for host in [
            "169.254.169.254",
            "169.254.0.1",
            "0xa9fea9fe",
            "0xA9.0xFE.0xA9.0xFE",
            "2852039166",
            "0251.0376.0251.0376",
            "169.16689662",
            "169.254.43518",
            "169.254.169.254.",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "[::ffff:a9fe:a9fe]",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1%eth0",
            "[fe80::1]",
            "168.63.129.16",
            "fd00:ec2::254",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(rule(&[]).judge_written(host).is_err(), "{host}");
        }
    }

    #[test]
    fn ordinary_hosts_pass() {
        for host in [
            "db.example.com",
            "10.0.0.7",
            "192.168.1.1",
            "fd12:3456::1",
            "2001:db8::1",
            "0xdb.example",
            "12345678901234567890",
            "1.2.3.4.5",
            "300.1.1.1",
            "+1",
            "dead.beef",
        ] {
            assert_eq!(rule(&[]).judge_written(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_name_is_judged_by_every_address_it_has() {
        let (good, bad) = ("10.0.0.7".parse().unwrap(), "169.254.169.254".parse().unwrap());
        assert_eq!(rule(&[]).judge("db.example", &[good]), Ok(()));
        assert_eq!(rule(&[]).judge("db.example", &[good, bad]), Err(Refusal::LinkLocal));
        // A name that is allowed opens no address that is refused by itself.
        assert_eq!(rule(&["db.example"]).judge("db.example", &[bad]), Err(Refusal::LinkLocal));
    }

    #[test]
    fn an_installation_narrows_and_opens() {
        let narrow = rule(&["db.example.com", "*.postgres.database.azure.com", "10.1.0.0/16", "fd12::/16"]);
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for (host, address) in [
            ("DB.example.com.", "203.0.113.7"),
            ("shop.postgres.database.azure.com", "203.0.113.7"),
            ("anything.example", "10.1.2.3"),
            ("anything.example", "::ffff:10.1.2.3"),
            ("anything.example", "fd12:1::1"),
        ] {
            assert_eq!(narrow.judge(host, &[at(address)]), Ok(()), "{host} {address}");
            assert_eq!(narrow.judge_written(host), Ok(()), "{host}");
        }
        for (host, address) in [
            ("other.example.com", "203.0.113.7"),
            ("postgres.database.azure.com", "203.0.113.7"),
            ("evil-db.example.com", "203.0.113.7"),
            ("anything.example", "10.2.0.1"),
        ] {
            assert_eq!(narrow.judge(host, &[at(address)]), Err(Refusal::NotAllowed), "{host} {address}");
        }
        assert_eq!(narrow.judge_written("10.2.0.1"), Err(Refusal::NotAllowed));
        assert_eq!(rule(&["db.example.com"]).judge_written("other"), Err(Refusal::NotAllowed));
        // Who means it can have it.
        assert_eq!(rule(&["127.0.0.0/8"]).judge("localhost", &[at("127.0.0.1")]), Ok(()));
        assert_eq!(rule(&["0.0.0.0/0"]).judge("x", &[at("169.254.169.254")]), Ok(()));
        let developer = TargetRule::default();
        assert_eq!(developer.judge("localhost", &[at("127.0.0.1"), at("::1")]), Ok(()));
        assert!(developer.judge("x", &[at("169.254.169.254")]).is_err());
    }

    #[test]
    fn texts_that_name_nothing_are_refused() {
        for text in [
            "",
            "*",
            "*example.com",
            ".example.com",
            "a b",
            "10.0.0.0/33",
            "::/129",
            "db/8",
            "http://db",
            "10.0.0.0/x",
        ] {
            assert_eq!(text.parse::<AllowedTarget>(), Err(InvalidTarget), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_way_of_writing_an_address_is_read_the_same(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let [a, b, c, d] = address.octets();
            for text in [
                address.to_string(), bits.to_string(), format!("{bits:#x}"), format!("0{bits:o}"),
                format!("{a:#x}.{b}.0{c:o}.{d}"), format!("{a}.{}", bits & 0x00ff_ffff),
                format!("{a}.{b}.{}", bits & 0xffff),
            ] {
                prop_assert_eq!(written_address(&text), Some(IpAddr::V4(address)), "{}", text);
            }
        }
    }
}
