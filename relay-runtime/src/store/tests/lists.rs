//! Lists with filters, figures and history.

use relay_core::target::Glob;

use super::{super::steps::MAX_STEP_JOBS, *};

on_both!(
    filters_take_what_they_say,
    what_is_wanted_is_found_however_far_back_it_is,
    a_commit_does_not_wait_for_a_long_list,
    figures_are_by_function,
    a_functions_history_is_of_jobs_that_went_to_their_end,
    damage_is_named,
);

fn glob(text: &str) -> JobFilter {
    JobFilter { function: Some(Glob::new(text)), ..JobFilter::default() }
}

fn state(state: JobState) -> JobFilter {
    JobFilter { state: Some(state), ..JobFilter::default() }
}

impl Bench {
    /// Job `n`, accepted `n` microseconds after the others' beginning.
    async fn run(&mut self, n: u64, function: &str, caller: &str, target: &str) -> Jid {
        let spec = JobSpec { function: function.into(), caller: caller.into(), ..self.head(n).spec };
        let head = JobHead { target: target.into(), created: THEN + n, ..head_of(spec, n, self.epoch) };
        let jid = head.job.jid;
        self.commit(vec![Write::Accept(Box::new(head))]).await.unwrap();
        jid
    }

    async fn found(&self, filter: JobFilter) -> Vec<u64> {
        let jobs = self.store.jobs(filter, 100, None).await.unwrap();
        jobs.iter().map(|job| job.jid.micros() - THEN).collect()
    }
}

async fn filters_take_what_they_say(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let lost = Arc::new(Answer::bare(Outcome::Unknown, Reason::NoReport));
    bench.run(1, "test.ping", "root", "*").await;
    let second = bench.run(2, "test.sleep", "ann", "web* and G@os:Debian").await;
    let third = bench.run(3, "cmd.run", "root", "web[01-20]").await;
    let fourth = bench.run(4, "cmd.run", "Root", "db1").await;
    bench.commit(vec![bench.returns(second, vec![row(0, Some(&lost), &[0])])]).await.unwrap();
    bench.close(third, THEN + 9, &[(Outcome::Ok, 2), (Outcome::Failed, 0), (Outcome::Unknown, 1)]).await;
    bench.close(fourth, THEN + 9, &[(Outcome::Failed, 3)]).await;
    bench.commit(vec![Write::Cancel(fourth, bench.epoch), Write::Cancel(second, bench.epoch)]).await.unwrap();
    let table: Vec<(JobFilter, &[u64])> = vec![
        (JobFilter::default(), &[4, 3, 2, 1]),
        (state(JobState::Open), &[2, 1]),
        (state(JobState::Closed), &[4, 3]),
        (state(JobState::Cancelled), &[4, 2]),
        (state(JobState::Has(Outcome::Unknown)), &[3, 2]),
        (state(JobState::Has(Outcome::Failed)), &[4]),
        (state(JobState::Has(Outcome::Interrupted)), &[]),
        (glob("test.*"), &[2, 1]),
        (glob("cmd.run"), &[4, 3]),
        (glob("cmd"), &[]),
        (glob("' OR 1=1 --"), &[]),
        (JobFilter { target: Some("web".into()), ..JobFilter::default() }, &[3, 2]),
        (JobFilter { target: Some("%".into()), ..JobFilter::default() }, &[]),
        (JobFilter { caller: Some("root".into()), ..JobFilter::default() }, &[3, 1]),
        (JobFilter { since: Some(THEN + 3), ..JobFilter::default() }, &[4, 3]),
        (JobFilter { until: Some(THEN + 2), ..JobFilter::default() }, &[2, 1]),
        (JobFilter { since: Some(THEN + 2), until: Some(THEN + 3), ..JobFilter::default() }, &[3, 2]),
        (JobFilter { since: Some(u64::MAX), ..JobFilter::default() }, &[]),
        (JobFilter { until: Some(u64::MAX), ..state(JobState::Open) }, &[2, 1]),
        (JobFilter { caller: Some("ann".into()), ..state(JobState::Open) }, &[2]),
    ];
    for (filter, expected) in table {
        assert_eq!(bench.found(filter.clone()).await, expected, "{filter:?}");
    }
}

/// More jobs than one step looks at, of which few are wanted.
async fn what_is_wanted_is_found_however_far_back_it_is(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let oldest = [bench.run(1, "rare.one", "root", "*").await, bench.run(2, "rare.two", "root", "*").await];
    let many = MAX_STEP_JOBS as u64 * 2;
    let accepts = (3..many).map(|n| Write::Accept(Box::new(bench.head(n)))).collect();
    bench.commit(accepts).await.unwrap();
    let newest = bench.run(many, "rare.three", "root", "*").await;
    let page = async |limit, before| {
        let jobs = bench.store.jobs(glob("rare.*"), limit, before).await.unwrap();
        jobs.iter().map(|job| job.jid).collect::<Vec<_>>()
    };
    assert_eq!(page(9, None).await, [newest, oldest[1], oldest[0]]);
    assert_eq!(page(2, None).await, [newest, oldest[1]]);
    assert_eq!(page(2, Some(oldest[1])).await, [oldest[0]]);
    assert_eq!(page(0, None).await, []);
    assert_eq!(bench.list(usize::MAX).await.len(), MAX_PAGE);
    let stats = bench.store.stats(JobFilter::default()).await.unwrap();
    assert_eq!(stats.iter().map(|s| s.jobs).sum::<u64>(), many);
}

