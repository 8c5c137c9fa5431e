//! A connection on which each call shows a token, if there is one.

use std::task::{Context, Poll};

use http::{HeaderValue, header::AUTHORIZATION};
use relay_runtime::{link::Channel, secret::Secret};
use tower_service::Service;

/// A connection to a top master, for any of its services. Clones share it.
#[derive(Clone)]
pub struct Presenting {
    channel: Channel,
    shown: Option<HeaderValue>,
}

/// What is shown with each call: kept from logs by the libraries that it passes through.
///
/// # Errors
/// The token is no text that a header could have.
pub fn header(token: &Secret) -> anyhow::Result<HeaderValue> {
    let text = Secret::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(text.expose())
        .map_err(|_| anyhow::anyhow!("the token has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Presenting {
    /// This connection, with this header or without.
    pub fn new(channel: Channel, shown: Option<HeaderValue>) -> Presenting {
        Presenting { channel, shown }
    }
}

impl Service<http::Request<tonic::body::Body>> for Presenting {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = <Channel as Service<http::Request<tonic::body::Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> Self::Future {
        if let Some(shown) = &self.shown {
            request.headers_mut().insert(AUTHORIZATION, shown.clone());
        }
        self.channel.call(request)
    }
}
