//! How many small jobs a second are accepted and finished, so many at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::RngExt;
use tokio::{sync::Semaphore, task::JoinSet};

use super::Targets;
use crate::{
    bed::{Bed, PAUSE, millis},
    fabric::{NO_ARGUMENTS, operator::Operator},
    scenario::Run,
    statistics::{median, p99},
};

/// Connections that small jobs share: one would be a single client's.
pub(super) const CONNECTIONS: usize = 8;

/// One round.
#[derive(Debug)]
pub(super) struct Rate {
    /// Acceptances a second, from the first request to the last of them.
    pub(super) accepted_per_s: f64,
    /// Closed jobs a second.
    pub(super) finished_per_s: f64,
    /// What one of them takes beside the others.
    pub(super) median_ms: f64,
    /// The same, the 99th percentile.
    pub(super) p99_ms: f64,
    /// Jobs that did not end with one `ok`.
    pub(super) wrong: u64,
}

/// When a job was accepted and when it was closed, since the round began; and whether it ended well.
struct Timed {
    accepted: Duration,
    closed: Duration,
    took: Duration,
    well: bool,
}

pub(super) async fn round(run: &Run, bed: &mut Bed) -> anyhow::Result<Rate> {
    let mut operators = Vec::new();
    for _ in 0..CONNECTIONS {
        operators.push(bed.fabric.another_operator().await?);
    }
    tokio::time::sleep(PAUSE).await;
    let places = Arc::new(Semaphore::new(run.number("side-by-side") as usize));
    let (mut targets, mut jobs, begun) = (Targets::new(run), JoinSet::new(), Instant::now());
    for n in 0..run.number("jobs") as usize {
        let place = places.clone().acquire_owned().await?;
        let (operator, target, id) =
            (operators[n % CONNECTIONS].clone(), targets.next(), bed.random.random());
        jobs.spawn(async move {
            let timed = one(operator, target, id, begun).await;
            drop(place);
            timed
        });
    }
    let mut all = Vec::new();
    while let Some(done) = jobs.join_next().await {
        all.push(done??);
    }
    Ok(summed(&all))
}

async fn one(mut operator: Operator, target: String, id: u128, begun: Instant) -> anyhow::Result<Timed> {
    let asked = begun.elapsed();
    let ended = operator.run_on(&target, id, "test.ping", NO_ARGUMENTS, None).await?;
    let well = ended.targets == 1 && ended.answered() == 1;
    let (accepted, closed) = (asked + ended.accepted, asked + ended.elapsed);
    Ok(Timed { accepted, closed, took: ended.elapsed, well })
}

fn summed(all: &[Timed]) -> Rate {
    let rate = |when: fn(&Timed) -> Duration| {
        let last = all.iter().map(when).max().unwrap_or_default();
        all.len() as f64 / last.as_secs_f64().max(f64::MIN_POSITIVE)
    };
    let took: Vec<f64> = all.iter().map(|job| millis(job.took)).collect();
    Rate {
        accepted_per_s: rate(|job| job.accepted),
        finished_per_s: rate(|job| job.closed),
        median_ms: median(&took),
        p99_ms: p99(&took),
        wrong: all.iter().filter(|job| !job.well).count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last() {
        let job = |accepted, closed, well| Timed {
            accepted: Duration::from_millis(accepted),
            closed: Duration::from_millis(closed),
            took: Duration::from_millis(closed - accepted),
            well,
        };
        let rate = summed(&[job(10, 100, true), job(250, 500, false), job(20, 400, true)]);
        assert_eq!((rate.accepted_per_s, rate.finished_per_s, rate.wrong), (12.0, 6.0, 1));
        assert_eq!((rate.median_ms, rate.p99_ms), (250.0, 380.0));
    }
}
