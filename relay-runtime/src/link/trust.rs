//! A parent's part in trust: the bundle goes down every link, first of all, and again when it changes. A syndic takes it from its
//! parent, goes by it itself, and passes it on as it is: it can withhold one, and can't make one.

use std::sync::Arc;

use bytes::Bytes;
use relay_core::{
    message::{Down, LinkId},
    tier::Sending,
};
use tokio::sync::watch;

use super::table::LinkTable;
use crate::trust::{self, Belief, Refused, Trusted};

/// What is passed on.
pub struct PassedOn {
    trusted: Trusted,
    follow: watch::Receiver<Arc<Belief>>,
}

impl PassedOn {
    /// What this process believes.
    pub fn new(trusted: Trusted) -> PassedOn {
        let follow = trusted.follow();
        PassedOn { trusted, follow }
    }

    /// The parent says this. What is good is passed on before anything that the parent says next: jobs may be signed with a
    /// key that only this names.
    ///
    /// # Errors
    /// It is refused, which was logged and counted.
    pub fn heard(&mut self, bundle: &Bytes, children: &mut LinkTable) -> Result<(), Refused> {
        if self.trusted.offer(bundle, trust::now())? {
            self.tell_all(children);
        }
        Ok(())
    }

    /// Comes back when something else than a parent has changed what is believed.
    pub async fn changed(&mut self) {
        if self.follow.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tells all children.
    pub fn tell_all(&mut self, children: &mut LinkTable) {
        self.follow.mark_unchanged();
        let links = children.iter().map(|(link, _)| link).collect();
        self.tell(children, links);
    }

    /// Tells a child that has just attached.
    pub fn tell_one(&self, children: &mut LinkTable, link: LinkId) {
        self.tell(children, vec![link]);
    }

    fn tell(&self, children: &mut LinkTable, links: Vec<LinkId>) {
        if let Some(bundle) = self.trusted.bundle() {
            children.send(&Sending::new(links, Down::Trust(bundle)));
        }
    }
}