/// The first step is in the queue with the call; commits come before the others, and these see them.
async fn a_commit_does_not_wait_for_a_long_list(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    let many = MAX_STEP_JOBS as u64 + 1;
    let accepts = (0..many).map(|n| Write::Accept(Box::new(bench.head(n)))).collect();
    bench.commit(accepts).await.unwrap();
    let listing = bench.store.jobs(state(JobState::Cancelled), 9, None);
    let (newest, oldest) = (bench.head(many - 1).job.jid, bench.head(0).job.jid);
    let cancels = [newest, oldest].map(|jid| Write::Cancel(jid, bench.epoch));
    bench.commit(cancels.to_vec()).await.unwrap();
    let found: Vec<Jid> = listing.await.unwrap().iter().map(|job| job.jid).collect();
    assert_eq!(found, [oldest]);
}

async fn figures_are_by_function(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    assert_eq!(bench.store.stats(JobFilter::default()).await.unwrap(), []);
    let ok = answer("true");
    for (n, took) in [(1, 5_000), (2, 1_000), (3, 9_999), (4, 100_000)] {
        let jid = bench.run(n, "cmd.run", "root", "*").await;
        bench.close(jid, THEN + n + took, &[(Outcome::Ok, 2), (Outcome::Failed, 1)]).await;
    }
    let open = bench.run(5, "cmd.run", "root", "*").await;
    bench.commit(vec![bench.returns(open, vec![row(0, Some(&ok), &[0])])]).await.unwrap();
    bench.run(6, "a.b", "ann", "*").await;
    let cmd = FunctionStats {
        function: "cmd.run".into(),
        jobs: 5,
        targets: 15,
        counts: BTreeMap::from([(Outcome::Ok, 9), (Outcome::Failed, 4)]),
        median_ms: 5,
        slowest_ms: 100,
    };
    let other = FunctionStats { function: "a.b".into(), jobs: 1, targets: 3, ..FunctionStats::default() };
    assert_eq!(bench.store.stats(JobFilter::default()).await.unwrap(), [other.clone(), cmd]);
    let ann = JobFilter { caller: Some("ann".into()), ..JobFilter::default() };
    assert_eq!(bench.store.stats(ann).await.unwrap(), [other]);
}

async fn a_functions_history_is_of_jobs_that_went_to_their_end(kind: Kind) {
    let mut bench = Bench::new(kind).await;
    for (n, function) in [(1, "cmd.run"), (2, "cmd.run"), (3, "cmd.ran"), (4, "cmd.run"), (5, "cmd.run")] {
        let jid = bench.run(n, function, "root", "*").await;
        if n == 4 {
            bench.commit(vec![Write::Cancel(jid, bench.epoch)]).await.unwrap();
        }
        if n < 5 {
            bench.close(jid, THEN + n + 1_000 * n, &[(Outcome::Ok, 3)]).await;
        }
    }
    let ran = |ms| Ran { targets: 3, duration_ms: ms, batch: BatchRule::default() };
    assert_eq!(bench.store.history("cmd.run", 9).await.unwrap(), [ran(2), ran(1)]);
    assert_eq!(bench.store.history("cmd.run", 1).await.unwrap(), [ran(2)]);
    assert_eq!(bench.store.history("cmd.*", 9).await.unwrap(), [], "a name, not a glob");
}

async fn damage_is_named(kind: Kind) {
    for sql in [
        "UPDATE jobs SET counts = 'fine'",
        "UPDATE jobs SET counts = '{\"fine\":1}'",
        "UPDATE jobs SET counts = NULL",
        "UPDATE jobs SET function = {text}",
        "INSERT INTO batches VALUES ((SELECT jid FROM jobs), 0, {ff})",
    ] {
        let mut bench = Bench::new(kind).await;
        let jid = bench.run(1, "cmd.run", "root", "*").await;
        bench.close(jid, THEN, &[(Outcome::Ok, 3)]).await;
        bench.damage(sql).await;
        let jobs = bench.store.jobs(JobFilter::default(), 9, None).await.unwrap_err();
        let stats = bench.store.stats(JobFilter::default()).await.unwrap_err();
        assert_eq!(jobs, stats);
        assert!(
            matches!(&jobs, StoreError::Damaged { row, .. } if row.contains(&jid.to_string())),
            "{sql}: {jobs}"
        );
    }
}
