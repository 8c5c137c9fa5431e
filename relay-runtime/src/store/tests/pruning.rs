//! What is forgotten, when, and in which steps.

use super::{super::steps::MAX_STEP_ROWS, *};

on_both!(
    old_closed_jobs_go_and_open_ones_stay,
    a_request_is_known_for_a_week_even_without_its_job,
    a_request_is_known_as_long_as_its_job,
    a_large_job_goes_in_steps_and_is_gone_with_the_first,
    many_jobs_and_requests_go_in_one_call,
    what_closed_before_a_moment_goes_when_an_operator_says_so,
);

const WEEK: WallMicros = KEEP_HOURS * HOUR;
const KEEP_HOURS: u64 = crate::store::KEEP_REQUESTS_HOURS;

async fn old_closed_jobs_go_and_open_ones_stay(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let (old, young, open) = (bench.accept(1).await, bench.accept(2).await, bench.accept(3).await);
    let ok = answer("true");
    let mut writes = vec![Write::Sent(mark(old, 5, &[0]), bench.epoch), Write::Approve(old, bench.epoch, 1)];
    writes.push(bench.returns(old, vec![row(0, Some(&ok), &[0])]));
    bench.commit(writes).await.unwrap();
    bench.close(old, THEN, &[(Outcome::Ok, 1)]).await;
    bench.close(young, THEN + 1, &[(Outcome::Unknown, 1)]).await;
    let pruned = bench.store.prune(24, THEN + 24 * HOUR + 1).await.unwrap();
    assert_eq!(pruned, Pruned { jobs: 1, requests: 0 });
    let left: Vec<Jid> = bench.list(9).await.iter().map(|j| j.jid).collect();
    assert_eq!(left, [open, young]);
    assert_eq!(bench.store.job(old, 0).await.unwrap(), None);
    // A late return for it, and marks of a send: nothing to do, and no reason to try forever.
    let late = vec![
        bench.returns(old, vec![row(0, None, &[0, 1])]),
        Write::Sent(mark(old, 5, &[1]), bench.epoch),
        Write::Cancel(old, bench.epoch),
        Write::Approve(old, bench.epoch, 1),
        Write::Close { jid: old, epoch: bench.epoch, at: THEN, counts: BTreeMap::new() },
    ];
    assert_eq!(bench.commit(late).await, Ok(()));
    let rows = "SELECT (SELECT count(*) FROM sends) + (SELECT count(*) FROM answers) + (SELECT count(*) FROM members)
        + (SELECT count(*) FROM changes) + (SELECT count(*) FROM batches)";
    assert_eq!(bench.number(rows).await, 0, "nothing of it is left");
}

async fn a_request_is_known_for_a_week_even_without_its_job(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    bench.close(jid, THEN, &[(Outcome::Ok, 3)]).await;
    assert_eq!(bench.store.prune(1, THEN + WEEK).await.unwrap(), Pruned { jobs: 1, requests: 0 });
    let retry = JobHead { request_id: bench.head(1).request_id, ..bench.head(2) };
    let accept = vec![Write::Accept(Box::new(retry))];
    let known = WriteError::RequestKnown { jid, targets: 3, same: true };
    assert_eq!(bench.commit(accept.clone()).await, Err(known));
    let clash = JobHead { request_id: RequestId(9), ..bench.head(1) };
    let clash = vec![Write::Accept(Box::new(clash))];
    assert_eq!(bench.commit(clash.clone()).await, Err(WriteError::JidTaken(jid)), "minions may remember it");
    let week_later = THEN + WEEK + 1;
    assert_eq!(bench.store.prune(1, week_later).await.unwrap(), Pruned { jobs: 0, requests: 1 });
    assert_eq!(bench.commit(clash).await, Ok(()));
    assert_eq!(bench.commit(accept).await, Ok(()));
}

async fn a_request_is_known_as_long_as_its_job(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    bench.accept(1).await;
    let years_later = THEN + 200 * WEEK;
    assert_eq!(bench.store.prune(1, years_later).await.unwrap(), Pruned::default());
    let retry = JobHead { request_id: bench.head(1).request_id, ..bench.head(2) };
    let result = bench.commit(vec![Write::Accept(Box::new(retry))]).await;
    assert!(matches!(result, Err(WriteError::RequestKnown { .. })));
}

async fn a_large_job_goes_in_steps_and_is_gone_with_the_first(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let count = MAX_STEP_ROWS as u32 * 2 + 10;
    let rows = (0..count).map(|n| row(n, Some(&answer(&n.to_string())), &[n])).collect();
    bench.commit(vec![bench.returns(jid, rows)]).await.unwrap();
    // Unresolved: a restart in the middle must not take half of it for the whole.
    bench.close(jid, THEN, &[(Outcome::Unknown, 1)]).await;
    let cutoffs = Cutoffs::at(1, THEN + 2 * HOUR);
    assert_eq!(bench.prune_step(cutoffs).await, (true, 0));
    assert_eq!(bench.store.job(jid, 0).await.unwrap(), None);
    assert!(bench.list(1).await.is_empty());
    assert!(bench.store.answers(jid, 0).await.unwrap().is_empty());
    assert!(bench.store.begin().await.unwrap().jobs.is_empty());
    let rows = "SELECT (SELECT count(*) FROM answers) + (SELECT count(*) FROM changes)";
    let left = bench.number(rows).await;
    assert_eq!(left, 2 * i64::from(count) - MAX_STEP_ROWS);
    assert_eq!(bench.store.prune(1, THEN + 2 * HOUR).await.unwrap().jobs, 1);
    assert_eq!(bench.number("SELECT count(*) FROM jobs").await, 0);
}

async fn many_jobs_and_requests_go_in_one_call(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let many = MAX_STEP_ROWS as u64 * 2 + 1;
    let accepts = (0..many).map(|n| Write::Accept(Box::new(bench.head(n)))).collect();
    bench.commit(accepts).await.unwrap();
    let close = |n| Write::Close {
        jid: head(n, bench.epoch).job.jid,
        epoch: bench.epoch,
        at: THEN,
        counts: BTreeMap::new(),
    };
    let closes = (0..many).map(close).collect();
    bench.commit(closes).await.unwrap();
    let pruned = bench.store.prune(0, THEN + WEEK + 1).await.unwrap();
    assert_eq!(pruned, Pruned { jobs: many, requests: many });
}

async fn what_closed_before_a_moment_goes_when_an_operator_says_so(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let mut jids = Vec::new();
    for n in 0..4 {
        jids.push(bench.accept(n).await);
    }
    for (jid, at) in jids.iter().zip([THEN, THEN + 1, THEN + 2]) {
        bench.close(*jid, at, &[(Outcome::Ok, 3)]).await;
    }
    let left = |list: Vec<JobSummary>| list.into_iter().map(|job| job.jid).collect::<Vec<_>>();
    assert_eq!(bench.store.prune_before(THEN + 1).await.unwrap(), Pruned { jobs: 1, requests: 0 });
    assert_eq!(left(bench.list(9).await), [jids[3], jids[2], jids[1]]);
    assert_eq!(bench.store.prune_before(u64::MAX).await.unwrap(), Pruned { jobs: 2, requests: 0 });
    assert_eq!(left(bench.list(9).await), [jids[3]], "it is open");
    let retry = bench.head(0);
    let known = bench.commit(vec![Write::Accept(Box::new(retry))]).await;
    assert!(matches!(known, Err(WriteError::RequestKnown { .. })), "{known:?}");
}
