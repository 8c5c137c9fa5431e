//! Operators without a certificate: who logs in, and calls with what he got.

use std::sync::Arc;

use relay_core::{identity::Role, ids::Jid};
use relay_proto::{
    access::{LoginRequest, LogoutRequest, WhoAmIReply, WhoAmIRequest, access_client::AccessClient},
    operator::{StatusRequest, WatchEvent, WatchRequest, operator_client::OperatorClient},
};
use relay_runtime::{link, tls};
use tonic::{Request, Response, Status, Streaming, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use crate::{Fabric, TOP, pki::who};

/// Somebody at the operators' port.
#[derive(Clone)]
pub struct Guest {
    address: String,
    tls: Arc<rustls::ClientConfig>,
    /// What is shown with each call.
    pub token: Option<String>,
    way: String,
}

impl Guest {
    /// Without anything to show.
    ///
    /// # Panics
    /// The root makes no TLS configuration.
    pub fn of(fabric: &Fabric) -> Guest {
        let roots = fabric.pki().load("tester", Role::Operator, "core").roots;
        let tls = tls::client_without_certificate(&roots).expect("a TLS configuration");
        Guest { address: fabric.operator().address().to_owned(), tls, token: None, way: String::new() }
    }

    /// Whose password is checked in this way: `ldap`, say.
    #[must_use]
    pub fn by(self, way: &str) -> Guest {
        Guest { way: way.into(), ..self }
    }

    /// With the certificate of somebody.
    ///
    /// # Panics
    /// It makes no TLS configuration.
    pub fn certified(fabric: &Fabric, id: &str, role: Role, region: &str) -> Guest {
        let tls = tls::client(&fabric.pki().load(id, role, region)).expect("a TLS configuration");
        Guest { tls, ..Guest::of(fabric) }
    }

    async fn channel(&self) -> Result<link::Channel, Status> {
        let name = who(TOP, Role::TopMaster, "core").to_dns();
        let channel = link::channel(&self.address, &name, self.tls.clone()).await;
        channel.map_err(|e| Status::unavailable(e.to_string()))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = MetadataValue::try_from(format!("Bearer {token}")).expect("a header");
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// The same, with this to show.
    #[must_use]
    pub fn showing(&self, token: Option<String>) -> Guest {
        Guest { token, ..self.clone() }
    }

    /// Logs in; whoever comes back shows the token.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn log_in(&self, user: &str, password: &str) -> Result<Guest, Status> {
        let request =
            LoginRequest { user: user.into(), password: password.into(), backend: self.way.clone() };
        let reply = AccessClient::new(self.channel().await?).login(self.request(request)).await?;
        Ok(Guest { token: Some(reply.into_inner().token), ..self.clone() })
    }

    /// Logs out.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn log_out(&self) -> Result<(), Status> {
        AccessClient::new(self.channel().await?).logout(self.request(LogoutRequest {})).await.map(drop)
    }

    /// Who he is.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn who_am_i(&self) -> Result<WhoAmIReply, Status> {
        let mut client = AccessClient::new(self.channel().await?);
        client.who_am_i(self.request(WhoAmIRequest {})).await.map(Response::into_inner)
    }

    /// Asks for the state of the fabric.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn status(&self) -> Result<(), Status> {
        let mut client = OperatorClient::new(self.channel().await?);
        client.status(self.request(StatusRequest {})).await.map(drop)
    }

    /// Watches a job from its beginning.
    ///
    /// # Errors
    /// Refused, or nobody there.
    pub async fn watch(&self, jid: Jid) -> Result<Streaming<WatchEvent>, Status> {
        let mut client = OperatorClient::new(self.channel().await?);
        let request = WatchRequest { jid: jid.micros(), after: 0 };
        client.watch(self.request(request)).await.map(Response::into_inner)
    }

    /// Calls anything with an empty message, and gives how it was refused.
    ///
    /// # Errors
    /// The answer is an error, or nobody is there.
    ///
    /// # Panics
    /// The path is none.
    pub async fn call(&self, path: &str) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.channel().await?);
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let path = path.parse().expect("a path");
        let answer = grpc.server_streaming(self.request(()), path, ProstCodec::<(), ()>::default()).await?;
        let mut stream = answer.into_inner();
        while stream.message().await?.is_some() {}
        Ok(())
    }
}
