//! Exports, and stores made of them: the same rows, all or none.

use sha2::{Digest, Sha256};

use super::{super::super::value::Hex, *};

on_both!(
    an_export_makes_the_same_store,
    an_export_of_the_former_format_is_read,
    only_an_empty_store_takes_it,
    nobody_may_have_it_open,
    damaged_exports_are_refused_whole,
    the_header_is_looked_at_first,
);

async fn export(place: &StorePlace) -> Vec<u8> {
    let mut out = Vec::new();
    place.export(Some("test"), &mut out, &mut |_| {}).await.unwrap();
    out
}

async fn import(place: &StorePlace, bytes: &[u8]) -> Result<u64, MaintenanceError> {
    let done = place.import(Some("test"), &mut Cursor::new(bytes), &mut |_| {}).await;
    done.map(|transferred| transferred.total())
}

/// The rows, without the first and the last line.
fn rows(export: &[u8]) -> Vec<&str> {
    let lines: Vec<&str> = std::str::from_utf8(export).unwrap().lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

/// With the line's end, so that they can be put together again.
fn lines(export: &[u8]) -> Vec<&[u8]> {
    export.split_inclusive(|b| *b == b'\n').collect()
}

/// From a file into either kind and back into a file.
async fn an_export_makes_the_same_store(kind: Kind) {
    let bench = Bench::full(Kind::Sqlite).await;
    let first = export(&bench.place.whole()).await;
    let (there, back) = (Place::new(kind), Place::new(Kind::Sqlite));
    assert_eq!(import(&there.whole(), &first).await, Ok(rows(&first).len() as u64));
    let second = export(&there.whole()).await;
    assert_eq!(rows(&second), rows(&first));
    assert_eq!(import(&back.whole(), &second).await, Ok(rows(&first).len() as u64));
    assert_eq!(rows(&export(&back.whole()).await), rows(&first));
    let old = bench.store.begin().await.unwrap();
    for place in [&there, &back] {
        assert_eq!(place.whole().check(NOW).await.unwrap().problems, []);
        let new = place.open().await.store().begin().await.unwrap();
        assert!(new.epoch.0 > old.epoch.0 + 1_000, "far above all that the former store gives out");
        assert_eq!(new.minions, old.minions);
        let jobs = |jobs: Vec<relay_core::owner::StoredJob>| -> Vec<_> {
            jobs.into_iter()
                .map(|j| (JobHead { epoch: Epoch(0), ..j.head }, j.groups, j.sent, j.seq))
                .collect()
        };
        assert_eq!(jobs(new.jobs), jobs(old.jobs.clone()));
    }
    assert!(place_is_tidy(&back));
    // Revisions go on above all that were exported.
    let before = bench.number("SELECT max(revision) FROM records").await as u64;
    let put =
        PutRecord { area: Area::Token, key: "new".into(), expect: Expect::Absent, value: Some("x".into()) };
    for place in [&there, &back] {
        let store = place.open().await.store();
        store.begin().await.unwrap();
        assert!(store.put_records(vec![put.clone()]).await.unwrap());
        let new = store.record(Area::Token, "new".into()).await.unwrap().unwrap();
        assert!(new.revision > before);
    }
}

/// An export as the build before wrote it: without records, and jobs without the order of their leaves.
fn as_format_1(export: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut old = Vec::new();
    for line in lines(export) {
        let mut line: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).unwrap();
        if line.get("table").is_some_and(|table| table == "records") {
            continue;
        }
        line.shift_remove("leaves");
        if line.contains_key("relay_store_export") {
            line["relay_store_export"] = 1.into();
        }
        if let Some(end) = line.get_mut("end") {
            end["rows"].as_object_mut().unwrap().shift_remove("records");
            end["sha256"] = Hex(&hash.finalize_reset()).to_string().into();
        }
        let line = serde_json::to_string(&line).unwrap() + "\n";
        hash.update(&line);
        old.extend_from_slice(line.as_bytes());
    }
    old
}

async fn an_export_of_the_former_format_is_read(kind: Kind) {
    let bench = Bench::full(Kind::Sqlite).await;
    let (there, other) = (Place::new(kind), Place::new(kind));
    let place = there.whole();
    let old = as_format_1(&export(&bench.place.whole()).await);
    import(&place, &old).await.unwrap();
    let (found, before) = (place.check(NOW).await.unwrap(), bench.check().await);
    assert_eq!(found.problems, []);
    let rows = |rows: &BTreeMap<&'static str, u64>| -> Vec<_> {
        rows.iter().filter(|(table, _)| **table != "records").map(|(t, n)| (*t, *n)).collect()
    };
    assert_eq!(rows(&found.rows), rows(&before.rows));
    let mixed = String::from_utf8(old).unwrap().replacen("\"envelope\":", "\"leaves\":\"\",\"envelope\":", 1);
    let error = import(&other.whole(), mixed.as_bytes()).await.unwrap_err();
    assert!(error.to_string().contains("no column \"leaves\""), "{error}");
}

