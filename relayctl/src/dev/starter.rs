//! Starting the processes of a trial fabric, tier by tier, and the wait until all of them are there.
//!
//! Owns the order and the bounds. What is started is the plan's; what was started, the record's.

use std::{path::Path, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use relay_core::identity::Role;
use tokio::time::{Instant, sleep};

use super::{
    binaries::Binaries,
    layout::Daemon,
    process::{self, ProcessId},
    ready::{self, Attached, Started},
    record::{Process, Record},
};
use crate::connect::Fabric;

/// How long a fabric without minions may take to be up, on a busy machine.
const BASE_WAIT: Duration = Duration::from_secs(60);
/// And what each minion adds: a handshake, and its certificate's check.
const WAIT_PER_MINION: Duration = Duration::from_millis(30);
/// How long minions may take to move to the syndics that the topology gives them. Nothing is wrong if they need longer.
const SETTLE: Duration = Duration::from_secs(5);
/// And what each of them adds: a hundred move in a second, and nearly all may.
const SETTLE_PER_MINION: Duration = Duration::from_millis(12);
/// Who is misplaced for so long moves later: one that has moved already, and belongs elsewhere since others came, stays for a
/// minute.
const STILL: Duration = Duration::from_secs(2);
/// Between two questions how many are attached.
const PAUSE: Duration = Duration::from_millis(150);

/// What starts them.
pub struct Starter<'a> {
    dir: &'a Path,
    binaries: &'a Binaries,
    record: &'a mut Record,
    started: Vec<Started>,
}

impl<'a> Starter<'a> {
    /// Nothing is started yet. Each process gets into the record as soon as it runs.
    pub fn new(dir: &'a Path, binaries: &'a Binaries, record: &'a mut Record) -> Starter<'a> {
        Starter { dir, binaries, record, started: Vec::new() }
    }

    /// Starts them all, in the order of the tiers.
    ///
    /// # Errors
    /// One cannot be started or dies, or not all are there in time. What was started runs on.
    pub async fn start(&mut self, all: &[Daemon]) -> anyhow::Result<()> {
        // From here on the directory is known as ours, and "dev down" finds whatever was started.
        self.record.write(self.dir)?;
        let wait = BASE_WAIT + WAIT_PER_MINION * self.record.size.minions as u32;
        let deadline = Instant::now() + wait;
        for role in [Role::TopMaster, Role::Syndic, Role::Minion] {
            for daemon in all.iter().filter(|d| d.role == role) {
                self.one(daemon)?;
            }
            // Minions are waited for by counting them.
            if role != Role::Minion {
                ready::all_ready(self.dir, &mut self.started, deadline).await?;
            }
        }
        self.attached(wait, deadline).await
    }

    fn one(&mut self, daemon: &Daemon) -> anyhow::Result<()> {
        let (config, count) = (daemon.config(self.dir), daemon.count);
        let arguments = Record::arguments(&config, count);
        let child = process::start(&self.binaries.of(daemon.role), &arguments, &daemon.log(self.dir))?;
        let pid = child.id();
        self.started.push(Started { daemon: daemon.clone(), child });
        let id = match ProcessId::of(pid) {
            Ok(id) => id,
            // It is dead already, and its log says why.
            Err(error) => return ready::check_alive(self.dir, &mut self.started).and(Err(error)),
        };
        let log = daemon.log(self.dir);
        let (name, role, admin) = (daemon.name.clone(), daemon.role.to_string(), daemon.admin.to_string());
        self.record.processes.push(Process { name, role, count, id, admin, config, log });
        self.record.write(self.dir)
    }

    async fn attached(&mut self, wait: Duration, deadline: Instant) -> anyhow::Result<()> {
        let wanted = self.record.size;
        let mut fabric = Fabric::of(&self.record.context)?;
        let bar = bar(wanted.minions);
        loop {
            ready::check_alive(self.dir, &mut self.started)?;
            let now = match fabric.status().await {
                Ok(status) => Attached::of(&status),
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                Err(_) => Attached::default(),
            };
            bar.set_position(now.minions);
            if now.reaches(&wanted) {
                bar.finish_and_clear();
                return self.settled(&mut fabric, &wanted).await;
            }
            if Instant::now() >= deadline {
                return Err(now.too_few(&wanted, wait));
            }
            sleep(PAUSE).await;
        }
    }

    /// Each minion dials the syndic of its process first, and is told then where it belongs. While it moves it is not there,
    /// which is not what somebody wants to see first.
    async fn settled(&mut self, fabric: &mut Fabric, wanted: &Attached) -> anyhow::Result<()> {
        let until = Instant::now() + SETTLE + SETTLE_PER_MINION * wanted.minions as u32;
        let (mut misplaced, mut since) = (u64::MAX, Instant::now());
        loop {
            ready::check_alive(self.dir, &mut self.started)?;
            // In this order: who is on the way is not misplaced, but missing.
            let now = fabric.topology_status().await.map_or(misplaced, |status| status.misplaced);
            if now != misplaced {
                (misplaced, since) = (now, Instant::now());
            }
            let still = misplaced == 0 || since.elapsed() >= STILL;
            let there = fabric.status().await.is_ok_and(|status| Attached::of(&status).reaches(wanted));
            if (still && there) || Instant::now() >= until {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }
}

/// Shows itself on a terminal only.
fn bar(minions: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos} of {len} minions attached [{bar:30}] {elapsed}");
    ProgressBar::new(minions).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
