//! Certificates that somebody else puts into files: read again when they change, so that no restart is needed.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Tls;
use crate::{
    config::TlsConfig,
    identity::{self, LoadedIdentity},
};

/// The files are looked at this often: whoever replaces a certificate does so hours before its end.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Shows what the files hold from the moment when they hold something else that fits together; until stopped.
pub async fn follow_files(tls: Tls, files: TlsConfig, token: CancellationToken) {
    let mut seen = mark(&files);
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let now = mark(&files);
        if now == seen {
            continue;
        }
        match load(&tls, &files) {
            Ok(()) => {
                info!(path = %files.cert.display(), "read the certificate again");
                seen = now;
            }
            // Often only half of it has been replaced yet.
            Err(error) => {
                warn!(path = %files.cert.display(), error, "the certificate has changed and cannot be used: the old one is shown on");
            }
        }
    }
}

fn load(tls: &Tls, files: &TlsConfig) -> Result<(), String> {
    let own = tls.own();
    let loaded: LoadedIdentity = identity::load(files, own.identity.fabric()).map_err(|e| e.to_string())?;
    if loaded.identity != own.identity {
        return Err(format!("it is of {}, and this is {}", loaded.identity, own.identity));
    }
    tls.still(&loaded.certs, crate::trust::now()).map_err(|e| e.to_string())?;
    tls.renew(loaded).map_err(|e| e.to_string())
}

/// What changes when one of the two files does.
fn mark(files: &TlsConfig) -> [Option<(u64, SystemTime)>; 2] {
    let about = |path: &Path| {
        let about = fs::metadata(path).ok()?;
        Some((about.len(), about.modified().ok()?))
    };
    [about(&files.cert), about(&files.key)]
}
