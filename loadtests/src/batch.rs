//! `batch`: what a window allows in theory, and what is reached.
//!
//! Every minion sleeps for the same time, so a window of W over N minions takes at least ceil(N / W) sleeps; what is above
//! that is the fabric's: a place is empty from the end of one execution until the next begins elsewhere. Left out: the
//! journal's fsync (simulated minions, journal in memory). The budget: a job of 5,000 with `--batch 500`
//! costs at most 1.5 times what its window allows, and 1.1 is aimed for.

use crate::{
    bed::{Bed, millis},
    fabric::NO_ARGUMENTS,
    machine::limits::FABRIC_KIB,
    report::{Figure, Kind::Time, Report},
    scenario::{Number, Run, Scenario, Size},
    statistics::{median, p99},
};

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "batch",
    about: "A job through a window of so many at once, against the time that the window allows in theory",
    usual: Size { minions: 5_000, syndics: 8, rounds: 5 },
    tiny: Size { minions: 40, syndics: 2, rounds: 1 },
    least: 1,
    options: &[
        Number { name: "window", about: "How many run at once", usual: 500, tiny: 10, range: (1, 1_000_000) },
        Number {
            name: "sleep-ms",
            about: "How long each minion runs, in milliseconds",
            usual: 1_000,
            tiny: 200,
            range: (1, 10_000),
        },
    ],
    fits: |limits, run| limits.swarm(run.minions, run.syndics, FABRIC_KIB),
    run: |run| Box::pin(measure(run)),
};

async fn measure(run: Run) -> anyhow::Result<Report> {
    let (window, sleep_ms) = (run.number("window"), run.number("sleep-ms"));
    let sleep = format!(r#"{{"args":[{}],"kwargs":{{}}}}"#, sleep_ms as f64 / 1000.0);
    let theory = theory_ms(run.minions.into(), window, sleep_ms);
    let places = u32::try_from(window).ok();
    let (mut batched, mut empty, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut bed = Bed::start(&run).await?;
    bed.ping_ms().await?;
    for round in 1..=run.rounds {
        let ms = millis(bed.job("test.sleep", &sleep, places).await?.elapsed);
        // Faster than possible means that more ran at once than may: nothing that was measured counts then.
        anyhow::ensure!(ms >= theory, "{ms:.0} ms: the window allows no less than {theory:.0} ms");
        batched.push(ms);
        empty.push(millis(bed.job("test.ping", NO_ARGUMENTS, places).await?.elapsed));
        whole.push(bed.ping_ms().await?);
        run.tell(&format!("round {round}: {ms:.0} ms, in theory {theory:.0} ms"));
    }
    let figures = vec![
        Figure::new("batch_vs_theory", median(&batched) / theory, "ratio", Time).at_most(1.5, 1.1),
        Figure::new("batch_ms", median(&batched), "ms", Time),
        Figure::new("batch_p99_ms", p99(&batched), "ms", Time),
        Figure::new("theory_ms", theory, "ms", Time),
        Figure::new("empty_job_batched_ms", median(&empty), "ms", Time),
        Figure::new("empty_job_unbatched_ms", median(&whole), "ms", Time),
    ];
    Ok(Report::new(&run, bed.accounted())
        .note(format!("window {window}, every minion sleeps {sleep_ms} ms"))
        .note("simulated minions (journal in memory), real top master and syndics, as in fanout")
        .note("empty_job: test.ping through the same window, and without one")
        .finish(figures))
}

/// What the window allows: full windows one after the other, and nothing in between.
fn theory_ms(minions: u64, window: u64, sleep_ms: u64) -> f64 {
    (minions.div_ceil(window.max(1)) * sleep_ms) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_window_that_is_not_full_takes_as_long() {
        assert_eq!(theory_ms(5_000, 500, 1_000), 10_000.0);
        assert_eq!(theory_ms(41, 10, 200), 1_000.0);
        assert_eq!(theory_ms(5, 10, 200), 200.0);
    }
}
