//! The one watch of this process on etcd: kept up over every loss, checked for silence, and never with a gap that is not told.

use std::time::Duration;

use etcd_client::{Event as Change, EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::time::timeout;

use super::{
    super::{Area, Event, Key, Revision},
    Shared,
    failure::Failure,
    names::revision,
    session::{ATTEMPT, Session},
};

/// After so long without a word, etcd is asked for one. It must not be quicker than a leader's election.
const QUIET: Duration = Duration::from_secs(2);
/// Before the first new try, and the longest; doubled from one to the other.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Why the watch has to be made anew.
enum End {
    /// etcd, or what we do about it, failed.
    Failed(Failure),
    /// What comes next is no longer in etcd's history.
    Compacted,
}

impl<E: Into<Failure>> From<E> for End {
    fn from(error: E) -> End {
        End::Failed(error.into())
    }
}

impl Shared {
    /// Follows for ever.
    pub(super) async fn follow(&self) {
        let mut pause = PAUSES.0;
        let mut lost = false;
        loop {
            let next = self.feeds.next().await;
            let mut session = None;
            let end = self.follow_from(next, &mut session, &mut lost).await;
            let number = session.map(|session| session.number());
            match end {
                Ok(never) => match never {},
                Err(End::Compacted) => continue,
                Err(End::Failed(failure)) => {
                    let why = failure.judge(None).unwrap_or_else(|error| error.to_string());
                    if !lost {
                        tracing::warn!(why, "the registry is not followed; trying again");
                        (lost, pause) = (true, PAUSES.0);
                    }
                }
            }
            number.into_iter().for_each(|number| self.sessions.leave(number));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Follows until something is wrong.
    async fn follow_from(
        &self,
        next: u64,
        used: &mut Option<Session>,
        lost: &mut bool,
    ) -> Result<std::convert::Infallible, End> {
        let session = self.sessions.session().await?;
        *used = Some(session.clone());
        let options =
            WatchOptions::new().with_prefix().with_start_revision(i64::try_from(next).unwrap_or(i64::MAX));
        let names = self.names.start(Area::All);
        let watching = timeout(ATTEMPT, session.client().watch_client().watch(names, Some(options))).await;
        let mut stream = watching.map_err(|_| silent())??;
        loop {
            let answer = word(&mut stream).await?;
            if answer.canceled() {
                return Err(self.cancelled(&answer).await);
            }
            if std::mem::take(lost) {
                tracing::info!(url = session.url(), "the registry is followed again");
            }
            self.tell(answer.events());
        }
    }

    /// Why etcd has ended the watch; if it is for its history's sake, everybody lists anew.
    async fn cancelled(&self, answer: &WatchResponse) -> End {
        if answer.compact_revision() == 0 {
            return End::Failed(Failure::Again(answer.cancel_reason().to_owned()));
        }
        match self.list(Area::TopMasters).await {
            Ok(listing) => {
                tracing::warn!("changes of the registry are no longer in its history; all is listed anew");
                self.feeds.resync(listing.revision);
                End::Compacted
            }
            Err(error) => End::Failed(error.into()),
        }
    }

    fn tell(&self, changes: &[Change]) {
        let last =
            changes.iter().filter_map(|change| change.kv()).map(|kv| revision(kv.mod_revision())).max();
        if let Some(last) = last {
            self.feeds.tell(changes.iter().filter_map(|change| self.event(change)).collect(), last);
            self.sessions.seen().learn(last);
        }
    }

    fn event(&self, change: &Change) -> Option<(Key, Event)> {
        let found = change.kv()?;
        match change.event_type() {
            EventType::Put => {
                let entry = self.names.entry(found)?;
                Some((entry.key.clone(), Event::Put(entry)))
            }
            EventType::Delete => {
                let key = self.names.key(found.key())?;
                let revision: Revision = revision(found.mod_revision());
                Some((key.clone(), Event::Gone { key, revision }))
            }
        }
    }
}

/// The next word of a watch. A stream that is dead without showing it gives none when asked.
async fn word(stream: &mut WatchStream) -> Result<WatchResponse, Failure> {
    if let Ok(word) = timeout(QUIET, stream.message()).await {
        return word?.ok_or_else(ended);
    }
    stream.request_progress().await?;
    match timeout(ATTEMPT, stream.message()).await {
        Ok(word) => word?.ok_or_else(ended),
        Err(_) => Err(silent()),
    }
}

fn silent() -> Failure {
    Failure::Again("the watch has fallen silent".into())
}

fn ended() -> Failure {
    Failure::Again("the watch has ended".into())
}
