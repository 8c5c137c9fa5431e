//! A directory (LDAPv3, RFC 4511), as far as logging in needs it: binding, and searching for equal values.
//!
//! Owns the connection (TLS, limits of time and size) and the two operations. Searches take attributes and values, never the text
//! of a filter. What an entry means is the top master's login's. No StartTLS: what begins in the clear can be kept there.

pub mod ber;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, pin::Pin, time::Duration};

use relay_core::topology::HostPort;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::{secret::Secret, store::postgres::tls_to};
use ber::{BOOLEAN, Broken, ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, number, several, tagged, text};

/// How long a connection, and then each answer, may take: people wait for it.
const TIME: Duration = Duration::from_secs(5);
/// How long a connection may last, with all that is asked on it: a login's three binds and two searches, from a directory that is
/// busy. Without it, one that sends another line every few seconds would hold a login, and a place of the few that there are, for
/// hours.
const WHOLE: Duration = Duration::from_secs(15);
/// Largest message taken, in bytes: an entry with all its groups.
const MAX_MESSAGE: usize = 256 << 10;
/// Values that one search may bring, of all entries together.
const MAX_VALUES: usize = 4_096;
/// The version of the protocol.
const VERSION: u32 = 3;
/// Result codes (RFC 4511, 4.1.9).
const SUCCESS: u32 = 0;
const SIZE_LIMIT: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_CREDENTIALS: u32 = 49;

/// Where a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its host and port.
    pub at: HostPort,
    /// The roots that may sign its certificate; nothing: bytes go as they are, to this machine only.
    pub ca: Option<PathBuf>,
}

/// Why the directory was of no use.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// No connection, or it was lost.
    #[error("{0}: {1}")]
    Connection(HostPort, String),
    /// It did not answer in time.
    #[error("{0} does not answer within {TIME:?}, or not all within {WHOLE:?}")]
    Late(HostPort),
    /// It sent what cannot be understood.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It answered with an error.
    #[error("the LDAP server refuses {what}: code {code} {words:?}")]
    Refused {
        /// What it was asked.
        what: &'static str,
        /// Its code.
        code: u32,
        /// Its words.
        words: String,
    },
    /// There is more than is taken.
    #[error("the LDAP server sends more than is taken ({0})")]
    TooMuch(&'static str),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub dn: String,
    /// The values of its attributes that are texts, by name in lower case.
    pub values: BTreeMap<String, Vec<String>>,
}

trait Bytes: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

/// A connection.
pub struct Directory {
    at: HostPort,
    stream: Pin<Box<dyn Bytes>>,
    read: Vec<u8>,
    message: u32,
    /// Nothing is waited for beyond this.
    end: Instant,
}

impl Directory {
    /// Connects, for one question after the other until its time is over. The server has to prove that it has its host's name.
    ///
    /// # Errors
    /// It is not there, or not who it should be.
    pub async fn connect(place: &Place) -> Result<Directory, LdapError> {
        let at = &place.at;
        let begun = Instant::now();
        let connected = timeout_at(begun + TIME, Directory::dial(place)).await;
        let stream = connected.map_err(|_| LdapError::Late(at.clone()))?;
        let stream = stream.map_err(|why| LdapError::Connection(at.clone(), why))?;
        Ok(Directory { at: at.clone(), stream, read: Vec::new(), message: 0, end: begun + WHOLE })
    }

    async fn dial(place: &Place) -> Result<Pin<Box<dyn Bytes>>, String> {
        let Place { at, ca } = place;
        let socket = TcpStream::connect((at.host(), at.port())).await.map_err(|e| e.to_string())?;
        let Some(ca) = ca else { return Ok(Box::pin(socket)) };
        let tls = TlsConnector::from(tls_to(ca)?);
        let name = ServerName::try_from(at.host().to_owned()).map_err(|e| e.to_string())?;
        let stream = tls.connect(name, socket).await.map_err(|e| e.to_string())?;
        Ok(Box::pin(stream))
    }

    /// Shows a password for an entry. False: it is not its password, or there is no such entry.
    ///
    /// # Errors
    /// Anything else than a yes or a no.
    pub async fn bind(&mut self, dn: &str, password: &Secret) -> Result<bool, LdapError> {
        // Without a password this would be an anonymous bind, which succeeds whatever the name is (RFC 4513, 5.1.2).
        if password.is_empty() || dn.is_empty() {
            return Ok(false);
        }
        let secret = Zeroizing::new(tagged(0x80, password.expose().as_bytes()));
        let request = Zeroizing::new([&number(INTEGER, VERSION)[..], &text(dn), &secret].concat());
        let id = self.send(Zeroizing::new(tagged(0x60, &request))).await?;
        let (_, answer) = self.answer(id, &[0x61]).await?;
        match result(&answer)? {
            SUCCESS => Ok(true),
            INVALID_CREDENTIALS | NO_SUCH_OBJECT => Ok(false),
            code => Err(refused("a bind", code, &answer)),
        }
    }

