//! Whom one asks to join or renew: the parents of the configuration, in order, past those who are away or stand by.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use relay_core::identity::FabricName;
use relay_proto::{
    Code,
    trust::{EnrolReply, EnrolRequest, RenewRequest, enrol_client::EnrolClient},
};
use rustls::ClientConfig;
use tokio::time::timeout;
use tonic::{Response, Status};

use super::{CALL_TIME, MAX_REPLY};
use crate::{
    config::Parent,
    link::{self, Channel},
};

/// How long an answer may take before the next parent is asked.
const ANSWER_TIME: Duration = CALL_TIME;

/// A call, to be made wherever somebody answers.
#[derive(Debug, Clone)]
pub enum Call {
    /// To join.
    Request(EnrolRequest),
    /// To renew.
    Renew(RenewRequest),
}

/// Parents that can be asked. A connection is kept for as long as it is good.
pub struct Parents {
    parents: Vec<Parent>,
    fabric: FabricName,
    open: Mutex<Option<(usize, Channel)>>,
}

impl Parents {
    /// Nobody is dialled yet.
    pub fn new(parents: Vec<Parent>, fabric: FabricName) -> Parents {
        Parents { parents, fabric, open: Mutex::default() }
    }

    /// Asks until somebody answers, once around, beginning where somebody answered last.
    ///
    /// # Errors
    /// What whoever answered says; or, if nobody did, what was heard last.
    pub async fn ask(&self, call: &Call, tls: &Arc<ClientConfig>) -> Result<EnrolReply, Status> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let first = open.as_ref().map_or(0, |(at, _)| *at);
        let mut heard = Status::unavailable("there is no parent to ask");
        for at in (0..self.parents.len()).map(|n| (first + n) % self.parents.len()) {
            let kept = open.clone().filter(|(kept, _)| *kept == at).map(|(_, channel)| channel);
            let was_kept = kept.is_some();
            let mut answer = self.one(at, kept, call, tls).await;
            if was_kept && matches!(&answer, Err(status) if is_away(status)) {
                // It may only have been the connection. Asking twice is as good as once.
                answer = self.one(at, None, call, tls).await;
            }
            match answer {
                Err(status) if is_away(&status) => heard = worst(heard, status),
                answer => return answer,
            }
        }
        self.forget();
        Err(heard)
    }

    /// Dials anew for the next call: the certificate has changed.
    pub fn forget(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn one(
        &self,
        at: usize,
        open: Option<Channel>,
        call: &Call,
        tls: &Arc<ClientConfig>,
    ) -> Result<EnrolReply, Status> {
        let channel = match open {
            Some(channel) => channel,
            None => self.dial(at, tls).await?,
        };
        let mut client = EnrolClient::new(channel.clone()).max_decoding_message_size(MAX_REPLY);
        let answer = async {
            match call {
                Call::Request(request) => client.request(request.clone()).await,
                Call::Renew(request) => client.renew(request.clone()).await,
            }
        };
        let late = |_| Status::unavailable(format!("no answer within {ANSWER_TIME:?}"));
        let answer = timeout(ANSWER_TIME, answer).await.map_err(late)?;
        if !matches!(&answer, Err(status) if is_away(status)) {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, channel));
        }
        answer.map(Response::into_inner)
    }

    async fn dial(&self, at: usize, tls: &Arc<ClientConfig>) -> Result<Channel, Status> {
        let Some(parent) = self.parents.get(at) else {
            return Err(Status::unavailable("there is no such parent"));
        };
        let name = parent.identity(&self.fabric).map_err(|error| Status::unavailable(error.to_string()))?;
        let channel = link::channel(&parent.address.to_string(), &name.to_dns(), tls.clone()).await;
        channel.map_err(|error| Status::unavailable(error.to_string()))
    }
}

/// Whether somebody else is to be asked: nobody has decided anything.
fn is_away(status: &Status) -> bool {
    match Code::of(status) {
        Some(Code::NotOwner | Code::Registry | Code::Store) => true,
        Some(_) => false,
        None => !matches!(
            status.code(),
            tonic::Code::Unimplemented | tonic::Code::InvalidArgument | tonic::Code::PermissionDenied
        ),
    }
}

/// A standby's word tells more than a silence.
fn worst(heard: Status, now: Status) -> Status {
    match Code::of(&heard) {
        Some(_) if Code::of(&now).is_none() => heard,
        _ => now,
    }
}
