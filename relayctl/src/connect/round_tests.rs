//! A few top masters in this process, of which some are dead, frozen or standbys.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use relay_core::ids::Jid;
use relay_proto::operator::{ApproveReply, CancelReply, SubmitRequest, Submitted, WatchEvent};

use super::*;
use crate::{
    api::Api,
    job::{
        End, JobResult, follow, so_far, submit,
        tests::{JID, Told, closed, head, ok, request},
    },
};

const QUICK: Patience = Patience { tries: 8, base: Duration::from_millis(1), cap: Duration::from_millis(1) };

/// What a top master is at one moment.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Is {
    Owner,
    Standby,
    Dead,
    /// It commits what it is asked, and dies before it answers.
    Dying,
    /// It cannot reach the registry.
    Unregistered,
}
use Is::*;

/// The fabric behind the doors: what each of them is, now and after so many knocks.
#[derive(Default)]
struct World {
    now: Vec<Is>,
    /// After so many knocks in all, things are so.
    later: VecDeque<(usize, Vec<Is>)>,
    /// Who was knocked at.
    knocks: Vec<usize>,
    /// The jobs that were committed, by request id.
    jobs: BTreeMap<Vec<u8>, u64>,
    /// What a watch tells after a cursor, once each.
    watches: VecDeque<(u64, Vec<Result<WatchEvent, CallError>>)>,
}

#[derive(Clone, Default)]
struct Street(Rc<RefCell<World>>);

impl Street {
    fn of(now: &[Is]) -> Street {
        Street(Rc::new(RefCell::new(World { now: now.to_vec(), ..World::default() })))
    }
    fn then(self, after: usize, is: &[Is]) -> Street {
        self.0.borrow_mut().later.push_back((after, is.to_vec()));
        self
    }
    fn fabric(&self) -> Fake {
        Fake(Round::new(self.clone()))
    }
    fn knocks(&self) -> Vec<usize> {
        self.0.borrow().knocks.clone()
    }
    /// Whether this one may be asked.
    fn knock(&self, at: usize) -> Result<Is, CallError> {
        let mut world = self.0.borrow_mut();
        world.knocks.push(at);
        if world.later.front().is_some_and(|(after, _)| world.knocks.len() > *after) {
            world.now = world.later.pop_front().unwrap().1;
        }
        match world.now[at] {
            Dead => Err(CallError::Unreachable(format!("top-{at}: refused"))),
            is => Ok(is),
        }
    }
    fn say<T>(&self, at: usize, is: Is, effect: impl FnOnce(&mut World) -> T) -> Result<T, CallError> {
        let mut world = self.0.borrow_mut();
        match is {
            Owner => Ok(effect(&mut world)),
            Dying => {
                effect(&mut world);
                world.now[at] = Dead;
                Err(CallError::Lost("reset".into()))
            }
            Standby => Err(CallError::of(&Code::NotOwner.status("it is a standby"))),
            Unregistered => Err(CallError::of(&Code::Registry.status("the registry does not answer"))),
            Dead => unreachable!(),
        }
    }
}

impl Doors for Street {
    type Client = usize;
    fn count(&self) -> usize {
        self.0.borrow().now.len()
    }
    fn name(&self, at: usize) -> &str {
        ["top-0", "top-1", "top-2"][at]
    }
    async fn open(&self, at: usize) -> Result<usize, CallError> {
        // Whether somebody is there is found out by the knock.
        Ok(at)
    }
}

/// As `Fabric` is, over such doors.
struct Fake(Round<Street>);

impl Fake {
    async fn ask<T>(&mut self, again: Again, effect: impl Fn(&mut World) -> T) -> Result<T, CallError> {
        let street = self.0.doors().clone();
        self.0
            .ask(again, async |at: &mut usize| {
                let is = street.knock(*at)?;
                street.say(*at, is, &effect)
            })
            .await
    }
}

