//! Tables of the rules, and what holds over any sequence of events.

use proptest::prelude::*;

use super::{decision::*, renewal::*, *};

const NOW: WallMicros = 1_000_000_000_000_000;
const DAY: WallMicros = 24 * 3_600 * 1_000_000;

fn key(n: u8) -> Fingerprint {
    Fingerprint([n; 32])
}

fn asking(n: u8) -> Asking<'static> {
    Asking {
        fingerprint: key(n),
        at: NOW,
        from: "192.0.2.1",
        via: "aws-1",
        software: "relay/0.1.0",
        token: None,
        uid: 100 + u64::from(n),
        until: NOW + DAY,
        room: true,
    }
}

fn by() -> Deciding<'static> {
    Deciding { by: "alice", at: NOW + 1 }
}

fn kept<T>(step: Step<T>) -> Enrolled {
    step.record.expect("something changed")
}

fn pending(n: u8) -> Enrolled {
    kept(Enrolled::asked(None, &asking(n)))
}

/// A member with key 1 and its first certificate fetched.
fn member() -> Enrolled {
    let accepted = kept(pending(1).accept(key(1), 7, by()).unwrap());
    kept(Enrolled::asked(Some(&accepted), &asking(1)))
}

fn in_state(state: State) -> Enrolled {
    match state {
        State::Pending | State::Conflict => pending(1),
        State::Accepted => member(),
        State::Rejected => kept(pending(1).reject(None, by()).unwrap()),
        State::Quarantined => Enrolled { state: State::Quarantined, ..member() },
        State::Retired => kept(member().delete(None, by()).unwrap()),
    }
}

fn renewing(generation: u32, held: u8, next: u8) -> Renewing<'static> {
    let (ends, until) = (NOW + DAY, NOW + 2 * DAY);
    Renewing { uid: 7, generation, held: key(held), ends, next: key(next), from: "192.0.2.9", at: NOW, until }
}

#[test]
fn a_fingerprint_is_taken_in_the_forms_that_tools_print_and_only_whole() {
    let print = key(0xab);
    let plain = "ab".repeat(32);
    let colons = vec!["AB"; 32].join(":");
    for good in [plain.clone(), plain.to_uppercase(), colons.clone(), format!("sha256:{plain}")] {
        assert_eq!(good.parse(), Ok(print), "{good}");
    }
    assert_eq!(print.to_string(), plain);
    let half = &plain[..63];
    for bad in [
        "",
        half,
        &format!("{plain}a"),
        &format!("{half}g"),
        &format!("+{half}"),
        &colons[..94],
        &colons.replace(':', "-"),
    ] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}

#[test]
fn what_a_request_leads_to() {
    let issued = Taken::Issued { uid: 7, generation: 1, joined: false };
    for (known, same, other) in [
        (None, Taken::Waits, Taken::Waits),
        (Some(State::Pending), Taken::Waits, Taken::Refused(State::Conflict)),
        (Some(State::Accepted), issued, Taken::Refused(State::Conflict)),
        (Some(State::Rejected), Taken::Refused(State::Rejected), Taken::Refused(State::Conflict)),
        (Some(State::Quarantined), Taken::Refused(State::Quarantined), Taken::Refused(State::Quarantined)),
        (Some(State::Retired), Taken::Waits, Taken::Waits),
    ] {
        let record = known.map(in_state);
        assert_eq!(Enrolled::asked(record.as_ref(), &asking(1)).answer, same, "the same key, {known:?}");
        assert_eq!(Enrolled::asked(record.as_ref(), &asking(2)).answer, other, "another key, {known:?}");
    }
}

#[test]
fn a_token_lets_in_who_is_new_or_waits_and_nobody_else() {
    let with = |n| Asking { token: Some("abc"), ..asking(n) };
    let joined = |n: u8| Taken::Issued { uid: 100 + u64::from(n), generation: 1, joined: true };
    for (known, n, expected) in [
        (None, 1, joined(1)),
        (Some(State::Pending), 1, joined(1)),
        (Some(State::Retired), 1, joined(1)),
        (Some(State::Retired), 2, joined(2)),
        (Some(State::Pending), 2, Taken::Refused(State::Conflict)),
        (Some(State::Accepted), 1, Taken::Issued { uid: 7, generation: 1, joined: false }),
        (Some(State::Accepted), 2, Taken::Refused(State::Conflict)),
        (Some(State::Rejected), 1, Taken::Refused(State::Rejected)),
        (Some(State::Quarantined), 1, Taken::Refused(State::Quarantined)),
    ] {
        let step = Enrolled::asked(known.map(in_state).as_ref(), &with(n));
        assert_eq!(step.answer, expected, "{known:?} {n}");
        if expected == joined(n) {
            let record = kept(step);
            assert_eq!((record.state, record.by.as_str()), (State::Accepted, "token abc"));
            assert_eq!((record.uid, record.until), (100 + u64::from(n), NOW + DAY));
        }
    }
    let full = Asking { room: false, ..with(1) };
    assert_eq!(Enrolled::asked(None, &full).answer, joined(1), "who waits for nobody needs no room to wait");
}

