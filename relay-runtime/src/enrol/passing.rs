//! A syndic's part in enrolment: it passes requests on to its parent under its own certificate, says where they came from, and
//! decides nothing. It holds no issuer's key; what it could do is withhold.

use std::sync::Arc;

use relay_core::identity::Identity;
use relay_proto::{
    Code,
    trust::{EnrolReply, EnrolRequest, RenewRequest, enrol_server::Enrol},
};
use tonic::{Request, Response, Status};

use super::{
    gate::{Pace, origin},
    parents::{Call, Parents},
};
use crate::{link::accept::Peer, tls::ClientTls};

/// The service at a syndic.
#[derive(Clone)]
pub struct Passing {
    own: Arc<Identity>,
    parents: Arc<Parents>,
    tls: ClientTls,
    pace: Pace,
}

impl Passing {
    /// Passes on to these parents, with the certificate that this syndic has at the time.
    pub fn new(own: Arc<Identity>, parents: Parents, tls: ClientTls, pace: Pace) -> Passing {
        Passing { own, parents: Arc::new(parents), tls, pace }
    }

    async fn pass(&self, call: Call) -> Result<Response<EnrolReply>, Status> {
        let tls = self.tls.config().map_err(|error| Code::NotOwner.status(error.to_string()))?;
        match self.parents.ask(&call, &tls).await {
            Ok(reply) => Ok(Response::new(reply)),
            // What is the parent's own word stays as it is.
            Err(status) if Code::of(&status).is_some() => Err(status),
            Err(status) => Err(Code::NotOwner.status(format!("no parent answers: {}", status.message()))),
        }
    }
}

fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    request.extensions().get::<Peer>().cloned().ok_or_else(|| Code::Denied.status("nobody asks"))
}

#[tonic::async_trait]
impl Enrol for Passing {
    async fn request(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let peer = peer(&request)?;
        let _turn = self.pace.turn(&peer)?;
        let request = request.into_inner();
        if request.region != self.own.region().as_str() {
            let why = format!("this syndic passes on for region {} only", self.own.region());
            return Err(Code::Denied.status(why));
        }
        let from = origin(&peer, &request.from);
        self.pass(Call::Request(EnrolRequest { from, ..request })).await
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<EnrolReply>, Status> {
        let peer = peer(&request)?;
        let _turn = self.pace.turn(&peer)?;
        let request = request.into_inner();
        let from = origin(&peer, &request.from);
        self.pass(Call::Renew(RenewRequest { from, ..request })).await
    }
}
