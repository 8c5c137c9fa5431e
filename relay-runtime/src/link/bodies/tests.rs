use super::*;
use proptest::prelude::*;
use prost::Message;

/// What a message of a syndic's link may have.
const LIMIT: usize = 64 << 20;

fn body(kind: u8, len: usize) -> Bytes {
    vec![kind; len].into()
}

fn numbered(n: usize) -> Bytes {
    format!("{n:064}").into()
}

fn group(body: Bytes) -> link::ReturnGroup {
    link::ReturnGroup { jid: 5, outcome: 1, body, ..Default::default() }
}

fn same(number: u64) -> link::ReturnGroup {
    link::ReturnGroup { same_body: number, ..group(Bytes::new()) }
}

fn returns(groups: impl IntoIterator<Item = link::ReturnGroup>) -> link::Returns {
    link::Returns { seq: 1, groups: groups.into_iter().collect() }
}

/// Both ends of a connection.
#[derive(Default)]
struct Ends(Said, Heard);

impl Ends {
    /// A message on its way: what was on the wire, and what arrived.
    fn carry(&mut self, whole: &link::Returns) -> (link::Returns, link::Returns) {
        let mut short = whole.clone();
        self.0.shorten(&mut short);
        let mut got = link::Returns::decode(short.encode_to_vec().as_slice()).unwrap();
        self.1.expand(&mut got, LIMIT).unwrap();
        let Ends(said, heard) = self;
        assert_eq!(said.ring.bodies, heard.0.bodies, "both ends remember the same");
        assert_eq!((said.ring.forgotten, said.ring.bytes), (heard.0.forgotten, heard.0.bytes));
        assert_eq!(said.numbers.len(), said.ring.bodies.len());
        assert!(bounded(&heard.0));
        (short, got)
    }

    fn numbers(&mut self, bodies: impl IntoIterator<Item = Bytes>) -> Vec<u64> {
        let (short, _) = self.carry(&returns(bodies.into_iter().map(group)));
        short.groups.iter().map(|group| group.same_body).collect()
    }
}

fn bounded(ring: &Ring) -> bool {
    let bytes: usize = ring.bodies.iter().map(Bytes::len).sum();
    bytes == ring.bytes && bytes <= MAX_REMEMBERED && ring.bodies.len() <= MAX_BODIES
}

/// Sizes around both ends of what counts, and in between.
fn size() -> impl Strategy<Value = usize> {
    let edges = [0, 1, MIN_BODY - 1, MIN_BODY, MIN_BODY + 1, MAX_BODY - 1, MAX_BODY, MAX_BODY + 1];
    prop_oneof![prop::sample::select(edges.to_vec()), 0..MAX_BODY]
}

/// A group as anybody may say it: in full, a number, and seldom both.
fn wire() -> impl Strategy<Value = link::ReturnGroup> {
    let both = (1u64..6, size())
        .prop_map(|(number, len)| link::ReturnGroup { same_body: number, ..group(body(7, len)) });
    prop_oneof![
        6 => size().prop_map(|len| group(body(7, len))),
        6 => (1u64..6).prop_map(same),
        1 => both,
    ]
}

proptest! {
    /// A dozen kinds of answers, of more bytes together than are remembered, in batches that repeat them.
    #[test]
    fn what_was_shortened_arrives_as_it_was(
        sizes in prop::collection::vec(size(), 12),
        batches in prop::collection::vec(prop::collection::vec(0usize..12, 0..8), 0..24),
    ) {
        let mut ends = Ends::default();
        for kinds in batches {
            let whole = returns(kinds.iter().map(|&kind| group(body(kind as u8, sizes[kind]))));
            let (short, got) = ends.carry(&whole);
            prop_assert_eq!(&got, &whole);
            let repeated = short.groups.iter().any(|group| group.same_body > 0);
            let (short, whole) = (short.encoded_len(), whole.encoded_len());
            prop_assert!(if repeated { short < whole } else { short == whole }, "{} of {} bytes", short, whole);
        }
    }

    #[test]
    fn whatever_comes_is_expanded_within_the_bounds_or_refused(
        batches in prop::collection::vec(prop::collection::vec(wire(), 0..6), 0..12),
        limit in 0usize..300_000,
    ) {
        let mut heard = Heard::default();
        for groups in batches {
            let mut got = returns(groups);
            let expanded = heard.expand(&mut got, limit);
            prop_assert!(bounded(&heard.0));
            if expanded.is_err() {
                break;
            }
            prop_assert!(got.groups.iter().all(|group| group.same_body == 0));
            prop_assert!(got.groups.iter().map(|group| group.body.len()).sum::<usize>() <= limit);
        }
    }
}

