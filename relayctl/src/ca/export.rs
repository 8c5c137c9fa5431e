//! `relayctl ca export`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use relay_runtime::authority::pem;
use serde_json::json;

use super::{Dir, pin};
use crate::{exit::Exit, output::Output};

/// What is exported.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    #[command(flatten)]
    dir: Dir,
    /// Write the roots that count to this file, PEM
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Copy what top masters hold to this directory, in the place of what is there
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl ca export --dir /srv/relay-ca                  the root's fingerprint, for newcomers
  relayctl ca export --dir /srv/relay-ca --root ca.crt    the root itself, for tls.ca and for operators
  relayctl ca export --dir /srv/relay-ca --trust top-1    what a top master holds: it belongs to its user alone";

/// Runs it.
pub fn run(args: &ExportArgs, out: &Output) -> anyhow::Result<Exit> {
    let authority = args.dir.open()?;
    let roots: Vec<_> =
        authority.held().anchors().roots.iter().map(|root| root.certificate.clone()).collect();
    let text = pem(&roots);
    if let Some(file) = &args.root {
        std::fs::write(file, &text).with_context(|| file.display().to_string())?;
    }
    if let Some(dir) = &args.trust {
        authority.copy_trust(dir)?;
    }
    let root = pin(&authority)?;
    let data =
        json!({ "fabric": authority.fabric().as_str(), "root": root, "pem": text, "trust": args.trust });
    out.show(&data, |_| {
        let mut text = format!("root: \"{root}\"");
        if let Some(file) = &args.root {
            text += &format!("\nWrote the root to {}.", file.display());
        }
        if let Some(dir) = &args.trust {
            text += &format!("\nCopied what top masters hold to {}.", dir.display());
        }
        text
    })?;
    Ok(Exit::Ok)
}
