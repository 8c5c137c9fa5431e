//! Watching a job: what is stored, then every change as it is committed, with no gap and no repeat.
//!
//! A watcher is subscribed before the store is read; the read says up to which change it goes, and told changes up to
//! that one are skipped. Each change comes as the same events wherever it is read from ([`telling`]), and the last of
//! them carries its number: a watcher that comes again names it, and is told what came after. A watcher that does not
//! keep up is cut off and watches again.

mod picture;
mod subscribe;
mod telling;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use relay_core::{ids::Jid, ledger::GroupNo, outcome::Answer, time::WallMicros};
use relay_proto::{
    Code,
    operator::{self as wire, watch_event::Event},
};
use relay_runtime::store::{JobView, Store};
use tokio::sync::mpsc;
use tonic::Status;

use crate::{
    directory::Directory,
    operator::{head, no_such_job, store_error},
};
use picture::Picture;
pub use subscribe::{MAX_WATCHERS, Standing, Subscription, Update, WATCH_QUEUE, Watchers};
use telling::Telling;

type Events = mpsc::Sender<Result<wire::WatchEvent, Status>>;

/// Streams a job to one watcher until it is closed, from after the change `after` (0: from the beginning).
pub async fn stream(
    store: Arc<dyn Store>,
    directory: Directory,
    jid: Jid,
    after: u64,
    subscription: Subscription,
    events: Events,
) {
    let follower = Follower { store: &*store, directory, jid, events: &events };
    if let Err(status) = follower.follow(after, subscription).await {
        let _ = events.send(Err(status)).await;
    }
}

async fn send(events: &Events, event: Event, cursor: u64) -> Result<(), Status> {
    let sent = events.send(Ok(wire::WatchEvent { event: Some(event), cursor })).await;
    sent.map_err(|_| Status::cancelled("the watcher is gone"))
}

/// One watcher.
struct Follower<'a> {
    store: &'a dyn Store,
    directory: Directory,
    jid: Jid,
    events: &'a Events,
}

impl Follower<'_> {
    async fn follow(&self, after: u64, subscription: Subscription) -> Result<(), Status> {
        let Subscription { standing, mut updates } = subscription;
        let view = self.store.job(self.jid, after).await.map_err(store_error)?;
        let view = view.ok_or_else(|| no_such_job(self.jid))?;
        let (seen, closed) = (view.seq, view.closed);
        if after > seen {
            let why =
                format!("cursor {after}: job {} has {seen} changes; watch it from the beginning", self.jid);
            return Err(Code::Invalid.status(why));
        }
        let mut picture = Picture::new(&self.directory, &view, standing);
        send(self.events, Event::Head(head::of_view(&view, picture.batch())), 0).await?;
        self.history(view).await?;
        if let Some(closed) = closed {
            return self.close(&picture, closed).await;
        }
        send(self.events, picture.progress(), 0).await?;
        while let Some(update) = updates.recv().await {
            if let Some(closed) = self.update(&mut picture, seen, update).await? {
                return self.close(&picture, closed).await;
            }
        }
        Err(Code::Busy.status("this watcher did not keep up: watch again"))
    }

    /// Tells the changes that are stored.
    async fn history(&self, view: JobView) -> Result<(), Status> {
        let mut bodies = Bodies::new(self.store, &view);
        for change in view.changes.chunk_by(|a, b| a.seq == b.seq) {
            let Some(first) = change.first() else { continue };
            let mut telling = Telling::new(self.events, &self.directory, first.seq, first.at);
            for part in change {
                telling.answer(&*bodies.of(part.no).await?, &part.members).await?;
            }
            telling.end().await?;
        }
        Ok(())
    }

    /// Takes in what the loop tells; when the job closed, if it did. Changes up to `seen` have been told.
    async fn update(
        &self,
        picture: &mut Picture,
        seen: u64,
        update: Update,
    ) -> Result<Option<WallMicros>, Status> {
        let mut closed = None;
        match update {
            Update::Changed { change, standing } => {
                picture.standing = standing;
                // A close without answers has the number of the change before it.
                closed = change.closed.then_some(change.at);
                if change.seq > seen {
                    let mut telling = Telling::new(self.events, &self.directory, change.seq, change.at);
                    for (_, answer, members) in &change.answers {
                        picture.take(answer.outcome, members);
                        telling.answer(answer, members).await?;
                    }
                    telling.end().await?;
                }
            }
            Update::Standing(standing) => picture.standing = standing,
        }
        if closed.is_none() {
            send(self.events, picture.progress(), 0).await?;
        }
        Ok(closed)
    }

    async fn close(&self, picture: &Picture, at: WallMicros) -> Result<(), Status> {
        send(self.events, picture.progress(), 0).await?;
        send(self.events, picture.closed(at), 0).await
    }
}

/// The answers of a view, and those whose bodies it left out: these come in pages.
struct Bodies<'a> {
    store: &'a dyn Store,
    jid: Jid,
    answers: BTreeMap<GroupNo, (Arc<Answer>, bool)>,
    page: BTreeMap<GroupNo, Arc<Answer>>,
}

impl<'a> Bodies<'a> {
    fn new(store: &'a dyn Store, view: &JobView) -> Bodies<'a> {
        let answers = view.groups.iter().map(|g| (g.no, (g.answer.clone(), g.body_left_out))).collect();
        Bodies { store, jid: view.head.job.jid, answers, page: BTreeMap::new() }
    }

    async fn of(&mut self, no: GroupNo) -> Result<Arc<Answer>, Status> {
        let damaged = || Code::Store.status(format!("the store has no answer {no} of job {}", self.jid));
        match self.answers.get(&no) {
            Some((answer, false)) => return Ok(answer.clone()),
            Some((_, true)) => {}
            None => return Err(damaged()),
        }
        if !self.page.contains_key(&no) {
            let page = self.store.answers(self.jid, no).await.map_err(store_error)?;
            self.page = page.into_iter().collect();
        }
        self.page.get(&no).cloned().ok_or_else(damaged)
    }
}
