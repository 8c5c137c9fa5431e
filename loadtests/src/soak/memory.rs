//! Resident memory of every process over a run, and how fast it grows in the second half.

use std::{collections::BTreeMap, time::Duration};

use super::Pace;
use crate::{bed::Bed, fabric::faults::Watched, machine, report::Series};

/// What the names of the swarm's processes begin with.
const SWARM: &str = "swarm-";

/// Samples of one process.
#[derive(Debug, Default)]
struct Samples {
    pid: u32,
    /// Seconds since the beginning, and KiB.
    points: Vec<(f64, f64)>,
}

/// All samples.
#[derive(Debug)]
pub(super) struct Memory {
    every: Duration,
    /// From here on growth counts.
    half: Duration,
    next: Duration,
    processes: BTreeMap<String, Samples>,
}

impl Memory {
    pub(super) fn new(pace: Pace) -> Memory {
        let (every, half) = (pace.looks, pace.length / 2);
        Memory { every, half, next: Duration::ZERO, processes: BTreeMap::new() }
    }

    /// Looks at every process that is there, if it is time to.
    pub(super) fn look(&mut self, bed: &Bed, now: Duration) -> anyhow::Result<()> {
        if now < self.next {
            return Ok(());
        }
        self.next = now + self.every;
        let swarm = bed.swarm.iter().enumerate();
        let swarm = swarm.map(|(k, part)| Watched { name: format!("{SWARM}{k}"), pid: part.process.pid() });
        for process in bed.fabric.daemons().into_iter().chain(swarm) {
            // One that was just killed has no memory, and comes back under another number.
            let Ok(kib) = machine::rss_kib(process.pid) else { continue };
            let samples = self.processes.entry(process.name).or_default();
            if samples.pid != process.pid {
                *samples = Samples { pid: process.pid, points: Vec::new() };
            }
            samples.points.push((now.as_secs_f64(), kib as f64));
        }
        Ok(())
    }

    /// How fast each process grows, in KiB a minute.
    pub(super) fn growths(&self) -> Vec<(String, f64)> {
        let half = self.half.as_secs_f64();
        let late = |samples: &Samples| -> Vec<(f64, f64)> {
            samples.points.iter().copied().filter(|(at, _)| *at >= half).collect()
        };
        self.processes.iter().map(|(name, samples)| (name.clone(), 60.0 * slope(&late(samples)))).collect()
    }

    /// The same of the daemon that grows fastest.
    pub(super) fn worst_growth(&self) -> f64 {
        let daemons = self.growths().into_iter().filter(|(name, _)| !name.starts_with(SWARM));
        daemons.map(|(_, growth)| growth).fold(0.0, f64::max)
    }

    /// Memory over time, for the plot.
    pub(super) fn curves(&self) -> Vec<Series> {
        let curve = |(name, samples): (&String, &Samples)| Series {
            plot: "soak: resident memory",
            name: name.clone().into(),
            x: "s",
            y: "MiB",
            points: samples.points.iter().map(|(at, kib)| (*at, kib / 1024.0)).collect(),
        };
        self.processes.iter().map(curve).collect()
    }
}

/// The slope of a line through points, by least squares; 0 for fewer than two moments.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n.max(1.0);
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let under: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_noise_has_little() {
        let line: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), 100.0 + 2.5 * f64::from(x))).collect();
        assert!((slope(&line) - 2.5).abs() < 1e-9);
        let saw: Vec<(f64, f64)> = (0..100).map(|x| (f64::from(x), f64::from(x % 2))).collect();
        assert!(slope(&saw).abs() < 1e-3);
        assert_eq!((slope(&[]), slope(&[(1.0, 5.0)])), (0.0, 0.0));
    }
}
