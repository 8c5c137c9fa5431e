//! One question, several top masters that may answer it: one of them owns the fabric, the others are its standbys.
//!
//! Asks the one that answered last, then the others in the order of the context. A standby did nothing, so the next one is
//! asked at once. Where an answer was lost, the next one is asked only if asking twice does no harm. When nobody owns the
//! fabric, a takeover is under way (some 5 s); then the round is repeated while patience lasts.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use relay_proto::Code;

use crate::{
    api::CallError,
    job::{Patience, pause},
};

/// Top masters that can be dialled, by number.
pub trait Doors {
    /// A connection to one of them. Clones share it.
    type Client: Clone;
    /// How many there are.
    fn count(&self) -> usize;
    /// Where one is, for people.
    fn name(&self, at: usize) -> &str;
    /// Dials one, in bounded time.
    async fn open(&self, at: usize) -> Result<Self::Client, CallError>;
}

/// What it means to ask again after an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing: a question, or a call that has the same effect twice as once.
    Harmless,
    /// It would be a second call. Whoever asked has to decide.
    Never,
}

/// Which of them is asked first. Clones share it: what one call finds out, all of the process know.
#[derive(Debug, Clone, Default)]
pub struct First(Arc<AtomicUsize>);

impl First {
    /// Its number.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
    fn set(&self, at: usize) {
        self.0.store(at, Ordering::Relaxed);
    }
    /// One of `count` was no good: if it was the first, the next one is.
    pub fn leave(&self, at: usize, count: usize) {
        let next = (at + 1) % count.max(1);
        // Somebody else may have found a good one meanwhile; then that one stays.
        let _ = self.0.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The top masters of a fabric, with the connections that are open.
#[derive(Clone)]
pub struct Round<D: Doors> {
    doors: D,
    first: First,
    open: Vec<Option<D::Client>>,
}

impl<D: Doors> Round<D> {
    /// Nobody is dialled yet.
    pub fn new(doors: D) -> Round<D> {
        let open = (0..doors.count()).map(|_| None).collect();
        Round { doors, first: First::default(), open }
    }
    /// Who can be asked.
    pub fn doors(&self) -> &D {
        &self.doors
    }
    /// Who is asked first.
    pub fn first(&self) -> &First {
        &self.first
    }

    /// Asks until somebody answers who may, once around.
    ///
    /// # Errors
    /// The answer of the one who may answer; or, if there is none, what is worst to know of them all: that the registry is
    /// away, that nobody owns the fabric, that an answer was lost, that nobody can be reached.
    pub async fn ask<T>(
        &mut self,
        again: Again,
        mut call: impl AsyncFnMut(&mut D::Client) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let (count, first) = (self.doors.count(), self.first.get());
        let mut heard = Heard::default();
        for at in (0..count).map(|n| (first + n) % count) {
            let error = match self.one(at, &mut call).await {
                Ok(answer) => {
                    self.first.set(at);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let lost = matches!(error, CallError::Lost(_));
            let elsewhere = matches!(error, CallError::Unreachable(_) | CallError::Standby(_))
                || error.code() == Some(Code::Registry);
            if lost || elsewhere {
                self.first.leave(at, count);
            }
            match elsewhere || (lost && again == Again::Harmless) {
                true => heard.take(self.doors.name(at), error),
                false => return Err(error),
            }
        }
        Err(heard.conclude())
    }

    /// The same, around and around while nobody owns the fabric.
    ///
    /// # Errors
    /// As [`Round::ask`].
    pub async fn ask_patiently<T>(
        &mut self,
        again: Again,
        patience: Patience,
        mut call: impl AsyncFnMut(&mut D::Client) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let (mut tries, mut waits) = (1, patience.waits());
        loop {
            match self.ask(again, &mut call).await {
                Err(CallError::Standby(why)) if tries < patience.tries => {
                    if tries == 1 {
                        eprintln!("{why}; waiting for one to take over");
                    }
                    tries += 1;
                    pause(&mut waits).await;
                }
                answer => return answer,
            }
        }
    }

    async fn one<T>(
        &mut self,
        at: usize,
        call: &mut impl AsyncFnMut(&mut D::Client) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut client = match self.open.get(at).cloned().flatten() {
            Some(client) => client,
            None => self.doors.open(at).await?,
        };
        let answer = call(&mut client).await;
        // What was lost is dialled anew; a standby's connection is good for the next round.
        let keep = !matches!(answer, Err(CallError::Lost(_)));
        if let Some(open) = self.open.get_mut(at) {
            *open = keep.then_some(client);
        }
        answer
    }
}

/// What was said on one round without an answer.
#[derive(Default)]
struct Heard {
    registry: Option<CallError>,
    standby: bool,
    lost: bool,
    words: Vec<String>,
}

impl Heard {
    fn take(&mut self, who: &str, error: CallError) {
        match &error {
            CallError::Standby(why) => self.words.push(format!("{who}: {why}")),
            other => self.words.push(other.to_string()),
        }
        match error {
            CallError::Standby(_) => self.standby = true,
            CallError::Lost(_) => self.lost = true,
            CallError::Refused { .. } => self.registry = Some(error),
            CallError::Unreachable(_) | CallError::Busy(_) => {}
        }
    }

    fn conclude(self) -> CallError {
        let words = self.words.join("; ");
        match self {
            Heard { registry: Some(refused), .. } => refused,
            Heard { standby: true, .. } => {
                CallError::Standby(format!("no top master owns the fabric now ({words})"))
            }
            Heard { lost: true, .. } => CallError::Lost(words),
            _ => CallError::Unreachable(format!(
                "{words}; is the top master running, and does the context name it rightly (relayctl context show)?"
            )),
        }
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
