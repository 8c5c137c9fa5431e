//! Where a top master's audit log goes besides its store.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use relay_core::document::{Fields, Node, Sink, read};

use super::parts;

/// A file is put aside when it is larger, in MiB: an hour of a log under attack, a year of a quiet one.
const ROTATE_MB: u64 = 256;
/// So many files that were put aside are kept.
const KEEP: u64 = 16;

/// The outputs of the audit log. Both are behind it: what is in the log reaches them later if they can't take it now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditConfig {
    /// The file that every record is a line of.
    pub file: Option<AuditFile>,
    /// The syslog server.
    pub syslog: Option<Syslog>,
}

/// A file of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFile {
    /// Where.
    pub path: PathBuf,
    /// It is put aside (as `PATH.1`) when it is larger, in bytes. Default 256 MiB.
    pub rotate_bytes: u64,
    /// So many files that were put aside are kept. Default 16.
    pub keep: u64,
}

/// A syslog server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syslog {
    /// A datagram socket, such as `/dev/log`.
    Unix(PathBuf),
    /// By UDP.
    Udp(SocketAddr),
}

pub(super) fn audit<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<AuditConfig> + 'a {
    move |node, sink| {
        let mut f = Fields::open(node, "the outputs of the audit log", sink)?;
        let path = f.may("file", parts::path(base));
        let rotate = f.or("rotate_mb", ROTATE_MB, read::number(1, 1 << 20));
        let keep = f.or("keep", KEEP, read::number(1, 10_000));
        let syslog = f.may("syslog", syslog);
        f.close();
        let (rotate, keep) = (rotate?, keep?);
        let file = path?.map(|path| AuditFile { path, rotate_bytes: rotate << 20, keep });
        Some(AuditConfig { file, syslog: syslog? })
    }
}

fn syslog(node: &Node, sink: &Sink) -> Option<Syslog> {
    read::with(node, sink, |text| {
        match text.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Ok(Syslog::Unix(path.into())),
        Some(("udp", address)) => address.parse().map(Syslog::Udp).map_err(|_| {
            format!("{address:?} is no address with a port: write udp:192.0.2.1:514, as a number and not as a name")
        }),
        _ => Err(format!("{text:?} is no syslog server: write unix:/dev/log, or udp:ADDRESS:PORT")),
    }
    })
}
