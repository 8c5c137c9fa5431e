//! Waiting for what seldom happens beside what happens all the time.
//!
//! A link's task is woken for each message; that it is cut, or that a certificate ends, happens once. Polling all of these at each
//! message was a tenth of what a link costs. What is wrapped here is polled when it was woken itself, and not because its neighbour was.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A future that is polled at first, and then each time it was woken.
pub struct Rarely<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    rung: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is looked up: who polls puts its waker there first, and looks at this afterwards.
        self.rung.store(true, Ordering::SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        task.wake();
    }
}

impl<F: Future> Rarely<F> {
    /// Wraps a future.
    pub fn new(future: F) -> Rarely<F> {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) });
        Rarely { future: Box::pin(future), waker: bell.clone().into(), bell }
    }
}

impl<F: Future> Future for Rarely<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.bell.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cx.waker());
        if !this.bell.rung.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, future::poll_fn, rc::Rc};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_for_its_neighbour() {
        let polled = Rc::new(Cell::new(0));
        let (tx, mut rx) = oneshot::channel();
        let counted = {
            let polled = polled.clone();
            poll_fn(move |cx| {
                polled.set(polled.get() + 1);
                Pin::new(&mut rx).poll(cx)
            })
        };
        let mut rare = Rarely::new(counted);
        for _ in 0..10 {
            tokio::select! {
                biased;
                _ = &mut rare => panic!("nothing was sent"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(polled.get(), 1);
        tx.send(7).unwrap();
        assert_eq!(rare.await, Ok(7));
        assert_eq!(polled.get(), 2);
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_polled_it_last() {
        let (tx, rx) = oneshot::channel();
        let mut rare = Rarely::new(rx);
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut rare).poll(cx).is_pending())).await;
        assert!(first);
        let moved = tokio::spawn(rare);
        tokio::task::yield_now().await;
        tx.send(()).unwrap();
        assert_eq!(moved.await.unwrap(), Ok(()));
    }
}
