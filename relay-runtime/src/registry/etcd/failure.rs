//! What etcd's errors mean for whoever asked: try again elsewhere, or give up.

use std::error::Error as _;

use etcd_client::Error;

use super::super::{LeaseId, RegistryError};

/// gRPC's numbers of the codes that etcd answers with, as the protocol has them.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
}

/// etcd's words for two states that pass by themselves, under codes that otherwise last.
const PASSING: [&str; 2] = ["revision of auth store is old", "not leader"];

/// Why a try did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// etcd says so, or does not answer.
    Etcd(Error),
    /// Nothing came of it; another try may help.
    Again(String),
    /// We say so.
    Final(RegistryError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Etcd(error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        Failure::Final(error)
    }
}

impl Failure {
    /// Whether another try may help: if so why this one did not, else what to tell whoever asked.
    pub(super) fn judge(self, lease: Option<LeaseId>) -> Result<String, RegistryError> {
        let error = match self {
            Failure::Final(error) => return Err(error),
            Failure::Again(why) => return Ok(why),
            Failure::Etcd(error) => error,
        };
        match (lease, lasting(&error)) {
            (Some(lease), Some(Lasting::NoLease)) => Err(RegistryError::LeaseEnded(lease)),
            (_, Some(_)) => Err(RegistryError::Refused(describe(&error))),
            (_, None) => Ok(describe(&error)),
        }
    }
}

enum Lasting {
    NoLease,
    Other,
}

fn lasting(error: &Error) -> Option<Lasting> {
    match error {
        Error::LeaseKeepAliveError(why) if why.contains("lease not found") => Some(Lasting::NoLease),
        Error::InvalidArgs(_) | Error::InvalidUri(_) => Some(Lasting::Other),
        Error::GRpcStatus(status) if PASSING.iter().any(|passing| status.message().contains(passing)) => None,
        Error::GRpcStatus(status) => match i32::from(status.code()) {
            code::NOT_FOUND if status.message().contains("lease not found") => Some(Lasting::NoLease),
            code::PERMISSION_DENIED | code::INVALID_ARGUMENT | code::FAILED_PRECONDITION => {
                Some(Lasting::Other)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a lease of this number is there already.
pub(super) fn is_granted_already(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message().contains("lease already exists"))
}

/// The error with what is below it, where tonic hides the reason ("transport error").
pub(super) fn describe(error: &Error) -> String {
    let (first, mut below) = match error {
        Error::GRpcStatus(status) => (status.message().to_owned(), status.source()),
        Error::TransportError(error) => (error.to_string(), error.source()),
        other => (other.to_string(), None),
    };
    let mut said = vec![first];
    while let Some(error) = below {
        let text = error.to_string();
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
        below = error.source();
    }
    said.retain(|text| !text.is_empty());
    said.join(": ")
}