    /// The entries at and below `base` that have each of these values, at most `most`, with these attributes.
    ///
    /// # Errors
    /// It cannot be asked, or there are more.
    pub async fn search(
        &mut self,
        base: &str,
        equal: &[(&str, &str)],
        attributes: &[&str],
        most: u32,
    ) -> Result<Vec<Entry>, LdapError> {
        let parts = equal.iter().map(|(name, value)| several(0xa3, &[text(name), text(value)]));
        let filter = several(0xa0, &parts.collect::<Vec<_>>());
        let names: Vec<Vec<u8>> = attributes.iter().map(|name| text(name)).collect();
        let request = [
            text(base),
            number(ENUMERATED, 2), // whole subtree
            number(ENUMERATED, 0), // aliases are not followed
            number(INTEGER, most),
            number(INTEGER, TIME.as_secs() as u32),
            tagged(BOOLEAN, &[0]),
            filter,
            several(SEQUENCE, &names),
        ];
        let id = self.send(Zeroizing::new(several(0x63, &request))).await?;
        let (mut found, mut values) = (Vec::new(), 0);
        loop {
            let (tag, content) = self.answer(id, &[0x64, 0x65, 0x73]).await?;
            match tag {
                0x64 => {
                    let entry = entry(&content)?;
                    values += 1 + entry.values.values().map(Vec::len).sum::<usize>();
                    found.push(entry);
                }
                0x65 => match result(&content)? {
                    SUCCESS => return Ok(found),
                    NO_SUCH_OBJECT => return Ok(Vec::new()),
                    SIZE_LIMIT => return Err(LdapError::TooMuch("entries")),
                    code => return Err(refused("a search", code, &content)),
                },
                // References to other servers are not followed.
                _ => values += 1,
            }
            if found.len() > most as usize || values > MAX_VALUES {
                return Err(LdapError::TooMuch("entries or values"));
            }
        }
    }

    /// Until when the next step may take.
    fn by(&self) -> Instant {
        self.end.min(Instant::now() + TIME)
    }

    async fn send(&mut self, operation: Zeroizing<Vec<u8>>) -> Result<u32, LdapError> {
        self.message += 1;
        let message = Zeroizing::new([&number(INTEGER, self.message)[..], &operation].concat());
        let message = Zeroizing::new(tagged(SEQUENCE, &message));
        let written = timeout_at(self.by(), async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        });
        let written = written.await.map_err(|_| LdapError::Late(self.at.clone()))?;
        written.map_err(|e| LdapError::Connection(self.at.clone(), e.to_string()))?;
        Ok(self.message)
    }

    /// The next message, which answers this one with one of these tags.
    async fn answer(&mut self, id: u32, tags: &[u8]) -> Result<(u8, Vec<u8>), LdapError> {
        let next = timeout_at(self.by(), self.next()).await;
        let bytes = next.map_err(|_| LdapError::Late(self.at.clone()))??;
        let mut message = Reader::new(&bytes).inner(SEQUENCE)?;
        let answered = message.number(INTEGER)?;
        let (tag, content) = message.any()?;
        // A server that hangs up says so in a message of nobody's (RFC 4511, 4.4.1).
        if answered != id || !tags.contains(&tag) {
            let why = if answered == 0 { "it ends the connection" } else { "an answer to nothing" };
            return Err(LdapError::Connection(self.at.clone(), why.into()));
        }
        Ok((tag, content.to_vec()))
    }

    async fn next(&mut self) -> Result<Vec<u8>, LdapError> {
        let lost = |why: String| LdapError::Connection(self.at.clone(), why);
        loop {
            if let Some(head) = ber::head(&self.read) {
                let (_, length, head) = head?;
                if head + length > MAX_MESSAGE {
                    return Err(LdapError::TooMuch("bytes"));
                }
                if self.read.len() >= head + length {
                    let rest = self.read.split_off(head + length);
                    return Ok(std::mem::replace(&mut self.read, rest));
                }
            }
            let mut buffer = [0; 4_096];
            match self.stream.read(&mut buffer).await {
                Ok(0) => return Err(lost("it has ended the connection".into())),
                Ok(n) => self.read.extend_from_slice(buffer.get(..n).unwrap_or_default()),
                Err(error) => return Err(lost(error.to_string())),
            }
        }
    }
}

/// The code of an LDAPResult.
fn result(content: &[u8]) -> Result<u32, Broken> {
    Reader::new(content).number(ENUMERATED)
}

fn refused(what: &'static str, code: u32, content: &[u8]) -> LdapError {
    let words = || {
        let mut reader = Reader::new(content);
        reader.any()?;
        reader.any()?;
        reader.text()
    };
    let words = words().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
    LdapError::Refused { what, code, words }
}

fn entry(content: &[u8]) -> Result<Entry, Broken> {
    let mut reader = Reader::new(content);
    let dn = reader.text()?.to_owned();
    let mut attributes = reader.inner(SEQUENCE)?;
    let mut values = BTreeMap::new();
    while !attributes.is_over() {
        let mut attribute = attributes.inner(SEQUENCE)?;
        let name = attribute.text()?.to_ascii_lowercase();
        let mut set = attribute.inner(0x31)?;
        let texts: &mut Vec<String> = values.entry(name).or_default();
        while !set.is_over() {
            // What is no text names nobody and nothing.
            texts.extend(std::str::from_utf8(set.one(OCTETS)?).ok().map(str::to_owned));
        }
    }
    Ok(Entry { dn, values })
}
