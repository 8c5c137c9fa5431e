//! Records: kept by area and key, all or none, if they are as expected.

use super::*;
use crate::store::Record;

on_both!(
    a_record_is_kept_and_removed,
    keys_are_ordered_by_their_bytes,
    areas_are_apart,
    all_are_put_or_none,
    a_revision_is_never_used_again,
    a_page_ends_where_its_bytes_end,
    beyond_the_bounds_nothing_is_kept,
    a_former_owner_puts_nothing,
);

fn put(key: &[u8], expect: Expect, value: Option<&[u8]>) -> PutRecord {
    let value = value.map(Bytes::copy_from_slice);
    PutRecord { area: Area::Enrolled, key: Bytes::copy_from_slice(key), expect, value }
}

impl Bench {
    async fn put(&self, puts: Vec<PutRecord>) -> bool {
        self.store.put_records(puts).await.unwrap()
    }

    async fn one(&self, key: &[u8]) -> Option<Record> {
        self.store.record(Area::Enrolled, Bytes::copy_from_slice(key)).await.unwrap()
    }

    async fn value(&self, key: &[u8]) -> Option<Bytes> {
        self.one(key).await.map(|record| record.value)
    }

    async fn keys(&self, after: &[u8], limit: usize) -> Vec<Bytes> {
        let page = self.store.records(Area::Enrolled, Bytes::copy_from_slice(after), limit).await.unwrap();
        page.into_iter().map(|record| record.key).collect()
    }
}

async fn a_record_is_kept_and_removed(kind: Kind) {
    let bench = Bench::new(kind).await;
    assert_eq!(bench.one(b"a").await, None);
    assert!(bench.put(vec![put(b"a", Expect::Absent, Some(b"\0\xff'"))]).await);
    let kept = bench.one(b"a").await.unwrap();
    assert_eq!((&kept.key[..], &kept.value[..]), (&b"a"[..], &b"\0\xff'"[..]));
    let other = bench.other().await.record(Area::Enrolled, "a".into()).await.unwrap();
    assert_eq!(other, Some(kept.clone()), "it outlives its owner");
    assert!(!bench.put(vec![put(b"a", Expect::Absent, Some(b"2"))]).await, "it is there");
    assert!(!bench.put(vec![put(b"b", Expect::Revision(kept.revision), Some(b"2"))]).await, "another one");
    assert!(bench.put(vec![put(b"a", Expect::Revision(kept.revision), Some(b"2"))]).await);
    assert!(!bench.put(vec![put(b"a", Expect::Revision(kept.revision), None)]).await, "it has changed");
    assert_eq!(bench.value(b"a").await.unwrap(), "2");
    assert!(bench.put(vec![put(b"a", Expect::Any, None), put(b"none", Expect::Any, None)]).await);
    assert_eq!(bench.one(b"a").await, None);
    assert!(bench.put(Vec::new()).await);
}

async fn keys_are_ordered_by_their_bytes(kind: Kind) {
    let bench = Bench::new(kind).await;
    let mut keys: Vec<&[u8]> =
        vec![b"B", b"a", b"a\0", b"aa", b"\xff", b"\0", "ä".as_bytes(), b"Z", &[0xff; 512]];
    let puts = keys.iter().map(|key| put(key, Expect::Absent, Some(key))).collect();
    assert!(bench.put(puts).await);
    keys.sort();
    assert_eq!(bench.keys(b"", 100).await, keys);
    assert_eq!(bench.keys(b"", 3).await, keys[..3]);
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(bench.keys(key, 2).await, keys[i + 1..].iter().copied().take(2).collect::<Vec<_>>());
    }
    assert!(bench.keys(b"", 0).await.is_empty());
}

async fn areas_are_apart(kind: Kind) {
    let bench = Bench::new(kind).await;
    for area in Area::ALL {
        let value = Some(Bytes::from(area.word()));
        let here = PutRecord { area, key: "same".into(), expect: Expect::Absent, value };
        assert!(bench.put(vec![here]).await);
    }
    for area in Area::ALL {
        assert_eq!(Area::from_word(area.word()), Some(area));
        let page = bench.store.records(area, Bytes::new(), 9).await.unwrap();
        assert_eq!(page.iter().map(|r| &r.value[..]).collect::<Vec<_>>(), [area.word().as_bytes()]);
    }
}

