//! Sends an apply and stays with it to its end, also when the top master that carries it out is lost on the way: another one
//! goes on with it, and what became of it stands in the history.

use std::time::Duration;

use anyhow::bail;
use relay_proto::operator::{ApplyTopologyRequest, TopologyRevision, topology_progress::Event};
use tokio::sync::mpsc;

use super::told::{self, Teller};
use crate::{
    api::CallError,
    exit::Exit,
    job::{Patience, pause},
    output::Output,
    run::signals::Signal,
    topology::api::{Progress, Topologies},
};

/// How often a revision is looked at whose stream was lost.
const LOOK: Duration = Duration::from_secs(1);
/// How often that is done. Somebody who stages an hour looks at the history.
const LOOKS: u32 = 3600;

/// Applies, and tells how it goes.
///
/// # Errors
/// The top master refuses; or nobody knows whether it was accepted.
pub async fn out(
    fabric: &mut impl Topologies,
    request: ApplyTopologyRequest,
    signals: &mut mpsc::Receiver<Signal>,
    out: &Output,
) -> anyhow::Result<Exit> {
    let mut teller = Teller::new(out);
    let ended = tokio::select! {
        biased;
        ended = to_the_end(fabric, request, &mut teller) => Some(ended?),
        Some(_) = signals.recv() => None,
    };
    teller.close();
    let Some(revision) = ended else {
        eprintln!("let go of; if it was accepted it goes on: relayctl topology history");
        return Ok(Exit::Running);
    };
    // A stream of lines has its last one already.
    if !out.is_stream() {
        out.show(&told::done(&revision), |paint| told::last_line(&revision, paint))?;
    }
    Ok(exit(&revision))
}

fn exit(revision: &TopologyRevision) -> Exit {
    match revision.state.as_str() {
        "active" | "superseded" => Exit::Ok,
        "staging" => Exit::Running,
        _ => Exit::Failed,
    }
}

async fn to_the_end(
    fabric: &mut impl Topologies,
    request: ApplyTopologyRequest,
    teller: &mut Teller<'_>,
) -> anyhow::Result<TopologyRevision> {
    let mut number = None;
    let lost = match fabric.apply(request.clone()).await {
        Ok(mut progress) => match told(&mut progress, &mut number, teller).await? {
            Ok(revision) => return Ok(revision),
            Err(lost) => lost,
        },
        Err(lost @ CallError::Lost(_)) => lost,
        Err(error) => return Err(error.into()),
    };
    teller.close();
    let number = match number {
        Some(number) => number,
        None => accepted(fabric, &request, &lost).await?,
    };
    eprintln!("{lost}; revision {number} is accepted and goes on, looking at it");
    looked_at(fabric, number).await
}

/// What the stream tells. Inside: how it was lost.
async fn told(
    progress: &mut impl Progress,
    number: &mut Option<u64>,
    teller: &mut Teller<'_>,
) -> anyhow::Result<Result<TopologyRevision, CallError>> {
    loop {
        let step = match progress.next().await {
            Ok(Some(step)) => step,
            Ok(None) => return Ok(Err(CallError::Lost("the top master ended the stream".into()))),
            Err(lost @ (CallError::Lost(_) | CallError::Standby(_))) => return Ok(Err(lost)),
            // It is its answer: refused, before or after it was accepted.
            Err(error) => return Err(error.into()),
        };
        teller.step(&step)?;
        match step.event {
            Some(Event::Accepted(revision)) => *number = Some(revision.number),
            Some(Event::Done(revision)) => return Ok(Ok(revision)),
            Some(Event::Region(_)) | None => {}
        }
    }
}

/// The number of a revision whose acceptance was not heard. It is the first one after the one that it was planned on, and
/// what it was asked to be.
async fn accepted(
    fabric: &mut impl Topologies,
    request: &ApplyTopologyRequest,
    lost: &CallError,
) -> anyhow::Result<u64> {
    let unheard = "see \"relayctl topology history\" before you apply it again";
    let newest = match fabric.history(1, 0).await {
        Ok(revisions) => revisions.into_iter().next(),
        Err(error) => {
            bail!("{lost}; it may be accepted, and the history cannot be asked ({error}): {unheard}")
        }
    };
    let Some(newest) = newest.filter(|newest| newest.number > request.planned_on) else {
        bail!("{lost}; it is not in the history, so it was not accepted: apply it again");
    };
    let text = fabric.revision(newest.number).await?.text;
    match text == request.text && newest.message == request.message {
        true => Ok(newest.number),
        false => bail!("{lost}; revision {} is another one: {unheard}", newest.number),
    }
}

/// What became of a revision, in the words of the history.
async fn looked_at(fabric: &mut impl Topologies, number: u64) -> anyhow::Result<TopologyRevision> {
    let mut revision = TopologyRevision { number, state: "staging".into(), ..TopologyRevision::default() };
    let (mut tries, mut waits) = (0, Patience::LOST.waits());
    for _ in 0..LOOKS {
        match fabric.revision(number).await {
            Ok(found) => {
                tries = 0;
                revision = found;
            }
            Err(error @ (CallError::Refused { .. } | CallError::Busy(_))) => return Err(error.into()),
            Err(error) => {
                tries += 1;
                if tries >= Patience::LOST.tries {
                    bail!("{error}; revision {number} was accepted: relayctl topology history");
                }
                pause(&mut waits).await;
                continue;
            }
        }
        if revision.state != "staging" {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(revision)
}
