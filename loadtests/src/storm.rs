//! `storm`: everybody attaches at once, and everybody of a killed syndic comes back at once while jobs go on.
//!
//! The first is measured against what its TLS costs: as many bare rustls handshakes between as many processes, with the
//! same certificates, rounds alternate. The second kills a syndic (`kill -9`) and starts it again, under a flow of jobs to
//! all minions: each target of each job must have an outcome. Left out: the journal's fsync (simulated minions, journal in
//! memory). The budget: 5,000 minions attach in at most 1.6 times the time of the handshakes alone, 1.2 is aimed for.

mod handshakes;
mod queue;
mod restart;

use std::time::Duration;

use rand::RngExt;

pub use self::handshakes::{ACCEPTING, DIALLING};
use self::{handshakes::Handshakes, queue::longest_during, restart::Restart};
use crate::{
    attach::start_swarm,
    bed::{Bed, millis},
    machine::limits::FABRIC_KIB,
    report::{
        Figure,
        Kind::{Count, Time},
        Report,
    },
    scenario::{Number, Run, Scenario, Size},
    statistics::{median, p99},
    swarm::Shape,
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "storm",
    about: "All minions attach at once, and come back at once after a syndic was killed, against bare TLS handshakes",
    usual: Size { minions: 5_000, syndics: 8, rounds: 20 },
    tiny: Size { minions: 40, syndics: 2, rounds: 1 },
    least: 2,
    options: &[Number {
        name: "restarted",
        about: "Syndics that are killed together and started again",
        usual: 1,
        tiny: 1,
        range: (1, 64),
    }],
    // The bare handshakes stand only while no minion is attached.
    fits: |limits, run| limits.swarm(run.minions, run.syndics, FABRIC_KIB),
    run: |run| Box::pin(measure(run)),
};

/// How long a top master may take to notice that processes of a swarm are gone: their sockets say it at once.
const GONE_TIME: Duration = Duration::from_secs(60);

/// What the rounds found, in milliseconds.
#[derive(Debug, Default)]
struct Rounds {
    fabric_ms: Vec<f64>,
    bare_ms: Vec<f64>,
    accept_queue: u64,
}

async fn measure(run: Run) -> anyhow::Result<Report> {
    let run = Run { shape: Shape { at_once: true, ..run.shape }, ..run };
    let mut bed = Bed::stand(&run).await?;
    let mut rounds = Rounds::default();
    for round in 1..=run.rounds {
        // The first swarm was started with the bed.
        if round > 1 {
            bed.swarm = start_swarm(&run, &bed.fabric, bed.dir()).await?;
        }
        attached(&mut bed, &mut rounds).await?;
        bed.swarm.clear();
        bed.fabric.wait_for_nobody(GONE_TIME).await?;
        let bare = Handshakes::start(&run, &bed).await?.all().await?;
        rounds.bare_ms.push(millis(bare));
        run.tell(&format!("round {round}: {} ms for bare handshakes", bare.as_millis()));
    }
    bed.swarm = start_swarm(&run, &bed.fabric, bed.dir()).await?;
    bed.attach().await?;
    let killed = (run.number("restarted") as usize).min(run.syndics as usize);
    run.tell(&format!("killing {killed} syndic(s) under a flow of jobs"));
    let seeds = bed.random.random();
    let restart = restart::measure(&run, &mut bed.fabric, killed, seeds).await?;
    let mut report = Report::new(&run, restart.accounted);
    for note in notes(&run, killed, &restart) {
        report = report.note(note);
    }
    Ok(report.finish(figures(&rounds, &restart)))
}

async fn attached(bed: &mut Bed, rounds: &mut Rounds) -> anyhow::Result<()> {
    let ports = bed.fabric.syndic_ports();
    let (took, longest) = longest_during(ports, bed.attach()).await;
    rounds.fabric_ms.push(millis(took?));
    rounds.accept_queue = rounds.accept_queue.max(longest);
    Ok(())
}

fn notes(run: &Run, killed: usize, restart: &Restart) -> Vec<String> {
    let Restart { jobs, outcomes, .. } = restart;
    vec![
        format!(
            "storm_vs_handshakes: medians of {} rounds each, which alternate; a round begins with new processes, certificates made",
            run.rounds
        ),
        "attach: from the word to dial until the top master knows every minion as up; all dial at once".into(),
        "handshakes: as many mutual TLS handshakes, one certificate each, as many accepting and dialling processes, until \
         both ends of each are done; nothing is sent but that, nothing is verified beyond the chain"
            .into(),
        "accept_queue: connections that waited in the kernel for a syndic, the longest queue seen of any".into(),
        format!("restart: kill -9 of {killed} of {} syndics, started again at once", run.syndics),
        format!(
            "jobs_during: {jobs} jobs were under way from the kill until all was well, {} flows of jobs to all minions and {} of jobs \
             to one minion each of any syndic, one after the other; outcomes {outcomes:?}",
            restart::FLOWS,
            restart::SMALL_FLOWS
        ),
        "simulated minions (journal in memory), real top master and syndics, as in fanout".into(),
    ]
}

fn figures(rounds: &Rounds, restart: &Restart) -> Vec<Figure> {
    let (fabric, bare) = (median(&rounds.fabric_ms), median(&rounds.bare_ms));
    vec![
        Figure::new("storm_vs_handshakes", fabric / bare, "ratio", Time).at_most(1.6, 1.2),
        Figure::new("attach_ms", fabric, "ms", Time),
        Figure::new("handshakes_ms", bare, "ms", Time),
        Figure::new("attach_p99_ms", p99(&rounds.fabric_ms), "ms", Time),
        Figure::new("handshakes_p99_ms", p99(&rounds.bare_ms), "ms", Time),
        Figure::new(
            "accept_queue",
            rounds.accept_queue.max(restart.accept_queue) as f64,
            "connections",
            Time,
        ),
        Figure::new("back_after_kill_ms", millis(restart.after_kill), "ms", Time),
        Figure::new("back_after_start_ms", millis(restart.after_start), "ms", Time),
        Figure::new("largest_spool_kib", restart.spool_bytes / 1024.0, "KiB", Time),
        Figure::new("jobs_during", restart.jobs as f64, "jobs", Time).higher(),
        Figure::new("targets_unaccounted", restart.unaccounted as f64, "targets", Count).at_most(0.0, None),
    ]
}
