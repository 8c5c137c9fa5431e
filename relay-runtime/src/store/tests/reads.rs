//! What readers see.

use relay_core::outcome::MAX_BODY_BYTES;

use super::*;

on_both!(
    a_read_sees_the_commits_before_it_and_none_after,
    a_view_holds_what_was_written,
    lists_are_newest_first_in_pages_and_count_open_jobs_too,
    long_arguments_are_whole_in_the_view_and_absent_in_the_list,
    bodies_beyond_the_budget_are_read_in_pages,
    any_text_comes_back_as_it_was,
);

async fn a_read_sees_the_commits_before_it_and_none_after(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let ok = answer("true");
    let commit = |seq, members: &[u32]| {
        bench.store.commit(seq, vec![bench.change(jid, seq, vec![row(0, Some(&ok), members)])])
    };
    let held = bench.hold().await;
    let before = bench.store.job(jid, 0);
    let first = commit(1, &[0]);
    let between = bench.store.job(jid, 0);
    let second = commit(2, &[0, 1]);
    let after = bench.store.job(jid, 0);
    drop(held);
    let seen = |view: Option<JobView>| {
        let view = view.unwrap();
        (view.seq, view.counts.get(&Outcome::Ok).copied())
    };
    assert_eq!(seen(before.await.unwrap()), (0, None));
    assert_eq!(seen(between.await.unwrap()), (1, Some(1)));
    assert_eq!(seen(after.await.unwrap()), (2, Some(2)));
    assert_eq!((first.await, second.await), (Ok(()), Ok(())));
}

async fn a_view_holds_what_was_written(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let ok = answer("true");
    let cut = Arc::new(Answer {
        outcome: Outcome::Failed,
        reason: Reason::NoSpace,
        retcode: -7,
        body: Bytes::from_static(b"\"half"),
        truncated: Some([9; 32]),
        by_tier: true,
    });
    let lost = Arc::new(Answer::bare(Outcome::Unknown, Reason::NoReport));
    let rows = vec![row(0, Some(&ok), &[0]), row(1, Some(&cut), &[1]), row(2, Some(&lost), &[2])];
    let writes = vec![
        bench.returns(jid, rows),
        Write::Cancel(jid, bench.epoch),
        Write::Approve(jid, bench.epoch, 2),
        Write::Approve(jid, bench.epoch, 1),
    ];
    bench.commit(writes).await.unwrap();
    let counts = [(Outcome::Ok, 1), (Outcome::Failed, 1), (Outcome::Unknown, 1)];
    bench.close(jid, THEN + 5, &counts).await;
    let view = bench.view(jid).await;
    assert_eq!(view.head, bench.head(1));
    assert_eq!((view.cancelled, view.closed, view.approved), (true, Some(THEN + 5), 2));
    assert_eq!(view.groups.iter().map(|g| &g.answer).collect::<Vec<_>>(), [&ok, &cut, &lost]);
    assert_eq!(view.counts, counts.into_iter().collect());
    // A late return.
    let rows = vec![row(0, None, &[0, 2]), row(2, None, &[])];
    bench.commit(vec![bench.returns(jid, rows)]).await.unwrap();
    bench.close(jid, THEN + 99, &[(Outcome::Ok, 2), (Outcome::Failed, 1)]).await;
    let summary = bench.list(1).await.remove(0);
    assert_eq!(summary.counts, BTreeMap::from([(Outcome::Ok, 2), (Outcome::Failed, 1)]));
    assert_eq!(summary.closed, Some(THEN + 5), "it closed when every target first had an outcome");
    assert!(bench.store.begin().await.unwrap().jobs.is_empty(), "nothing is unknown any more");
    assert_eq!(bench.store.job(Jid::from_micros(1), 0).await.unwrap(), None);
}

async fn lists_are_newest_first_in_pages_and_count_open_jobs_too(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let mut jids = Vec::new();
    for n in 1..=5 {
        jids.push(bench.accept(n).await);
    }
    let ok = answer("true");
    bench.commit(vec![bench.returns(jids[4], vec![row(0, Some(&ok), &[0, 1])])]).await.unwrap();
    let first = bench.list(2).await;
    assert_eq!(first.iter().map(|j| j.jid).collect::<Vec<_>>(), [jids[4], jids[3]]);
    assert_eq!(first[0].counts, BTreeMap::from([(Outcome::Ok, 2)]));
    assert_eq!((first[1].targets, first[1].counts.len()), (3, 0));
    let rest = bench.store.jobs(JobFilter::default(), usize::MAX, Some(first[1].jid)).await.unwrap();
    assert_eq!(rest.iter().map(|j| j.jid).collect::<Vec<_>>(), [jids[2], jids[1], jids[0]]);
}

