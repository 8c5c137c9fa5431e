//! A wire to the server that can be cut: a socket whose bytes go through us.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::super::PostgresConfig;

/// When to cut the connection. It is cut once; the next one holds until another cut is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// A commit is asked for and does not get there.
    BeforeCommit,
    /// It gets there and is answered; the answer is lost.
    AfterCommit,
    /// It does not get there, and the server hears nothing any more, not even an end.
    Silent,
    /// After so many bytes, in either direction.
    AfterBytes(usize),
}

/// What the client asks to commit with: the end of a simple query.
const COMMIT: &[u8] = b"COMMIT\0";
const FILE: &str = ".s.PGSQL.5432";

pub(super) struct Wire {
    directory: TempDir,
    cut: Arc<Mutex<Option<Cut>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// A wire to the server behind `config`, whole for now. Needs a runtime that goes on while the store is used.
    pub(super) fn to(config: &PostgresConfig) -> Wire {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(FILE)).unwrap();
        let (server, cut) = (Path::new(&config.host).join(FILE), Arc::new(Mutex::new(None)));
        let task = tokio::spawn(accept(listener, server, cut.clone()));
        Wire { directory, cut, task }
    }

    /// The way to the server by this wire.
    pub(super) fn config(&self, config: &PostgresConfig) -> PostgresConfig {
        PostgresConfig { host: self.directory.path().to_str().unwrap().into(), ..config.clone() }
    }

    pub(super) fn cut(&self, when: Cut) {
        *self.cut.lock().unwrap() = Some(when);
    }

    /// Whether the cut that was set has been made.
    pub(super) fn was_cut(&self) -> bool {
        self.cut.lock().unwrap().is_none()
    }
}

async fn accept(listener: UnixListener, server: PathBuf, cut: Arc<Mutex<Option<Cut>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, cut) = (server.clone(), cut.clone());
        tokio::spawn(async move {
            if let Ok(server) = UnixStream::connect(server).await {
                carry(client, server, &cut).await;
            }
        });
    }
}

/// Carries bytes until one side ends or the connection is cut, which both sides see as its end.
async fn carry(mut client: UnixStream, mut server: UnixStream, cut: &Mutex<Option<Cut>>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let (mut last_words, mut silent) = (false, false);
    loop {
        let whole = tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(n) if n > 0 => {
                    let commits = up[..n].windows(COMMIT.len()).any(|w| w == COMMIT);
                    silent = commits && *cut.lock().unwrap() == Some(Cut::Silent);
                    let keep = judge(cut, n, commits, &mut last_words);
                    server.write_all(&up[..keep]).await.is_ok() && keep == n
                }
                _ => false,
            },
            read = server.read(&mut down) => match read {
                Ok(n) if n > 0 && !last_words => {
                    let keep = judge(cut, n, false, &mut false);
                    client.write_all(&down[..keep]).await.is_ok() && keep == n
                }
                _ => false,
            },
        };
        if !whole {
            break;
        }
    }
    if silent {
        drop(client);
        // Until the server has had enough.
        while server.read(&mut down).await.is_ok_and(|n| n > 0) {}
    }
}

/// How many of `n` bytes still go through. `last_words`: the server's next answer does not.
fn judge(cut: &Mutex<Option<Cut>>, n: usize, commits: bool, last_words: &mut bool) -> usize {
    let mut cut = cut.lock().unwrap();
    match *cut {
        Some(Cut::BeforeCommit | Cut::Silent) if commits => {
            *cut = None;
            0
        }
        Some(Cut::AfterCommit) if commits => {
            (*cut, *last_words) = (None, true);
            n
        }
        Some(Cut::AfterBytes(left)) if left < n => {
            *cut = None;
            left
        }
        Some(Cut::AfterBytes(left)) => {
            *cut = Some(Cut::AfterBytes(left - n));
            n
        }
        _ => n,
    }
}
