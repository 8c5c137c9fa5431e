//! What most scenarios stand on: a fabric of real daemons, a swarm attached to it, and jobs that are counted and timed.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use crate::{
    attach::{ATTACH_TIME, attach, start_swarm},
    fabric::{Binaries, Fabric, Site, operator::Ended},
    machine,
    part::Part,
    process::Started,
    scenario::Run,
};

/// Pause before each round: what the round before leaves behind (acknowledgements, fsyncs) is not the next one's.
pub const PAUSE: Duration = Duration::from_millis(200);

/// MiB that the state of syndics may need in memory: a job with 4 KiB from each of 5,000 leaves 20 MB in all their spools until these are
/// compacted, which needs as much again; several times that.
const STATE_MIB: u64 = 128;

/// A fabric with its swarm. Dropping it ends every process, then removes the directory.
pub struct Bed {
    /// The daemons.
    pub fabric: Fabric,
    /// The simulated minions' processes.
    pub swarm: Vec<Part>,
    /// Draws what the bench draws, from the run's seed.
    pub random: StdRng,
    run: Run,
    /// Real minions besides the swarm.
    joined: Vec<Started>,
    accounted: u64,
    // Last: nothing may run in them when they go.
    dir: TempDir,
    memory: Option<TempDir>,
}

/// Processor time used so far, in milliseconds; or between two moments.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// Of the top master.
    pub top: f64,
    /// Of all syndics together.
    pub syndics: f64,
    /// Of all processes of the swarm together.
    pub swarm: f64,
}

impl Used {
    /// What one of so many rounds used since `before`.
    pub fn each_since(self, before: Used, rounds: u32) -> Used {
        let each = |now: f64, before: f64| (now - before) / f64::from(rounds.max(1));
        Used {
            top: each(self.top, before.top),
            syndics: each(self.syndics, before.syndics),
            swarm: each(self.swarm, before.swarm),
        }
    }
}

impl Bed {
    /// Starts the daemons and the swarm's processes, and lets all minions attach.
    ///
    /// # Errors
    /// Something did not start, or not in time.
    pub async fn start(run: &Run) -> anyhow::Result<Bed> {
        let mut bed = Bed::stand(run).await?;
        bed.attach().await?;
        Ok(bed)
    }

    /// The same before anybody dials: certificates are issued, nobody is attached.
    ///
    /// # Errors
    /// Something did not start, or not in time.
    pub async fn stand(run: &Run) -> anyhow::Result<Bed> {
        Bed::on(run, None).await
    }

    /// As [`Bed::start`], but the state of all syndics but the first is in memory, where there is such a place: their disks are not
    /// this one.
    ///
    /// # Errors
    /// As [`Bed::start`].
    pub async fn start_on_own_disks(run: &Run) -> anyhow::Result<Bed> {
        let make = |place| tempfile::Builder::new().prefix("relay-bench-").tempdir_in(place);
        let memory = machine::in_memory(STATE_MIB).map(make).transpose().context("a directory in memory")?;
        let mut bed = Bed::on(run, memory).await?;
        bed.attach().await?;
        Ok(bed)
    }

    async fn on(run: &Run, memory: Option<TempDir>) -> anyhow::Result<Bed> {
        let (binaries, dir) = (Binaries::find()?, run.directory()?);
        run.tell(&format!("seed {}; starting a top master and {} syndics", run.seed, run.syndics));
        let others = memory.as_ref().map(|memory| memory.path().to_owned());
        let site = Site::new(dir.path(), binaries, run.threads)?.with_others_in(others);
        let fabric = Fabric::start(site, run.syndics).await?;
        let swarm = start_swarm(run, &fabric, dir.path()).await?;
        let (random, accounted) = (StdRng::seed_from_u64(run.seed), u64::from(run.minions));
        Ok(Bed { fabric, swarm, random, run: run.clone(), joined: Vec::new(), accounted, dir, memory })
    }

