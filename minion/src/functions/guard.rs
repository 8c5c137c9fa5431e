//! What stands around every built-in function: its run limit, and a fence that no panic passes.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use relay_core::outcome::{Answer, Outcome, Reason};

use super::body;

/// Runs a function's future under its limit. A panic inside ends that future alone, as `failed`.
///
/// At the limit the future is dropped; nothing of a built-in outlives its future, so `timed_out` is proven.
pub(super) async fn guarded(
    name: &'static str,
    limit: Duration,
    future: impl Future<Output = Answer>,
) -> Answer {
    match tokio::time::timeout(limit, fenced(name, future)).await {
        Ok(answer) => answer,
        Err(_) => Answer::bare(Outcome::TimedOut, Reason::None),
    }
}

async fn fenced(name: &'static str, future: impl Future<Output = Answer>) -> Answer {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        // After a panic the future is never polled again: `Ready` ends this one, so no broken state is seen.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::as_mut(&mut future).poll(cx)));
        polled.unwrap_or_else(|panic| Poll::Ready(broken(name, &*panic)))
    })
    .await
}

fn broken(name: &str, panic: &(dyn std::any::Any + Send)) -> Answer {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        function = name,
        panic = text,
        "a built-in function panicked; this is a defect of the minion"
    );
    body::failed(&format!("The minion function {name} broke: {}", text.unwrap_or("it panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_answer() {
        let answer =
            guarded("test.broken", Duration::from_secs(60), async { panic!("on {}", "purpose") }).await;
        assert_eq!(answer.outcome, Outcome::Failed);
        assert!(String::from_utf8_lossy(&answer.body).contains("on purpose"));
    }

    #[tokio::test]
    async fn the_limit_ends_what_never_ends() {
        let answer = guarded("test.endless", Duration::ZERO, std::future::pending()).await;
        assert_eq!(answer.outcome, Outcome::TimedOut);
    }
}