#[test]
fn the_second_of_two_equal_bodies_is_a_number_in_the_same_batch_and_in_later_ones() {
    let mut ends = Ends::default();
    let (yes, no) = (body(1, 4_096), body(2, 4_096));
    assert_eq!(ends.numbers([yes.clone(), no.clone(), yes.clone()]), [0, 0, 1]);
    assert_eq!(ends.numbers([no, yes]), [2, 1]);
}

#[test]
fn only_what_is_long_enough_and_not_too_long_is_remembered() {
    for (len, remembered) in [(MIN_BODY - 1, 0), (MIN_BODY, 1), (MAX_BODY, 1), (MAX_BODY + 1, 0)] {
        assert_eq!(Ends::default().numbers([body(1, len), body(1, len)]), [0, remembered], "{len} bytes");
    }
}

#[test]
fn the_oldest_are_forgotten_by_both_ends_when_there_are_too_many_bytes() {
    let mut ends = Ends::default();
    let fit = (MAX_REMEMBERED / MAX_BODY) as u8;
    ends.numbers((0..fit).map(|kind| body(kind, MAX_BODY)));
    assert_eq!(ends.numbers([body(0, MAX_BODY)]), [1], "the oldest of those that fit");
    ends.numbers([body(fit, MIN_BODY)]);
    assert_eq!(
        ends.numbers([body(1, MAX_BODY), body(0, MAX_BODY)]),
        [2, 0],
        "one more pushed the oldest out"
    );
}

#[test]
fn the_oldest_are_forgotten_by_both_ends_when_there_are_too_many() {
    let mut ends = Ends::default();
    ends.numbers((0..=MAX_BODIES).map(numbered));
    assert_eq!(ends.numbers([numbered(1), numbered(0)]), [2, 0]);
    let refused = ends.1.expand(&mut returns([same(1)]), LIMIT);
    let newest = MAX_BODIES as u64 + 2;
    assert_eq!(refused, Err(BodyError::Unknown { number: 1, oldest: 3, newest }));
}

#[test]
fn a_number_that_was_not_given_is_refused() {
    let unknown = |number, newest| Err(BodyError::Unknown { number, oldest: 1, newest });
    for number in [1, 2, u64::MAX] {
        assert_eq!(Heard::default().expand(&mut returns([same(number)]), LIMIT), unknown(number, 0));
    }
    let mut heard = Heard::default();
    let forward = heard.expand(&mut returns([group(body(1, 99)), same(2), group(body(2, 99))]), LIMIT);
    assert_eq!(forward, unknown(2, 1), "a number counts from the body on that it was given to");
}

#[test]
fn a_number_and_a_body_together_are_refused() {
    let mut heard = Heard::default();
    heard.expand(&mut returns([group(body(1, 99))]), LIMIT).unwrap();
    let both = link::ReturnGroup { same_body: 1, ..group(body(1, 99)) };
    assert_eq!(heard.expand(&mut returns([both]), LIMIT), Err(BodyError::Both { number: 1, bytes: 99 }));
}

#[test]
fn a_few_bytes_that_stand_for_many_are_refused_at_what_a_message_may_have() {
    let mut heard = Heard::default();
    heard.expand(&mut returns([group(body(1, 1_000))]), LIMIT).unwrap();
    assert_eq!(heard.expand(&mut returns([same(1), same(1)]), 2_000), Ok(()));
    let refused = heard.expand(&mut returns([same(1), same(1), same(1)]), 2_000);
    assert_eq!(refused, Err(BodyError::TooLarge { limit: 2_000 }));
}

#[test]
fn what_is_remembered_is_no_part_of_the_message_it_came_in() {
    let mut ends = Ends::default();
    let message = returns([group(body(1, 99))]);
    ends.0.shorten(&mut message.clone());
    let mut got = message.clone();
    ends.1.expand(&mut got, LIMIT).unwrap();
    let theirs = message.groups[0].body.as_ptr();
    assert!(ends.0.ring.bodies[0].as_ptr() != theirs && ends.1.0.bodies[0].as_ptr() != theirs);
}