    /// Lets all minions attach; how long that took.
    ///
    /// # Errors
    /// They are not attached in time.
    pub async fn attach(&mut self) -> anyhow::Result<Duration> {
        let run = &self.run;
        let took = attach(run.minions, &mut self.fabric, &mut self.swarm, &|line| run.tell(line)).await?;
        run.tell(&format!("{} minions attached in {} ms", run.minions, took.as_millis()));
        machine::settle().await;
        Ok(took)
    }

    /// Lets one real minion attach besides; it is a target of the jobs from now on. Its process's id.
    ///
    /// # Errors
    /// It does not start, or is not attached in time.
    pub async fn joined_by(&mut self, id: &str) -> anyhow::Result<u32> {
        self.joined.push(self.fabric.start_minion(id)?);
        let joined = &mut self.joined;
        let all = u64::from(self.run.minions) + joined.len() as u64;
        let check = |_| joined.iter_mut().try_for_each(Started::check);
        self.fabric.wait_for_minions(all, ATTACH_TIME, check).await?;
        Ok(self.joined.last().map_or(0, Started::pid))
    }

    /// Whether the state of all syndics but the first is in memory.
    pub fn others_are_in_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether nothing is judged, and so nothing need be waited for.
    pub fn is_tiny(&self) -> bool {
        self.run.tiny
    }

    /// Where logs and files of the run are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// One job on all minions, after a pause; so many at once if `window` says so. `args` is JSON as in
    /// [`NO_ARGUMENTS`](crate::fabric::NO_ARGUMENTS). Whoever does not answer `ok` is remembered.
    ///
    /// # Errors
    /// It is not accepted or not closed in time, or a daemon is gone.
    pub async fn job(&mut self, function: &str, args: &str, window: Option<u32>) -> anyhow::Result<Ended> {
        tokio::time::sleep(PAUSE).await;
        let ended = self.fabric.operator.run_batched(self.random.random(), function, args, window).await;
        if ended.is_err() {
            self.fabric.check()?;
        }
        let ended = ended?;
        self.account(&ended);
        Ok(ended)
    }

    /// The time of one job that does nothing, in milliseconds.
    ///
    /// # Errors
    /// As [`Bed::job`].
    pub async fn ping_ms(&mut self) -> anyhow::Result<f64> {
        Ok(millis(self.job("test.ping", crate::fabric::NO_ARGUMENTS, None).await?.elapsed))
    }

    fn account(&mut self, ended: &Ended) {
        let all = u64::from(self.run.minions) + self.joined.len() as u64;
        let answered = ended.answered();
        if answered != all || ended.targets != all {
            let Ended { targets, outcomes, named_ok, .. } = ended;
            self.run.tell(&format!(
                "of {all} minions {targets} were targets; outcomes {outcomes:?}; {named_ok} named as ok"
            ));
        }
        // Of the run's own: one that joined must not stand for one that is lost.
        let lost = all.saturating_sub(answered);
        self.accounted = self.accounted.min(u64::from(self.run.minions).saturating_sub(lost));
    }

    /// Targets that answered, in the worst job so far: what a report wants.
    pub fn accounted(&self) -> u64 {
        self.accounted
    }

    /// Processor time used so far.
    ///
    /// # Errors
    /// A process is gone.
    pub fn used(&self) -> anyhow::Result<Used> {
        let swarm = self.swarm.iter().map(|part| machine::cpu_ms(part.process.pid()));
        Ok(Used {
            top: self.fabric.top_cpu_ms()?,
            syndics: self.fabric.syndics_cpu_ms()?,
            swarm: swarm.sum::<anyhow::Result<f64>>()?,
        })
    }
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_spread_over_the_rounds() {
        let used = |n: f64| Used { top: n, syndics: 2.0 * n, swarm: 3.0 * n };
        assert_eq!(used(30.0).each_since(used(10.0), 4), used(5.0));
        assert_eq!(used(30.0).each_since(used(10.0), 0), used(20.0));
    }
}
