//! The events of a job that is watched, and whether the top master that tells them is still there.
//!
//! A frozen top master keeps its connections, and a stream on which nothing is said looks like a job on which nothing
//! happens. So where there is another one to go to, a silent one is asked whether it lives.

use std::time::Duration;

use relay_proto::operator::{StatusRequest, WatchEvent};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::{Client, round::First};
use crate::api::{CallError, Events};

/// Silence after which the top master is asked whether it lives: less than a takeover takes.
const SILENCE: Duration = Duration::from_secs(4);
/// How long that may take: as long as a dial.
const LIVES: Duration = Duration::from_secs(3);

/// The two ways to hear of a top master, so that a frozen one can be tested without one.
pub trait Line {
    /// The next event of the stream; nothing at its end. May be dropped and asked for again.
    async fn event(&mut self) -> Result<Option<WatchEvent>, Status>;
    /// Asks it something small.
    async fn knock(&mut self) -> Result<(), Status>;
}

/// A stream, and the connection that it came from.
pub struct Stream {
    events: Streaming<WatchEvent>,
    client: Client,
}

impl Stream {
    /// What a call was answered.
    pub fn new(events: Streaming<WatchEvent>, client: Client) -> Stream {
        Stream { events, client }
    }
}

impl Line for Stream {
    async fn event(&mut self) -> Result<Option<WatchEvent>, Status> {
        self.events.message().await
    }
    async fn knock(&mut self) -> Result<(), Status> {
        self.client.status(StatusRequest {}).await.map(drop)
    }
}

/// The events of one watch.
pub struct Watching<L = Stream> {
    line: L,
    /// Its number, and how many top masters there are.
    at: (usize, usize),
    first: First,
    /// [`SILENCE`] and [`LIVES`].
    pace: (Duration, Duration),
}

impl<L: Line> Watching<L> {
    /// What the first one of `count` tells.
    pub fn new(line: L, first: First, count: usize) -> Watching<L> {
        Watching { line, at: (first.get(), count), first, pace: (SILENCE, LIVES) }
    }

    /// An error if it is worth to go to another one.
    async fn lives(&mut self) -> Result<(), CallError> {
        if self.at.1 < 2 {
            return Ok(());
        }
        match timeout(self.pace.1, self.line.knock()).await {
            Err(_) => Err(CallError::Lost("the top master does not answer any more".into())),
            Ok(Err(status)) => gone(&status).map_or(Ok(()), Err),
            Ok(Ok(())) => Ok(()),
        }
    }
}

/// What says that another one has to be asked.
fn gone(status: &Status) -> Option<CallError> {
    let error = CallError::of(status);
    matches!(error, CallError::Lost(_) | CallError::Standby(_)).then_some(error)
}

impl<L: Line> Events for Watching<L> {
    async fn next(&mut self) -> Result<Option<WatchEvent>, CallError> {
        let error = loop {
            match timeout(self.pace.0, self.line.event()).await {
                Ok(Ok(event)) => return Ok(event),
                Ok(Err(status)) => match gone(&status) {
                    Some(error) => break error,
                    None => return Err(CallError::of(&status)),
                },
                Err(_) => match self.lives().await {
                    Ok(()) => {}
                    Err(error) => break error,
                },
            }
        };
        self.first.leave(self.at.0, self.at.1);
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, future::pending};

    use relay_proto::Code;

    use super::*;

    /// What is heard in turn, after which there is silence.
    #[derive(Default)]
    struct Script {
        /// An event or an error; nothing: silence for one time of waiting.
        events: VecDeque<Option<Result<WatchEvent, Status>>>,
        knocks: VecDeque<Result<(), Status>>,
        asked: usize,
    }

    impl Line for Script {
        async fn event(&mut self) -> Result<Option<WatchEvent>, Status> {
            match self.events.pop_front().flatten() {
                Some(event) => event.map(Some),
                None => pending().await,
            }
        }
        async fn knock(&mut self) -> Result<(), Status> {
            self.asked += 1;
            match self.knocks.pop_front() {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    }

    fn watching(line: Script, count: usize) -> Watching<Script> {
        let pace = (Duration::from_millis(1), Duration::from_millis(1));
        Watching { line, at: (0, count), first: First::default(), pace }
    }

    #[tokio::test]
    async fn a_silent_one_that_lives_is_listened_to() {
        let events = [None, None, Some(Ok(WatchEvent { cursor: 7, event: None }))].into();
        let mut watching = watching(Script { events, knocks: [Ok(()), Ok(())].into(), asked: 0 }, 2);
        assert_eq!(watching.next().await.unwrap().unwrap().cursor, 7);
        assert_eq!((watching.line.asked, watching.first.get()), (2, 0));
    }

    #[tokio::test]
    async fn a_frozen_one_is_left() {
        let mut watching = watching(Script { knocks: [Ok(())].into(), ..Script::default() }, 2);
        assert!(matches!(watching.next().await, Err(CallError::Lost(_))));
        assert_eq!((watching.line.asked, watching.first.get()), (2, 1));
    }

    #[tokio::test]
    async fn one_that_is_no_owner_any_more_is_left() {
        let no = || Code::NotOwner.status("top-2 owns the fabric");
        let silent = Script { knocks: [Err(no())].into(), ..Script::default() };
        let told = Script { events: [Some(Err(no()))].into(), ..Script::default() };
        for line in [silent, told] {
            let mut watching = watching(line, 2);
            assert!(matches!(watching.next().await, Err(CallError::Standby(_))));
            assert_eq!(watching.first.get(), 1);
        }
    }

    #[tokio::test]
    async fn its_own_answers_are_no_reason_to_leave() {
        let busy = Script { events: [Some(Err(Code::Busy.status("too slow")))].into(), ..Script::default() };
        let mut watching = watching(busy, 2);
        assert!(matches!(watching.next().await, Err(CallError::Busy(_))));
        assert_eq!(watching.first.get(), 0);
    }

    #[tokio::test]
    async fn the_only_one_is_waited_for() {
        let events = [None, None, Some(Err(Status::unavailable("reset")))].into();
        let mut watching = watching(Script { events, ..Script::default() }, 1);
        assert!(matches!(watching.next().await, Err(CallError::Lost(_))));
        assert_eq!((watching.line.asked, watching.first.get()), (0, 0));
    }
}
