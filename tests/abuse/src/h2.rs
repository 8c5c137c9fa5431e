//! HTTP/2 by hand: frames as an attacker writes them, over real TLS with a real (or a wrong) certificate.
//!
//! Only what attacks need. Headers go out as literals that are never indexed (RFC 7541, 6.2.3), without Huffman codes; of
//! what comes back only the frames are read, not the headers in them.

use std::{io, net::SocketAddr, time::Duration};

use relay_runtime::{identity::LoadedIdentity, tls};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Kinds of frames (RFC 9113, 6).
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;
/// Flag: the stream ends with this frame.
pub const END_STREAM: u8 = 1;
/// Flag: the headers end with this frame.
pub const END_HEADERS: u8 = 4;
/// Flag: a PING or SETTINGS frame is an answer.
pub const ACK: u8 = 1;

/// How long anything may take that a server does at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A frame that came.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream that it belongs to.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A block of headers.
pub fn headers(fields: &[(&str, &[u8])]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| [vec![0x10], text(name.as_bytes()), text(value)].concat())
        .collect()
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [integer(7, bytes.len()), bytes.to_vec()].concat()
}

/// An integer of HPACK (RFC 7541, 5.1) behind a prefix of so many bits that are all zero.
fn integer(prefix: u32, value: usize) -> Vec<u8> {
    let full = (1 << prefix) - 1;
    if value < full {
        return vec![value as u8];
    }
    [vec![full as u8], crate::surface::varint((value - full) as u64)].concat()
}

/// The headers of a gRPC call.
pub fn call(path: &[u8]) -> Vec<u8> {
    headers(&[
        (":method", b"POST"),
        (":scheme", b"https"),
        (":path", path),
        (":authority", b"relay"),
        ("content-type", b"application/grpc"),
        ("te", b"trailers"),
    ])
}

/// One gRPC message as the body of a call.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A connection.
pub struct Wire {
    tls: TlsStream<TcpStream>,
}

impl Wire {
    /// Connects by TLS, and says what an HTTP/2 client says first.
    ///
    /// # Errors
    /// Not let in.
    ///
    /// # Panics
    /// The identity makes no TLS configuration.
    pub async fn connect(to: SocketAddr, name: &str, shown: &LoadedIdentity) -> io::Result<Wire> {
        let mut wire = Wire::silent(to, name, shown).await?;
        wire.send(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        Ok(wire)
    }

    /// Connects by TLS, and says nothing.
    ///
    /// # Errors
    /// Not let in.
    ///
    /// # Panics
    /// As [`Wire::connect`].
    pub async fn silent(to: SocketAddr, name: &str, shown: &LoadedIdentity) -> io::Result<Wire> {
        let config = tls::client(shown).expect("a TLS configuration");
        let name = ServerName::try_from(name.to_owned()).expect("a server's name");
        let socket = TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        let tls = TlsConnector::from(config).connect(name, socket);
        let tls = timeout(PATIENCE, tls).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Wire { tls })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The server has hung up, or takes nothing any more.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = async {
            self.tls.write_all(bytes).await?;
            self.tls.flush().await
        };
        timeout(PATIENCE, sending).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// The next frame; nothing when the server has hung up.
    ///
    /// # Errors
    /// Nothing came in time.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        let reading = async {
            let mut head = [0; 9];
            self.tls.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            self.tls.read_exact(&mut payload).await?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
            Ok::<_, io::Error>(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        match timeout(PATIENCE, reading).await {
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
            Ok(frame) => Ok(frame.ok()),
        }
    }

    /// Reads until the server hangs up: whether it said good-bye (GOAWAY) before, and with which code.
    ///
    /// # Errors
    /// It does not hang up in time.
    pub async fn end(&mut self) -> io::Result<Option<u32>> {
        let mut code = None;
        while let Some(frame) = self.next().await? {
            if frame.kind == GOAWAY && frame.payload.len() >= 8 {
                code = frame.payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
        }
        Ok(code)
    }

    /// Whether the server speaks HTTP/2 with us at all. In TLS 1.3 a client that is turned away learns it only after its own
    /// handshake is done.
    ///
    /// # Errors
    /// It says nothing, and does not hang up either.
    pub async fn is_let_in(&mut self) -> io::Result<bool> {
        self.next().await.map(|frame| frame.is_some())
    }

    /// Calls a path with one message, and reads the call's end: whether a message came back. A refusal has none.
    ///
    /// # Errors
    /// The server hung up, or says nothing in time.
    pub async fn served(&mut self, stream: u32, path: &[u8], body: &[u8]) -> io::Result<bool> {
        let head = frame(HEADERS, END_HEADERS, stream, &call(path));
        self.send(&[head, frame(DATA, END_STREAM, stream, &message(body))].concat()).await?;
        let mut data = false;
        while let Some(frame) = self.next().await? {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    self.send(&self::frame(SETTINGS, ACK, 0, &[])).await?;
                }
                DATA if frame.stream == stream => data |= !frame.payload.is_empty(),
                RST_STREAM if frame.stream == stream => return Ok(data),
                _ => {}
            }
            if frame.stream == stream && matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0
            {
                return Ok(data);
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
