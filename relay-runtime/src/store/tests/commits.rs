//! What a commit promises: order, all or nothing, its own result, fencing, and life after a full disk.

use super::*;

on_both!(
    a_retried_request_gets_its_job,
    a_taken_jid_is_refused_with_all_that_came_with_it,
    batches_that_wait_together_have_their_own_results,
    an_owner_that_was_replaced_writes_nothing,
    an_epoch_that_never_began_is_refused,
    an_answer_is_kept_as_it_first_came_and_its_members_as_they_last_came,
    a_repeated_old_commit_does_not_bring_back_an_old_record,
    a_full_queue_refuses_at_once_and_keeps_what_it_has,
    what_was_asked_for_before_the_close_is_done_and_the_rest_refused,
);

async fn a_retried_request_gets_its_job(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let again = JobHead { request_id: bench.head(1).request_id, ..bench.head(2) };
    let known = |same| Err(WriteError::RequestKnown { jid, targets: 3, same });
    assert_eq!(bench.commit(vec![Write::Accept(Box::new(again.clone()))]).await, known(true));
    let other = JobHead { request_digest: [2; 32], ..again };
    assert_eq!(bench.commit(vec![Write::Accept(Box::new(other))]).await, known(false));
    assert_eq!(bench.list(10).await.len(), 1);
    let found = bench.store.request(bench.head(1).request_id).await.unwrap();
    assert_eq!(found, Some(KnownRequest { jid, targets: 3, digest: [1; 32] }));
    assert_eq!(bench.store.request(bench.head(2).request_id).await.unwrap(), None);
}

async fn a_taken_jid_is_refused_with_all_that_came_with_it(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let clash = JobHead { request_id: RequestId(9), ..bench.head(1) };
    let writes = vec![
        Write::Minions(vec![record(4, "d")]),
        Write::Sent(mark(jid, 5, &[2]), bench.epoch),
        Write::Accept(Box::new(clash)),
    ];
    assert_eq!(bench.commit(writes).await, Err(WriteError::JidTaken(jid)));
    let left = bench.store.begin().await.unwrap();
    assert!(left.minions.is_empty() && left.jobs[0].sent.is_empty());
}

async fn batches_that_wait_together_have_their_own_results(kind: Kind) {
    let bench = Bench::new(kind).await;
    let held = bench.hold().await;
    let accept = |n| vec![Write::Accept(Box::new(bench.head(n)))];
    let clash = JobHead { request_id: RequestId(9), ..bench.head(1) };
    let first = bench.store.commit(1, accept(1));
    let taken = bench.store.commit(2, vec![Write::Accept(Box::new(clash))]);
    // Two numbers for one id: the database itself refuses it, and with it the transaction.
    let twice = bench.store.commit(3, vec![Write::Minions(vec![record(1, "a"), record(2, "a")])]);
    let last = bench.store.commit(4, accept(2));
    drop(held);
    assert_eq!(first.await, Ok(()));
    assert_eq!(taken.await, Err(WriteError::JidTaken(bench.head(1).job.jid)));
    assert!(matches!(twice.await, Err(WriteError::Failed(why)) if why.to_lowercase().contains("unique")));
    assert_eq!(last.await, Ok(()));
    let left = bench.store.begin().await.unwrap();
    assert_eq!((left.jobs.len(), left.minions.len()), (2, 0));
}

