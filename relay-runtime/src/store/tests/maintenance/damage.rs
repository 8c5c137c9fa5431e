//! What nobody can have written is found, and told with its row.

use super::{super::super::maintenance::Problem, *};

on_both!(
    damage_is_found_in_its_row,
    every_target_has_one_outcome_at_most,
    what_is_not_there_is_no_clean_store
);

async fn damage_is_found_in_its_row(kind: Kind) {
    let zeros = "00".repeat(32);
    let second = "jid = (SELECT max(jid) - 3 FROM jobs)";
    let damages = [
        ("UPDATE minions SET id = 'no such name!' WHERE no = 1".into(), "minions (no 1)", "id"),
        ("UPDATE minions SET grains = '[]' WHERE no = 2".into(), "minions (no 2)", "no JSON object"),
        ("UPDATE minions SET region = {text} WHERE no = 2".into(), "minions (no 2)", "region"),
        ("UPDATE minions SET epoch = 99".into(), "minions (no 0)", "epoch 99 has not begun"),
        ("DELETE FROM minions WHERE no = 2".into(), "jobs (jid", "no minion 2"),
        (format!("UPDATE jobs SET digest = {{{zeros}}} WHERE {second}"), "jobs (jid", "digest"),
        (format!("UPDATE jobs SET envelope = {{ff}} WHERE {second}"), "jobs (jid", "digest"),
        (format!("UPDATE jobs SET targets = {{00ff}} WHERE {second}"), "jobs (jid", "targets"),
        ("UPDATE jobs SET target_count = 4".into(), "jobs (jid", "target_count: 4"),
        ("UPDATE jobs SET function = 'x'".into(), "jobs (jid", "not those of the envelope"),
        (
            format!("UPDATE jobs SET counts = '{{\"ok\":2}}' WHERE {second}"),
            "jobs (jid",
            "open and has counts",
        ),
        (format!("UPDATE jobs SET closed = 9 WHERE {second}"), "jobs (jid", "no counts"),
        (
            format!("UPDATE jobs SET closed = 9, counts = '{{\"ok\":2}}' WHERE {second}"),
            "jobs (jid",
            "minion 1 has no outcome",
        ),
        ("UPDATE jobs SET counts = '{\"ok\":4}' WHERE closed IS NOT NULL".into(), "jobs (jid", "counts"),
        (
            "UPDATE jobs SET unresolved = NOT unresolved WHERE closed IS NOT NULL".into(),
            "jobs (jid",
            "unresolved",
        ),
        (format!("DELETE FROM requests WHERE {second}"), "jobs (jid", "request id is missing"),
        (format!("UPDATE requests SET digest = {{{zeros}}} WHERE {second}"), "jobs (jid", "another job's"),
        (
            "UPDATE requests SET id = {00} WHERE jid = (SELECT max(jid) FROM requests)".into(),
            "requests (jid",
            "1 bytes",
        ),
        ("UPDATE batches SET rule = {ff}".into(), "batches (jid", "rule"),
        ("UPDATE batches SET approved = -1".into(), "batches (jid", "approved"),
        ("UPDATE sends SET members = {00ff}".into(), "sends (jid", "members"),
        (format!("UPDATE answers SET body = {{ff}} WHERE no = 1 AND {second}"), "no 1)", "body_size"),
        (
            format!("UPDATE answers SET body = {{ff}}, body_size = 1 WHERE no = 1 AND {second}"),
            "no 1)",
            "digest",
        ),
        (format!("UPDATE answers SET outcome = 'fine' WHERE no = 1 AND {second}"), "no 1)", "fine"),
        (format!("UPDATE answers SET reason = 'why' WHERE no = 1 AND {second}"), "no 1)", "why"),
        (format!("DELETE FROM members WHERE no = 0 AND {second}"), "jobs (jid", "who gave answer 0"),
        ("UPDATE members SET count = 7 WHERE no = 1".into(), "members (jid", "count: 7"),
        (
            format!("DELETE FROM changes WHERE seq = 1 AND {second}"),
            "changes (jid",
            "after change 0 comes change 2",
        ),
        (format!("DELETE FROM changes WHERE seq = 2 AND {second}"), "jobs (jid", "give answer 1 to others"),
        ("UPDATE plans SET request = {ff}".into(), "plans (id fefe", "request"),
        ("UPDATE plans SET targets = {00ff}".into(), "plans (id", "targets"),
        ("UPDATE schedules SET definition = {ff} WHERE name = 'nightly'".into(), "\"nightly\"", "definition"),
        ("UPDATE schedules SET name = 'daily' WHERE name = 'nightly'".into(), "\"daily\"", "\"nightly\""),
        ("UPDATE topologies SET text = 'x' WHERE number = 2".into(), "topologies (number 2)", "text"),
        ("UPDATE topologies SET regions = '1' WHERE number = 1".into(), "topologies (number 1)", "regions"),
        ("UPDATE topologies SET state = 'good' WHERE number = 1".into(), "topologies (number 1)", "good"),
        ("UPDATE records SET area = 'lost' WHERE area = 'token'".into(), "records (area \"lost\"", "area"),
        ("UPDATE records SET key = {} WHERE area = 'token'".into(), "records (area \"token\", key )", "key"),
        (
            format!(
                "UPDATE records SET value = {{{}}} WHERE area = 'token'",
                "00".repeat(MAX_RECORD_VALUE + 1)
            ),
            "records (area \"token\", key 0027)",
            "value",
        ),
        (
            "DELETE FROM records WHERE area = 'audit' AND key = {0000000000000001}".into(),
            "records (area \"audit\", key 0000000000000002)",
            "where record 1 belongs",
        ),
        (
            "UPDATE records SET value = {7b7d} WHERE area = 'audit'".into(),
            "records (area \"audit\", key 0000000000000002)",
            "value",
        ),
    ];
    let bench = Bench::full(kind).await;
    let each = |sql: &str| TABLES.iter().map(|t| sql.replace('@', t.name)).collect::<Vec<_>>();
    bench.execute(&each("CREATE TABLE saved_@ AS SELECT * FROM @;").concat()).await;
    for (sql, row, word) in &damages {
        bench.damage(sql).await;
        let found = bench.check().await;
        let told = |p: &Problem| p.row.contains(row) && p.what.contains(word);
        assert!(found.problems.iter().any(told), "{sql}: {:?}", found.problems);
        assert_eq!(found.more, 0);
        // As it was, what refers to others last.
        let gone: String = each("DELETE FROM @;").into_iter().rev().collect();
        bench.execute(&(gone + &each("INSERT INTO @ SELECT * FROM saved_@;").concat())).await;
        assert_eq!(bench.check().await.problems, [], "{sql}");
    }
}

/// Rows that are each as they should be, and together are not.
async fn every_target_has_one_outcome_at_most(kind: Kind) {
    for (members, word) in [(&[0, 2][..], "minion 0 has two outcomes"), (&[2, 9], "minion 9 gave answer 1")] {
        let mut bench = Bench::full(kind).await;
        let jid = bench.head(1).job.jid;
        bench.commit(vec![bench.change(jid, 3, vec![row(1, None, members)])]).await.unwrap();
        let found = bench.check().await.problems;
        assert!(found.iter().any(|p| p.what.contains(word)), "{found:?}");
    }
}

async fn what_is_not_there_is_no_clean_store(kind: Kind) {
    // Kept to the end: a database that is given back is another test's.
    let kept = Place::new(kind);
    let place = kept.whole();
    let absent = |error| assert!(matches!(error, MaintenanceError::Absent { .. }), "{error}");
    absent(place.check(NOW).await.unwrap_err());
    absent(place.schema().await.unwrap_err());
    absent(place.migrate(true).await.unwrap_err());
    absent(place.export(None, &mut Vec::new(), &mut |_| {}).await.unwrap_err());
    if let StorePlace::Sqlite(path) = &place {
        assert!(!path.exists(), "nothing was made by looking");
    }
}
