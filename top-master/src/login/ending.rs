//! The end of a login: by its user, by its time, by what became of its account.

use std::{collections::HashSet, sync::Arc, time::Duration};

use relay_core::{
    access::{Caller, How},
    audit::{Event, Kind},
};
use relay_runtime::store::{MAX_RECORD_PUTS, PutRecord, StoreFuture};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{info, warn};

use super::{Logins, account::Standing, record, removed, sessions::Login, token::Digest};

/// How often logins are looked through: a login that is over ends what was made with it within this time.
const SWEEP: Duration = Duration::from_secs(1);

impl Logins {
    /// Ends a login, and every call made with it.
    ///
    /// # Errors
    /// It is over here, but could not be removed from the store.
    pub async fn log_out(&self, digest: &Digest) -> Result<(), Status> {
        let put = self.ending(digest);
        put.await.map(drop).map_err(crate::operator::store_error)
    }

    fn ending(&self, digest: &Digest) -> StoreFuture<bool> {
        let mut sessions = self.sessions();
        if let Some(login) = sessions.end(digest) {
            info!(caller = %login.caller, "logged out");
            self.0.audit.note(over(&login, "logged out"));
        }
        self.0.store.put_records(vec![removed(digest.key())])
    }

    /// Ends logins when they are over, until stopped.
    pub async fn run(self, token: CancellationToken) {
        let times = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.sweep().await;
            }
        };
        // By itself: a directory that does not answer keeps no login from its end.
        let accounts = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.look_at_accounts(|_| true).await;
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = times => {}
            () = accounts => {}
        }
    }

    async fn sweep(&self) {
        let put = {
            let (mut sessions, now) = (self.sessions(), self.now());
            let over = sessions.expire(now);
            for (_, login) in &over {
                info!(caller = %login.caller, "login is over by time");
                self.0.audit.note(self::over(login, "its time is over"));
            }
            let over = over.into_iter().map(|(digest, _)| removed(digest.key()));
            let moved =
                sessions.take_moved(now).into_iter().map(|(digest, login)| record::put_again(digest, &login));
            let puts: Vec<PutRecord> = over.chain(moved).take(MAX_RECORD_PUTS).collect();
            if puts.is_empty() {
                return;
            }
            self.0.store.put_records(puts)
        };
        if let Err(error) = put.await {
            warn!(%error, "the store has not taken what became of logins; they end all the same");
        }
    }

    /// Looks at the accounts of who is logged in: who may no more is out.
    pub(super) async fn look_at_accounts(&self, wanted: impl Fn(How) -> bool) {
        let users = self.sessions().users();
        self.0.accounts.forget_others(&users);
        let mut silent = HashSet::new();
        for ((user, how), digests) in users.into_iter().filter(|((_, how), _)| wanted(*how)) {
            let now = self.0.clock.now();
            let standing = self.0.accounts.standing(how, &user, now, !silent.contains(&how)).await;
            if standing == Some(Standing::Unknown) {
                // Not each of a thousand users waits for a directory that is away.
                silent.insert(how);
            }
            for digest in standing.iter().flat_map(|_| &digests) {
                standing.iter().for_each(|standing| self.apply(digest, standing));
            }
        }
    }

    fn apply(&self, digest: &Digest, standing: &Standing) {
        let mut sessions = self.sessions();
        let Some(login) = sessions.get(digest) else { return };
        let caller = login.caller.clone();
        match standing {
            Standing::Unknown => sessions.suspend(digest),
            Standing::Good(account) if account.stamp == login.stamp => {
                sessions.resume(digest);
                let now = Caller::new(caller.name(), account.groups.clone(), caller.how());
                match now {
                    Ok(now) if now != *caller => sessions.regroup(digest, Arc::new(now)),
                    Ok(_) => {}
                    Err(error) => {
                        warn!(%caller, %error, "has groups that can't be used: suspended");
                        sessions.suspend(digest);
                    }
                }
            }
            Standing::Gone | Standing::Good(_) => {
                info!(%caller, "login is over: the account is gone, locked, or has another password");
                if let Some(login) = sessions.end(digest) {
                    self.0.audit.note(over(&login, "the account is gone, locked, or has another password"));
                }
                // In order with whatever else changes logins; should it fail, the next owner finds the account gone too.
                drop(self.0.store.put_records(vec![removed(digest.key())]));
            }
        }
    }
}

fn over(login: &Login, why: &str) -> Event {
    let caller = &login.caller;
    Event::new(Kind::Login, caller.name(), caller.how().word()).about("end of a login").with("why", why)
}
