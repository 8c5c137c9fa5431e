//! Bringing the swarm up: processes, certificates, and the wait until the top master knows every minion.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    fabric::{FABRIC, Fabric},
    part::Part,
    scenario::Run,
    swarm::{self, shards_of},
};

/// How long attaching may take: this, and so much for each minion (any build, a busy machine).
pub const ATTACH_TIME: Duration = Duration::from_secs(60);
/// See [`ATTACH_TIME`].
const ATTACH_TIME_EACH: Duration = Duration::from_millis(30);
/// How long one process of a swarm may take to issue its certificates.
const ISSUE_TIME: Duration = Duration::from_secs(120);
/// How many attached more are worth a line of progress.
const TELL_EACH: u64 = 500;

/// Starts the processes; each has issued its certificates when this comes back.
///
/// # Errors
/// One does not start, or not in time.
pub async fn start_swarm(run: &Run, fabric: &Fabric, dir: &Path) -> anyhow::Result<Vec<Part>> {
    let mut swarm = Vec::new();
    // A journal is a descriptor too.
    let per_process = run.limits.links_per_process() / if run.shape.journals { 2 } else { 1 };
    for (first, count) in shards_of(run.shape, run.minions, per_process) {
        let plan = swarm::Plan {
            fabric: FABRIC.into(),
            authority: fabric.authority_dir(),
            seed: run.seed,
            first,
            count,
            syndics: fabric.places(),
            shape: run.shape,
            journals: dir.join("journals"),
        };
        swarm.push(Part::start(&format!("swarm-{first}"), "swarm", &plan, dir).await?);
    }
    for part in &mut swarm {
        part.expect("ready", ISSUE_TIME).await?;
    }
    Ok(swarm)
}

/// Lets all minions dial, and waits until the top master knows each of them as up. `tell` is told the progress.
///
/// # Errors
/// They are not in time, or a process died.
pub async fn attach(
    minions: u32,
    fabric: &mut Fabric,
    swarm: &mut [Part],
    tell: &dyn Fn(&str),
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for part in swarm.iter_mut() {
        part.say("go").await?;
    }
    let mut told = 0;
    let progress = |up| {
        if up >= told + TELL_EACH {
            told = up;
            tell(&format!("{up} of {minions} minions attached"));
        }
        swarm.iter_mut().try_for_each(|part| part.process.check())
    };
    fabric.wait_for_minions(minions.into(), ATTACH_TIME + minions * ATTACH_TIME_EACH, progress).await?;
    Ok(begun.elapsed())
}
