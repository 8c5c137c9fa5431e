use proptest::prelude::*;

use super::*;

const EVIL: &str = "evil";
const GOOD: &str = "good";

fn tier(id: &str) -> TierId {
    id.parse().unwrap()
}

fn jid(n: u64) -> Option<Jid> {
    Some(Jid::from_micros(n))
}

fn own() -> Witness {
    Witness::Minions([0].into_iter().collect())
}

/// What a book tells the present parent, by kind, job and count.
fn told(book: &mut Book, now: Millis) -> Vec<(Forgery, Option<Jid>, u64)> {
    book.tell(now, &own()).into_iter().map(|s| (s.kind, s.jid, s.count)).collect()
}

/// A book of one who was attached to the evil one, and refused this.
fn book(refused: &[(Forgery, Option<Jid>)]) -> Book {
    let mut book = Book::default();
    book.attached(tier(EVIL), true);
    refused.iter().for_each(|(kind, jid)| book.note(*kind, *jid, 1));
    book
}

#[test]
fn words_are_lossless_and_those_of_the_reasons() {
    for kind in Forgery::ALL {
        assert_eq!(Forgery::from_word(kind.word()), Some(kind));
    }
    for reason in Reason::ALL {
        let kind = Forgery::of(reason);
        assert!(kind.is_none_or(|kind| kind.word() == reason.word()));
        assert!(
            kind.is_some() || !reason.is_alarming(),
            "{reason:?} is alarming, and nobody would hear of it"
        );
    }
}

#[test]
fn it_is_told_once_to_each_and_forgotten_when_another_has_heard_it() {
    let mut book =
        book(&[(Forgery::BadSignature, jid(1)), (Forgery::BadSignature, jid(1)), (Forgery::Trust, None)]);
    let all = [(Forgery::BadSignature, jid(1), 2), (Forgery::Trust, None, 1)];
    assert_eq!(told(&mut book, 0), all);
    assert_eq!(told(&mut book, 0), [], "it is on its way");
    book.answered();
    book.answered();
    assert_eq!(book.entries().len(), 2, "only the forger knows");
    book.detached();
    book.attached(tier(EVIL), true);
    assert_eq!(told(&mut book, RATION), [], "told already");
    book.attached(tier(GOOD), true);
    assert_eq!(told(&mut book, RATION), all);
    book.answered();
    assert_eq!(book.entries().len(), 2, "that may be an answer to what was sent before");
    book.answered();
    assert_eq!(book.entries(), []);
}

#[test]
fn what_a_lost_link_may_have_swallowed_is_told_again() {
    let mut book = book(&[(Forgery::Cancel, jid(1))]);
    book.attached(tier(GOOD), true);
    for n in 1..4 {
        assert_eq!(told(&mut book, n * RATION).len(), 1);
        book.answered();
        book.detached();
        book.attached(tier(GOOD), true);
    }
}

#[test]
fn a_parent_that_does_not_understand_it_is_noted_and_not_told() {
    let mut book = book(&[(Forgery::Unsigned, jid(1))]);
    book.attached(tier("old"), false);
    book.note(Forgery::Version, jid(2), 1);
    assert_eq!(told(&mut book, 0), []);
    book.answered();
    book.answered();
    book.attached(tier(GOOD), true);
    assert_eq!(told(&mut book, 0), [(Forgery::Unsigned, jid(1), 1), (Forgery::Version, jid(2), 1)]);
}

#[test]
fn nothing_is_noted_of_nobody_and_nothing_is_kept_for_ever() {
    let mut book = book(&[(Forgery::Trust, None)]);
    book.detached();
    book.note(Forgery::Cancel, None, 2);
    assert_eq!(book.entries().len(), 1);
    book.attached(tier(EVIL), true);
    book.note(Forgery::Cancel, None, KEEP + 1);
    assert_eq!(book.entries().iter().map(|e| e.kind).collect::<Vec<_>>(), [Forgery::Cancel]);
}

