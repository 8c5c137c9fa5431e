//! What is asked of a top master about one job, as far as submitting and watching need it; and how a call can fail.
//!
//! A trait, so that losing connections at the worst moment can be tested without one.

use relay_core::ids::Jid;
use relay_proto::{
    Code,
    operator::{SubmitRequest, Submitted, WatchEvent},
};
use tonic::Status;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody could be reached, so nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// The connection was lost after something was sent: it may have had its effect.
    #[error("the connection to the top master was lost: {0}")]
    Lost(String),
    /// The top master, or what stands before it, said no.
    #[error("{message}{hint}")]
    Refused {
        /// What it said.
        message: String,
        /// What to do, with a separator before it; empty where the message says it.
        hint: &'static str,
    },
}

impl CallError {
    /// What a status means. The fabric's own codes and those of a wrong call are answers; all else is a connection
    /// that broke.
    pub fn of(status: &Status) -> CallError {
        let message = status.message().to_owned();
        if let Some(code) = Code::of(status) {
            return CallError::Refused { message, hint: hint(code) };
        }
        // A refused certificate is told by TLS after the handshake (TLS 1.3), on the first call; trying again is vain.
        if let Some(alert) = alert(status) {
            let message = format!("the top master does not accept this context's certificate ({alert})");
            let hint = "; see \"relayctl context show\", and have a new one issued";
            return CallError::Refused { message, hint };
        }
        match status.code() {
            tonic::Code::Unavailable
            | tonic::Code::Unknown
            | tonic::Code::Cancelled
            | tonic::Code::Internal
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Aborted => CallError::Lost(describe(status)),
            code => CallError::Refused { message: format!("{code}: {message}"), hint: "" },
        }
    }
}

fn hint(code: Code) -> &'static str {
    match code {
        Code::Invalid | Code::NoMatch => "",
        Code::RequestReused => "; leave --request-id out to order a new job",
        Code::NoSuchJob => "; \"relayctl jobs list\" shows the jobs that are kept",
        Code::Denied => "; see who you are with \"relayctl context show\"",
        Code::Busy => "; try again later",
        Code::Store => "; look at the top master's log and disk, then repeat with the same --request-id",
        Code::Version => "; upgrade the older side",
    }
}

/// The innermost cause says most ("connection refused"); the outer ones are the same in each case.
fn describe(status: &Status) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

fn alert(status: &Status) -> Option<String> {
    let text = format!("{} {}", status.message(), describe(status));
    let (_, alert) = text.split_once("received fatal alert: ")?;
    Some(alert.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned())
}

/// Submitting and watching.
pub trait Api {
    /// The events of one watch.
    type Events: Events;
    /// Submits a job.
    async fn submit(&mut self, request: &SubmitRequest) -> Result<Submitted, CallError>;
    /// Watches a job from its beginning.
    async fn watch(&mut self, jid: Jid) -> Result<Self::Events, CallError>;
}

/// A stream of events.
pub trait Events {
    /// The next one; nothing at the end.
    async fn next(&mut self) -> Result<Option<WatchEvent>, CallError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_codes_are_answers_and_broken_connections_are_not() {
        for code in Code::ALL {
            assert!(matches!(CallError::of(&code.status("x")), CallError::Refused { .. }), "{code:?}");
        }
        for status in [
            Status::unavailable("gone"),
            Status::unknown("transport"),
            Status::internal("h2"),
            Status::cancelled("x"),
        ] {
            assert!(matches!(CallError::of(&status), CallError::Lost(_)), "{status:?}");
        }
        for status in
            [Status::unimplemented("x"), Status::unauthenticated("x"), Status::permission_denied("x")]
        {
            assert!(matches!(CallError::of(&status), CallError::Refused { .. }), "{status:?}");
        }
    }

    #[test]
    fn a_refused_certificate_is_an_answer() {
        let status = Status::unknown("h2 protocol error: received fatal alert: UnknownCA");
        assert!(CallError::of(&status).to_string().contains("UnknownCA"));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = CallError::of(&Code::NoSuchJob.status("no job 2026")).to_string();
        assert_eq!(text, "no job 2026; \"relayctl jobs list\" shows the jobs that are kept");
    }
}
