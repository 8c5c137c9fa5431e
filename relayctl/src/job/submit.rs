//! Submits a job. However often the connection is lost, it is one job: every try carries the same request id.

use anyhow::{anyhow, bail};
use relay_core::ids::RequestId;
use relay_proto::operator::{SubmitRequest, Submitted};

use super::{Patience, pause};
use crate::api::{Api, CallError};

/// Submits until an answer comes, or patience ends.
///
/// # Errors
/// The top master refused; or nothing could be reached; or no answer came, and then the job may be accepted: the error
/// says how to find out.
pub async fn submit(
    api: &mut impl Api,
    request: &SubmitRequest,
    absent: Patience,
    lost: Patience,
) -> anyhow::Result<Submitted> {
    let mut sent = false;
    let mut tries = 0;
    let mut waits = lost.waits();
    loop {
        tries += 1;
        match api.submit(request).await {
            Ok(submitted) => return Ok(submitted),
            Err(error @ (CallError::Refused { .. } | CallError::Busy(_))) => return Err(error.into()),
            Err(error @ CallError::Unreachable(_)) if !sent && tries >= absent.tries => {
                return Err(error.into());
            }
            Err(error @ CallError::Lost(_)) => {
                sent = true;
                give_up(request, tries, lost, &error)?;
            }
            // Nobody owns the fabric now: another top master takes over, or it was lost with something sent before.
            Err(error) if tries >= lost.tries && !sent => {
                bail!("after {tries} tries: {error}; nothing was sent, and the job is not accepted")
            }
            Err(error) => give_up(request, tries, lost, &error)?,
        }
        pause(&mut waits).await;
    }
}

fn give_up(request: &SubmitRequest, tries: u32, lost: Patience, error: &CallError) -> anyhow::Result<()> {
    if tries == 1 {
        // Of several top masters the next one is asked.
        eprintln!("{error}; trying again, as the same request");
    }
    if tries >= lost.tries {
        bail!("after {tries} tries: {error}\n{}", uncertain(request));
    }
    Ok(())
}

/// What to tell when a request went out and no answer came.
pub fn uncertain(request: &SubmitRequest) -> String {
    let id = id_of(request).map_or_else(|_| "?".into(), |id| id.to_string());
    format!(
        "the job may be accepted: to find out, and never run it twice, repeat the same command with --request-id {id}"
    )
}

fn id_of(request: &SubmitRequest) -> anyhow::Result<RequestId> {
    let bytes: [u8; 16] =
        request.request_id.as_slice().try_into().map_err(|_| anyhow!("a request id has 16 bytes"))?;
    Ok(RequestId(u128::from_be_bytes(bytes)))
}
