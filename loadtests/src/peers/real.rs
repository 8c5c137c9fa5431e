//! A fabric of real minion processes, asked in both ways that Salt is asked: by a new `relayctl` each time, and over a
//! connection that is kept.
//!
//! Nothing is simulated: each minion is a process of its own with its journal on disk.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, process::Stdio, time::Instant};

use anyhow::Context as _;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    attach::ATTACH_TIME,
    bed::{PAUSE, millis},
    fabric::{Binaries, FABRIC, Fabric, NO_ARGUMENTS, Site},
    machine,
    process::Started,
    scenario::Run,
};

/// The program that people type.
const CLI: &str = "relayctl";
/// The file of its contexts, in the run's directory.
const CONTEXTS: &str = "contexts.yaml";
/// How it is told where that is.
const CONTEXTS_VARIABLE: &str = "RELAY_CONFIG";

/// The fabric and its minions. Dropping it ends all processes.
pub struct Real {
    minions: Vec<Started>,
    fabric: Fabric,
    cli: PathBuf,
    random: StdRng,
    // Last: nothing may run in it when it goes.
    dir: TempDir,
}

impl Real {
    /// Starts a top master, so many syndics and so many minions, and waits until all are attached.
    ///
    /// # Errors
    /// A binary is not there, or something did not start in time.
    pub async fn start(run: &Run, minions: u32, syndics: u32) -> anyhow::Result<Real> {
        let (binaries, dir) = (Binaries::find()?, run.directory()?);
        let cli = binaries.top_master.with_file_name(CLI);
        anyhow::ensure!(cli.is_file(), "{} is not there: cargo build --release -p {CLI}", cli.display());
        let site = Site::new(dir.path(), binaries, run.threads)?;
        let mut fabric = Fabric::start(site, syndics).await?;
        run.tell(&format!("starting {minions} minion processes below {syndics} syndics"));
        let places = fabric.places();
        let each = (0..minions).zip(places.iter().cycle());
        let started = each.map(|(n, place)| fabric.site().start_minion(&format!("m{n:03}"), place));
        let mut minions = started.collect::<anyhow::Result<Vec<_>>>()?;
        let all = minions.len() as u64;
        let look = |_| minions.iter_mut().try_for_each(Started::check);
        fabric.wait_for_minions(all, ATTACH_TIME, look).await?;
        let real = Real { minions, fabric, cli, random: StdRng::seed_from_u64(run.seed), dir };
        real.write_contexts()?;
        Ok(real)
    }

    fn write_contexts(&self) -> anyhow::Result<()> {
        let (site, path) = (self.fabric.site(), self.dir.path().join(CONTEXTS));
        let files = site.operator()?;
        let address =
            json!({ "address": self.fabric.operators().to_string(), "server_name": site.top_name()? });
        let context = json!({
            "name": "bench", "fabric": FABRIC, "addresses": [address],
            "ca": files.ca, "cert": files.cert, "key": files.key,
        });
        // JSON is YAML.
        let text = json!({ "version": 1, "current": "bench", "contexts": [context] }).to_string();
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?)
    }

    /// `relayctl run '*' test.ping`, from exec to exit with all its output read, in milliseconds.
    ///
    /// # Errors
    /// Not everybody answered.
    pub async fn cli_ms(&mut self) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        let mut command = tokio::process::Command::new(&self.cli);
        command.args(["run", "*", "test.ping"]).stdin(Stdio::null()).kill_on_drop(true);
        command.env(CONTEXTS_VARIABLE, self.dir.path().join(CONTEXTS)).env_remove("RELAY_CONTEXT");
        let begun = Instant::now();
        let ran = command.output().await.context(CLI)?;
        let elapsed = begun.elapsed();
        let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        let all = self.minions.len();
        let accounted = format!("{all} of {all} accounted: {all} ok");
        anyhow::ensure!(
            ran.status.success() && said.contains(&accounted),
            "{CLI}: {}\n{said}\n{told}",
            ran.status
        );
        Ok(millis(elapsed))
    }

    /// The same job over a connection that is kept, from the request to the event that closes it, in milliseconds.
    ///
    /// # Errors
    /// Not everybody answered.
    pub async fn kept_ms(&mut self) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        let ended = self.fabric.operator.run(self.random.random(), "test.ping", NO_ARGUMENTS).await?;
        let all = self.minions.len() as u64;
        anyhow::ensure!(ended.answered() == all, "{} of {all} minions answered", ended.answered());
        Ok(millis(ended.elapsed))
    }

    /// Resident memory of one minion process, the mean of all, in MiB.
    ///
    /// # Errors
    /// One is gone.
    pub fn minion_rss_mib(&self) -> anyhow::Result<f64> {
        let each = self.minions.iter().map(|minion| machine::rss_kib(minion.pid()));
        let all: u64 = each.sum::<anyhow::Result<u64>>()?;
        Ok(all as f64 / 1024.0 / self.minions.len().max(1) as f64)
    }
}
