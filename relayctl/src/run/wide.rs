//! Submitting a job, and asking first where the top master finds it too wide for a job without a batch.

use anyhow::bail;
use relay_core::ids::RequestId;
use relay_proto::{
    Code,
    operator::{SubmitRequest, Submitted},
};

use super::terminal::Ask;
use crate::{
    api::{Api, CallError},
    job::{self, Patience},
};

/// Submits. If the job is too wide and somebody is there, the number of its targets must be typed.
///
/// # Errors
/// As [`job::submit`]; the number was not typed, or is another one.
pub async fn submit(
    api: &mut impl Api,
    request: &mut SubmitRequest,
    ask: &mut impl Ask,
    next_id: RequestId,
) -> anyhow::Result<Submitted> {
    let error = match job::submit(api, request, Patience::ABSENT, Patience::LOST).await {
        Err(error) if code(&error) == Some(Code::TooWide) && ask.is_there() => error,
        other => return other,
    };
    ask.question(&format!("{error:#}\nTo run it on all of them at once, type how many they are: "));
    let typed = ask.answer().await.unwrap_or_default();
    let Ok(targets) = typed.parse() else {
        bail!("{typed:?} is no number: nothing was run");
    };
    request.confirmed_targets = targets;
    // It is another request now, and an id is for one.
    request.request_id = next_id.0.to_be_bytes().to_vec();
    job::submit(api, request, Patience::ABSENT, Patience::LOST).await
}

/// The fabric's own code of an error that a call brought.
pub fn code(error: &anyhow::Error) -> Option<Code> {
    error.downcast_ref::<CallError>().and_then(CallError::code)
}
