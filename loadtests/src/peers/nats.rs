//! NATS: one request to a subject, answered by every subscriber. Choria's way to reach a fleet, and so its floor.
//!
//! One nats-server, mutual TLS, no cluster: everybody is attached to it. Request and answer have the sizes that a job and
//! a return have on a minion's link. What the fabric does besides is left out: nothing is signed, stored or accounted for
//! by the server; the requester counts.

pub mod client;
pub mod protocol;
pub mod responders;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use relay_core::identity::Role;
use relay_runtime::config::TlsConfig;
use tokio::time::timeout;

use self::{
    client::{Client, Diallers, Server, authority_dir, make_authority, named},
    protocol::Heard,
    responders::{Plan, SUBJECT, number_of},
};
use super::{
    Found,
    script::{self, Asked},
};
use crate::{
    bed::{Bed, PAUSE, millis},
    fabric::site::free_ports,
    floor::payload::Payload,
    machine,
    part::Part,
    process::Started,
    report::{
        Figure,
        Kind::{Memory, Time},
    },
    scenario::Run,
    statistics::{median, p99},
    swarm::shards,
};

/// How long the server may take to listen.
const START_TIME: Duration = Duration::from_secs(30);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long responders may take to attach: this, and so much for each.
const ATTACH_TIME: Duration = Duration::from_secs(60);
/// See [`ATTACH_TIME`].
const ATTACH_TIME_EACH: Duration = Duration::from_millis(20);
/// How long one request may take.
const ROUND_TIME: Duration = Duration::from_secs(60);
/// Rounds of each before the first measured one.
const WARM_UP: u32 = 2;
/// Where answers go; the round's number is behind it.
const INBOX: &str = "bench.inbox";

