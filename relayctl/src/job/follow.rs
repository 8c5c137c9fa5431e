//! Watches a job to its end. A lost connection is taken up again after the last event that can be resumed after; what
//! comes a second time nevertheless changes nothing, since outcomes are sets.

use std::time::Duration;

use anyhow::{Context as _, bail};
use relay_proto::operator::WatchEvent;

use super::{JobResult, Patience, pause};
use crate::{
    api::{Api, CallError, Events},
    when,
};

/// After so long without an event the watch is begun anew: a stream whose other side is gone without a word looks like
/// one on which nothing happens.
const QUIET: Duration = Duration::from_secs(30);
/// How long a look at a job waits for the next piece of what is known already: as long as for any other answer. They come
/// without a pause, but for the disk's.
const NEXT_PIECE: Duration = Duration::from_secs(20);

/// How watching ended.
#[derive(Debug)]
pub enum End {
    /// Every target has an outcome.
    Closed,
    /// The connection was lost and did not come back, or nobody takes in what is told. The job goes on.
    GivenUp(String),
}

/// Collects a job until it is closed; `changed` is called after each event.
///
/// # Errors
/// The top master refuses to show the job, or says what this program does not understand.
pub async fn follow(
    api: &mut impl Api,
    result: &mut JobResult,
    patience: Patience,
    mut changed: impl FnMut(&JobResult),
) -> anyhow::Result<End> {
    let each = |now: &JobResult, _: &WatchEvent| {
        changed(now);
        Ok(())
    };
    follow_events(api, result, patience, each).await
}

/// As [`follow`]; `each` also sees each event, after it was taken in. It ends the watching by saying why.
///
/// # Errors
/// As [`follow`].
pub async fn follow_events(
    api: &mut impl Api,
    result: &mut JobResult,
    patience: Patience,
    mut each: impl FnMut(&JobResult, &WatchEvent) -> Result<(), String>,
) -> anyhow::Result<End> {
    let mut failures = 0;
    let mut waits = patience.waits();
    loop {
        let before = (result.accounted(), result.cursor());
        let why = match once(api, result, &mut each).await {
            Ok(()) => return Ok(End::Closed),
            Err(Stop::Fatal(error)) => return Err(error),
            Err(Stop::Quiet) => {
                failures = 0;
                continue;
            }
            Err(Stop::Unheard(why)) => return Ok(End::GivenUp(why)),
            Err(Stop::Lost(why)) => why,
        };
        // Progress, not a mere connection: somebody who accepts and drops everyone would be asked for ever.
        if (result.accounted(), result.cursor()) > before {
            failures = 0;
            waits.reset();
        }
        failures += 1;
        if failures >= patience.tries {
            return Ok(End::GivenUp(why));
        }
        pause(&mut waits).await;
    }
}

enum Stop {
    Lost(String),
    /// The stream works, and nothing has happened for long.
    Quiet,
    /// Nobody takes in what is told.
    Unheard(String),
    Fatal(anyhow::Error),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Stop {
        match error {
            CallError::Refused { .. } => Stop::Fatal(error.into()),
            // Busy is also what a watcher hears that was too slow, and watching costs the other side little.
            other => Stop::Lost(other.to_string()),
        }
    }
}

async fn once(
    api: &mut impl Api,
    result: &mut JobResult,
    each: &mut impl FnMut(&JobResult, &WatchEvent) -> Result<(), String>,
) -> Result<(), Stop> {
    let mut events = api.watch(result.jid, result.cursor()).await?;
    let mut heard = false;
    loop {
        let event = match tokio::time::timeout(QUIET, events.next()).await {
            Ok(event) => event?,
            Err(_) if heard => return Err(Stop::Quiet),
            Err(_) => return Err(Stop::Lost(format!("nothing was said of the job within {QUIET:?}"))),
        };
        let ended = || Stop::Lost("the top master ended the stream before the job was closed".into());
        let event = event.ok_or_else(ended)?;
        result.apply(event.clone()).map_err(Stop::Fatal)?;
        result.seen_at(when::now_micros());
        heard = true;
        each(result, &event).map_err(Stop::Unheard)?;
        if result.is_closed() {
            return Ok(());
        }
    }
}

/// Collects what is known of a job now, without waiting for more.
///
/// # Errors
/// The job cannot be shown, or not all of it has come: whoever ran "the failed ones" of a part again would leave some out.
pub async fn so_far(api: &mut impl Api, result: &mut JobResult) -> anyhow::Result<()> {
    let (mut tries, mut waits) = (1, Patience::LOST.waits());
    loop {
        let error = match look(api, result).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // To look twice does no harm; a connection that broke is one to the top master that is gone.
        let most = match error.downcast_ref::<CallError>() {
            Some(CallError::Standby(_)) => Patience::LOST.tries,
            Some(CallError::Lost(_)) => Patience::ABSENT.tries,
            _ => 1,
        };
        if tries >= most {
            return Err(error);
        }
        tries += 1;
        pause(&mut waits).await;
    }
}

async fn look(api: &mut impl Api, result: &mut JobResult) -> anyhow::Result<()> {
    let mut events = api.watch(result.jid, 0).await?;
    while !result.is_complete_so_far() {
        let event = match tokio::time::timeout(NEXT_PIECE, events.next()).await {
            Ok(event) => event?,
            Err(_) => {
                bail!("only a part of the job was told, and then nothing for {NEXT_PIECE:?}; try again")
            }
        };
        let event = event.context("only a part of the job was told before the stream ended; try again")?;
        result.apply(event)?;
    }
    result.seen_at(when::now_micros());
    Ok(())
}
