//! NATS' text protocol, the client's side of it, as far as a request and its answers need it.
//!
//! Lines end with CR LF; only a message has a payload behind its line. Everything comes from a server that this run has
//! started, and is bounded all the same.

use bytes::{Bytes, BytesMut};

/// Longest line taken, in bytes. The server's greeting is the longest: about 500.
const MAX_LINE: usize = 4_096;
/// Largest payload taken, in bytes: the server's own limit.
const MAX_PAYLOAD: usize = 1 << 20;
/// What ends a line.
const END: &[u8] = b"\r\n";

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message on a subscription.
    Message {
        /// Where it was published.
        subject: Bytes,
        /// Where its sender waits for answers.
        reply: Option<Bytes>,
        /// What it says.
        payload: Bytes,
    },
    /// It wants to know whether we live: say [`PONG`].
    Ping,
    /// It lives.
    Pong,
    /// About itself: at the beginning, and when its cluster changes.
    Info,
}

/// The answer to [`Heard::Ping`].
pub const PONG: &[u8] = b"PONG\r\n";
/// Asks for a [`Heard::Pong`]: what was said before has been heard then.
pub const PING: &[u8] = b"PING\r\n";

/// What cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line or a payload over the bound.
    #[error("the nats-server sent {0} bytes where at most {1} are taken")]
    TooLong(usize, usize),
    /// It refuses something.
    #[error("the nats-server says: {0}")]
    Refused(String),
    /// None of the lines that are known.
    #[error("the nats-server sent a line that is not understood: {0:?}")]
    Unknown(String),
}

/// Takes the next thing said out of what was read; nothing if it is not whole yet.
///
/// # Errors
/// It cannot be read. Then the connection is of no use any more.
pub fn next(read: &mut BytesMut) -> Result<Option<Heard>, ProtocolError> {
    let Some(at) = read.windows(END.len()).position(|two| two == END) else {
        return bounded(read.len(), MAX_LINE).map(|()| None);
    };
    bounded(at, MAX_LINE)?;
    let text = String::from_utf8_lossy(&read[..at]).into_owned();
    let line = at + END.len();
    let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let heard = match word {
        "MSG" => return message(read, line, rest),
        "PING" => Heard::Ping,
        "PONG" => Heard::Pong,
        "INFO" => Heard::Info,
        "-ERR" => return Err(ProtocolError::Refused(rest.to_owned())),
        _ => return Err(ProtocolError::Unknown(text)),
    };
    let _ = read.split_to(line);
    Ok(Some(heard))
}

/// `subject sid [reply] bytes`, and behind the line so many bytes and an end.
fn message(read: &mut BytesMut, line: usize, rest: &str) -> Result<Option<Heard>, ProtocolError> {
    let fields: Vec<&str> = rest.split(' ').collect();
    let (subject, reply, size) = match fields[..] {
        [subject, _, size] => (subject, None, size),
        [subject, _, reply, size] => (subject, Some(reply), size),
        _ => return Err(ProtocolError::Unknown(rest.to_owned())),
    };
    let size: usize = size.parse().map_err(|_| ProtocolError::Unknown(rest.to_owned()))?;
    bounded(size, MAX_PAYLOAD)?;
    let whole = line + size + END.len();
    if read.len() < whole {
        return Ok(None);
    }
    let copied = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let (subject, reply) = (copied(subject), reply.map(copied));
    let payload = read.split_to(whole).freeze().slice(line..line + size);
    Ok(Some(Heard::Message { subject, reply, payload }))
}

fn bounded(size: usize, most: usize) -> Result<(), ProtocolError> {
    if size > most { Err(ProtocolError::TooLong(size, most)) } else { Ok(()) }
}

/// `PUB`, with or without somewhere to answer to.
pub fn publish(subject: &[u8], reply: Option<&[u8]>, payload: &[u8]) -> Vec<u8> {
    let size = payload.len().to_string();
    let fields = [Some(&b"PUB"[..]), Some(subject), reply, Some(size.as_bytes())];
    let mut said = fields.into_iter().flatten().collect::<Vec<_>>().join(&b' ');
    said.extend([END, payload, END].concat());
    said
}

/// `SUB`, with the one number that a connection here uses, and a [`PING`] that is answered when it holds.
pub fn subscribe(subject: &str) -> Vec<u8> {
    [format!("SUB {subject} 1\r\n").as_bytes(), PING].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Heard>, ProtocolError> {
        let mut read = BytesMut::from(bytes);
        std::iter::from_fn(|| next(&mut read).transpose()).collect()
    }

    fn message(subject: &'static str, reply: Option<&'static str>, payload: &'static str) -> Heard {
        Heard::Message { subject: subject.into(), reply: reply.map(Into::into), payload: payload.into() }
    }

    #[test]
    fn what_is_whole_is_read_and_the_rest_waits() {
        let said = b"INFO {}\r\nPING\r\nMSG a.b 1 in.1 4\r\n\r\nxy\r\nMSG c 1 0\r\n\r\nPONG\r\n";
        let expected = [
            Heard::Info,
            Heard::Ping,
            message("a.b", Some("in.1"), "\r\nxy"),
            message("c", None, ""),
            Heard::Pong,
        ];
        assert_eq!(all(said).unwrap(), expected);
        // Wherever it is cut, nothing else is heard, and the rest completes it.
        for cut in 0..said.len() {
            let mut read = BytesMut::from(&said[..cut]);
            let mut heard: Vec<Heard> = std::iter::from_fn(|| next(&mut read).unwrap()).collect();
            read.extend_from_slice(&said[cut..]);
            heard.extend(std::iter::from_fn(|| next(&mut read).unwrap()));
            assert_eq!(heard, expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_too_long_or_unknown_or_refused_is_an_error() {
        assert_eq!(all(&[b'x'; MAX_LINE + 1]), Err(ProtocolError::TooLong(MAX_LINE + 1, MAX_LINE)));
        let huge = format!("MSG a 1 {}\r\n", MAX_PAYLOAD + 1);
        assert_eq!(all(huge.as_bytes()), Err(ProtocolError::TooLong(MAX_PAYLOAD + 1, MAX_PAYLOAD)));
        assert_eq!(all(b"-ERR 'no'\r\n"), Err(ProtocolError::Refused("'no'".into())));
        for unknown in [&b"HMSG a 1 2\r\n"[..], b"MSG a 1\r\n", b"MSG a 1 -3\r\n", b"\r\n"] {
            assert!(matches!(all(unknown), Err(ProtocolError::Unknown(_))), "{unknown:?}");
        }
    }

    #[test]
    fn what_is_said_has_the_size_of_its_payload() {
        assert_eq!(publish(b"a", Some(b"in.1"), b"x\r\ny"), b"PUB a in.1 4\r\nx\r\ny\r\n");
        assert_eq!(publish(b"a", None, b""), b"PUB a 0\r\n\r\n");
        assert_eq!(subscribe("a.*"), b"SUB a.* 1\r\nPING\r\n");
    }
}
