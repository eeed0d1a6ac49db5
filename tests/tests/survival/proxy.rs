//! A proxy in front of the storage emulator that spoils what it is told to.
//!
//! Each connection carries one request, which keeps its path and its headers, so that signatures stay right.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It is answered with this status, and does not reach storage.
    Answer(u16),
    /// As [`Answer`](Self::Answer), with the wish to come again after a second.
    Throttle(u16),
    /// The connection is cut when half of the body has come.
    CutInBody,
    /// It has its effect, and the connection is cut before the answer.
    LoseAnswer,
    /// It takes this long.
    Delay(Duration),
    /// From now on, and for this long, every connection is cut at once.
    Vanish(Duration),
}

/// Which requests are spoiled, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// How the request line begins.
    pub(crate) method: &'static str,
    /// A part of its path and query.
    pub(crate) part: &'static str,
    /// How many of those that match pass before.
    pub(crate) after: usize,
    /// How many are spoiled then.
    pub(crate) times: usize,
    pub(crate) fault: Fault,
}

/// A proxy of the three services.
pub(crate) struct Proxy {
    pub(crate) ports: [u16; 3],
    state: Arc<State>,
}

struct State {
    rule: Rule,
    /// How many requests matched.
    matched: Mutex<usize>,
    gone_until: Mutex<Option<Instant>>,
}

impl Proxy {
    /// Listens in front of these ports.
    pub(crate) async fn start(upstream: [u16; 3], rule: Rule) -> Self {
        let state = Arc::new(State { rule, matched: Mutex::new(0), gone_until: Mutex::new(None) });
        let mut ports = [0; 3];
        for (port, upstream) in ports.iter_mut().zip(upstream) {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            *port = listener.local_addr().unwrap().port();
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let state = Arc::clone(&state);
                    // A connection that breaks is the client's to notice.
                    tokio::spawn(async move { state.serve(client, upstream).await });
                }
            });
        }
        Self { ports, state }
    }

    /// Returns how many requests were spoiled.
    pub(crate) fn spoiled(&self) -> usize {
        let rule = self.state.rule;
        self.state.matched.lock().unwrap().saturating_sub(rule.after).min(rule.times)
    }
}

impl State {
    async fn serve(&self, mut client: TcpStream, upstream: u16) -> std::io::Result<()> {
        if self.is_gone() {
            return cut(&client);
        }
        let mut received = Vec::new();
        let end = loop {
            if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if client.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let length =
            header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0_usize);
        let fault = self.fault(head.lines().next().unwrap_or_default());
        let wanted = if matches!(fault, Some(Fault::CutInBody)) { end + length / 2 } else { end + length };
        while received.len() < wanted {
            if client.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        match fault {
            Some(Fault::Answer(status)) => return client.write_all(refusal(status, "").as_bytes()).await,
            Some(Fault::Throttle(status)) => {
                return client.write_all(refusal(status, "retry-after: 1\r\n").as_bytes()).await;
            }
            Some(Fault::CutInBody) => return cut(&client),
            Some(Fault::Vanish(time)) => {
                *self.gone_until.lock().unwrap() = Some(Instant::now() + time);
                return cut(&client);
            }
            Some(Fault::Delay(time)) => sleep(time).await,
            Some(Fault::LoseAnswer) | None => {}
        }
        let mut storage = TcpStream::connect(("127.0.0.1", upstream)).await?;
        storage.write_all(once(&head).as_bytes()).await?;
        storage.write_all(&received[end..]).await?;
        let mut answer = Vec::new();
        storage.read_to_end(&mut answer).await?;
        if matches!(fault, Some(Fault::LoseAnswer)) || self.is_gone() {
            return cut(&client);
        }
        client.write_all(&answer).await?;
        client.shutdown().await
    }

    fn is_gone(&self) -> bool {
        self.gone_until.lock().unwrap().is_some_and(|until| Instant::now() < until)
    }

    fn fault(&self, line: &str) -> Option<Fault> {
        let Rule { method, part, after, times, fault } = self.rule;
        if !line.starts_with(method) || !line.contains(part) {
            return None;
        }
        let mut matched = self.matched.lock().unwrap();
        *matched += 1;
        (*matched > after && *matched <= after + times).then_some(fault)
    }
}

/// Ends a connection without a word: what is in it is thrown away, as by a network that breaks.
fn cut(client: &TcpStream) -> std::io::Result<()> {
    client.set_zero_linger()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Asks for the end of the connection after the answer, which then ends with it.
fn once(head: &str) -> String {
    let kept = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut head: Vec<&str> = kept.collect();
    head.push("connection: close\r\n\r\n");
    head.join("\r\n")
}

fn refusal(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} Refused\r\n{headers}connection: close\r\ncontent-length: 0\r\n\r\n")
}
