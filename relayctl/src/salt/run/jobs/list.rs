//! Lists of jobs, with Salt's filters.

use anyhow::anyhow;
use relay_core::{ids::Jid, target::Glob};
use relay_proto::operator::{JobFilter, JobHead, ListJobsRequest};
use serde_json::{Map, Value};

use super::{super::Call, job::asked};
use crate::{
    connect::Fabric,
    salt::{printer::complain, run::times},
};

/// Jobs per question.
const PAGE: u32 = 1_000;
/// Most jobs that are listed: more is for `relayctl jobs list`, which pages.
const MAX_JOBS: usize = 10_000;
/// How many `jobs.list_jobs_filter` shows, if it is not said.
const NEWEST: usize = 10;

/// Which jobs.
struct Wanted {
    filter: JobFilter,
    function: Vec<Glob>,
    target: Vec<Glob>,
}

impl Wanted {
    fn read(call: &mut Call, function: &str, target: &str) -> anyhow::Result<Wanted> {
        let mut moment = |name| call.named(name).map(|v| times::read(&Call::text(v))).transpose();
        let (since, until) = (moment("start_time")?.unwrap_or(0), moment("end_time")?.unwrap_or(0));
        let filter = JobFilter { since, until, ..JobFilter::default() };
        let wanted =
            Wanted { filter, function: globs(call.named(function)), target: globs(call.named(target)) };
        Ok(wanted)
    }

    /// Salt's own patterns, which the top master's filter does not know: several globs on function and target.
    fn matches(&self, head: &JobHead) -> bool {
        let any =
            |globs: &[Glob], text: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(text));
        any(&self.function, &head.function) && any(&self.target, &head.target) && self.in_time(head)
    }

    fn in_time(&self, head: &JobHead) -> bool {
        let JobFilter { since, until, .. } = self.filter;
        head.created >= since && (until == 0 || head.created <= until)
    }
}

/// Globs separated by commas, or a list of them.
fn globs(value: Option<Value>) -> Vec<Glob> {
    let texts: Vec<String> = match value {
        None => Vec::new(),
        Some(Value::Array(items)) => items.into_iter().map(Call::text).collect(),
        Some(one) => Call::text(one).split(',').map(|text| text.trim().to_owned()).collect(),
    };
    texts.iter().map(|text| Glob::new(text)).collect()
}

/// `jobs.list_jobs`.
pub async fn all(mut call: Call, fabric: &mut Fabric) -> anyhow::Result<Value> {
    let wanted = Wanted::read(&mut call, "search_function", "search_target")?;
    call.done()?;
    Ok(shown(find(&wanted, MAX_JOBS, fabric).await?))
}

/// `jobs.list_jobs_filter COUNT`.
pub async fn newest(mut call: Call, fabric: &mut Fabric) -> anyhow::Result<Value> {
    let count = call.take("count").map(Call::text).map(|text| {
        text.parse::<usize>().map_err(|_| anyhow!("jobs.list_jobs_filter COUNT: {text:?} is no number"))
    });
    let _ = call.named("filter_find_job");
    call.done()?;
    let wanted = Wanted { filter: JobFilter::default(), function: Vec::new(), target: Vec::new() };
    Ok(shown(find(&wanted, count.transpose()?.unwrap_or(NEWEST).min(MAX_JOBS), fabric).await?))
}

/// The newest job of those asked for.
pub async fn last(mut call: Call, fabric: &mut Fabric) -> anyhow::Result<Option<Jid>> {
    let wanted = Wanted::read(&mut call, "function", "target")?;
    call.done()?;
    Ok(find(&wanted, 1, fabric).await?.first().map(|head| Jid::from_micros(head.jid)))
}

/// Jobs that are not over.
pub async fn open(fabric: &mut Fabric) -> anyhow::Result<Vec<JobHead>> {
    let filter = JobFilter { state: "open".into(), ..JobFilter::default() };
    let wanted = Wanted { filter, function: Vec::new(), target: Vec::new() };
    let mut jobs = find(&wanted, MAX_JOBS, fabric).await?;
    jobs.retain(|head| head.closed == 0);
    jobs.reverse();
    Ok(jobs)
}

/// The newest that match, newest first.
async fn find(wanted: &Wanted, most: usize, fabric: &mut Fabric) -> anyhow::Result<Vec<JobHead>> {
    let mut found: Vec<JobHead> = Vec::new();
    let mut before = 0;
    loop {
        let request = ListJobsRequest { limit: PAGE, before, filter: Some(wanted.filter.clone()) };
        let page = fabric.jobs(request).await?;
        let whole = page.len() as u64 >= u64::from(PAGE);
        before = page.last().map_or(0, |head| head.jid);
        found.extend(page.into_iter().filter(|head| wanted.matches(head)));
        if found.len() > most && most == MAX_JOBS {
            complain(&format!(
                "only the newest {MAX_JOBS} jobs are listed: narrow the search, or page with \"relayctl jobs list\"\n"
            ));
        }
        if !whole || found.len() >= most {
            found.truncate(most);
            return Ok(found);
        }
    }
}

/// By jid, the oldest first.
fn shown(jobs: Vec<JobHead>) -> Value {
    let each = jobs.iter().rev().map(|head| (Jid::from_micros(head.jid).to_string(), asked(head).into()));
    each.collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(function: &str, target: &str, created: u64) -> JobHead {
        JobHead { function: function.into(), target: target.into(), created, ..JobHead::default() }
    }

    fn wanted(words: &[&str]) -> anyhow::Result<Wanted> {
        let mut call =
            Call::new("jobs.list_jobs", &words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        let wanted = Wanted::read(&mut call, "search_function", "search_target")?;
        call.done()?;
        Ok(wanted)
    }

    #[test]
    fn filters_of_salt() {
        let job = head("test.ping", "web*", 1_795_231_697_567_579);
        for (words, matches) in [
            (&[][..], true),
            (&["search_function=test.*"], true),
            (&["search_function=cmd.run,test.ping"], true),
            (&["search_function=[cmd.run, state.*]"], false),
            (&["search_target=web*"], true),
            (&["search_target=db*"], false),
            (&["start_time=2026-11-21"], true),
            (&["start_time=2026-11-22"], false),
            (&["end_time=2026-11-22", "search_target=*"], true),
            (&["end_time=2026, Nov 21 03:00"], false),
        ] {
            assert_eq!(wanted(words).unwrap().matches(&job), matches, "{words:?}");
        }
        assert!(wanted(&["start_time=soon"]).is_err());
        assert!(wanted(&["search_user=root"]).is_err());
    }
}
