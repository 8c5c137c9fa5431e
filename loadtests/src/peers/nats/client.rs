//! One connection to a nats-server: greeting, TLS, and what is said and heard.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::BytesMut;
use relay_core::identity::{Identity, Role, check_region};
use relay_runtime::{authority::DevAuthority, identity, tls};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::protocol::{self, Heard};
use crate::fabric::site::fabric_name;

/// Read at a time, in bytes. A connection that waits holds no more than this.
const READ: usize = 4_096;
/// What a client says of itself. Without headers and without confirmations: the leanest that NATS has.
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n";
/// The region in the certificates of one run.
const REGION: &str = "r1";

/// Where a nats-server is, and with whose certificates one talks to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Server {
    /// `host:port`.
    pub address: String,
    /// The name that it proves to have.
    pub name: String,
    /// The directory of the run's authority.
    pub authority: PathBuf,
}

/// Makes connections, all under one certificate: as with a process of many clients.
#[derive(Clone)]
pub struct Diallers {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Diallers {
    /// With a new certificate of that id.
    ///
    /// # Errors
    /// None can be issued.
    pub fn new(server: &Server, id: &str) -> anyhow::Result<Diallers> {
        let authority = DevAuthority::open(&server.authority, fabric_name()?)?;
        let files = authority.issue(&named(id, Role::Minion)?, &server.authority.join("clients"))?;
        let config = tls::client(&identity::load(&files, &fabric_name()?)?)?;
        let name = ServerName::try_from(server.name.clone()).context("the name of the nats-server")?;
        Ok(Diallers { address: server.address.clone(), name, tls: TlsConnector::from(config) })
    }

    /// A connection with one subscription, which holds when this comes back.
    ///
    /// # Errors
    /// The server is not there, or refuses.
    pub async fn subscribed(&self, subject: &str) -> anyhow::Result<Client> {
        let mut plain = TcpStream::connect(&self.address).await.context("the nats-server")?;
        plain.set_nodelay(true)?;
        let mut read = BytesMut::new();
        // After its greeting it waits for the handshake, so nothing of that is read here.
        while protocol::next(&mut read)?.is_none() {
            anyhow::ensure!(
                plain.read_buf(&mut read).await? > 0,
                "the nats-server hung up before its greeting"
            );
        }
        let stream = self.tls.connect(self.name.clone(), plain).await.context("TLS with the nats-server")?;
        let mut client = Client { stream, read };
        client.say(&[CONNECT, &protocol::subscribe(subject)].concat()).await?;
        while client.hear().await? != Heard::Pong {}
        Ok(client)
    }
}

/// A connection with its one subscription.
#[derive(Debug)]
pub struct Client {
    stream: TlsStream<TcpStream>,
    read: BytesMut,
}

impl Client {
    /// Waits for the next thing said. What asks whether we live is answered here.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn hear(&mut self) -> anyhow::Result<Heard> {
        loop {
            match protocol::next(&mut self.read)? {
                Some(Heard::Ping) => self.say(protocol::PONG).await?,
                Some(heard) => return Ok(heard),
                None => {
                    self.read.reserve(READ);
                    let n = self.stream.read_buf(&mut self.read).await?;
                    anyhow::ensure!(n > 0, "the nats-server hung up");
                }
            }
        }
    }

    /// Says something, at once.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn say(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}

/// An identity of the run's fabric.
///
/// # Errors
/// The id is none.
pub fn named(id: &str, role: Role) -> anyhow::Result<Identity> {
    Ok(Identity::new(id, role, check_region(REGION)?, fabric_name()?)?)
}

/// Makes the run's authority below a directory; [`Server::authority`] is where [`authority_dir`] says.
///
/// # Errors
/// The directory cannot be written.
pub fn make_authority(dir: &Path) -> anyhow::Result<DevAuthority> {
    Ok(DevAuthority::create(&authority_dir(dir), fabric_name()?)?)
}

/// Where [`make_authority`] makes it.
pub fn authority_dir(dir: &Path) -> PathBuf {
    dir.join("nats-authority")
}
