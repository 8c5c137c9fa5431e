//! What a scenario does to the daemons of its run: kill, start again, stop for a while. And how they are looked at meanwhile.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use relay_runtime::telemetry;

use super::{Fabric, dial, operator::Operator};
use crate::{machine, process::Started, scrape::Metrics};

/// Sockets that listen, in `/proc/net/tcp`.
const LISTENING: &str = "0A";
/// What is read of that table at once, in bytes: a few lines.
const LINES: usize = 1_024;

/// One daemon, or one process of the swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// What it is called; stays when it is started again.
    pub name: String,
    /// Its process id now.
    pub pid: u32,
}

impl Fabric {
    /// How many syndics there are.
    pub fn syndic_count(&self) -> usize {
        self.syndics.len()
    }

    /// Kills a syndic as `kill -9` does; it is gone when this comes back.
    ///
    /// # Errors
    /// There is no such syndic, or it can't be killed.
    pub fn kill_syndic(&mut self, k: usize) -> anyhow::Result<()> {
        let syndic = self.syndics.get_mut(k).with_context(|| format!("no syndic {k}"))?;
        kill_now(&mut syndic.process)
    }

    /// Starts a syndic again that was killed: the same ports, the same state.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_syndic(&mut self, k: usize) -> anyhow::Result<()> {
        let [listen, ..] = self.for_top;
        let syndic = self.syndics.get_mut(k).with_context(|| format!("no syndic {k}"))?;
        let ports = [syndic.place.address.parse()?, syndic.admin];
        *syndic = self.site.start_syndic(k, ports, listen)?;
        Ok(())
    }

    /// Kills the top master as `kill -9` does.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill_top(&mut self) -> anyhow::Result<()> {
        kill_now(&mut self.top)
    }

    /// Starts the top master again after it was killed, and dials it.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub async fn start_top(&mut self) -> anyhow::Result<()> {
        self.top = self.site.start_top(self.for_top)?;
        self.operator = dial(self.operators, &self.site, &mut self.top).await?;
        Ok(())
    }

    /// Stops a syndic (`SIGSTOP`), or lets it go on.
    ///
    /// # Errors
    /// There is no such syndic, or it is gone.
    pub fn freeze_syndic(&self, k: usize, frozen: bool) -> anyhow::Result<()> {
        let syndic = self.syndics.get(k).with_context(|| format!("no syndic {k}"))?;
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(i32::try_from(syndic.process.pid())?), signal).context(signal.as_str())
    }

    /// Another connection of the operator's.
    ///
    /// # Errors
    /// The top master does not answer.
    pub async fn another_operator(&mut self) -> anyhow::Result<Operator> {
        dial(self.operators, &self.site, &mut self.top).await
    }

    /// All daemons.
    pub fn daemons(&self) -> Vec<Watched> {
        let syndics = self.syndics.iter().map(|syndic| (syndic.place.id.clone(), syndic.process.pid()));
        let all = [("top".to_owned(), self.top.pid())].into_iter().chain(syndics);
        all.map(|(name, pid)| Watched { name, pid }).collect()
    }

    /// How many minions are up, by the top master.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn minions_up(&mut self) -> anyhow::Result<u64> {
        Ok(self.operator.status().await?.syndics.iter().map(|syndic| syndic.minions_up).sum())
    }

    /// Waits until nobody is up any more.
    ///
    /// # Errors
    /// Somebody still is after `limit`.
    pub async fn wait_for_nobody(&mut self, limit: Duration) -> anyhow::Result<()> {
        let begun = std::time::Instant::now();
        while self.minions_up().await? > 0 {
            self.check()?;
            anyhow::ensure!(
                begun.elapsed() < limit,
                "minions whose processes are gone are up after {limit:?}"
            );
            tokio::time::sleep(super::LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Where syndics listen for minions.
    pub fn syndic_ports(&self) -> Vec<u16> {
        self.syndics.iter().filter_map(|s| s.place.address.rsplit(':').next()?.parse().ok()).collect()
    }

    /// Bytes in the spools of all syndics together that answer now.
    pub async fn spool_bytes(&self) -> f64 {
        let mut bytes = 0.0;
        for syndic in &self.syndics {
            bytes += Metrics::of(syndic.admin).await.map_or(0.0, |of| of.sum(telemetry::SPOOL_BYTES));
        }
        bytes
    }

    /// Resident memory of a process of this run, in KiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn rss_kib(watched: &Watched) -> anyhow::Result<u64> {
        machine::rss_kib(watched.pid)
    }
}

fn kill_now(process: &mut Started) -> anyhow::Result<()> {
    process.child().kill().context("kill")?;
    process.child().wait().context("wait for a killed process")?;
    Ok(())
}

/// The longest queue of connections that wait in the kernel to be accepted on any of these ports, now. 0 where it does not
/// tell.
///
/// Sockets that listen come first in the kernel's table, which is made as it is read: no more than those is asked for. To have
/// it all, with a line for each of thousands of connections, cost a sixth of a storm's processor time.
pub fn accept_queue(ports: &[u16]) -> u64 {
    let Ok(table) = std::fs::File::open("/proc/net/tcp") else { return 0 };
    longest(&listening(BufReader::with_capacity(LINES, table)), ports)
}

/// The lines of a table up to the first that is of a connection.
fn listening(table: impl BufRead) -> String {
    let of_one = |line: &String| line.split_whitespace().nth(3).is_none_or(|s| s == LISTENING || s == "st");
    table.lines().map_while(Result::ok).take_while(of_one).flat_map(|line| [line, "\n".into()]).collect()
}

/// The queue of a socket that listens is its receive queue.
fn longest(table: &str, ports: &[u16]) -> u64 {
    let queue = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, queues, ..] = fields[..] else { return None };
        let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        let waiting = u64::from_str_radix(queues.rsplit(':').next()?, 16).ok()?;
        (state == LISTENING && ports.contains(&port)).then_some(waiting)
    };
    table.lines().filter_map(queue).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_queue_of_our_ports_is_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:0000000C 00:00000000 00000000 0 0 1\n\
            1: 0100007F:1F91 00000000:0000 0A 00000000:00000080 00:00000000 00000000 0 0 2\n\
            2: 0100007F:1F91 0100007F:AAAA 01 00000000:0000FFFF 00:00000000 00000000 0 0 3\n\
            3: 0100007F:1F92 00000000:0000 0A 00000000:00000FFF 00:00000000 00000000 0 0 4\n";
        assert_eq!(longest(table, &[0x1F90, 0x1F91]), 128);
        assert_eq!(longest(table, &[0x1F90]), 12);
        assert_eq!(longest(table, &[1]), 0);
        let first = listening(table.as_bytes());
        assert_eq!(first.lines().count(), 3, "no more is read than up to the first connection: {first}");
        assert_eq!(longest(&first, &[0x1F91]), 128);
    }
}
