//! Secrets that no other text contains by chance, and the places where they are looked for: logs, metrics, command lines and
//! environments, files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fabric_tests::{Fabric, process::MARK};
use nix::unistd::Pid;

use crate::region::files;

/// Secrets that were put somewhere, by what they are.
#[derive(Default)]
pub struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    /// Makes one.
    pub fn make(&mut self, what: &'static str) -> String {
        let secret = format!("CANARY-{what}-{:032x}", rand::random::<u128>());
        self.add(what, secret.clone());
        secret
    }

    /// One that somebody else has made: a token, a key.
    ///
    /// # Panics
    /// It is so short that it could stand anywhere by chance.
    pub fn add(&mut self, what: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 16, "{what} is too short to be looked for");
        self.0.push((what, secret));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// None is in these bytes.
    ///
    /// # Panics
    /// One is.
    pub fn absent_in(&self, place: &str, bytes: &[u8]) {
        for (what, secret) in &self.0 {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{what} is in {place}");
        }
    }

    /// None is on a command line; nor in an environment, but those of commands that were given it there (`given`).
    ///
    /// # Panics
    /// One is, or fewer than `least` processes are there.
    pub fn absent_in_processes(&self, fabric: &Fabric, least: usize, given: &[&str]) {
        let running = processes(fabric);
        assert!(running.len() >= least, "only these run: {running:?}");
        for pid in running {
            // One that has ended meanwhile has nothing more to show.
            let of = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            self.absent_in(&format!("the command line of {pid}"), &of("cmdline"));
            let shown = of("environ");
            let shown = shown.split(|byte| *byte == 0).filter(|variable| {
                !given.iter().any(|name| variable.starts_with(format!("{name}=").as_bytes()))
            });
            shown.for_each(|variable| self.absent_in(&format!("the environment of {pid}"), variable));
        }
    }

    /// None is in a log, a metric or a file of the fabric's, but for files of which `kept` says that this is where a secret of this
    /// kind is kept.
    ///
    /// # Panics
    /// One is.
    pub fn absent_in_fabric(&self, fabric: &Fabric, kept: impl Fn(&str, &Path) -> bool) {
        for daemon in fabric.daemons() {
            self.absent_in(&format!("the log of {}", daemon.name()), daemon.log().as_bytes());
            let (_, metrics) = daemon.get("/metrics").expect("metrics");
            self.absent_in(&format!("the metrics of {}", daemon.name()), metrics.as_bytes());
        }
        let all: Vec<PathBuf> = files(fabric.dir()).collect();
        assert!(all.len() >= 10, "only these files are there: {all:?}");
        for path in all {
            let (bytes, shown) = (fs::read(&path).unwrap_or_default(), path.display().to_string());
            for (what, secret) in self.0.iter().filter(|(what, _)| !kept(what, &path)) {
                Canaries(vec![(what, secret.clone())]).absent_in(&shown, &bytes);
            }
        }
    }
}

/// Every process that carries this fabric's mark or descends from one that does.
///
/// # Panics
/// There is no /proc.
pub fn processes(fabric: &Fabric) -> Vec<Pid> {
    let mark = format!("{MARK}={}", fabric.dir().display());
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    })
    .map(Pid::from_raw)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the word is in a place")]
    fn one_that_is_there_is_found() {
        let mut canaries = Canaries::default();
        let secret = canaries.make("the word");
        canaries.absent_in("a place", b"something else");
        canaries.absent_in("a place", format!("before {secret} behind").as_bytes());
    }
}
