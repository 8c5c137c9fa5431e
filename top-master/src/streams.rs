//! Answers that are streams: who owns what fills one, how many there are at once, and how long a reader may leave one waiting.
//!
//! What fills a stream is a task of the term. It ends with the term, with its client, or when the client has taken nothing for
//! [`READ_TIME`] while something waits for it; what waited is given up then. A stream that does not come to its own end says so
//! with an error: nobody takes a part of a list for the whole.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use relay_proto::Code;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Response, Status};

use crate::watch::MAX_WATCHERS;

/// Messages of one stream waiting for its client.
const STREAM_QUEUE: usize = 16;
/// A reader that takes nothing for so long, and at most twice as long, has gone or wants to hold memory here. Far longer than a
/// terminal's pager takes for a page of output, or a connection for its worst minute.
pub const READ_TIME: Duration = Duration::from_secs(30);
/// Lists on their way at once. Each may hold the names of a whole fleet until it is read, some ten megabytes.
pub const MAX_LISTS: usize = 32;

/// A stream of answers to one call.
pub type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Where a stream's messages go.
pub type Outlet<T> = mpsc::Sender<Result<T, Status>>;

/// The streams of a term. Clones share their bounds.
#[derive(Debug, Clone)]
pub struct Streams {
    tasks: TaskTracker,
    token: CancellationToken,
    lists: Arc<Semaphore>,
    watches: Arc<Semaphore>,
}

impl Streams {
    /// Their tasks are among these, and end with the token.
    pub fn new(tasks: TaskTracker, token: CancellationToken) -> Streams {
        let places = |most| Arc::new(Semaphore::new(most));
        Streams { tasks, token, lists: places(MAX_LISTS), watches: places(MAX_WATCHERS) }
    }

    /// A stream that comes to its end by itself.
    ///
    /// # Errors
    /// [`Code::Busy`]: too many.
    pub fn list<T: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        fill: impl FnOnce(Outlet<T>) -> F,
    ) -> Result<Response<Streamed<T>>, Status> {
        self.open(&self.lists, "lists", fill)
    }

    /// A stream that goes on for as long as there is something to tell.
    ///
    /// # Errors
    /// [`Code::Busy`]: too many.
    pub fn watch<T: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        fill: impl FnOnce(Outlet<T>) -> F,
    ) -> Result<Response<Streamed<T>>, Status> {
        self.open(&self.watches, "watches", fill)
    }

    /// Pages of at most `per_page` items.
    ///
    /// # Errors
    /// [`Code::Busy`]: too many lists.
    pub fn paged<I: Send + 'static, P: Send + 'static>(
        &self,
        items: Vec<I>,
        per_page: usize,
        page: impl Fn(Vec<I>) -> P + Send + 'static,
    ) -> Result<Response<Streamed<P>>, Status> {
        self.list(move |pages| async move {
            let mut items = items.into_iter().peekable();
            while items.peek().is_some() {
                if pages.send(Ok(page(items.by_ref().take(per_page).collect()))).await.is_err() {
                    return;
                }
            }
        })
    }

    /// A stream that takes one of these places until it is read or given up.
    ///
    /// # Errors
    /// [`Code::Busy`]: there is none.
    pub fn open<T: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        what: &str,
        fill: impl FnOnce(Outlet<T>) -> F,
    ) -> Result<Response<Streamed<T>>, Status> {
        let busy = |_| Code::Busy.status(format!("too many {what} are being sent: try again later"));
        let place = places.clone().try_acquire_owned().map_err(busy)?;
        let (tx, rx) = mpsc::channel(STREAM_QUEUE);
        let queue = Arc::new(Queue::new(rx));
        let (kept, token, filling) = (queue.clone(), self.token.clone(), fill(tx.clone()));
        self.tasks.spawn(async move {
            kept.keep(filling, tx, token).await;
            drop(place);
        });
        Ok(Response::new(Box::pin(Outgoing(queue))))
    }
}

/// What waits for one reader; both the task that fills it and the answer that is read have it.
struct Queue<T> {
    waiting: Mutex<mpsc::Receiver<Result<T, Status>>>,
    taken: AtomicU64,
    /// The reader has all, or has gone.
    gone: CancellationToken,
    /// What is said in place of an orderly end.
    last: Mutex<Option<Status>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Queue<T> {
    fn new(waiting: mpsc::Receiver<Result<T, Status>>) -> Queue<T> {
        // Unless it is said otherwise: also if what fills it dies.
        let last = Mutex::new(Some(stopped()));
        let (taken, gone) = (AtomicU64::new(0), CancellationToken::new());
        Queue { waiting: Mutex::new(waiting), taken, gone, last }
    }

    /// Until all is read, or nobody is to read it any more.
    async fn keep(&self, filling: impl Future<Output = ()>, tx: Outlet<T>, token: CancellationToken) {
        let whole = async {
            filling.await;
            *lock(&self.last) = None;
            // Not before: whoever reads the end must not take it for another one.
            drop(tx);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = self.gone.cancelled() => {}
            () = token.cancelled() => self.give_up(stopped()),
            () = self.unread() => self.give_up(not_read()),
            () = whole => {}
        }
    }

    /// Ends when something has waited for its reader for too long.
    async fn unread(&self) {
        let mut before = None;
        loop {
            tokio::time::sleep(READ_TIME).await;
            // The end waits, too: until it is read, its reader has a place.
            let waits = !lock(&self.waiting).is_empty() || lock(&self.last).is_none();
            let now = waits.then(|| self.taken.load(Ordering::Relaxed));
            if now.is_some() && now == before {
                return;
            }
            before = now;
        }
    }

    fn give_up(&self, why: Status) {
        *lock(&self.last) = Some(why);
        let mut waiting = lock(&self.waiting);
        waiting.close();
        while waiting.try_recv().is_ok() {}
    }
}

/// A stream as it is read.
struct Outgoing<T>(Arc<Queue<T>>);

impl<T> Stream for Outgoing<T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(lock(&self.0.waiting).poll_recv(cx));
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        let next = next.or_else(|| lock(&self.0.last).take().map(Err));
        if next.is_none() {
            self.0.gone.cancel();
        }
        Poll::Ready(next)
    }
}

