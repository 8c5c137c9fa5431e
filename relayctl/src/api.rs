//! What is asked of a top master about one job, as far as ordering and watching it need it; and how a call can fail.
//!
//! A trait, so that losing connections at the worst moment can be tested without one.

use relay_core::ids::Jid;
use relay_proto::{
    Code,
    operator::{ApproveReply, CancelReply, SubmitRequest, Submitted, WatchEvent},
};
use tonic::Status;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody could be reached, so nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// Whoever was asked does not own the fabric, so nothing was done there.
    #[error("{0}")]
    Standby(String),
    /// The connection was lost after something was sent: it may have had its effect.
    #[error("{0}")]
    Lost(String),
    /// Too much is going on there; nothing was done.
    #[error("{0}")]
    Busy(String),
    /// The top master, or what stands before it, said no.
    #[error("{message}{hint}")]
    Refused {
        /// The fabric's own code, if it is one of its answers.
        code: Option<Code>,
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
        match Code::of(status) {
            // Also what a top master says that is about to stop: nobody knows whether the call had its effect.
            Some(code @ Code::Store) => return CallError::Lost(format!("{message}{}", hint(code))),
            Some(Code::Busy) => return CallError::Busy(message),
            // Nothing was done there; another address may be the owner's.
            Some(Code::NotOwner) => return CallError::Standby(message),
            Some(code) => return CallError::Refused { code: Some(code), message, hint: hint(code) },
            None => {}
        }
        // A refused certificate is told by TLS after the handshake (TLS 1.3), on the first call; trying again is vain.
        if let Some(alert) = alert(status) {
            let message = format!("the top master does not accept this context's certificate ({alert})");
            let hint = "; see \"relayctl context show\", and have a new one issued";
            return CallError::Refused { code: None, message, hint };
        }
        match status.code() {
            tonic::Code::Unavailable
            | tonic::Code::Unknown
            | tonic::Code::Cancelled
            | tonic::Code::Internal
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Aborted => {
                CallError::Lost(format!("the connection to the top master was lost: {}", describe(status)))
            }
            code => CallError::Refused { code: None, message: format!("{code}: {message}"), hint: "" },
        }
    }

    /// The fabric's own code, if this is one of its answers.
    pub fn code(&self) -> Option<Code> {
        match self {
            CallError::Refused { code, .. } => *code,
            CallError::Busy(_) => Some(Code::Busy),
            CallError::Standby(_) => Some(Code::NotOwner),
            CallError::Unreachable(_) | CallError::Lost(_) => None,
        }
    }
}

/// What to do, where the top master's own words do not say it.
fn hint(code: Code) -> &'static str {
    match code {
        Code::Store => "; if it stays so, look at the top master's log and disk",
        // Its words say it.
        Code::Denied => "",
        Code::Version => "; upgrade the older side",
        Code::Invalid | Code::NoMatch | Code::RequestReused | Code::NoSuchJob | Code::Busy => "",
        // Its words say it.
        Code::Unauthenticated => "",
        Code::NotFound | Code::PlanMoved | Code::TooWide | Code::NeedsApproval => "",
        Code::Registry => "; nothing was started, running jobs go on. Try again when the registry answers",
        Code::NotOwner | Code::TopologyMoved => "",
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
    // Libraries end some of them with the address of their manual.
    text.split(": https://").next().unwrap_or_default().to_owned()
}

fn alert(status: &Status) -> Option<String> {
    let text = format!("{} {}", status.message(), describe(status));
    let (_, alert) = text.split_once("received fatal alert: ")?;
    Some(alert.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned())
}

/// Submitting, watching, and what an operator may say while watching.
pub trait Api {
    /// The events of one watch.
    type Events: Events;
    /// Submits a job.
    async fn submit(&mut self, request: &SubmitRequest) -> Result<Submitted, CallError>;
    /// Cancels a job.
    async fn cancel(&mut self, jid: Jid) -> Result<CancelReply, CallError>;
    /// Lets a job go on that waits between two stages.
    async fn approve(&mut self, jid: Jid) -> Result<ApproveReply, CallError>;
    /// Watches a job: from its beginning (0), or from after the event with this cursor.
    async fn watch(&mut self, jid: Jid, after: u64) -> Result<Self::Events, CallError>;
}

/// Whoever is lent one can ask it.
impl<A: Api> Api for &mut A {
    type Events = A::Events;
    async fn submit(&mut self, request: &SubmitRequest) -> Result<Submitted, CallError> {
        (**self).submit(request).await
    }
    async fn cancel(&mut self, jid: Jid) -> Result<CancelReply, CallError> {
        (**self).cancel(jid).await
    }
    async fn approve(&mut self, jid: Jid) -> Result<ApproveReply, CallError> {
        (**self).approve(jid).await
    }
    async fn watch(&mut self, jid: Jid, after: u64) -> Result<Self::Events, CallError> {
        (**self).watch(jid, after).await
    }
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
            let error = CallError::of(&code.status("x"));
            assert_eq!(matches!(error, CallError::Lost(_)), code == Code::Store, "{code:?}");
            assert_eq!(matches!(error, CallError::Busy(_)), code == Code::Busy, "{code:?}");
            assert_eq!(matches!(error, CallError::Standby(_)), code == Code::NotOwner, "{code:?}");
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
    fn without_a_registry_it_is_said_that_nothing_was_started() {
        let error = CallError::of(&Code::Registry.status("the registry does not answer"));
        assert!(matches!(error, CallError::Refused { code: Some(Code::Registry), .. }));
        assert!(
            error.to_string().starts_with("the registry does not answer; nothing was started"),
            "{error}"
        );
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = CallError::of(&Code::Version.status("it speaks 3 only")).to_string();
        assert_eq!(text, "it speaks 3 only; upgrade the older side");
    }
}
