//! Ctrl-C, and SIGTERM, which is the same from a script.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Signals kept while one is answered. Two mean something; more is impatience.
const KEPT: usize = 4;

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A script wants it to end.
    Terminate,
}

/// Signals from now on. They do not end the process any more.
pub fn signals() -> mpsc::Receiver<Signal> {
    let (to, signals) = mpsc::channel(KEPT);
    for (kind, word) in
        [(SignalKind::interrupt(), Signal::Interrupt), (SignalKind::terminate(), Signal::Terminate)]
    {
        // Without a handler the signal ends the process, which is a way to let go of a job as well.
        let Ok(mut coming) = signal(kind) else { continue };
        let to = to.clone();
        tokio::spawn(async move {
            while coming.recv().await.is_some() {
                let _ = to.try_send(word);
            }
        });
    }
    signals
}

/// Waits for one of them.
pub async fn interrupted() {
    if signals().recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
