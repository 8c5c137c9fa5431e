//! `idle`: what a fabric costs that does nothing: memory of an attached minion at its syndic and of a minion's own process,
//! and the processor time of heartbeats.
//!
//! Syndics and top master are real processes, and so is one minion; the others are simulated, and their own processor time
//! is told apart. The real minion runs jobs before it is looked at. Left out: what a first job leaves behind at a syndic (`fanout`
//! has it, `syndic_rss_per_minion_used_kib`). The budgets,
//! for 5,000 minions below 8 syndics: at most 40 KiB at the syndic for each (20 aimed for), 8 MiB for a minion's process (5),
//! 3 % of one core for top master, syndics and all links together (1 %).

use std::time::Duration;

use rand::RngExt;

use crate::{
    bed::{Bed, Used},
    machine::{self, limits::FABRIC_KIB},
    report::{
        Figure,
        Kind::{Memory, Time},
        Report,
    },
    scenario::{Number, Run, Scenario, Size},
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "idle",
    about: "Memory of attached minions and of a minion's process, and the processor time of heartbeats",
    usual: Size { minions: 5_000, syndics: 8, rounds: 3 },
    tiny: Size { minions: 40, syndics: 2, rounds: 1 },
    least: 1,
    options: &[Number {
        name: "window-s",
        about: "How long each round looks, in seconds: heartbeats are 12 s apart",
        usual: 48,
        tiny: 1,
        range: (1, 3_600),
    }],
    fits: |limits, run| limits.swarm(run.minions, run.syndics, FABRIC_KIB),
    run: |run| Box::pin(measure(run)),
};

/// How long the one real minion is left alone. 5 s after it has nothing to do it gives back what it had touched of its program
/// (`minion/src/footprint.rs`), and once more 5 s after its last acknowledgement, which comes with a heartbeat up to 12.5 s later; the
/// heartbeat after that maps a part of it again, and that is what an idle minion has from then on.
const REAL_SETTLES: Duration = Duration::from_secs(30);
/// Jobs that the real minion runs first, each with a process of its own.
const REAL_JOBS: u32 = 10;
const REAL_JOB: &str = r#"{"args":["true"],"kwargs":{}}"#;
/// How long memory may settle, and what attaching left behind be done.
const SETTLE: Duration = Duration::from_secs(3);

/// Its id.
const REAL: &str = "one-real";

/// Memory of the one real minion, in KiB.
struct Real {
    /// Just after its jobs.
    used: u64,
    all: u64,
    own: u64,
    files: u64,
}

async fn measure(run: Run) -> anyhow::Result<Report> {
    let window = Duration::from_secs(run.number("window-s"));
    let mut bed = Bed::stand(&run).await?;
    let before = bed.fabric.syndics_rss_kib()?;
    bed.attach().await?;
    settle(&run).await;
    let attached = bed.fabric.syndics_rss_kib()?;
    let mut windows = Vec::new();
    for round in 1..=run.rounds {
        let used = look(&bed, window).await?;
        run.tell(&format!("round {round}: {:.2} % of one core", percent(used.top + used.syndics, window)));
        windows.push(used);
    }
    let after = bed.fabric.syndics_rss_kib()?;
    // One job afterwards: those who were idle for so long are there, all of them.
    bed.ping_ms().await?;
    let real = real(&run, &mut bed).await?;
    let each = |now: u64| now.saturating_sub(before) as f64 / f64::from(run.minions);
    Ok(Report::new(&run, bed.accounted())
        .note("syndic_rss_per_minion: growth of VmRSS of all syndics from before the first attached, over the minions")
        .note(format!(
            "minion: one real process with its journal on disk, {} s after {REAL_JOBS} jobs that started a process each (used: just after \
             them); own is RssAnon, files is RssFile, which processes of one binary share",
            REAL_SETTLES.as_secs()
        ))
        .note(format!(
            "idle_cpu: user and system time of top master and syndics over {} s, in percent of one core; the worst of the rounds. \
             Every link is looked after: a heartbeat each 12 s and its answer, mutual TLS",
            window.as_secs()
        ))
        .note("swarm_cpu: the same of the simulated minions (journal in memory), beside it and not in it; a minion's share is that over all of them")
        .finish(figures(each(attached), each(after), &windows, window, &real)))
}

async fn settle(run: &Run) {
    if !run.tiny {
        tokio::time::sleep(SETTLE).await;
    }
}

async fn look(bed: &Bed, window: Duration) -> anyhow::Result<Used> {
    let before = bed.used()?;
    tokio::time::sleep(window).await;
    Ok(bed.used()?.each_since(before, 1))
}

async fn real(run: &Run, bed: &mut Bed) -> anyhow::Result<Real> {
    let pid = bed.joined_by(REAL).await?;
    for _ in 0..REAL_JOBS {
        let ended = bed.fabric.operator.run_on(REAL, bed.random.random(), "cmd.run", REAL_JOB, None).await?;
        anyhow::ensure!(ended.answered() == 1, "cmd.run on {REAL}: {:?}", ended.outcomes);
    }
    let used = machine::rss_kib(pid)?;
    if !run.tiny {
        tokio::time::sleep(REAL_SETTLES).await;
    }
    let (own, files) = machine::rss_parts_kib(pid)?;
    Ok(Real { used, all: machine::rss_kib(pid)?, own, files })
}

fn figures(attached: f64, after: f64, windows: &[Used], window: Duration, real: &Real) -> Vec<Figure> {
    let worst = |part: fn(&Used) -> f64| percent(windows.iter().map(part).fold(0.0, f64::max), window);
    let mib = |kib: u64| kib as f64 / 1024.0;
    vec![
        Figure::new("syndic_rss_per_minion_kib", attached, "KiB", Memory).at_most(40.0, 20.0),
        Figure::new("syndic_rss_per_minion_later_kib", after, "KiB", Memory),
        Figure::new("minion_rss_mib", mib(real.all), "MiB", Memory).at_most(8.0, 5.0),
        Figure::new("minion_used_rss_mib", mib(real.used), "MiB", Memory),
        Figure::new("minion_own_mib", mib(real.own), "MiB", Memory),
        Figure::new("minion_files_mib", mib(real.files), "MiB", Memory),
        Figure::new("idle_cpu_percent", worst(|used| used.top + used.syndics), "%", Time).at_most(3.0, 1.0),
        Figure::new("idle_top_cpu_percent", worst(|used| used.top), "%", Time),
        Figure::new("idle_syndics_cpu_percent", worst(|used| used.syndics), "%", Time),
        Figure::new("idle_swarm_cpu_percent", worst(|used| used.swarm), "%", Time),
    ]
}

fn percent(used_ms: f64, window: Duration) -> f64 {
    used_ms / 10.0 / window.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_for_half_the_time_is_fifty_percent() {
        assert_eq!(percent(20_000.0, Duration::from_secs(40)), 50.0);
        assert_eq!(percent(0.0, Duration::from_secs(40)), 0.0);
    }
}
