//! The calls with which people log in and out, and ask who they are.

use std::sync::Arc;

use relay_core::access::Caller;
use relay_proto::{
    Code,
    access::{
        LoginReply, LoginRequest, LogoutReply, LogoutRequest, WhoAmIReply, WhoAmIRequest,
        access_server::Access,
    },
};
use relay_runtime::{link::accept::Peer, secret::Secret};
use tonic::{Request, Response, Status};

use super::{Logins, Opened, Session};

/// Largest request, in bytes: a name, a password, a word. Whoever sends more has not logged in yet.
pub const MAX_MESSAGE: usize = 4 << 10;

/// The service.
#[derive(Clone)]
pub struct AccessService {
    logins: Logins,
}

impl AccessService {
    /// Over these logins.
    pub fn new(logins: Logins) -> AccessService {
        AccessService { logins }
    }
}

fn unknown() -> Status {
    Code::Unauthenticated.status("nobody knows who calls")
}

#[tonic::async_trait]
impl Access for AccessService {
    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginReply>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().ok_or_else(unknown)?;
        let LoginRequest { user, password, backend } = request.into_inner();
        let opened = self.logins.log_in(&user, Secret::new(password), &backend, peer.address.ip()).await?;
        let Opened { token, until, idle } = opened;
        let idle_ms = idle.as_millis() as u64;
        Ok(Response::new(LoginReply { token: token.expose().to_owned(), expires: until, idle_ms }))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutReply>, Status> {
        let session = request.extensions().get::<Session>().ok_or_else(unknown)?;
        let digest = session.token.ok_or_else(|| {
            Code::Invalid.status("a certificate is no login that could end: revoke it, or remove the files")
        })?;
        self.logins.log_out(&digest).await?;
        Ok(Response::new(LogoutReply {}))
    }

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIReply>, Status> {
        let session = request.extensions().get::<Session>().ok_or_else(unknown)?;
        let caller: &Arc<Caller> = &session.caller;
        Ok(Response::new(WhoAmIReply {
            user: caller.name().into(),
            groups: caller.groups().map(str::to_owned).collect(),
            how: caller.how().word().into(),
            expires: session.until,
        }))
    }
}