async fn all_are_put_or_none(kind: Kind) {
    let bench = Bench::new(kind).await;
    assert!(
        bench.put(vec![put(b"a", Expect::Absent, Some(b"1")), put(b"b", Expect::Absent, Some(b"1"))]).await
    );
    let a = bench.one(b"a").await.unwrap().revision;
    let stale = vec![
        put(b"a", Expect::Revision(a), Some(b"2")),
        put(b"c", Expect::Absent, Some(b"2")),
        put(b"b", Expect::Revision(a), None),
    ];
    assert!(!bench.put(stale).await);
    assert_eq!(bench.keys(b"", 9).await, ["a", "b"]);
    assert_eq!(bench.value(b"a").await.unwrap(), "1");
    let all = vec![
        put(b"a", Expect::Revision(a), Some(b"2")),
        put(b"c", Expect::Absent, Some(b"2")),
        put(b"b", Expect::Any, None),
    ];
    assert!(bench.put(all).await);
    assert_eq!(bench.keys(b"", 9).await, ["a", "c"]);
    assert_eq!(bench.value(b"a").await.unwrap(), "2");
}

async fn a_revision_is_never_used_again(kind: Kind) {
    let bench = Bench::new(kind).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        assert!(bench.put(vec![put(b"a", Expect::Any, Some(b"same"))]).await);
        seen.push(bench.one(b"a").await.unwrap().revision);
        assert!(bench.put(vec![put(b"a", Expect::Any, None)]).await);
        assert!(!bench.put(vec![put(b"a", Expect::Revision(seen[0]), Some(b"2"))]).await);
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

async fn a_page_ends_where_its_bytes_end(kind: Kind) {
    let bench = Bench::new(kind).await;
    let large = vec![7; MAX_RECORD_VALUE];
    let fit = MAX_READ_BODY_BYTES / MAX_RECORD_VALUE;
    for n in 0..=fit as u8 {
        assert!(bench.put(vec![put(&[n], Expect::Absent, Some(&large))]).await);
    }
    assert_eq!(bench.keys(b"", 100).await.len(), fit);
    assert_eq!(bench.keys(&[fit as u8 - 1], 100).await, [[fit as u8].as_slice()]);
    assert!(bench.keys(&[fit as u8], 100).await.is_empty());
}

async fn beyond_the_bounds_nothing_is_kept(kind: Kind) {
    let bench = Bench::new(kind).await;
    let (long, large) = ([1; MAX_RECORD_KEY + 1], vec![1; MAX_RECORD_VALUE + 1]);
    let key = |n: u32| n.to_be_bytes();
    let fine = &large[1..];
    let too_many = (0..=MAX_RECORD_PUTS as u32).map(|n| put(&key(n), Expect::Any, Some(b""))).collect();
    let too_large = (0..9).map(|n| put(&key(n), Expect::Any, Some(fine))).collect();
    let table: [(Vec<PutRecord>, &str); 6] = [
        (vec![put(b"", Expect::Any, None)], "no key"),
        (vec![put(&long, Expect::Any, None)], "513 bytes"),
        (vec![put(b"a", Expect::Any, Some(&large))], "1048577 bytes"),
        (
            vec![put(b"a", Expect::Any, None), put(b"a", Expect::Any, Some(b"1"))],
            "enrolled 61: it is put twice",
        ),
        (too_many, "4097 are put"),
        (too_large, "bytes at once"),
    ];
    for (puts, word) in table {
        let error = bench.store.put_records(puts).await.unwrap_err();
        assert!(matches!(error, StoreError::Unfit { .. }) && error.to_string().contains(word), "{error}");
    }
    assert!(bench.keys(b"", 9).await.is_empty());
    assert!(bench.put(vec![put(&long[1..], Expect::Any, Some(fine))]).await);
    assert_eq!(bench.value(&long[1..]).await.unwrap(), fine);
}

async fn a_former_owner_puts_nothing(kind: Kind) {
    let bench = Bench::new(kind).await;
    let next = bench.other().await;
    next.begin().await.unwrap();
    let refused = bench.store.put_records(vec![put(b"a", Expect::Any, Some(b"1"))]).await;
    assert_eq!(refused, Err(StoreError::Fenced));
    assert_eq!(bench.one(b"a").await, None, "it may read");
}
