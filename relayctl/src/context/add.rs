//! `relayctl context add`: a fabric that was not made by `relayctl dev up`.
//!
//! Looks at the files that are named, so that a slip is told here and not at the first call; asks no fabric.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use relay_core::identity::{FabricName, Identity, Role, check_region};
use relay_runtime::trust::Pin;

use crate::contexts::{Address, Context};

/// Which fabric, and as whom.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AddArgs {
    /// What it will be called by
    pub name: String,
    /// The fabric's name
    #[arg(long)]
    fabric: FabricName,
    /// A top master: id, region, and where it serves operators; once for each, they are tried in this order
    #[arg(long, value_name = "ID@REGION=HOST:PORT", required = true, value_parser = top_master)]
    top_master: Vec<TopMaster>,
    /// The fabric's root certificates, PEM
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The operator's certificate; without one, "relayctl login" with a password
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The fingerprint that one of the roots has to have
    #[arg(long, value_name = "sha256:HEX")]
    root: Option<Pin>,
    /// Make it the current one
    #[arg(long = "use")]
    pub current: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl context add prod --fabric acme.example --top-master top-1@aws=10.0.0.5:4511 --ca ca.crt --cert ann.pem --key ann.key
  relayctl context add prod --fabric acme.example --top-master top-1@aws=10.0.0.5:4511 --ca ca.crt --use

\"relayctl ca issue\" makes the three files. One of the same name is replaced.";

/// A top master as it is written on a command line.
#[derive(Debug, Clone, PartialEq)]
struct TopMaster {
    id: String,
    region: String,
    address: String,
}

fn top_master(text: &str) -> Result<TopMaster, String> {
    let parts = text.split_once('=').and_then(|(who, address)| Some((who.split_once('@')?, address)));
    let Some(((id, region), address)) = parts else {
        return Err("write a top master as top-1@aws=10.0.0.5:4511".into());
    };
    check_region(region).map_err(|e| e.to_string())?;
    let port =
        address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(1..)) => Ok(TopMaster { id: id.into(), region: region.into(), address: address.into() }),
        _ => Err(format!("{address:?} is no address: write host:port, the port where operators are served")),
    }
}

impl AddArgs {
    /// The context, with absolute paths.
    ///
    /// # Errors
    /// A file is not there or is none, or a name does not fit a certificate.
    pub fn context(&self) -> anyhow::Result<Context> {
        let file = |path: &Path| {
            let whole = std::fs::canonicalize(path).with_context(|| path.display().to_string())?;
            ensure!(whole.is_file(), "{}: is no file", path.display());
            Ok(whole)
        };
        let address = |at: &TopMaster| {
            let name =
                Identity::new(&at.id, Role::TopMaster, check_region(&at.region)?, self.fabric.clone())?;
            Ok(Address { address: at.address.clone(), server_name: name.to_dns() })
        };
        Ok(Context {
            name: self.name.clone(),
            fabric: self.fabric.to_string(),
            addresses: self.top_master.iter().map(address).collect::<anyhow::Result<_>>()?,
            ca: file(&self.ca)?,
            cert: self.cert.as_deref().map(file).transpose()?,
            key: self.key.as_deref().map(file).transpose()?,
            root: self.root.as_ref().map(ToString::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        add: AddArgs,
    }

    fn add(words: &[&str]) -> Result<AddArgs, clap::Error> {
        Line::try_parse_from(["add", "prod", "--fabric", "acme.example"].iter().chain(words)).map(|l| l.add)
    }

    #[test]
    fn what_is_written_becomes_a_context() {
        let dir = tempfile::tempdir().unwrap();
        let [ca, cert, key] = ["ca.crt", "a.pem", "a.key"].map(|name| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            path
        });
        let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
        let at = ["--top-master", "top-1@aws=[::1]:4511", "--top-master", "top-2@core=host:1", "--ca", ca];
        let made = add(&[&at[..], &["--cert", cert, "--key", key]].concat()).unwrap().context().unwrap();
        let names: Vec<_> =
            made.addresses.iter().map(|a| (a.address.as_str(), a.server_name.as_str())).collect();
        assert_eq!(
            names,
            [
                ("[::1]:4511", "top-1.top-master.aws.acme.example"),
                ("host:1", "top-2.top-master.core.acme.example")
            ]
        );
        assert!(made.cert.is_some_and(|path| path.is_absolute()));
        let none = add(&at).unwrap().context().unwrap();
        assert_eq!((none.cert, none.key, none.root), (None, None, None));
        let gone = add(&["--top-master", "top-1@aws=h:1", "--ca", "/nowhere/ca.crt"]).unwrap().context();
        assert!(gone.unwrap_err().to_string().contains("/nowhere/ca.crt"));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for bad in [
            "top-1",
            "top-1=h:1",
            "top-1@aws",
            "top-1@aws=h",
            "top-1@aws=h:0",
            "top-1@aws=:1",
            "top-1@a.b=h:1",
        ] {
            assert!(add(&["--top-master", bad, "--ca", "x"]).is_err(), "{bad}");
        }
        let good = ["--top-master", "top-1@aws=h:1", "--ca", "x"];
        assert!(add(&good).is_ok());
        assert!(add(&[&good[..], &["--cert", "x"]].concat()).is_err(), "a certificate without its key");
        assert!(add(&[&good[..], &["--root", "sha256:12"]].concat()).is_err());
        assert!(add(&["--ca", "x"]).is_err(), "no top master");
    }
}
