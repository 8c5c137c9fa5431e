//! The end of a peer's certificate while it is connected: revoked, expired, or of a root that was retired. Who is connected then
//! is cut off.

use std::{sync::Arc, time::Duration};

use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::{
    authority::life_of,
    identity::Seen,
    telemetry,
    tls::{Ended, Tls},
    trust::{self, Belief, Enrolment, Seconds, bundle::Root},
};

/// A certificate is looked at when its time is over, and this often even if nobody says that something has changed: clocks are set.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long after its end a certificate still counts on a link that stands: clocks differ, and a renewed one is on its way.
const GRACE: Seconds = 5 * 60;

/// Longest pause before a link begins anew under a renewed certificate, in milliseconds: a day.
const MAX_PAUSE_MS: u64 = 24 * 3600 * 1_000;

/// A peer's certificate, for as long as it is connected.
#[derive(Debug)]
pub(super) struct Shown {
    tls: Tls,
    follow: watch::Receiver<Arc<Belief>>,
    roots: Arc<[Root]>,
    leaf: Option<CertificateDer<'static>>,
    between: Arc<[CertificateDer<'static>]>,
    enrolment: Enrolment,
    until: Seconds,
}

impl Shown {
    /// Takes a chain that TLS has verified by this belief, and what its first certificate says.
    ///
    /// # Errors
    /// That one is denied.
    pub(super) fn new(
        tls: &Tls,
        by: &Belief,
        chain: &[CertificateDer<'_>],
        &Seen { enrolment, until, .. }: &Seen,
    ) -> Result<Shown, Ended> {
        let follow = tls.trusted().follow();
        tls.check(enrolment)?;
        let leaf = chain.first().map(|der| der.clone().into_owned());
        let (between, roots) = (tls.between(chain.get(1..).unwrap_or_default()), by.roots().clone());
        Ok(Shown { tls: tls.clone(), follow, roots, leaf, between, enrolment, until })
    }

    /// Which enrolment it is of.
    pub(super) fn enrolment(&self) -> Enrolment {
        self.enrolment
    }

    /// Comes back when the certificate counts no more.
    pub(super) async fn ended(mut self) -> Ended {
        loop {
            if let Err(ended) = self.look(trust::now()) {
                metrics::counter!(telemetry::LINK_DROPPED_TOTAL, "why" => ended.word()).increment(1);
                return ended;
            }
            let rest = self.rest(trust::now());
            tokio::select! {
                changed = self.follow.changed() => if changed.is_err() { return std::future::pending().await },
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Until it is looked at again.
    fn rest(&self, now: Seconds) -> Duration {
        let left = self.until.saturating_add(GRACE).saturating_sub(now);
        Duration::from_secs(left.max(1)).min(LOOK_EVERY)
    }

    fn look(&mut self, now: Seconds) -> Result<(), Ended> {
        let belief = self.follow.borrow_and_update().clone();
        if belief.is_denied(self.enrolment) {
            return Err(Ended::Revoked);
        }
        if now >= self.until.saturating_add(GRACE) {
            return Err(Ended::Expired);
        }
        if Arc::ptr_eq(belief.roots(), &self.roots) {
            return Ok(());
        }
        self.roots = belief.roots().clone();
        let chain: Vec<_> = self.leaf.iter().chain(self.between.iter()).cloned().collect();
        match self.tls.still(&chain, now) {
            // Its time is judged above, with some grace.
            Ok(()) | Err(Ended::Expired) => Ok(()),
            Err(ended) => Err(ended),
        }
    }
}

/// Comes back when a certificate that was shown counts no more; never, if there is none.
pub(super) async fn ended(shown: Option<Shown>) -> Ended {
    match shown {
        Some(shown) => shown.ended().await,
        None => std::future::pending().await,
    }
}

/// Comes back when this process's own certificate has been renewed and the one that it shows now is near its end: at some time
/// between, so that of many that were renewed together not all dial at once.
pub(super) fn renewed(own: &Tls) -> impl Future<Output = ()> + use<> {
    let mut follow = own.follow_own();
    let shown = follow.borrow_and_update().clone();
    let until = shown.certs.first().and_then(life_of).map_or(Seconds::MAX, |(_, until)| until);
    async move {
        if follow.changed().await.is_err() {
            return std::future::pending().await;
        }
        let left = until.saturating_sub(trust::now());
        // Nine tenths of what is left at the latest: the rest is for dialling.
        let pause = rand::random_range(0..=left.saturating_mul(900).min(MAX_PAUSE_MS));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

#[cfg(test)]
mod tests;
