//! An etcd of one member.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use super::{LOOK, Server};
use crate::stop;

/// How often etcd is tried with other ports: somebody may take a free one between our look and its start.
const TRIES: usize = 3;
/// How long it may take over one answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Starts one of one member; its address is told with it.
///
/// # Errors
/// It does not come up.
pub fn start(dir: &Path) -> anyhow::Result<(String, Server)> {
    let mut last = None;
    for _ in 0..TRIES {
        match once(dir) {
            Ok(running) => return Ok(running),
            Err(error) if stop::asked() => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("etcd was not tried")?)
}

fn once(dir: &Path) -> anyhow::Result<(String, Server)> {
    let (clients, peers) = free_ports()?;
    let [url, peer] = [clients, peers].map(|at| format!("http://{at}"));
    let data = dir.join("etcd");
    let _ = fs::remove_dir_all(&data);
    let mut etcd = Command::new("etcd");
    etcd.arg("--data-dir").arg(&data).args(["--name", "demo", "--initial-cluster", &format!("demo={peer}")]);
    for (option, value) in [
        ("--listen-client-urls", &url),
        ("--advertise-client-urls", &url),
        ("--listen-peer-urls", &peer),
        ("--initial-advertise-peer-urls", &peer),
    ] {
        etcd.args([option, value]);
    }
    // A killed process loses nothing that the system has.
    etcd.arg("--unsafe-no-fsync");
    let mut server = Server::start("etcd", &mut etcd, dir.join("etcd.log"))?;
    server.until(|| healthy(clients).unwrap_or(false))?;
    Ok((url, server))
}

/// Two ports that nobody listens on.
fn free_ports() -> io::Result<(SocketAddr, SocketAddr)> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // Both at once, so that they are not the same.
    let (one, other) = (bind()?, bind()?);
    Ok((one.local_addr()?, other.local_addr()?))
}

fn healthy(at: SocketAddr) -> io::Result<bool> {
    let mut socket = TcpStream::connect_timeout(&at, LOOK)?;
    socket.set_read_timeout(Some(ANSWER_TIME))?;
    socket.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(4_096).read_to_string(&mut answer)?;
    Ok(answer.contains(r#""health":"true""#))
}