impl Api for Fake {
    type Events = Told;
    async fn submit(&mut self, request: &SubmitRequest) -> Result<Submitted, CallError> {
        let id = request.request_id.clone();
        let accept = |world: &mut World| {
            let next = JID + world.jobs.len() as u64;
            let known = world.jobs.contains_key(&id);
            let jid = *world.jobs.entry(id.clone()).or_insert(next);
            Submitted { jid, targets: 2, known }
        };
        self.ask(Again::Never, accept).await
    }
    async fn cancel(&mut self, _: Jid) -> Result<CancelReply, CallError> {
        self.ask(Again::Harmless, |_| CancelReply { outstanding: 1 }).await
    }
    async fn approve(&mut self, _: Jid) -> Result<ApproveReply, CallError> {
        self.ask(Again::Never, |_| ApproveReply { stage: 2, stages: 3 }).await
    }
    async fn watch(&mut self, _: Jid, after: u64) -> Result<Told, CallError> {
        let asked = RefCell::new(None);
        let tell = |world: &mut World| *asked.borrow_mut() = world.watches.pop_front();
        self.ask(Again::Harmless, tell).await?;
        let (cursor, events) = asked.into_inner().expect("no watch was expected");
        assert_eq!(cursor, after, "where the watch is taken up");
        Ok(Told { events: events.into(), then_silent: false })
    }
}

fn jobs(street: &Street) -> usize {
    street.0.borrow().jobs.len()
}

#[tokio::test]
async fn the_first_who_may_answer_is_asked_first_from_then_on() {
    for before in [Standby, Dead] {
        let street = Street::of(&[before, Owner]);
        let mut fabric = street.fabric();
        submit(&mut fabric, &request(), QUICK, QUICK).await.unwrap();
        assert_eq!(street.knocks(), [0, 1], "{before:?}");
        fabric.cancel(Jid::from_micros(JID)).await.unwrap();
        assert_eq!(street.knocks(), [0, 1, 1], "{before:?}");
    }
}

#[tokio::test]
async fn clones_share_what_was_found_out() {
    let street = Street::of(&[Standby, Owner]);
    let mut one = street.fabric();
    let mut other = Fake(one.0.clone());
    one.cancel(Jid::from_micros(JID)).await.unwrap();
    other.cancel(Jid::from_micros(JID)).await.unwrap();
    assert_eq!(street.knocks(), [0, 1, 1]);
}

#[tokio::test]
async fn an_owner_that_dies_between_commit_and_answer_makes_one_job() {
    // The standby takes over some knocks later.
    let street = Street::of(&[Dying, Standby]).then(4, &[Dead, Owner]);
    let submitted = submit(&mut street.fabric(), &request(), QUICK, QUICK).await.unwrap();
    assert!(submitted.known, "the same request is the same job");
    assert_eq!(jobs(&street), 1);
}

#[tokio::test]
async fn a_takeover_is_waited_for() {
    let street = Street::of(&[Standby, Standby]).then(6, &[Standby, Owner]);
    let submitted = submit(&mut street.fabric(), &request(), QUICK, QUICK).await.unwrap();
    assert!(!submitted.known);
    assert_eq!(jobs(&street), 1);
    // For other calls by the round itself.
    let street = Street::of(&[Dead, Standby]).then(6, &[Dead, Owner]);
    let mut round = Round::new(street.clone());
    let call = async |at: &mut usize| {
        let is = street.knock(*at)?;
        street.say(*at, is, |_| 7)
    };
    assert_eq!(round.ask_patiently(Again::Never, QUICK, call).await.unwrap(), 7);
}

#[tokio::test]
async fn patience_ends_and_says_what_each_one_said() {
    let street = Street::of(&[Standby, Dead]);
    let error = submit(&mut street.fabric(), &request(), QUICK, QUICK).await.unwrap_err().to_string();
    assert!(
        error.contains("no top master owns the fabric now (top-0: it is a standby; top-1: refused)"),
        "{error}"
    );
    assert!(error.ends_with("nothing was sent, and the job is not accepted"), "{error}");
    let street = Street::of(&[Dead, Dead]);
    let error = submit(&mut street.fabric(), &request(), QUICK, QUICK).await.unwrap_err().to_string();
    assert!(error.contains("top-0: refused; top-1: refused; is the top master running"), "{error}");
}

