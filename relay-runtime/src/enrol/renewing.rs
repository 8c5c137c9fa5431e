//! Staying a member: a new key and a new certificate at 70 to 90 per cent of the life of the present one.
//!
//! The request is signed with the key that is held, so that nobody on the way can renew for somebody else. Who was away past
//! the end of its certificate asks without one; the request proves by itself who it is. What comes back takes the place of the
//! former in one step, and whoever follows is told, so that new links are made with it while those that stand go on.

use std::{sync::Arc, time::Duration};

use relay_core::backoff::Backoff;
use relay_proto::{
    Code,
    trust::{RenewRequest, enrol_reply},
};
use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    FORMAT,
    files::FileError,
    newcomer::{BadAnswer, JoinError, Level, Newcomer, Outcome, Said, told},
    parents::Call,
    proof::Held,
};
use crate::{
    tls::{self, Tls},
    trust,
};

/// A certificate is renewed after this part of its life, in parts of a thousand, at the earliest (kubelet's rule).
const EARLIEST: u64 = 700;
/// And at the latest.
const LATEST: u64 = 900;
/// Certificates count from so many seconds before they were made: that is no part of their life.
const BACKDATED: u64 = 300;
/// First and longest wait after a renewal that failed, in milliseconds: a tenth of the usual life is left then.
const WAITS: (u64, u64) = (1_000, 300_000);

impl Newcomer {
    /// Renews, again and again, until stopped. New links show the new certificate.
    pub async fn stay(mut self, tls: Tls, token: CancellationToken) {
        self.believed = Some(tls.trusted().clone());
        let mut said = Said::default();
        let mut failed = Backoff::new(WAITS.0, WAITS.1);
        let mut wait = self.due();
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.renew(&mut said).await {
                Ok(Outcome::Member) => {
                    failed.reset();
                    said = Said::default();
                    self.parents().forget();
                    self.show(&tls);
                    self.due()
                }
                Ok(Outcome::Later(wait)) => wait,
                Err(error) => {
                    let ends = self.held().map(|held| held.span.1).unwrap_or_default();
                    said.say(
                        Level::Warn,
                        format!("the certificate cannot be renewed yet: {error}; it ends at {ends}"),
                    );
                    Duration::from_millis(failed.next(rand::random()))
                }
            };
        }
    }

    fn show(&self, tls: &Tls) {
        let shown = match self.files().load(self.identity().fabric()) {
            Ok(Some(loaded)) => tls.renew(loaded).map_err(|error| error.to_string()),
            Ok(None) => Err("it is gone".into()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = shown {
            error!(why, "the new certificate cannot be shown: restart this process");
        }
    }

    /// When the next renewal is due, from now.
    fn due(&self) -> Duration {
        let part = rand::random_range(EARLIEST..=LATEST);
        match self.held() {
            Ok(held) => due(held.span, trust::now(), part),
            Err(_) => Duration::from_millis(WAITS.0),
        }
    }

    fn held(&self) -> Result<Held, Failed> {
        let loaded = self.files().load(self.identity().fabric())?;
        let loaded = loaded.ok_or_else(|| Failed::Other("there is no certificate".into()))?;
        Ok(Held::read(loaded.certs).map_err(JoinError::from)?)
    }

    /// One renewal, or one request to be let in again.
    async fn renew(&self, said: &mut Said) -> Result<Outcome, Failed> {
        let (held, key) = (self.held()?, self.files().held_key()?);
        let next = self.files().next_key()?;
        let csr = next.csr().map_err(JoinError::from)?;
        let call = Call::Renew(RenewRequest {
            format: FORMAT,
            chain: held.chain.iter().map(|certificate| certificate.to_vec()).collect(),
            signature: key.sign_renewal(&csr).map_err(JoinError::from)?,
            csr,
            from: String::new(),
        });
        let reply = self.ask(&call, &held).await?;
        // A refusal is about the enrolment. If an operator lets this one in again, it is with the key that it has.
        if let Some(enrol_reply::State::Refused(_)) = &reply.state {
            self.taken(reply, &key, said)?;
            let again = self.ask(&self.request(&key)?, &held).await?;
            return Ok(self.taken(again, &key, said)?);
        }
        Ok(self.taken(reply, &next, said)?)
    }

    /// Asks with the certificate, as long as it counts; without one otherwise.
    async fn ask(&self, call: &Call, held: &Held) -> Result<relay_proto::trust::EnrolReply, Failed> {
        let counts = held.span.1 > trust::now();
        if let Some(tls) = self.own_tls().filter(|_| counts) {
            match self.parents().ask(call, &tls).await {
                Ok(reply) => return Ok(reply),
                Err(status) if Code::of(&status).is_some() => return Err(Failed::Other(told(&status))),
                // The certificate may be denied: then only the request itself can say who asks.
                Err(_) => self.parents().forget(),
            }
        }
        let bare = self.tls().map_err(JoinError::from)?;
        let reply = self.parents().ask(call, &bare).await;
        self.parents().forget();
        reply.map_err(|status| Failed::Other(told(&status)))
    }

    fn own_tls(&self) -> Option<Arc<ClientConfig>> {
        let loaded = self.files().load(self.identity().fabric()).ok()??;
        tls::client(&loaded).ok()
    }
}

/// Why a renewal failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    #[error("{0}")]
    Other(String),
}

/// How long from now until `part` thousandths of a certificate's life are over.
fn due((from, until): (u64, u64), now: u64, part: u64) -> Duration {
    let made = if from + BACKDATED < until { from + BACKDATED } else { from };
    let life = until.saturating_sub(made) * 1_000;
    let due = made * 1_000 + life / 1_000 * part;
    Duration::from_millis(due.saturating_sub(now * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_due_in_the_last_third_of_a_life() {
        let day = 24 * 3_600;
        let span = (1_000_000 - BACKDATED, 1_000_000 + day);
        let hours = |now, part| due(span, now, part).as_secs_f64() / 3_600.0;
        assert!((hours(1_000_000, EARLIEST) - 16.8).abs() < 0.01);
        assert!((hours(1_000_000, LATEST) - 21.6).abs() < 0.01);
        assert_eq!(due(span, 1_000_000 + day, EARLIEST), Duration::ZERO, "past its end it is due at once");
        // A short life, as in tests, is not all backdating.
        let short = (1_000_000 - BACKDATED, 1_000_010);
        assert_eq!(due(short, 1_000_000, EARLIEST), Duration::from_secs(7));
        assert_eq!(due((1_000_000, 1_000_100), 1_000_000, EARLIEST), Duration::from_secs(70));
    }
}