#[test]
fn one_of_each_kind_comes_first_and_made_up_jids_push_none_out() {
    let mut book = Book::default();
    book.attached(tier(EVIL), true);
    for n in 0..500 {
        book.note(Forgery::BadSignature, jid(n), 1);
    }
    Forgery::ALL.into_iter().for_each(|kind| book.note(kind, jid(600), 1));
    let signatures = book.entries().iter().filter(|e| e.kind == Forgery::BadSignature);
    let signatures: Vec<(Option<Jid>, u64)> = signatures.map(|e| (e.jid, e.count)).collect();
    assert_eq!(signatures, [(jid(0), 1), (jid(1), 1), (jid(2), 1), (None, 498)]);
    let first: std::collections::BTreeSet<Forgery> =
        told(&mut book, 0).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(first.len(), Forgery::ALL.len());
    assert!(told(&mut book, RATION - 1).is_empty(), "the rest is for later");
}

#[test]
fn a_syndic_says_it_once_for_all_until_its_parent_has_heard() {
    let mut gathered = Gathered::default();
    let of = |no: u32| Witness::Minions([no].into_iter().collect());
    let one = |witness| Suspicion {
        kind: Forgery::NotTarget,
        jid: jid(1),
        parent: tier(EVIL),
        at: 5,
        count: 2,
        witness,
    };
    (0..1_000).for_each(|no| gathered.add(0, one(of(no))));
    gathered.add(0, one(Witness::Below(tier("sub"))));
    gathered.add(0, one(Witness::Sender));
    assert_eq!(gathered.take_dropped(), 1, "nobody knows who that is");
    assert!(gathered.take(0).is_empty());
    let due = gathered.due().unwrap();
    let sent = gathered.take(due);
    assert_eq!(
        sent,
        [
            Suspicion { count: 2_000, ..one(Witness::Minions((0..1_000).collect())) },
            one(Witness::Below(tier("sub"))),
        ]
    );
    assert_eq!(gathered.due(), None);
    gathered.answered();
    gathered.attached(due);
    let again = gathered.due().unwrap();
    assert_eq!(gathered.take(again), sent, "the link was lost meanwhile");
    gathered.answered();
    gathered.answered();
    gathered.attached(again);
    assert_eq!(gathered.due(), None);
}

#[test]
fn a_syndic_sends_so_many_a_minute_and_keeps_so_many() {
    let mut gathered = Gathered::default();
    for n in 0..MAX_GATHERED as u64 + 9 {
        let (witness, parent) = (own(), tier(EVIL));
        gathered.add(0, Suspicion { kind: Forgery::Trust, jid: jid(n), parent, at: 0, count: 1, witness });
    }
    assert_eq!(gathered.take_dropped(), 9);
    let mut sent = Vec::new();
    while let Some(due) = gathered.due() {
        sent.push((due / RATION, gathered.take(due).len()));
    }
    assert_eq!(sent.iter().map(|(_, many)| many).sum::<usize>(), MAX_GATHERED);
    assert!(sent.iter().all(|(_, many)| *many <= A_MINUTE_OF_A_SYNDIC as usize), "{sent:?}");
    let minutes: Vec<u64> = sent.iter().map(|(minute, _)| *minute).collect();
    assert!(minutes.windows(2).all(|pair| pair[0] < pair[1]), "{sent:?}");
}

proptest! {
    /// Whatever comes in whatever order: bounded, and what was noted of one parent is told to the other.
    #[test]
    fn it_is_bounded_and_no_kind_is_lost(noted in prop::collection::vec((0usize..12, 0u64..9, 0usize..3), 1..400)) {
        let mut book = Book::default();
        for (kind, n, parent) in &noted {
            book.attached(tier(["evil-1", "evil-2", "evil-3"][*parent]), true);
            book.note(Forgery::ALL[*kind], jid(n + 1), 1);
        }
        prop_assert!(book.entries().len() <= MAX_KEPT);
        let counted: u64 = book.entries().iter().map(|e| e.count).sum();
        prop_assert_eq!(counted + book.dropped(), noted.len() as u64);
        let again = Book::restore(book.entries().to_vec(), book.dropped());
        prop_assert_eq!(again.entries(), book.entries());
        let all = book.entries().len();
        book.attached(tier(GOOD), true);
        let heard: usize = (1..20).map(|minute| {
            let told = told(&mut book, minute * RATION).len();
            book.answered();
            book.answered();
            told
        }).sum();
        prop_assert_eq!((heard, book.entries().len()), (all, 0));
    }
}