#[tokio::test]
async fn without_a_registry_it_is_refused_unless_another_one_owns() {
    let street = Street::of(&[Unregistered, Standby]);
    let error = submit(&mut street.fabric(), &request(), QUICK, QUICK).await.unwrap_err();
    assert_eq!(error.downcast_ref::<CallError>().and_then(CallError::code), Some(Code::Registry));
    assert_eq!(street.knocks(), [0, 1], "nobody waits for a registry");
    let street = Street::of(&[Unregistered, Owner]);
    submit(&mut street.fabric(), &request(), QUICK, QUICK).await.unwrap();
}

#[tokio::test]
async fn what_may_not_be_asked_twice_is_not() {
    let street = Street::of(&[Dying, Owner]);
    let lost = street.fabric().approve(Jid::from_micros(JID)).await.unwrap_err();
    assert!(matches!(lost, CallError::Lost(_)), "{lost:?}");
    assert_eq!(street.knocks(), [0]);
    let street = Street::of(&[Dying, Owner]);
    assert!(street.fabric().cancel(Jid::from_micros(JID)).await.is_ok());
    assert_eq!(street.knocks(), [0, 1]);
}

#[tokio::test]
async fn an_answer_of_the_owner_is_final() {
    let street = Street::of(&[Owner, Owner]);
    let mut round = Round::new(street);
    let mut asked = 0;
    let no = async |_: &mut usize| {
        asked += 1;
        Err::<(), _>(CallError::of(&Code::NoMatch.status("no minion matches")))
    };
    assert_eq!(round.ask(Again::Harmless, no).await.unwrap_err().code(), Some(Code::NoMatch));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_watch_is_taken_up_at_another_top_master_without_gap_or_repeat() {
    let at = |cursor, told: WatchEvent| Ok(WatchEvent { cursor, ..told });
    let gone = || Err(CallError::Lost("reset".into()));
    // The owner dies in mid-stream; the other one is a standby for some knocks, then tells what comes after the cursor.
    let street = Street::of(&[Owner, Standby]).then(1, &[Dead, Standby]).then(8, &[Dead, Owner]);
    street.0.borrow_mut().watches = VecDeque::from([
        (0, vec![Ok(head(3, 0, 0)), at(5, ok(&["a"])), at(0, ok(&["b"])), gone()]),
        (5, vec![Ok(head(3, 0, 1)), at(8, ok(&["b"])), at(9, ok(&["c"])), Ok(closed())]),
    ]);
    let mut result = JobResult::new(Jid::from_micros(JID), 3);
    let ended = follow(&mut street.fabric(), &mut result, QUICK, |_| {}).await.unwrap();
    assert!(matches!(ended, End::Closed));
    assert_eq!((result.accounted(), result.cursor(), result.count_words()), (3, 9, "3 ok".into()));
}

#[tokio::test]
async fn a_look_at_a_job_outlives_its_top_master() {
    let street = Street::of(&[Dying, Owner]);
    let whole = vec![Ok(head(1, 9, 1)), Ok(ok(&["a"])), Ok(closed())];
    street.0.borrow_mut().watches = VecDeque::from([(0, Vec::new()), (0, whole)]);
    let mut result = JobResult::new(Jid::from_micros(JID), 0);
    so_far(&mut street.fabric(), &mut result).await.unwrap();
    assert!(result.is_closed());
}

#[test]
fn who_was_left_is_not_first() {
    let first = First::default();
    first.leave(0, 3);
    assert_eq!(first.get(), 1);
    // Somebody else left it before.
    first.leave(0, 3);
    assert_eq!(first.get(), 1);
    first.leave(1, 3);
    first.leave(2, 3);
    assert_eq!(first.get(), 0);
}
