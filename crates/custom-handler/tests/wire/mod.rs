//! HTTP by hand, so that the bytes on the wire are what a test says they are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How the body of a request is framed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Framing {
    /// `Content-Length`, as development hosts send it.
    Length,
    /// Chunks, as hosts in Azure send it; short bodies in pieces so small that they
    /// split characters.
    Chunked,
}

/// Posts a body as the host does, and returns the answer as it came, without the date.
pub(crate) fn post(to: SocketAddr, path: &str, body: &[u8], framing: Framing) -> String {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nX-Azure-Functions-InvocationId: i-42\r\n"
    )
    .into_bytes();
    match framing {
        Framing::Length => {
            request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            request.extend(body);
        }
        Framing::Chunked => {
            request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(7.max(body.len() / 1000)) {
                request.extend(format!("{:x}\r\n", piece.len()).bytes());
                request.extend(piece);
                request.extend(b"\r\n");
            }
            request.extend(b"0\r\n\r\n");
        }
    }
    exchange(to, &request)
}

/// Asks for a path, and returns the answer as it came, without the date.
pub(crate) fn get(from: SocketAddr, path: &str) -> String {
    exchange(from, format!("GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n").as_bytes())
}

fn exchange(with: SocketAddr, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(with).unwrap();
    connection.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    connection.write_all(request).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

/// The form in which the host posts a text message: encoded twice.
pub(crate) fn queue_invocation(message: &str) -> Vec<u8> {
    let once = serde_json::to_string(message).unwrap();
    let twice = serde_json::to_string(&once).unwrap();
    format!(r#"{{"Data":{{"msg":{twice}}},"Metadata":{{"DequeueCount":"2"}}}}"#).into_bytes()
}
