//! Which services there are on the operators' port, by the name that their paths begin with.

use std::{collections::BTreeMap, convert::Infallible, future::Future, pin::Pin};

use http::Request;
use relay_runtime::link::accept::HttpResponse;
use tonic::{Status, body::Body, server::NamedService};
use tower_service::Service;

type Answer = Pin<Box<dyn Future<Output = HttpResponse> + Send>>;

/// Services by name.
#[derive(Default)]
pub struct Services(BTreeMap<&'static str, Box<dyn Called>>);

impl Services {
    /// These, and one more: what tonic generates of a service.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Services
    where
        S: NamedService + Service<Request<Body>, Response = HttpResponse, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.0.insert(S::NAME, Box::new(service));
        self
    }

    /// The answer of the service that a path is for; each knows its own methods.
    pub(super) fn call(&self, path: &str, request: Request<Body>) -> Answer {
        match service_of(path).and_then(|name| self.0.get(name)) {
            Some(service) => service.called(request),
            None => {
                Box::pin(async { Status::unimplemented("there is no such call on this port").into_http() })
            }
        }
    }
}

/// The service in a path of exactly the form `/SERVICE/METHOD`.
fn service_of(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!method.is_empty() && !method.contains('/')).then_some(service)
}

/// A service without its type.
trait Called: Send + Sync {
    fn called(&self, request: Request<Body>) -> Answer;
}

impl<S> Called for S
where
    S: Service<Request<Body>, Response = HttpResponse, Error = Infallible> + Clone + Send + Sync,
    S::Future: Send + 'static,
{
    fn called(&self, request: Request<Body>) -> Answer {
        // What tonic generates is always ready.
        let answer = self.clone().call(request);
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_spelling_of_a_path_names_a_service() {
        assert_eq!(service_of("/a.B/C"), Some("a.B"));
        for bad in ["", "/", "a.B/C", "//a.B/C", "/a.B", "/a.B/", "/a.B/C/", "/a.B//C", "/a.B/C/D"] {
            assert!(service_of(bad).is_none_or(|name| name != "a.B"), "{bad}");
        }
        // These name no service that there is.
        for other in ["/a.b/C", "/a.B./C", "/a%2EB/C"] {
            assert_ne!(service_of(other), Some("a.B"));
        }
    }
}