#[test]
fn who_waits_is_written_down_seldom_and_only_while_there_is_room() {
    let record = pending(1);
    let at = |at| Enrolled::asked(Some(&record), &Asking { at, ..asking(1) });
    assert_eq!(at(NOW + TOUCHED_EVERY - 1).record, None);
    assert_eq!(kept(at(NOW + TOUCHED_EVERY)).asked, NOW + TOUCHED_EVERY);
    assert!(!record.is_stale(NOW + PENDING_FOR - 1) && record.is_stale(NOW + PENDING_FOR));
    assert!(!member().is_stale(NOW + 100 * PENDING_FOR));
    let full = Asking { room: false, ..asking(1) };
    assert_eq!(Enrolled::asked(None, &full), Step::answer(Taken::Full));
    assert_eq!(Enrolled::asked(Some(&record), &full).answer, Taken::Waits, "it has its place already");
}

#[test]
fn a_certificate_given_again_is_written_down_seldom_and_keeps_its_number() {
    let again = |until| Enrolled::asked(Some(&member()), &Asking { until: NOW + until, ..asking(1) });
    let issued = Taken::Issued { uid: 7, generation: 1, joined: false };
    assert_eq!(again(DAY + NOTED_EVERY - 1), Step::answer(issued));
    let later = again(DAY + NOTED_EVERY);
    assert_eq!((later.answer, later.event), (issued, Some(Event::Issued)));
    assert_eq!(kept(later), Enrolled { until: NOW + DAY + NOTED_EVERY, ..member() });
}

#[test]
fn other_keys_are_noted_once_each_within_bounds_and_change_nothing_else() {
    let mut record = member();
    for n in 2..40 {
        let step = Enrolled::asked(Some(&record), &asking(n));
        assert_eq!(step.answer, Taken::Refused(State::Conflict));
        assert_eq!(step.record.is_some(), usize::from(n) < 2 + MAX_RIVALS, "{n}");
        assert_eq!(step.event.is_some(), step.record.is_some());
        record = step.record.unwrap_or(record);
        assert_eq!(Enrolled::asked(Some(&record), &asking(n)).record, None, "a second time changes nothing");
    }
    assert_eq!(Enrolled { rivals: vec![], ..record.clone() }, member());
    assert_eq!(record.shown(), State::Accepted);
    let waiting = kept(Enrolled::asked(Some(&pending(1)), &asking(2)));
    assert_eq!(waiting.shown(), State::Conflict);
}

#[test]
fn what_operators_may_decide() {
    use Undecided::*;
    let (yes, before) = (Ok(Done::Now), Ok(Done::Before));
    let rows = [
        // state, accept its key, accept another, reject, delete, release
        (State::Pending, yes, Err(Fingerprint), yes, yes, Err(NotQuarantined)),
        (State::Accepted, before, Err(Taken), Err(Accepted), yes, Err(NotQuarantined)),
        (State::Rejected, yes, Err(Fingerprint), before, yes, Err(NotQuarantined)),
        (State::Quarantined, Err(Quarantined), Err(Quarantined), Err(Quarantined), yes, yes),
        (State::Retired, Err(Nobody), Err(Nobody), Err(Nobody), Err(Nobody), Err(NotQuarantined)),
    ];
    for (state, own, other, reject, delete, release) in rows {
        let record = in_state(state);
        let found = [
            record.accept(key(1), 9, by()),
            record.accept(key(2), 9, by()),
            record.reject(None, by()),
            record.delete(None, by()),
            record.release(key(1), 9, by()),
        ];
        let found = found.map(|step| step.map(|step| step.answer));
        assert_eq!(found, [own, other, reject, delete, release], "{state}");
        // A wrong fingerprint decides nothing.
        for step in [record.reject(Some(key(9)), by()), record.delete(Some(key(9)), by())] {
            assert_eq!(step.unwrap_err(), Fingerprint, "{state}");
        }
    }
}