/// Nothing but the store's own files is beside it.
fn place_is_tidy(place: &Place) -> bool {
    let names = std::fs::read_dir(place.path().parent().unwrap()).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .all(|name| ["store.db", "store.db-wal", "store.db-shm"].contains(&name.as_str()))
}

async fn only_an_empty_store_takes_it(kind: Kind) {
    let bench = Bench::full(kind).await;
    let export = export(&bench.place.whole()).await;
    let before = bench.check().await.rows;
    bench.store.close().await;
    let error = import(&bench.place.whole(), &export).await.unwrap_err();
    assert!(matches!(&error, MaintenanceError::NotEmpty { .. }), "{error}");
    assert_eq!(bench.check().await.rows, before);
    // One that a top master has made, and then nobody used, is as good as none. Its epochs count.
    let empty = Bench::new(kind).await;
    empty.execute("UPDATE owner SET epoch = 5000000").await;
    empty.store.close().await;
    import(&empty.place.whole(), &export).await.unwrap();
    let again = empty.place.open().await.store();
    assert!(again.begin().await.unwrap().epoch.0 > 5_000_000);
    assert_eq!(again.jobs(JobFilter::default(), 9, None).await.unwrap().len(), 4);
}

async fn nobody_may_have_it_open(kind: Kind) {
    let bench = Bench::new(kind).await;
    let export = export(&Bench::full(kind).await.place.whole()).await;
    let error = import(&bench.place.whole(), &export).await.unwrap_err();
    assert!(matches!(&error, MaintenanceError::InUse { .. }), "{error}");
    assert!(bench.list(9).await.is_empty());
    bench.store.close().await;
    import(&bench.place.whole(), &export).await.unwrap();
}

async fn damaged_exports_are_refused_whole(kind: Kind) {
    let good = export(&Bench::full(Kind::Sqlite).await.place.whole()).await;
    let place = Place::new(kind);
    let all = lines(&good);
    let mut bad: Vec<(String, Vec<u8>)> = Vec::new();
    for cut in [1, 2, all.len() / 2, all.len() - 1] {
        bad.push((format!("cut behind line {cut}"), all[..cut].concat()));
        bad.push((format!("line {cut} is missing"), [all[..cut].concat(), all[cut + 1..].concat()].concat()));
    }
    for short in [1, 2, 100] {
        bad.push((format!("{short} bytes short"), good[..good.len() - short].to_vec()));
    }
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        bad.push((format!("byte {at} flipped"), flipped));
    }
    bad.push(("something behind".into(), [&good[..], b"\n"].concat()));
    let swapped = [all[0], all[2], all[1], &all[3..].concat()].concat();
    bad.push(("two lines swapped".into(), swapped));
    for (what, bytes) in bad {
        assert!(import(&place.whole(), &bytes).await.is_err(), "{what}");
        match place.whole().check(NOW).await {
            // A database has its empty tables by now.
            Ok(found) => assert_eq!((found.rows.len(), found.problems), (0, vec![]), "{what}"),
            Err(error) => assert!(matches!(error, MaintenanceError::Absent { .. }), "{what}: {error}"),
        }
    }
    if matches!(kind, Kind::Sqlite) {
        assert!(place_is_tidy(&place));
    }
    import(&place.whole(), &good).await.unwrap();
}

/// Whether an error is the right one.
type Right = fn(&MaintenanceError) -> bool;

async fn the_header_is_looked_at_first(kind: Kind) {
    let good = String::from_utf8(export(&Bench::full(Kind::Sqlite).await.place.whole()).await).unwrap();
    // Kept to the end: a database that is given back is another test's.
    let kept = Place::new(kind);
    let place = kept.whole();
    let newer = good.replacen("\"relay_store_export\":2", "\"relay_store_export\":3", 1);
    let foreign = good.replacen("\"fabric\":\"test\"", "\"fabric\":\"other\"", 1);
    let cut = good.lines().next().unwrap().to_owned() + "\n";
    let table: [(&str, Right); 6] = [
        (&newer, |e| *e == MaintenanceError::NewerFormat { found: 3, known: 2 }),
        (&foreign, |e| matches!(e, MaintenanceError::OtherFabric { .. })),
        (&cut, |e| *e == MaintenanceError::Truncated { line: 1 }),
        ("", |e| matches!(e, MaintenanceError::NotAnExport(_))),
        ("hello\n", |e| matches!(e, MaintenanceError::NotAnExport(_))),
        ("{\"epoch\":1}\n", |e| matches!(e, MaintenanceError::NotAnExport(_))),
    ];
    for (text, right) in table {
        let error = import(&place, text.as_bytes()).await.unwrap_err();
        assert!(right(&error), "{error}");
    }
}
