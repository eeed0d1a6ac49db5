//! The address that a request came from, as far as it can be believed.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

/// Returns the client's address, without a port; `None` when nobody trustworthy tells it.
///
/// Each proxy of one's own adds to `X-Forwarded-For` whom it was called by. Counted from the right,
/// the entry of the outermost one is the last that a client cannot forge. The peer of the connection
/// is the Functions host and tells nothing.
pub(crate) fn client_address(headers: &HeaderMap, trusted_proxies: usize) -> Option<IpAddr> {
    // Without a proxy of one's own, every header is the client's own word.
    let position = trusted_proxies.checked_sub(1)?;
    // A proxy adds its word to the client's, so that a line may have any bytes before that.
    let lines = headers.get_all("x-forwarded-for").into_iter();
    let entries: Vec<&[u8]> = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).collect();
    let entry = entries.iter().rev().nth(position).and_then(|entry| str::from_utf8(entry).ok());
    let forwarded = entry.and_then(address);
    let real = || address(headers.get("x-real-ip")?.to_str().ok()?);
    forwarded.or_else(real)
}

/// Reads an address with or without a port. Other texts are not kept: they would go into the audit log.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use axum::http::HeaderValue;

    use super::*;

    fn from(headers: &[(&'static str, &'static str)], proxies: usize) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        client_address(&map, proxies).map(|address| address.to_string())
    }

    #[test]
    fn an_entry_that_the_client_wrote_is_not_believed() {
        let chain = [("x-forwarded-for", "6.6.6.6, 203.0.113.7:4711, 10.0.0.1")];
        assert_eq!(from(&chain, 1).as_deref(), Some("10.0.0.1"));
        assert_eq!(from(&chain, 2).as_deref(), Some("203.0.113.7"));
        assert_eq!(from(&chain, 0), None);
        assert_eq!(from(&chain, 9), None);
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(from(&lines, 1).as_deref(), Some("203.0.113.7"));
    }

    #[test]
    fn ports_are_cut_off_and_other_texts_are_dropped() {
        for (given, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("<script>", None),
            ("", None),
        ] {
            assert_eq!(from(&[("x-forwarded-for", given)], 1).as_deref(), expected, "{given}");
        }
        let real = [("x-forwarded-for", "unknown"), ("x-real-ip", "198.51.100.2")];
        assert_eq!(from(&real, 1).as_deref(), Some("198.51.100.2"));
    }

    #[test]
    fn what_a_client_writes_before_the_proxys_word_hides_nothing() {
        let mut map = HeaderMap::new();
        map.append("x-forwarded-for", HeaderValue::from_bytes(b"\xff\xfe, 203.0.113.7").unwrap());
        map.append("x-real-ip", HeaderValue::from_static("198.51.100.2"));
        assert_eq!(
            client_address(&map, 1).map(|address| address.to_string()).as_deref(),
            Some("203.0.113.7")
        );
    }
}