#[test]
fn of_two_keys_the_fingerprint_decides_and_the_other_one_is_out() {
    let both = kept(Enrolled::asked(Some(&pending(1)), &asking(2)));
    let second = kept(both.accept(key(2), 9, by()).unwrap());
    assert_eq!((second.fingerprint, second.uid, second.rivals.len()), (key(2), 9, 0));
    assert_eq!(Enrolled::asked(Some(&second), &asking(1)).answer, Taken::Refused(State::Conflict));
    // A rival of a member can be dismissed without the member.
    let rivalled = kept(Enrolled::asked(Some(&member()), &asking(2)));
    for step in [rivalled.reject(Some(key(2)), by()), rivalled.delete(Some(key(2)), by())] {
        assert_eq!(step.unwrap().record, Some(member()));
    }
}

#[test]
fn deleting_denies_every_certificate_and_the_next_holder_has_another_uid() {
    let step = member().delete(None, by()).unwrap();
    assert_eq!(step.deny, Some(Denial { uid: 7, up_to: u32::MAX, until: NOW + DAY }));
    let gone = kept(step);
    assert_eq!(Enrolled::renewed(Some(&gone), &renewing(1, 1, 2)).answer, Renewed::Refused(State::Retired));
    let next = kept(Enrolled::asked(Some(&gone), &Asking { token: Some("t"), ..asking(1) }));
    assert_eq!(next.uid, 101);
    assert_eq!(Enrolled::renewed(Some(&next), &renewing(1, 1, 2)).answer, Renewed::Refused(State::Retired));
    assert_eq!(pending(1).delete(None, by()).unwrap().deny, None, "it had none");
}

#[test]
fn what_a_renewal_leads_to() {
    let second = kept(Enrolled::renewed(Some(&member()), &renewing(1, 1, 2)));
    let third = kept(Enrolled::renewed(Some(&second), &renewing(2, 2, 3)));
    assert_eq!((third.generation, third.fingerprint, third.former), (3, key(3), Some(key(2))));
    let issued = |generation| Renewed::Issued { generation };
    let clone = Renewed::Refused(State::Quarantined);
    for (what, request, expected) in [
        ("the newest", renewing(3, 3, 4), issued(4)),
        ("the same request again: its answer was lost", renewing(2, 2, 3), issued(3)),
        ("the one before, with another key", renewing(2, 2, 4), clone),
        ("an older one, with the newest key", renewing(1, 1, 3), clone),
        ("an older one", renewing(1, 1, 4), clone),
        ("the newest number with another key", renewing(3, 9, 4), clone),
        ("the former number with another key", renewing(2, 9, 3), clone),
        ("one that the store has not heard of: it came from a backup", renewing(8, 9, 10), issued(9)),
        ("another enrolment", Renewing { uid: 8, ..renewing(3, 3, 4) }, Renewed::Refused(State::Retired)),
        ("just in time", Renewing { ends: NOW - LATE_FOR, ..renewing(3, 3, 4) }, issued(4)),
        ("too late", Renewing { ends: NOW - LATE_FOR - 1, ..renewing(3, 3, 4) }, Renewed::TooLate),
        ("keys of long ago", Renewing { ends: NOW - LATE_FOR - 1, ..renewing(1, 1, 4) }, Renewed::TooLate),
    ] {
        let step = Enrolled::renewed(Some(&third), &request);
        assert_eq!(step.answer, expected, "{what}");
        assert_eq!(step.deny.is_some(), expected == clone, "{what}");
    }
    assert_eq!(Enrolled::renewed(None, &renewing(1, 1, 2)).answer, Renewed::Refused(State::Retired));
    for state in [State::Pending, State::Rejected] {
        let record = Enrolled { uid: 0, ..in_state(state) };
        let step = Enrolled::renewed(Some(&record), &Renewing { uid: 0, ..renewing(0, 1, 2) });
        assert_eq!(step.answer, Renewed::Refused(State::Retired), "who was never accepted has no uid");
    }
}

#[test]
fn a_released_one_goes_on_under_a_new_uid() {
    let second = kept(Enrolled::renewed(Some(&member()), &renewing(1, 1, 2)));
    let step = Enrolled::renewed(Some(&second), &renewing(1, 1, 3));
    assert_eq!((step.answer, step.event), (Renewed::Refused(State::Quarantined), Some(Event::Cloned)));
    let caught = kept(step);
    assert!(
        caught.why.contains("generation 1 was shown from 192.0.2.9 when 2 was the newest"),
        "{}",
        caught.why
    );
    for held in [key(2), key(1)] {
        let step = caught.release(held, 55, by()).unwrap();
        assert_eq!(step.deny.map(|d| (d.uid, d.up_to)), Some((7, u32::MAX)));
        let free = kept(step);
        assert_eq!((free.state, free.uid, free.generation, free.fingerprint), (State::Accepted, 55, 1, held));
    }
    assert_eq!(caught.release(key(3), 55, by()).unwrap_err(), Undecided::Fingerprint);
}

