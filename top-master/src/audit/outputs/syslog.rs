//! Audit records to a syslog server, in the form of RFC 5424: one datagram each, the record as its message.

use std::io;

use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};
use relay_core::audit::{Entry, Kind};
use relay_runtime::config::Syslog;
use tokio::net::{UdpSocket, UnixDatagram};

use super::Output;

/// The facility for records like these ("log audit").
const FACILITY: u8 = 13;
const NOTICE: u8 = 5;
const WARNING: u8 = 4;
/// Longest datagram, in bytes: servers take 8 KiB by default. What is longer is cut; it stands whole in the log.
const MAX_DATAGRAM: usize = 8 << 10;
/// Longest name of a host that the form has.
const MAX_HOST: usize = 255;

/// The server.
pub(super) struct SyslogOutput {
    to: Syslog,
    host: String,
    socket: Option<Socket>,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl SyslogOutput {
    /// `host`: who is said to send.
    pub(super) fn new(to: Syslog, host: &str) -> SyslogOutput {
        let printable = |c: &char| c.is_ascii_graphic();
        SyslogOutput { to, host: host.chars().filter(printable).take(MAX_HOST).collect(), socket: None }
    }

    async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(&self.to).await?,
        };
        match &socket {
            Socket::Unix(socket) => socket.send(message).await?,
            Socket::Udp(socket) => socket.send(message).await?,
        };
        // Kept only while it works: a server that was restarted has another socket.
        self.socket = Some(socket);
        Ok(())
    }
}

async fn connect(to: &Syslog) -> io::Result<Socket> {
    match to {
        Syslog::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            let told = |e: io::Error| io::Error::other(format!("{}: {e}", path.display()));
            socket.connect(path).map_err(told)?;
            Ok(Socket::Unix(socket))
        }
        Syslog::Udp(address) => {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await.map_err(|e| io::Error::other(format!("{address}: {e}")))?;
            Ok(Socket::Udp(socket))
        }
    }
}

/// A record as a message.
fn message(host: &str, seq: u64, line: &[u8]) -> Vec<u8> {
    let entry = Entry::decode(line).ok();
    let kind = entry.as_ref().map_or("-", |entry| entry.event.kind.word());
    let alarming =
        matches!(entry.as_ref().map(|entry| entry.event.kind), None | Some(Kind::Deny | Kind::Suppressed));
    let priority = FACILITY * 8 + if alarming { WARNING } else { NOTICE };
    let at = entry
        .and_then(|entry| i64::try_from(entry.at).ok())
        .and_then(|at| Timestamp::from_microsecond(at).ok());
    let at = at.map_or("-".to_owned(), |at| {
        at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    });
    let host = if host.is_empty() { "-" } else { host };
    // The byte order mark says that what follows is UTF-8.
    let mut message = format!("<{priority}>1 {at} {host} relay {seq} {kind} - \u{feff}").into_bytes();
    let room = MAX_DATAGRAM - message.len();
    message.extend_from_slice(&line[..line.len().min(room)]);
    message
}

impl Output for SyslogOutput {
    const NAME: &'static str = "syslog";

    fn has(&mut self) -> io::Result<Option<u64>> {
        Ok(None)
    }

    async fn write(&mut self, lines: &[(u64, Bytes)]) -> io::Result<()> {
        for (seq, line) in lines {
            let message = message(&self.host, *seq, line);
            self.send(&message).await?;
        }
        Ok(())
    }

    /// Is for files: a server's lines can't be put together again as they were.
    async fn checkpoint(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use relay_core::{audit::Event, ids::Epoch};

    use super::*;

    fn line(kind: Kind) -> Vec<u8> {
        let event = Event::new(kind, "alice", "certificate").about("x");
        Entry { seq: 7, prev: None, at: 1_795_246_616_000_012, epoch: Epoch(1), event }.encode()
    }

    #[test]
    fn a_message_has_the_form() {
        let told = String::from_utf8(message("top-1", 7, &line(Kind::Job))).unwrap();
        let head = "<109>1 2026-11-21T07:36:56.000012Z top-1 relay 7 job - \u{feff}{\"at\":";
        assert!(told.starts_with(head), "{told}");
        assert!(told.ends_with("\"who\":\"alice\"}"));
        let denied = String::from_utf8(message("", 7, &line(Kind::Deny))).unwrap();
        assert!(denied.starts_with("<108>1 ") && denied.contains("Z - relay 7 deny - "), "{denied}");
        let long = [&b"x"[..]; 9_999].concat();
        assert_eq!(message("h", 1, &long).len(), MAX_DATAGRAM);
    }

    #[tokio::test]
    async fn a_server_that_was_restarted_gets_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut output = SyslogOutput::new(Syslog::Unix(path.clone()), "top-1");
        assert!(output.send(b"nobody listens").await.is_err());
        for round in 0..2 {
            let server = UnixDatagram::bind(&path).unwrap();
            if round == 1 {
                assert!(output.send(b"to the former one").await.is_err());
            }
            output.send(b"hello").await.unwrap();
            let mut buffer = [0; 99];
            let got = server.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..got], b"hello");
            drop(server);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
