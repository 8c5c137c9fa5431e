//! Numbered changes: what a watcher hears when it comes back.

use super::*;

on_both!(
    a_late_resolution_shows_both_times,
    a_watcher_goes_on_after_its_cursor,
    only_bodies_that_are_needed_are_read,
    a_repeated_commit_is_not_told_twice,
    a_refused_commit_leaves_no_change,
    the_next_owner_goes_on_numbering,
    damage_is_named,
    a_batch_comes_back_with_its_job,
    a_batch_that_could_not_be_read_again_is_refused,
);

fn told(view: &JobView) -> Vec<(u64, u64, GroupNo, Vec<u32>)> {
    view.changes.iter().map(|c| (c.seq, c.at - THEN, c.no, c.members.iter().collect())).collect()
}

fn left(no: GroupNo, members: &[u32]) -> GroupRow {
    GroupRow { added: Members::new(), ..row(no, None, members) }
}

fn grown(no: GroupNo, members: &[u32], added: &[u32]) -> GroupRow {
    GroupRow { added: set(added), ..row(no, None, members) }
}

/// Three changes: two answers, one more target under the first, and the resolution of the unknown one.
async fn resolved(bench: &mut Bench) -> Jid {
    let jid = bench.accept(1).await;
    let (ok, lost) = (answer("true"), Arc::new(Answer::bare(Outcome::Unknown, Reason::NoReport)));
    let writes = [
        bench.change(jid, 1, vec![row(0, Some(&ok), &[0]), row(1, Some(&lost), &[2])]),
        bench.change(jid, 2, vec![grown(0, &[0, 1], &[1])]),
        bench.change(jid, 3, vec![grown(0, &[0, 1, 2], &[2]), left(1, &[])]),
    ];
    for write in writes {
        bench.commit(vec![write]).await.unwrap();
    }
    jid
}

async fn a_late_resolution_shows_both_times(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = resolved(&mut bench).await;
    let view = bench.view(jid).await;
    let all = [(1, 1, 0, vec![0]), (1, 1, 1, vec![2]), (2, 2, 0, vec![1]), (3, 3, 0, vec![2])];
    assert_eq!((view.seq, told(&view)), (3, all.to_vec()));
    assert!(view.groups[1].members.is_empty(), "it stands where it was resolved to");
}

async fn a_watcher_goes_on_after_its_cursor(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = resolved(&mut bench).await;
    let all = told(&bench.view(jid).await);
    for after in [0, 1, 2, 3, 4, i64::MAX as u64, u64::MAX] {
        let view = bench.store.job(jid, after).await.unwrap().unwrap();
        let rest: Vec<_> = all.iter().filter(|(seq, ..)| *seq > after).cloned().collect();
        assert_eq!((view.seq, told(&view)), (3, rest), "after {after}");
        assert_eq!(view.counts, BTreeMap::from([(Outcome::Ok, 3)]), "who stands where is always all there");
    }
}

async fn only_bodies_that_are_needed_are_read(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let (one, two) = (answer("1"), answer("2"));
    bench.commit(vec![bench.change(jid, 1, vec![row(0, Some(&one), &[0])])]).await.unwrap();
    bench.commit(vec![bench.change(jid, 2, vec![row(1, Some(&two), &[1])])]).await.unwrap();
    for (after, expected) in [(0, [false, false]), (1, [true, false]), (u64::MAX, [true, true])] {
        let view = bench.store.job(jid, after).await.unwrap().unwrap();
        assert_eq!(
            view.groups.iter().map(|g| g.body_left_out).collect::<Vec<_>>(),
            expected,
            "after {after}"
        );
        assert!(view.groups.iter().all(|g| g.answer.body.is_empty() == g.body_left_out));
    }
}

async fn a_repeated_commit_is_not_told_twice(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let ok = answer("true");
    let write = bench.change(jid, 1, vec![row(0, Some(&ok), &[0])]);
    bench.commit(vec![write.clone()]).await.unwrap();
    bench.commit(vec![write]).await.unwrap();
    assert_eq!(told(&bench.view(jid).await), [(1, 1, 0, vec![0])]);
}

async fn a_refused_commit_leaves_no_change(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let ok = answer("true");
    let rows = vec![row(0, Some(&ok), &[0]), row(7, None, &[1])];
    assert!(bench.commit(vec![bench.change(jid, 1, rows)]).await.is_err());
    let view = bench.view(jid).await;
    assert_eq!((view.seq, view.changes.len(), view.groups.len()), (0, 0, 0));
}

async fn the_next_owner_goes_on_numbering(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = resolved(&mut bench).await;
    // Members that only leave are nobody's news, but the number is used up.
    bench.commit(vec![bench.change(jid, 4, vec![left(1, &[])])]).await.unwrap();
    let stored = bench.store.begin().await.unwrap().jobs.remove(0);
    assert_eq!((stored.seq, stored.approved), (4, 0));
    assert_eq!(bench.store.job(jid, 3).await.unwrap().unwrap().changes, []);
}

async fn damage_is_named(kind: Kind) {
    let damages = [
        ("UPDATE changes SET members = {00ff}", "members"),
        ("UPDATE changes SET no = 9 WHERE seq = 2", "answer 9 is missing"),
        ("UPDATE changes SET no = -1 WHERE seq = 2", "out of range"),
        ("INSERT INTO batches VALUES ((SELECT jid FROM jobs), 0, {ff})", "decode"),
    ];
    for (sql, word) in damages {
        let mut bench = Bench::new(kind).await;
        let jid = resolved(&mut bench).await;
        bench.damage(sql).await;
        let error = bench.store.job(jid, 0).await.unwrap_err();
        let StoreError::Damaged { row, why } = &error else { panic!("{error}") };
        assert!(row.contains(&jid.to_string()) && why.contains(word), "{error}");
    }
}

async fn a_batch_comes_back_with_its_job(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let head = JobHead { batch: canary(), ..bench.head(1) };
    let jid = head.job.jid;
    let writes = vec![Write::Accept(Box::new(head.clone())), Write::Approve(jid, bench.epoch, 1)];
    bench.commit(writes).await.unwrap();
    let view = bench.view(jid).await;
    assert_eq!((&view.head, view.approved), (&head, 1));
    let summary = bench.list(1).await.remove(0);
    assert_eq!((summary.batch, summary.approved), (canary(), 1));
    let stored = bench.store.begin().await.unwrap().jobs.remove(0);
    assert_eq!((stored.head.batch, stored.approved), (canary(), 1));
}

async fn a_batch_that_could_not_be_read_again_is_refused(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let nonsense = BatchRule { size: BatchSize::Canary(Vec::new()), ..BatchRule::default() };
    let head = JobHead { batch: nonsense, ..bench.head(1) };
    let refused = bench.commit(vec![Write::Accept(Box::new(head))]).await;
    assert!(matches!(refused, Err(WriteError::Failed(_))), "{refused:?}");
    assert_eq!(bench.list(9).await, []);
}
