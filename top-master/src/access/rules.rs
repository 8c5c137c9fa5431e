//! The service that shows which rules hold.

use relay_core::access::Verb;
use relay_proto::access::{self as proto, rules_server::Rules};
use tonic::{Request, Response, Status};

use super::{Access, caller};

/// The service.
#[derive(Clone)]
pub struct RulesService {
    /// The gate, which goes by them.
    pub access: Access,
}

#[tonic::async_trait]
impl Rules for RulesService {
    async fn show(
        &self,
        request: Request<proto::ShowRulesRequest>,
    ) -> Result<Response<proto::RulesReply>, Status> {
        let caller = caller(&request)?;
        self.access.may(&caller, Verb::PolicyShow, false, "").await?;
        let policies = self.access.policies();
        let standing = policies.subscribe().borrow().clone();
        let (allow, deny) = standing.active.policy.rules();
        Ok(Response::new(proto::RulesReply {
            file: policies.file().display().to_string(),
            digest: standing.active.digest.clone(),
            since: standing.active.since,
            allow: allow as u32,
            deny: deny as u32,
            text: if request.get_ref().text { standing.active.text.clone() } else { String::new() },
            problem: standing.problem.unwrap_or_default(),
        }))
    }
}
