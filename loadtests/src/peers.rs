//! `peers`: what people use today, in one run with the fabric on one machine.
//!
//! NATS: one request to all responders against a job to as many simulated minions ([`nats`]; left out there: everything
//! that a job is beyond a message, and the minions' fsync). Salt, flat and as a tree, against as many real minion
//! processes ([`salt`]; nothing is left out). ClusterShell on names that fold and names that do not ([`clustershell`]; no
//! budget). What is not here is absent, with the reason, and never a zero. Budgets are issue 6's: the fabric takes at most
//! twice the time of NATS (aim: once), Salt at least 30 times the fabric's flat (aim: 100) and 100 times in a tree (500).

pub mod clustershell;
pub mod nats;
pub mod real;
pub mod salt;
pub mod script;

use self::salt::{FLAT, TREE};
use crate::{
    machine::{Limits, TooLarge, limits::FABRIC_KIB},
    report::{Figure, Kind::Count, Report},
    scenario::{Number, Run, Scenario, Size},
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "peers",
    about: "Salt, NATS and ClusterShell beside the fabric, in one run; what cannot be installed is absent, with the reason",
    usual: Size { minions: 5_000, syndics: 8, rounds: 20 },
    tiny: Size { minions: 40, syndics: 2, rounds: 1 },
    least: 2,
    options: &[
        Number {
            name: "nats",
            about: "1: NATS, with --minions responders",
            usual: 1,
            tiny: 1,
            range: (0, 1),
        },
        Number {
            name: "flat",
            about: "Salt, flat: so many salt-minions, and real minions; 0: none",
            usual: FLAT.usual as u64,
            tiny: 0,
            range: (0, 500),
        },
        Number {
            name: "tree",
            about: "Salt, below two syndics: so many salt-minions, and real minions; 0: none",
            usual: TREE.usual as u64,
            tiny: 0,
            range: (0, 500),
        },
        Number {
            name: "tree-rounds",
            about: "Rounds of Salt's tree, 20 s and more each, twice; the fabric has --rounds beside them",
            usual: 5,
            tiny: 1,
            range: (1, 1_000),
        },
        Number {
            name: "names",
            about: "ClusterShell: so many names, and a fifth of them; 0: none",
            usual: 1_000,
            tiny: 0,
            range: (0, 10_000),
        },
        Number {
            name: "install",
            about: "1: what only Debian has (nats-server) may be fetched and unpacked beside the build",
            usual: 0,
            tiny: 0,
            range: (0, 1),
        },
    ],
    fits,
    run: |run| Box::pin(measure(run)),
};

/// Memory of one simulated minion and of a responder, both ends, in KiB.
const EACH_KIB: u64 = FABRIC_KIB + 160;
/// Memory of one salt-minion and of a real minion, in KiB. Measured 72 and 12 MiB.
const SALT_KIB: u64 = 90 << 10;

/// What was found of one peer.
#[derive(Debug, Default)]
pub struct Found {
    /// Nothing if it is absent.
    pub figures: Vec<Figure>,
    /// What has to be known to read them; or why there are none.
    pub notes: Vec<String>,
}

impl Found {
    /// A peer that is not here.
    pub fn absent(peer: &str, why: &str) -> Found {
        eprintln!("peers: ABSENT: {peer}: {why}");
        Found { figures: Vec::new(), notes: vec![format!("absent: {peer}: {why}")] }
    }

    /// Adds what was found besides.
    pub fn add(&mut self, more: Found) {
        self.figures.extend(more.figures);
        self.notes.extend(more.notes);
    }

    /// Adds what was found of a peer, or that it failed: the others were measured all the same. Says whether it failed.
    fn take(&mut self, peer: &str, measured: anyhow::Result<Found>) -> bool {
        let failed = measured.is_err();
        self.add(measured.unwrap_or_else(|error| {
            eprintln!("peers: FAILED: {peer}: {error:#}");
            Found { figures: Vec::new(), notes: vec![format!("failed: {peer}: {error:#}")] }
        }));
        failed
    }
}

fn fits(limits: &Limits, run: &Run) -> Result<(), TooLarge> {
    limits.swarm(run.minions, run.syndics, EACH_KIB)?;
    if run.number("nats") > 0 {
        limits.one_server(run.minions, "responders of one nats-server")?;
    }
    let most = run.number("flat").max(run.number("tree"));
    limits.processes(u32::try_from(most).unwrap_or(u32::MAX), "salt-minion processes", SALT_KIB)
}

async fn measure(run: Run) -> anyhow::Result<Report> {
    let number = |name| u32::try_from(run.number(name)).unwrap_or(u32::MAX);
    let mut accounted = run.minions.into();
    let mut all = Found::default();
    let mut failed = 0;
    if number("nats") > 0 {
        let measured = nats::measure(&run).await.map(|(found, answered)| {
            accounted = answered;
            found
        });
        failed += u32::from(all.take("NATS", measured));
    }
    if number("names") > 0 {
        failed += u32::from(all.take("ClusterShell", clustershell::measure(&run, number("names")).await));
    }
    if number("tree") > 0 {
        let measured = salt::measure(&run, &TREE, number("tree"), number("tree-rounds")).await;
        failed += u32::from(all.take("Salt in a tree", measured));
    }
    if number("flat") > 0 {
        failed +=
            u32::from(all.take("Salt, flat", salt::measure(&run, &FLAT, number("flat"), run.rounds).await));
    }
    all.figures.push(Figure::new("failed_peers", failed.into(), "peers", Count).at_most(0.0, None));
    let report = Report::new(&run, accounted)
        .note("medians; each peer's rounds and the fabric's are in turn, both standing at once")
        .note("failed_peers: stood, or began to, and then failed; an absent one is a note and no figure");
    Ok(all.notes.into_iter().fold(report, Report::note).finish(all.figures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_absent_or_failed_has_a_reason_and_no_figure() {
        let mut all = Found::default();
        assert!(!all.take("Salt", Ok(Found::absent("Salt", "no network"))));
        assert!(all.take("NATS", Err(anyhow::anyhow!("it broke"))));
        assert_eq!(all.notes, ["absent: Salt: no network", "failed: NATS: it broke"]);
        assert!(all.figures.is_empty());
    }
}
