//! Follows a git repository: looks at its branch now and then, checks the file, shows what would change, and applies it if
//! the policy says so. What git itself does is in [`git`].
//!
//! Nothing that is wrong out there touches the active topology: the error is kept and shown until a look is good.

mod git;
#[cfg(test)]
mod tests;
mod words;

use relay_core::topology::plan;
use relay_proto::{Code, operator as proto};
use relay_runtime::{
    clock::wall,
    config::{FollowConfig, FollowPolicy},
    store::{MAX_REVISIONS, Revision, RevisionState, Which},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tonic::Status;
use tracing::{info, warn};

use super::{Topologies, boot::understood, wire};
use git::{Head, Repository};

/// Who applies under the policy auto. No certificate names such a caller, who has a role.
const CALLER: &str = "git";

/// A look that somebody asks for.
pub struct Look {
    /// Who applies what is pending, if it is to be applied.
    apply: Option<String>,
    reply: oneshot::Sender<Result<proto::Following, Status>>,
}

/// Follows for ever, if there is something to follow.
pub(super) async fn run(service: &Topologies, mut looks: mpsc::Receiver<Look>) {
    let Some(config) = service.parts().follow.clone() else {
        while let Some(look) = looks.recv().await {
            let why = "no repository is followed: set \"follow\" in the top master's configuration";
            let _ = look.reply.send(Err(Code::NotFound.status(why)));
        }
        return;
    };
    let repository = Repository::new(&config, &service.parts().state_dir);
    let follower = Follower { service, repository, config, shown: &service.0.following };
    let mut next = Instant::now();
    loop {
        tokio::select! {
            Some(Look { apply, reply }) = looks.recv() => {
                let refused = follower.look(apply).await;
                let _ = reply.send(match refused {
                    Some(refused) => Err(refused),
                    None => Ok(follower.shown.borrow().clone().unwrap_or_default()),
                });
            }
            () = tokio::time::sleep_until(next) => drop(follower.look(None).await),
        }
        next = Instant::now() + follower.config.every;
    }
}

impl Topologies {
    /// What is followed, as of the last look.
    pub(super) fn following(&self) -> Option<proto::Following> {
        self.0.following.borrow().clone()
    }

    /// Looks at the followed repository now. With `apply` what is pending there is applied in this caller's name; the reply
    /// comes when that is durable.
    ///
    /// # Errors
    /// Nothing is followed, or what is pending is refused.
    pub(crate) async fn follow_now(&self, apply: Option<String>) -> Result<proto::Following, Status> {
        let (reply, answer) = oneshot::channel();
        self.0.looks.send(Look { apply, reply }).await.map_err(|_| wire::stopping())?;
        answer.await.map_err(|_| wire::stopping())?
    }
}

/// What is shown before the first look.
pub(super) fn unseen(config: &FollowConfig) -> proto::Following {
    let FollowConfig { repository, branch, file, every: _, policy } = config.clone();
    let policy = policy.word().into();
    // A password in a URL is nobody's business.
    let repository = git::without_secret(&repository);
    proto::Following { repository, branch, file, policy, ..proto::Following::default() }
}

struct Follower<'s> {
    service: &'s Topologies,
    repository: Repository,
    config: FollowConfig,
    shown: &'s watch::Sender<Option<proto::Following>>,
}

/// What a look found beside its head.
struct Found {
    text: String,
    active: Option<Revision>,
    changes: Vec<String>,
}

impl Follower<'_> {
    /// One look. What it found is shown; returned is what was refused of an apply that somebody asked for.
    async fn look(&self, apply: Option<String>) -> Option<Status> {
        let mut following = proto::Following { looked: wall(), ..unseen(&self.config) };
        let found = async {
            let head = self.repository.head().await?;
            (following.commit, following.author) = (head.commit.clone(), head.author.clone());
            following.subject = head.subject.clone();
            Ok::<_, String>((self.found(&head).await?, head))
        };
        let found = found.await;
        let mut refused = None;
        match found {
            Err(error) => following.last_error = error,
            Ok((found, head)) => {
                following.pending = !found.changes.is_empty();
                following.changes = found.changes.clone();
                let by = match (following.pending, apply.clone()) {
                    (true, Some(caller)) => Ok(Some(caller)),
                    (true, None) => self.automatic(&head).await,
                    (false, _) => Ok(None),
                };
                match by {
                    Ok(Some(caller)) => match self.apply(caller, found, &head).await {
                        Ok(()) => (following.pending, following.changes) = (false, Vec::new()),
                        Err(status) => {
                            following.last_error = status.message().into();
                            refused = apply.is_some().then_some(status);
                        }
                    },
                    Ok(None) => {}
                    Err(why) => following.last_error = why,
                }
            }
        }
        self.show(following);
        refused
    }

    /// The file at the head, checked and compared.
    async fn found(&self, head: &Head) -> Result<Found, String> {
        let text = self.repository.file(head).await?;
        let checked = self.service.checked(&text);
        let topology = checked.map_err(|status| {
            format!("{} at {} is not applied: {}", self.config.file, head.short(), status.message())
        })?;
        let active = self.service.parts().store.revision(Which::Active).await.map_err(|e| e.to_string())?;
        let former = active.as_ref().map(understood).transpose().map_err(|e| e.to_string())?;
        let changes = match &former {
            Some(former) => words::all(&plan::changes(former, &topology)),
            None => vec!["everything: no topology is active yet".into()],
        };
        Ok(Found { text, active, changes })
    }

    /// Who applies by himself, if anybody. Each commit is applied once only: one that was rolled back, by its losses or by an
    /// operator, would come back at every look.
    async fn automatic(&self, head: &Head) -> Result<Option<String>, String> {
        if self.config.policy == FollowPolicy::Manual {
            return Ok(None);
        }
        let kept =
            self.service.parts().store.revisions(MAX_REVISIONS, None).await.map_err(|e| e.to_string())?;
        match kept.iter().find(|revision| revision.new.commit == head.commit) {
            Some(Revision { state: RevisionState::Staging, .. }) => Ok(None),
            Some(Revision { number, .. }) => Err(format!(
                "{} was applied before, as revision {number}, and is not applied again by itself: \
                 relayctl topology follow --apply does it",
                head.short()
            )),
            None => Ok(Some(CALLER.into())),
        }
    }

    async fn apply(&self, caller: String, found: Found, head: &Head) -> Result<(), Status> {
        info!(commit = head.commit, caller, changes = found.changes.len(), "applying the followed topology");
        let request = proto::ApplyTopologyRequest {
            planned_on: found.active.map_or(0, |active| active.number),
            text: found.text,
            commit: head.commit.clone(),
            author: head.author.clone(),
            message: head.subject.clone(),
            ..proto::ApplyTopologyRequest::default()
        };
        self.service.apply_as(caller, request).await.map(drop)
    }

    /// Shows what was found. The log hears of an error once.
    fn show(&self, following: proto::Following) {
        let before = self.shown.borrow().as_ref().map(|before| before.last_error.clone()).unwrap_or_default();
        if !following.last_error.is_empty() && following.last_error != before {
            let (repository, error) = (&following.repository, &following.last_error);
            warn!(repository, error, "trouble with the followed repository; the active topology stays");
        }
        self.shown.send_replace(Some(following));
    }
}