impl<T> Drop for Outgoing<T> {
    fn drop(&mut self) {
        self.0.gone.cancel();
    }
}

fn stopped() -> Status {
    Code::Store.status("this top master is stopping: try again, or ask another one")
}

fn not_read() -> Status {
    Code::Busy.status(format!("nothing of this answer was read for {} s: ask again", READ_TIME.as_secs()))
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    struct Bench {
        streams: Streams,
        tasks: TaskTracker,
        token: CancellationToken,
    }

    fn bench() -> Bench {
        let (tasks, token) = (TaskTracker::new(), CancellationToken::new());
        tasks.close();
        Bench { streams: Streams::new(tasks.clone(), token.clone()), tasks, token }
    }

    type Read = Vec<Result<u32, Option<Code>>>;

    async fn rest(stream: &mut Streamed<u32>) -> Read {
        stream.map(|item| item.map_err(|status| Code::of(&status))).collect().await
    }

    async fn count(outlet: Outlet<u32>) {
        for n in 0..1_000 {
            if outlet.send(Ok(n)).await.is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn what_is_read_comes_whole_and_leaves_nothing() {
        let bench = bench();
        let pages = bench.streams.paged((0..1_000u32).collect(), 30, |page| page.iter().sum()).unwrap();
        let read = rest(&mut pages.into_inner()).await;
        assert_eq!(read.iter().flatten().sum::<u32>(), (0..1_000).sum::<u32>());
        assert_eq!((read.len(), read.iter().filter(|page| page.is_err()).count()), (34, 0));
        bench.tasks.wait().await;
        assert_eq!(bench.streams.lists.available_permits(), MAX_LISTS);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_cut_off_and_holds_nothing() {
        let bench = bench();
        let mut all = Vec::new();
        for _ in 0..MAX_LISTS {
            all.push(bench.streams.list(count).unwrap().into_inner());
        }
        // One that was filled to its end, and is not read either.
        assert!(bench.streams.list(count).is_err(), "one too many");
        let short = bench.streams.watch(|outlet| async move { drop(outlet.send(Ok(7)).await) });
        bench.tasks.wait().await;
        assert_eq!(bench.streams.lists.available_permits(), MAX_LISTS);
        all.push(short.unwrap().into_inner());
        for stream in &mut all {
            assert_eq!(rest(stream).await, [Err(Some(Code::Busy))], "what waited is gone, and it is said");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_everything_but_the_end_gives_its_place_back() {
        let bench = bench();
        let short = bench.streams.watch(|outlet| async move { drop(outlet.send(Ok(7)).await) });
        let mut stream = short.unwrap().into_inner();
        assert_eq!(stream.next().await.unwrap().unwrap(), 7);
        bench.tasks.wait().await;
        assert_eq!(rest(&mut stream).await, [Err(Some(Code::Busy))]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_gets_all_of_it() {
        let bench = bench();
        let mut stream = bench.streams.list(count).unwrap().into_inner();
        for n in 0..100 {
            tokio::time::sleep(READ_TIME - Duration::from_secs(1)).await;
            assert_eq!(stream.next().await.unwrap().unwrap(), n);
        }
        assert_eq!(rest(&mut stream).await.len(), 900);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_nothing_to_read_is_not_cut_off() {
        let bench = bench();
        let quiet = |outlet: Outlet<u32>| async move {
            tokio::time::sleep(100 * READ_TIME).await;
            drop(outlet.send(Ok(1)).await);
        };
        assert_eq!(rest(&mut bench.streams.watch(quiet).unwrap().into_inner()).await, [Ok(1)]);
    }

    #[tokio::test]
    async fn what_ends_early_says_so() {
        let bench = bench();
        let forever = |outlet: Outlet<u32>| async move {
            outlet.send(Ok(1)).await.unwrap();
            std::future::pending().await
        };
        let mut stopped = bench.streams.watch(forever).unwrap().into_inner();
        assert_eq!(stopped.next().await.unwrap().unwrap(), 1);
        drop(bench.streams.watch(forever).unwrap());
        bench.token.cancel();
        assert_eq!(rest(&mut stopped).await, [Err(Some(Code::Store))]);
        bench.tasks.wait().await;
    }
}