/// Measures a request to all responders and a job to as many simulated minions, in turn; and how many of these answered
/// in the worst round. The fabric is measured even where there is no nats-server.
///
/// # Errors
/// Something stood and then failed.
pub async fn measure(run: &Run) -> anyhow::Result<(Found, u64)> {
    let mut bed = Bed::start(run).await?;
    let binary = script::nats_server(bed.dir(), run.number("install") > 0).await?;
    let mut nats = match binary {
        Asked::Here(binary) => {
            run.tell("starting a nats-server and its responders");
            Ok(Nats::start(&binary, run, bed.dir()).await?)
        }
        Asked::Absent(why) => Err(why),
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + run.rounds {
        let fabric = bed.ping_ms().await?;
        let request = match &mut nats {
            Ok(nats) => Some(nats.round_ms().await?),
            Err(_) => None,
        };
        if round < WARM_UP {
            continue;
        }
        ours.push(fabric);
        theirs.extend(request);
        let request = request.map_or_else(|| "absent".into(), |ms| format!("{ms:.1} ms"));
        run.tell(&format!("round {}: fabric {fabric:.1} ms, NATS {request}", round + 1 - WARM_UP));
    }
    let mut found = match &nats {
        Ok(nats) => nats.found(run, &ours, &theirs)?,
        Err(why) => Found::absent("NATS", why),
    };
    found.figures.push(Figure::new("fanout_fabric_ms", median(&ours), "ms", Time));
    found.figures.push(Figure::new("fanout_fabric_p99_ms", p99(&ours), "ms", Time));
    Ok((found, bed.accounted()))
}

/// A nats-server with its responders, and who asks them.
#[derive(Debug)]
pub struct Nats {
    requester: Client,
    parts: Vec<Part>,
    server: Started,
    payload: Payload,
    responders: u32,
    rounds: u32,
    rss_before_kib: u64,
}

impl Nats {
    /// Starts a server and its responders in a directory.
    ///
    /// # Errors
    /// Something did not start, or not in time.
    pub async fn start(binary: &Path, run: &Run, dir: &Path) -> anyhow::Result<Nats> {
        let (payload, responders) = (Payload::of_ping(), run.minions);
        let (mut process, server) = serve(binary, dir)?;
        let requester = dial(&server, &mut process).await?;
        let rss_before_kib = machine::rss_kib(process.pid())?;
        let mut parts = Vec::new();
        for (first, count) in shards(responders, run.limits.links_per_process()) {
            let plan = Plan { server: server.clone(), numbers: first..first + count, answer: payload.answer };
            let name = format!("nats-responders-{first}");
            parts.push(Part::start(&name, "nats-responders", &plan, dir).await?);
        }
        for part in &mut parts {
            part.expect("attached", ATTACH_TIME + responders * ATTACH_TIME_EACH).await?;
        }
        Ok(Nats { requester, parts, server: process, payload, responders, rounds: 0, rss_before_kib })
    }

    async fn round_ms(&mut self) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        Ok(millis(self.round().await?))
    }

    fn found(&self, run: &Run, ours: &[f64], theirs: &[f64]) -> anyhow::Result<Found> {
        let (fabric, nats) = (median(ours), median(theirs));
        let grown = machine::rss_kib(self.server.pid())?.saturating_sub(self.rss_before_kib);
        let each_kib = grown as f64 / f64::from(self.responders.max(1));
        let figures = vec![
            Figure::new("fabric_vs_nats", fabric / nats, "ratio", Time).at_most(2.0, 1.0),
            Figure::new("nats_ms", nats, "ms", Time),
            Figure::new("nats_p99_ms", p99(theirs), "ms", Time),
            Figure::new("nats_server_rss_per_responder_kib", each_kib, "KiB", Memory),
        ];
        let Payload { job, answer } = self.payload;
        let notes = vec![format!(
            "NATS: {} responders on one nats-server (Debian's, its defaults, mutual TLS), request {job} bytes, answer {answer}; from the \
             request's write to the last answer read; the fabric: {} simulated minions below {} syndics, from Submit to Closed, signed, verified, stored, accounted (minions' journal in memory)",
            self.responders, run.minions, run.syndics
        )];
        Ok(Found { figures, notes })
    }

    /// One request: from its write to the last responder's answer, each counted once.
    ///
    /// # Errors
    /// Not all answer in time, or one does so twice.
    pub async fn round(&mut self) -> anyhow::Result<Duration> {
        self.rounds += 1;
        let inbox = format!("{INBOX}.{}", self.rounds);
        let request =
            protocol::publish(SUBJECT.as_bytes(), Some(inbox.as_bytes()), &vec![0; self.payload.job]);
        let mut seen = vec![false; self.responders as usize];
        let begun = Instant::now();
        self.requester.say(&request).await?;
        let all = timeout(ROUND_TIME, self.gather(inbox.as_bytes(), &mut seen)).await;
        let elapsed = begun.elapsed();
        self.check()?;
        let missing = seen.iter().filter(|seen| !**seen).count();
        all.with_context(|| format!("{missing} responders did not answer within {ROUND_TIME:?}"))??;
        Ok(elapsed)
    }

    async fn gather(&mut self, inbox: &[u8], seen: &mut [bool]) -> anyhow::Result<()> {
        let mut left = seen.len();
        while left > 0 {
            let Heard::Message { subject, payload, .. } = self.requester.hear().await? else { continue };
            if subject != inbox {
                continue;
            }
            let number = number_of(&payload).context("an answer of nobody")?;
            let seen = seen.get_mut(number as usize).context("an answer of nobody")?;
            anyhow::ensure!(!std::mem::replace(seen, true), "responder {number} answered twice");
            left -= 1;
        }
        Ok(())
    }

    fn check(&mut self) -> anyhow::Result<()> {
        self.server.check()?;
        self.parts.iter_mut().try_for_each(|part| part.process.check())
    }
}

/// Starts the server.
fn serve(binary: &Path, dir: &Path) -> anyhow::Result<(Started, Server)> {
    let own = named("nats", Role::Syndic)?;
    let tls = make_authority(dir)?.issue(&own, &dir.join("nats-server"))?;
    let ([address], held) = free_ports()?;
    drop(held);
    let file = dir.join("nats.conf");
    std::fs::write(&file, configuration(&address.to_string(), &tls)).context("nats.conf")?;
    let mut command = Command::new(binary);
    command.arg("-c").arg(&file);
    let process = Started::daemon("nats-server", command, &dir.join("nats-server.log"))?;
    Ok((process, Server { address: address.to_string(), name: own.to_dns(), authority: authority_dir(dir) }))
}

/// Everything is its default but the time for a handshake: 5,000 at once on a small machine take more than 2 s.
fn configuration(address: &str, tls: &TlsConfig) -> String {
    format!(
        "listen: {address:?}\ntls {{ca_file: {:?}, cert_file: {:?}, key_file: {:?}, verify: true, timeout: 60}}\nauthorization {{timeout: 60}}\n",
        tls.ca, tls.cert, tls.key
    )
}

async fn dial(server: &Server, process: &mut Started) -> anyhow::Result<Client> {
    let diallers = Diallers::new(server, "requester")?;
    let begun = Instant::now();
    loop {
        match diallers.subscribed(&format!("{INBOX}.*")).await {
            Ok(client) => return Ok(client),
            Err(error) if begun.elapsed() > START_TIME => return Err(error.context(process.last_lines())),
            Err(_) => process.check()?,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