async fn long_arguments_are_whole_in_the_view_and_absent_in_the_list(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    for (n, length) in [(1, MAX_SUMMARY_ARGS), (2, MAX_SUMMARY_ARGS + 1)] {
        let spec = JobSpec { args: vec![b'a'; length].into(), ..bench.head(n).spec };
        let head = head_of(spec, n, bench.epoch);
        bench.commit(vec![Write::Accept(Box::new(head.clone()))]).await.unwrap();
        assert_eq!(bench.store.job(head.job.jid, 0).await.unwrap().unwrap().head, head);
    }
    let args = bench.list(2).await.into_iter().map(|j| j.args.map(|a| a.len()));
    assert_eq!(args.collect::<Vec<_>>(), [None, Some(MAX_SUMMARY_ARGS)]);
}

async fn bodies_beyond_the_budget_are_read_in_pages(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let jid = bench.accept(1).await;
    let fit = MAX_READ_BODY_BYTES / MAX_BODY_BYTES;
    let body = |n: usize| format!("{n:04}").repeat(MAX_BODY_BYTES / 4);
    let mut rows: Vec<GroupRow> =
        (0..fit + 1).map(|n| row(n as u32, Some(&answer(&body(n))), &[n as u32])).collect();
    rows.push(row(fit as u32 + 1, Some(&answer("tiny")), &[999]));
    bench.commit(vec![bench.returns(jid, rows)]).await.unwrap();
    let view = bench.view(jid).await;
    let left_out: Vec<usize> =
        view.groups.iter().enumerate().filter(|(_, g)| g.body_left_out).map(|(no, _)| no).collect();
    assert_eq!(left_out, [fit, fit + 1], "one range, so that paging can begin at its first");
    let rest = bench.store.answers(jid, fit as u32).await.unwrap();
    assert_eq!(rest.iter().map(|(no, _)| *no as usize).collect::<Vec<_>>(), left_out);
    assert_eq!((&rest[0].1.body[..], &rest[1].1.body[..]), (body(fit).as_bytes(), &b"tiny"[..]));
    assert_eq!(bench.store.answers(jid, 0).await.unwrap().len(), fit);
}

/// Attack a34: text that would end a statement, a string or a C string.
async fn any_text_comes_back_as_it_was(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let nasty = [
        "'; DROP TABLE jobs; --",
        "\"",
        "a\0b",
        "?1",
        ":jid",
        "\u{202e}\u{1f600}",
        "%_\\",
        &"'".repeat(1 << 20),
    ];
    for (n, text) in (1..).zip(nasty) {
        let spec = JobSpec {
            function: text.into(),
            caller: text.into(),
            args: Bytes::copy_from_slice(text.as_bytes()),
            fabric: text.into(),
            ..bench.head(n).spec
        };
        let head = JobHead { target: text.into(), ..head_of(spec, n, bench.epoch) };
        let jid = head.job.jid;
        let minion = Record { grains: text.into(), ..record(n as u32, &format!("m{n}")) };
        let said = answer(text);
        let writes = vec![
            Write::Accept(Box::new(head.clone())),
            Write::Minions(vec![minion.clone()]),
            bench.returns(jid, vec![row(0, Some(&said), &[1])]),
        ];
        bench.commit(writes).await.unwrap();
        let view = bench.view(jid).await;
        assert_eq!((view.head, &view.groups[0].answer), (head, &said));
        let summary = bench.list(1).await.remove(0);
        assert_eq!([&*summary.function, &*summary.caller, &*summary.target], [text; 3]);
        assert_eq!(bench.list(100).await.len(), n as usize);
    }
    let minions = bench.store.begin().await.unwrap().minions;
    assert_eq!(minions.iter().map(|m| &*m.grains).collect::<Vec<_>>(), nasty);
}
