//! Rows that nobody can have written: named, and nothing is begun on them.

use super::*;

on_both!(damage_is_named_and_changes_nothing);

impl Bench {
    /// Damages the database. `{00ff}` in the statement stands for these bytes, `{text}` for a text that can't be.
    pub(super) async fn damage(&self, sql: &str) {
        let sql = sql.replace("{text}", self.bad_text());
        let sql = match sql.split_once('{').and_then(|(a, rest)| Some((a, rest.split_once('}')?))) {
            Some((before, (digits, after))) if digits.chars().all(|c| c.is_ascii_hexdigit()) => {
                format!("{before}{}{after}", self.blob(digits))
            }
            _ => sql,
        };
        self.execute(&sql).await;
    }
}

async fn damage_is_named_and_changes_nothing(kind: Kind) {
    let damages = [
        ("DELETE FROM members WHERE no = 0", "number 0 is missing"),
        ("UPDATE members SET members = {00ff}", "members"),
        ("UPDATE answers SET outcome = 'fine'", "fine"),
        (
            "UPDATE jobs SET digest = {0000000000000000000000000000000000000000000000000000000000000000}",
            "digest",
        ),
        ("UPDATE jobs SET envelope = {ff}", "digest"),
        ("INSERT INTO batches VALUES ((SELECT jid FROM jobs), 0, {ff})", "decode"),
        ("INSERT INTO batches VALUES ((SELECT jid FROM jobs), -1, {})", "out of range"),
        // Approval without stages.
        ("INSERT INTO batches VALUES ((SELECT jid FROM jobs), 0, {4001})", "canary"),
    ];
    for (sql, word) in damages {
        let mut bench = Bench::new(kind).await;
        let jid = bench.accept(1).await;
        let (one, two) = (answer("1"), answer("2"));
        let rows = vec![row(0, Some(&one), &[0]), row(1, Some(&two), &[1])];
        bench.commit(vec![bench.returns(jid, rows)]).await.unwrap();
        bench.damage(sql).await;
        let error = bench.store.begin().await.unwrap_err();
        let StoreError::Damaged { row, why } = &error else { panic!("{error}") };
        assert!(row.contains(&jid.to_string()) && why.contains(word), "{error}");
        let epoch = bench.number("SELECT epoch FROM owner").await;
        assert_eq!(epoch, bench.epoch.0 as i64, "the epoch was not raised");
    }
}
