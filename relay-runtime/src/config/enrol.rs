//! How a process gets its certificate from the fabric itself: the setting `enrol`, in the place of `tls`.

use std::path::{Path, PathBuf};

use relay_core::document::{Fields, Node, Position, Sink, read};

use super::parts::{self, TlsConfig};
use crate::{enrol::files::Files, trust::Pin};

/// The directory of key and certificate in the state directory, where the setting names no other.
const DIR: &str = "identity";

/// By what a newcomer knows the fabric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootConfig {
    /// The fingerprint of the root's key.
    Pin(Pin),
    /// A file with the root, or several.
    File(PathBuf),
}

/// How it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolConfig {
    /// Whom to believe.
    pub root: RootConfig,
    /// A file with a join token, for its owner alone. Nothing: an operator decides.
    pub token_file: Option<PathBuf>,
    /// Where key and certificate are kept. Default: `identity` in the state directory.
    pub dir: PathBuf,
}

/// As written: the directory may be left to the state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnrolSetting {
    root: RootConfig,
    token_file: Option<PathBuf>,
    dir: Option<PathBuf>,
}

/// Where key and certificate come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// From files that somebody else has put there.
    Given(TlsConfig),
    /// From the fabric.
    Enrolled(EnrolSetting),
}

impl Source {
    /// The files, once all paths are known. `own` fills a process's id in.
    pub(super) fn settle(
        &self,
        state_dir: &Path,
        own: impl Fn(&PathBuf) -> PathBuf,
    ) -> (TlsConfig, Option<EnrolConfig>) {
        match self {
            Source::Given(TlsConfig { ca, cert, key }) => {
                (TlsConfig { ca: own(ca), cert: own(cert), key: own(key) }, None)
            }
            Source::Enrolled(setting) => {
                let dir = setting.dir.as_ref().map_or_else(|| state_dir.join(DIR), &own);
                let (root, token_file) = (setting.root.clone(), setting.token_file.as_ref().map(own));
                (Files::new(&dir).tls(), Some(EnrolConfig { root, token_file, dir }))
            }
        }
    }
}

/// Reads `tls` or `enrol`, of which there must be one; and where that is.
pub(super) fn source(f: &mut Fields<'_>, base: &Path, sink: &Sink) -> Option<(Source, Position)> {
    let (tls, enrol) = (f.may("tls", parts::tls(base)), f.may("enrol", setting(base)));
    let (tls_at, enrol_at) = (f.at_key("tls"), f.at_key("enrol"));
    match (tls?, enrol?) {
        (Some(tls), None) => Some((Source::Given(tls), tls_at)),
        (None, Some(enrol)) => Some((Source::Enrolled(enrol), enrol_at)),
        (Some(_), Some(_)) => {
            let what = "there are both \"tls\" and \"enrol\"";
            sink.refuse(
                enrol_at,
                what,
                "keep \"tls\" for files that you issue, or \"enrol\" for those of the fabric",
            )
        }
        (None, None) => {
            let what = "\"tls\" is missing";
            sink.refuse(
                f.at(),
                what,
                "add it: {ca, cert, key}; or \"enrol\", to get a certificate from the fabric",
            )
        }
    }
}

fn setting<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<EnrolSetting> + 'a {
    move |node, sink| {
        let mut f = Fields::open(node, "enrol", sink)?;
        let (pin, file) = (f.may("root", read::parsed), f.may("ca", parts::path(base)));
        let (token_file, dir) = (f.may("token_file", parts::path(base)), f.may("dir", parts::path(base)));
        let at = f.at();
        f.close();
        let root = match (pin?, file?) {
            (Some(pin), None) => RootConfig::Pin(pin),
            (None, Some(file)) => RootConfig::File(file),
            (Some(_), Some(_)) | (None, None) => {
                let what = "the fabric's root has to be known, by one of \"root\" and \"ca\"";
                let hint =
                    "add root: \"sha256:...\" (\"relayctl ca export\" shows it), or ca: and the root's file";
                return sink.refuse(at, what, hint);
            }
        };
        Some(EnrolSetting { root, token_file: token_file?, dir: dir? })
    }
}
