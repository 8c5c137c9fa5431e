//! An equal body crosses a syndic's link once per connection, and a number in its place is good on such a link only.

use super::*;
use relay_proto::BODIES_SINCE;
use relay_runtime::link::PeerHello;

const BODY: usize = 4 << 10;

/// A batch with one answer, which is always the same.
fn answers(seq: u64) -> Up {
    let answer = Answer { body: vec![b'x'; BODY].into(), ..Answer::bare(Outcome::Ok, Reason::None) };
    let (answer, members) = (Arc::new(answer), [0].into_iter().collect());
    Up::Returns(ReturnBatch { seq, groups: vec![ReturnGroup { jid: Jid::from_micros(5), answer, members }] })
}

/// The bytes of two such batches on the wire, one after the other, by a table that has nothing but this link.
async fn cost(table: LinkTable, parent: &mut Accepting, up: LinkEvent<Down>, protocol: u32) -> [usize; 2] {
    let LinkEvent::Up { link, peer, hello, tx } = up else { panic!("{up:?} instead of a link") };
    let mut table = table;
    table.insert(link, peer, PeerHello { protocol, ..hello }, tx);
    let bytes = [1, 2].map(|seq| table.send_up(link, &answers(seq)));
    for seq in [1, 2] {
        assert_eq!(parent.message().await, answers(seq), "whole at the other end");
    }
    bytes
}

#[tokio::test]
async fn an_equal_body_crosses_a_syndics_link_once_per_connection() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    let mut child = Dialling::new(&pki, "below", Role::Syndic, LinkLimits::SYNDIC, parent.address);
    for _connection in 0..2 {
        let up = child.event().await;
        let (_, tx) = parent.up().await;
        let [first, second] = cost(LinkTable::shortening(), &mut parent, up, BODIES_SINCE).await;
        assert!(first > BODY && second < 64, "{first} and {second} bytes");
        tx.cut();
        assert!(matches!(parent.event().await, LinkEvent::Down { .. }));
        assert!(matches!(child.event().await, LinkEvent::Down { .. }));
    }
    parent.stop().await;
}

#[tokio::test]
async fn bodies_are_sent_in_full_to_an_older_parent_and_by_minions() {
    let pki = Pki::new();
    for (role, table, protocol) in [
        (Role::Syndic, LinkTable::shortening(), BODIES_SINCE - 1),
        (Role::Minion, LinkTable::default(), BODIES_SINCE),
    ] {
        let mut parent = Accepting::new(&pki).await;
        let mut child = Dialling::new(&pki, "below", role, LinkLimits::SYNDIC, parent.address);
        let up = child.event().await;
        parent.up().await;
        let bytes = cost(table, &mut parent, up, protocol).await;
        assert!(bytes.iter().all(|bytes| *bytes > BODY), "{role:?}: {bytes:?}");
        parent.stop().await;
    }
}

#[tokio::test]
async fn a_number_without_a_body_behind_it_ends_the_link() {
    let pki = Pki::new();
    let mut parent = Accepting::new(&pki).await;
    for (role, protocol, number, words) in [
        (Role::Syndic, BODIES_SINCE, 2, "number 2 is not remembered, only 1 to 1 are"),
        (Role::Syndic, BODIES_SINCE - 1, 1, "body 1 of a connection, and here none are remembered"),
        (Role::Minion, BODIES_SINCE, 1, "body 1 of a connection, and here none are remembered"),
    ] {
        let (tx, _stream) = say(&pki, role, parent.address, hello(1, protocol)).await.unwrap();
        parent.up().await;
        let full = convert::up_out(&answers(1));
        let group = link::ReturnGroup { outcome: 1, same_body: number, ..Default::default() };
        let short = link::up::Message::Returns(link::Returns { seq: 2, groups: vec![group] });
        for up in [full, link::Up { message: Some(short) }] {
            for frame in Encoded::new(&up).frames() {
                tx.send(frame).await.unwrap();
            }
        }
        assert_eq!(parent.message().await, answers(1));
        match parent.event().await {
            LinkEvent::Down { why, .. } => assert!(why.contains(words), "{role:?} {protocol}: {why}"),
            other => panic!("{role:?} {protocol}: {other:?} instead of the end of the link"),
        }
    }
    parent.stop().await;
}
