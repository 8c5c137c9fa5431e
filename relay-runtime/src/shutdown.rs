//! How a daemon ends: one token that says "stop", and a list of named tasks that somebody waits for.
//!
//! Owns the signals, the names of tasks, and what the death of a task means. What a task does when the token is
//! cancelled is the task's own; the exit code is chosen by `main` from [`Finished`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What the end of a task means for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The process is no use without it: ends it before the shutdown, and everything stops.
    Vital,
    /// One of many (a link, a request): its end is its own affair, its panic is logged.
    Passing,
}

/// The stop token and the tasks of one process. Clones are handles on the same set.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Cancelled on SIGTERM or SIGINT, on the death of a vital task, and by [`Shutdown::finish`].
    pub token: CancellationToken,
    /// Counts the tasks; spawn through [`Shutdown::spawn_named`], which also names them.
    pub tasks: TaskTracker,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    running: BTreeMap<u64, Cow<'static, str>>,
    first_death: Option<String>,
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The vital task whose death stopped the process, and how it died. `None` when it was told to stop.
    pub died: Option<String>,
    /// Tasks that were still running when the time was up, by name.
    pub unfinished: Vec<String>,
}

impl Shutdown {
    /// A set of tasks that stops on SIGTERM or SIGINT. Call it once, inside the runtime, before ports are bound.
    ///
    /// # Errors
    /// The system's error when a signal handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        let shutdown = Self::without_signals();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let token = shutdown.token.clone();
        shutdown.spawn_named("signals", Role::Passing, stop_on_signal(terminate, interrupt, token));
        Ok(shutdown)
    }

    /// A set of tasks that stops only when its token is cancelled: for a part inside a process that has its own
    /// [`Shutdown`], and for tests.
    pub fn without_signals() -> Self {
        Self::with_token(CancellationToken::new())
    }

    /// As [`Shutdown::without_signals`], stopped by somebody else's token.
    pub fn with_token(token: CancellationToken) -> Self {
        Self { token, tasks: TaskTracker::new(), book: Arc::new(Mutex::new(Book::default())) }
    }

    /// Runs `future` as a task of this process. Its panic is logged with its name. A [`Role::Vital`] task that ends
    /// before the token is cancelled, in whatever way, stops the process.
    pub fn spawn_named(
        &self,
        name: impl Into<Cow<'static, str>>,
        role: Role,
        future: impl Future<Output = ()> + Send + 'static,
    ) {
        let (name, shutdown) = (name.into(), self.clone());
        let number = self.book().enter(name.clone());
        // The task runs inside a second one, so that its panic arrives here as a value.
        let task = AbortOnDropHandle::new(tokio::spawn(future));
        self.tasks.spawn(async move {
            let end = task.await;
            shutdown.settle(&name, role, end);
            shutdown.book().running.remove(&number);
        });
    }

    fn settle(&self, name: &str, role: Role, end: Result<(), JoinError>) {
        let panic = end.err().filter(JoinError::is_panic).map(|error| error.to_string());
        if let Some(panic) = &panic {
            tracing::error!(task = name, panic, "a task panicked");
        }
        if role == Role::Vital && !self.token.is_cancelled() {
            let how = panic.as_deref().unwrap_or("it ended too early");
            tracing::error!(task = name, how, "a vital task died; stopping");
            self.book().first_death.get_or_insert(format!("{name}: {how}"));
            self.token.cancel();
        }
    }

    /// Tells all tasks to stop, waits for them, at most `within`, and says how it went. Tasks that are not done by then
    /// are left to the end of the runtime: nothing they hold may need a clean end, since kill -9 is always possible.
    pub async fn finish(self, within: Duration) -> Finished {
        self.token.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(within, self.tasks.wait()).await;
        let book = self.book();
        let unfinished: Vec<String> = book.running.values().map(|name| name.to_string()).collect();
        if !unfinished.is_empty() {
            tracing::warn!(?unfinished, "tasks did not stop in time");
        }
        Finished { died: book.first_death.clone(), unfinished }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn enter(&mut self, name: Cow<'static, str>) -> u64 {
        self.next += 1;
        self.running.insert(self.next, name);
        self.next
    }
}

async fn stop_on_signal(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = token.cancelled() => return,
    };
    tracing::info!(signal = name, "stopping");
    token.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Generous: a test that needs it has failed.
    const LONG: Duration = Duration::from_secs(60);

    async fn died(role: Role, future: impl Future<Output = ()> + Send + 'static) -> Option<String> {
        let shutdown = Shutdown::without_signals();
        let bystander = shutdown.token.clone();
        shutdown.spawn_named("bystander", Role::Vital, async move { bystander.cancelled().await });
        shutdown.spawn_named("subject", role, future);
        if role == Role::Vital {
            tokio::time::timeout(LONG, shutdown.token.cancelled()).await.expect("the token is cancelled");
        } else {
            while shutdown.tasks.len() > 1 {
                tokio::task::yield_now().await;
            }
            assert!(!shutdown.token.is_cancelled());
        }
        let finished = shutdown.finish(LONG).await;
        assert_eq!(finished.unfinished, Vec::<String>::new());
        finished.died
    }

    #[tokio::test]
    async fn the_end_of_a_vital_task_stops_the_process_and_is_named() {
        assert_eq!(died(Role::Vital, async {}).await.as_deref(), Some("subject: it ended too early"));
        let death = died(Role::Vital, async { panic!("out of ideas") }).await.expect("a death");
        assert!(death.starts_with("subject: ") && death.contains("out of ideas"), "{death}");
    }

    #[tokio::test]
    async fn the_end_of_a_passing_task_stops_nothing() {
        assert_eq!(died(Role::Passing, async {}).await, None);
        assert_eq!(died(Role::Passing, async { panic!("one link") }).await, None);
    }

    #[tokio::test]
    async fn tasks_that_do_not_stop_are_named_and_not_waited_for() {
        let shutdown = Shutdown::without_signals();
        shutdown.spawn_named("stuck", Role::Passing, std::future::pending());
        shutdown.spawn_named(String::from("quick"), Role::Passing, async {});
        while shutdown.tasks.len() > 1 {
            tokio::task::yield_now().await;
        }
        let finished = shutdown.finish(Duration::ZERO).await;
        assert_eq!(finished, Finished { died: None, unfinished: vec!["stuck".into()] });
    }

    #[tokio::test]
    async fn sigterm_cancels_the_token() {
        let shutdown = Shutdown::install().unwrap();
        nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGTERM).unwrap();
        tokio::time::timeout(LONG, shutdown.token.cancelled()).await.expect("cancelled by the signal");
        let finished = shutdown.finish(LONG).await;
        assert_eq!(finished, Finished { died: None, unfinished: vec![] });
    }
}