/// What can happen to a minion that renews.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// It renews and gets the answer.
    Renew,
    /// It renews, and the answer is lost.
    Lost,
    /// The machine is off for some weeks.
    Away,
}

/// A machine with keys: what it holds, and the key that it has made for the next renewal.
#[derive(Debug, Clone, Copy)]
struct Machine {
    generation: u32,
    held: u8,
    next: u8,
}

impl Machine {
    /// Renews; `fresh` is the key made for the time after.
    fn renew(&mut self, record: &mut Enrolled, at: WallMicros, heard: bool, fresh: u8) -> Renewed {
        let Machine { generation, held, next } = *self;
        let request = Renewing { at, ends: at, until: at + DAY, ..renewing(generation, held, next) };
        let step = Enrolled::renewed(Some(record), &request);
        *record = step.record.unwrap_or_else(|| record.clone());
        if let (Renewed::Issued { generation }, true) = (step.answer, heard) {
            *self = Machine { generation, held: next, next: fresh };
        }
        step.answer
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec(prop_oneof![Just(Turn::Renew), Just(Turn::Lost), Just(Turn::Away)], 0..30)
}

/// Goes through turns; the keys that it makes are numbered from `fresh`.
fn live(machine: &mut Machine, record: &mut Enrolled, turns: &[Turn], fresh: &mut u8) -> Vec<Renewed> {
    let mut at = NOW;
    let mut told = Vec::new();
    for turn in turns {
        at += if matches!(turn, Turn::Away) { LATE_FOR / 2 } else { DAY };
        *fresh += 1;
        told.push(machine.renew(record, at, !matches!(turn, Turn::Lost), *fresh));
    }
    told
}

proptest! {
    #[test]
    fn one_machine_is_never_taken_for_two(turns in turns()) {
        let (mut record, mut machine, mut fresh) = (member(), Machine { generation: 1, held: 1, next: 2 }, 2);
        for told in live(&mut machine, &mut record, &turns, &mut fresh) {
            prop_assert!(matches!(told, Renewed::Issued { .. }), "{told:?}");
        }
        prop_assert_eq!(record.state, State::Accepted);
        prop_assert!(record.generation - machine.generation <= 1);
    }

    /// A copy that makes keys of its own is found out by the second of the two that renews.
    #[test]
    fn a_copy_is_found_at_the_next_renewal_of_both(before in turns(), copy_first: bool) {
        let (mut record, mut machine, mut fresh) = (member(), Machine { generation: 1, held: 1, next: 2 }, 2);
        live(&mut machine, &mut record, &before, &mut fresh);
        // An answer that is still out is fetched first: both then hold the same.
        live(&mut machine, &mut record, &[Turn::Renew], &mut fresh);
        let mut copy = Machine { next: 200, ..machine };
        let both = if copy_first { [&mut copy, &mut machine] } else { [&mut machine, &mut copy] };
        let told: Vec<Renewed> = both.into_iter().map(|m| m.renew(&mut record, NOW, true, 201)).collect();
        prop_assert!(matches!(told[0], Renewed::Issued { .. }), "{told:?}");
        prop_assert_eq!(told[1], Renewed::Refused(State::Quarantined));
        // And then neither gets anything.
        prop_assert_eq!(machine.renew(&mut record, NOW, true, 202), Renewed::Refused(State::Quarantined));
        prop_assert_eq!(copy.renew(&mut record, NOW, true, 203), Renewed::Refused(State::Quarantined));
    }

    /// Whatever is asked with other keys, the member and its certificates stay what they are.
    #[test]
    fn requests_replace_nothing(keys in prop::collection::vec((2u8.., any::<bool>(), any::<bool>()), 0..60)) {
        let mut record = member();
        for (n, token, room) in keys {
            let request = Asking { token: token.then_some("t"), room, ..asking(n) };
            let step = Enrolled::asked(Some(&record), &request);
            prop_assert_eq!((step.answer, step.deny), (Taken::Refused(State::Conflict), None));
            record = step.record.unwrap_or(record);
            prop_assert!(record.rivals.len() <= MAX_RIVALS);
        }
        prop_assert_eq!(Enrolled { rivals: vec![], ..record }, member());
    }
}
