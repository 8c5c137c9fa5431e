//! Join tokens in the store. What is kept is the hash of a public key; uses are spent by compare-and-swap, together with the
//! record of whoever joins.

use bytes::Bytes;
use relay_core::enrol::{
    Fingerprint,
    token::{self, Token},
};
use relay_proto::Code;
use relay_runtime::store::{Area, Expect, PutRecord};
use tonic::Status;

use super::{Desk, PAGE, kept};
use crate::operator::store_error;

/// Most tokens at a time. Each is good for many newcomers.
pub const MAX_TOKENS: usize = 1_000;
/// How long a token is kept that lets nobody in any more, in microseconds: it may still be asked what became of it.
const KEPT_FOR: u64 = 24 * 3_600 * 1_000_000;

/// A token that was found.
#[derive(Debug, Clone)]
pub struct Good {
    /// The hash that is its key.
    pub hash: Fingerprint,
    /// Its name for people.
    pub name: String,
    /// What it is good for.
    pub token: Token,
    revision: u64,
}

impl Good {
    /// One use less.
    pub fn spend(self) -> PutRecord {
        let token = Token { used: self.token.used.saturating_add(1), ..self.token };
        PutRecord {
            area: Area::Token,
            key: kept::token_key(&self.hash),
            expect: Expect::Revision(self.revision),
            value: Some(kept::write_token(&token)),
        }
    }

    fn remove(&self) -> PutRecord {
        let expect = Expect::Revision(self.revision);
        PutRecord { area: Area::Token, key: kept::token_key(&self.hash), expect, value: None }
    }
}

impl Desk {
    /// The token with this hash.
    pub(super) async fn token(&self, hash: &Fingerprint) -> Result<Option<Good>, Status> {
        let record =
            self.parts.store.record(Area::Token, kept::token_key(hash)).await.map_err(store_error)?;
        record.map(|record| found(&record)).transpose()
    }

    /// All of them.
    pub(super) async fn tokens(&self) -> Result<Vec<Good>, Status> {
        let (mut all, mut after) = (Vec::new(), Bytes::new());
        loop {
            let page = self.parts.store.records(Area::Token, after, PAGE).await.map_err(store_error)?;
            let Some(last) = page.last() else { return Ok(all) };
            after = last.key.clone();
            for record in &page {
                all.push(found(record)?);
            }
        }
    }

    /// Keeps a new one.
    ///
    /// # Errors
    /// There are too many, or this one is there.
    pub(super) async fn keep_token(&self, hash: &Fingerprint, token: &Token) -> Result<(), Status> {
        if self.tokens().await?.len() >= MAX_TOKENS {
            let why =
                format!("there are {MAX_TOKENS} join tokens already: revoke some (relayctl token list)");
            return Err(Code::Busy.status(why));
        }
        let value = Some(kept::write_token(token));
        let put = PutRecord { area: Area::Token, key: kept::token_key(hash), expect: Expect::Absent, value };
        match self.parts.store.put_records(vec![put]).await.map_err(store_error)? {
            true => Ok(()),
            false => Err(Code::Invalid.status("this token is there already")),
        }
    }

    /// Removes the one of this name.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn revoke_token(&self, name: &str) -> Result<Good, Status> {
        let none =
            || Code::NotFound.status(format!("there is no join token {name}: see \"relayctl token list\""));
        let found = self.tokens().await?.into_iter().find(|found| found.name == name).ok_or_else(none)?;
        // Spent meanwhile: it goes all the same.
        let put = PutRecord { expect: Expect::Any, ..found.remove() };
        self.parts.store.put_records(vec![put]).await.map_err(store_error)?;
        Ok(found)
    }

    /// Removes those that have let nobody in for a day.
    pub(super) async fn sweep_tokens(&self, now: u64) -> Result<(), Status> {
        for old in self.tokens().await?.iter().filter(|old| old.token.expires.saturating_add(KEPT_FOR) <= now)
        {
            self.parts.store.put_records(vec![old.remove()]).await.map_err(store_error)?;
        }
        Ok(())
    }
}

fn found(record: &relay_runtime::store::Record) -> Result<Good, Status> {
    let damaged = |why: String| Code::Store.status(why);
    let hash = kept::token_hash(record).map_err(damaged)?;
    let token = kept::read_token(record).map_err(damaged)?;
    Ok(Good { name: token::name(&hash), hash, token, revision: record.revision })
}