async fn an_owner_that_was_replaced_writes_nothing(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let next = bench.other().await;
    let recovered = next.begin().await.unwrap();
    assert!(recovered.epoch > bench.epoch);
    assert_eq!(recovered.jobs[0].head.epoch, recovered.epoch);
    let ok = answer("true");
    let writes = [
        Write::Minions(vec![record(1, "a")]),
        Write::Accept(Box::new(bench.head(2))),
        Write::Sent(mark(jid, 5, &[1]), bench.epoch),
        bench.returns(jid, vec![row(0, Some(&ok), &[1])]),
        Write::Cancel(jid, bench.epoch),
        Write::Approve(jid, bench.epoch, 1),
        Write::Close { jid, epoch: bench.epoch, at: THEN, counts: BTreeMap::new() },
        // Not even under the epoch of the other.
        Write::Cancel(jid, recovered.epoch),
    ];
    for write in writes {
        assert_eq!(bench.commit(vec![write.clone()]).await, Err(WriteError::Fenced), "{write:?}");
    }
    assert_eq!(bench.store.prune(0, THEN + HOUR).await, Err(StoreError::Fenced));
    assert_eq!(bench.store.prune_before(THEN + HOUR).await, Err(StoreError::Fenced));
    assert_eq!(bench.store.put_plan(kept::plan(1, THEN)).await, Err(StoreError::Fenced));
    assert_eq!(bench.store.put_schedule(kept::new("s")).await, Err(StoreError::Fenced));
    assert_eq!(bench.store.pause_schedule("s", true, 0).await, Err(StoreError::Fenced));
    assert_eq!(bench.store.schedule_ran("s", kept::run(1), 0).await, Err(StoreError::Fenced));
    assert_eq!(bench.store.remove_schedule("s").await, Err(StoreError::Fenced));
    let view = next.job(jid, 0).await.unwrap().unwrap();
    assert!(
        !view.cancelled
            && view.approved == 0
            && view.changes.is_empty()
            && view.closed.is_none()
            && view.groups.is_empty()
    );
    assert_eq!(next.commit(1, vec![Write::Cancel(jid, recovered.epoch)]).await, Ok(()));
}

async fn an_epoch_that_never_began_is_refused(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let result = bench.commit(vec![Write::Cancel(jid, Epoch(bench.epoch.0 + 1))]).await;
    assert!(matches!(result, Err(WriteError::Failed(_))), "{result:?}");
}

async fn an_answer_is_kept_as_it_first_came_and_its_members_as_they_last_came(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let (first, late) = (answer("1"), answer("2"));
    bench.commit(vec![bench.returns(jid, vec![row(0, Some(&first), &[0])])]).await.unwrap();
    bench.commit(vec![bench.returns(jid, vec![row(0, Some(&late), &[0, 1])])]).await.unwrap();
    bench.commit(vec![bench.returns(jid, vec![row(0, None, &[1])])]).await.unwrap();
    let view = bench.view(jid).await;
    assert_eq!((&view.groups[0].answer, &view.groups[0].members), (&first, &set(&[1])));
    let nowhere = bench.commit(vec![bench.returns(jid, vec![row(1, None, &[2])])]).await;
    assert!(matches!(nowhere, Err(WriteError::Failed(_))), "members of no answer: {nowhere:?}");
}

async fn a_repeated_old_commit_does_not_bring_back_an_old_record(kind: Kind) {
    let bench = Bench::new(kind).await;
    let (old, new) = (record(1, "a"), Record { incarnation: Incarnation(2), ..record(1, "a") });
    bench.store.commit(6, vec![Write::Minions(vec![new.clone()])]).await.unwrap();
    bench.store.commit(5, vec![Write::Minions(vec![old.clone()])]).await.unwrap();
    assert_eq!(bench.store.begin().await.unwrap().minions, [new]);
    // The next owner's tickets begin anew.
    bench.store.commit(0, vec![Write::Minions(vec![old.clone()])]).await.unwrap();
    assert_eq!(bench.store.begin().await.unwrap().minions, [old]);
}

async fn a_full_queue_refuses_at_once_and_keeps_what_it_has(kind: Kind) {
    let bench = Bench::new(kind).await;
    let held = bench.hold().await;
    let waiting: Vec<_> = (0..MAX_QUEUED as u64).map(|n| bench.store.commit(n, Vec::new())).collect();
    let refused = bench.store.commit(9_999, Vec::new()).await;
    assert!(matches!(refused, Err(WriteError::Failed(why)) if why.contains("try again")));
    assert_eq!(bench.store.job(Jid::from_micros(1), 0).await, Err(StoreError::Busy(MAX_QUEUED)));
    drop(held);
    for done in waiting {
        assert_eq!(done.await, Ok(()));
    }
}

async fn what_was_asked_for_before_the_close_is_done_and_the_rest_refused(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let held = bench.hold().await;
    let accepted = bench.store.commit(1, vec![Write::Accept(Box::new(bench.head(1)))]);
    drop(held);
    bench.store.close().await;
    assert_eq!(accepted.await, Ok(()));
    assert!(matches!(bench.commit(Vec::new()).await, Err(WriteError::Failed(_))));
    assert_eq!(bench.store.jobs(JobFilter::default(), 1, None).await, Err(StoreError::Closed));
    bench.store.close().await;
}
