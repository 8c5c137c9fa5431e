//! Functions that look after jobs: `saltutil.kill_job` and its relatives.
//!
//! They go to all their targets at once, for they must not wait behind what they are to end. And to end a job means more
//! here than in Salt, where what is not started is with the client: here the fabric would start it in the places that the
//! killed ones leave free. So a job that is killed everywhere is cancelled as well.

use anyhow::Context as _;
use relay_core::ids::Jid;
use relay_proto::{
    Code as Refusal,
    operator::{Batch, Outstanding, SubmitRequest, batch::Size},
};
use serde_json::Value;

use super::printer::complain;
use crate::{api::CallError, connect::Fabric};

/// The functions, without `saltutil.`.
const FUNCTIONS: [&str; 9] = [
    "kill_job",
    "term_job",
    "signal_job",
    "kill_all_jobs",
    "term_all_jobs",
    "signal_all_jobs",
    "find_job",
    "running",
    "is_running",
];

/// Whether a function looks after jobs.
pub fn is_control(function: &str) -> bool {
    function.strip_prefix("saltutil.").is_some_and(|name| FUNCTIONS.contains(&name))
}

/// The batch of an order whose operator asks for none: all at once, whatever a region does by default.
pub fn at_once(batch: Option<Batch>) -> Batch {
    Batch { size: Some(Size::All(true)), ..batch.unwrap_or_default() }
}

/// A job that an order is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    jid: Jid,
    /// On every minion, and for good: it is to be over, not only to be ended where it runs.
    everywhere: bool,
}

/// What there is to do for it once the order is accepted.
#[derive(Debug)]
pub struct Waiting {
    ending: Ending,
    /// Who may still start it; or why nobody knows.
    minions: Result<Startable, CallError>,
}

/// How many minions may still start a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Startable {
    /// It is still above them.
    waiting: usize,
    /// It is on its way to them, or runs there already: that is heard a moment later.
    sent: usize,
}

impl Ending {
    /// The job that a request is to end, if it is one that names a job.
    pub fn of(request: &SubmitRequest) -> Option<Ending> {
        let name = request.function.strip_prefix("saltutil.")?;
        if !matches!(name, "kill_job" | "term_job" | "signal_job") {
            return None;
        }
        let args: Value = serde_json::from_slice(&request.args).ok()?;
        let jid = args.pointer("/args/0").or_else(|| args.pointer("/kwargs/jid"))?.as_str()?;
        let all = request.target == "*" && request.subset.is_none();
        Some(Ending { jid: jid.trim().parse().ok()?, everywhere: all && name != "signal_job" })
    }

    /// Looks who has not started it. Before the order is sent: what it ends leaves places for others to start in.
    pub async fn look(self, fabric: &mut Fabric) -> Waiting {
        let minions = match fabric.outstanding(self.jid).await {
            Ok(outstanding) => Ok(startable(&outstanding)),
            // Salt kills a job that nobody knows without a word.
            Err(error) if error.code() == Some(Refusal::NoSuchJob) => Ok(Startable::default()),
            Err(error) => Err(error),
        };
        Waiting { ending: self, minions }
    }
}

impl Waiting {
    /// Keeps it from starting where it has not, if it is to end everywhere; else says how to do that.
    ///
    /// # Errors
    /// It was to be cancelled and is not: what runs is killed all the same, and others may start.
    pub async fn settle(self, fabric: &mut Fabric) -> anyhow::Result<()> {
        let jid = self.ending.jid;
        match self.minions {
            Ok(Startable { waiting, sent }) if self.ending.everywhere => {
                if waiting + sent > 0 {
                    let failed = || {
                        let n = waiting + sent;
                        format!("{n} minions may still start it: relayctl jobs cancel {jid}")
                    };
                    fabric.cancel(jid).await.with_context(failed)?;
                }
                if waiting > 0 {
                    complain(&format!(
                        "{waiting} minions had not started it: the job is cancelled for them\n"
                    ));
                }
            }
            Ok(Startable { waiting: 0, .. }) => {}
            Ok(Startable { waiting, .. }) => {
                complain(&format!("{waiting} minions have not started it yet: relayctl jobs cancel {jid}\n"))
            }
            Err(why) => complain(&format!(
                "nobody knows whether all minions have started it ({why}): see relayctl jobs outstanding {jid}\n"
            )),
        }
        Ok(())
    }
}

/// Who may still start it. Of those that are `lost` nobody knows; they are told as minions that did not return.
fn startable(outstanding: &[Outstanding]) -> Startable {
    let held = |which: &dyn Fn(&str) -> bool| outstanding.iter().filter(|m| which(&m.held)).count();
    Startable {
        waiting: held(&|held| !matches!(held, "running" | "lost" | "sent")),
        sent: held(&|held| held == "sent"),
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::Subset;
    use serde_json::json;

    use super::*;

    const JID: &str = "20261121073656123456";

    fn request(target: &str, function: &str, args: Value) -> SubmitRequest {
        SubmitRequest {
            target: target.into(),
            function: function.into(),
            args: args.to_string().into_bytes(),
            ..SubmitRequest::default()
        }
    }

    #[test]
    fn what_is_ended_and_where() {
        let placed = || json!({"args": [JID], "kwargs": {}});
        let named = json!({"args": [], "kwargs": {"jid": JID}});
        for (target, function, args, everywhere) in [
            ("*", "saltutil.kill_job", placed(), Some(true)),
            ("*", "saltutil.term_job", named, Some(true)),
            ("*", "saltutil.signal_job", json!({"args": [JID, 10], "kwargs": {}}), Some(false)),
            ("web*", "saltutil.kill_job", placed(), Some(false)),
            ("*", "saltutil.find_job", placed(), None),
            ("*", "saltutil.kill_all_jobs", json!({"args": [], "kwargs": {}}), None),
            ("*", "saltutil.kill_job", json!({"args": [7], "kwargs": {}}), None),
            ("*", "saltutil.kill_job", json!({"args": ["no jid"], "kwargs": {}}), None),
            ("*", "other.kill_job", placed(), None),
        ] {
            let found = Ending::of(&request(target, function, args.clone()));
            assert_eq!(found.map(|ending| ending.everywhere), everywhere, "{target} {function} {args}");
            assert!(found.is_none_or(|ending| ending.jid.to_string() == JID));
        }
        let some = SubmitRequest {
            subset: Some(Subset { count: 3, seed: 1 }),
            ..request("*", "saltutil.kill_job", placed())
        };
        assert!(!Ending::of(&some).unwrap().everywhere);
    }

    #[test]
    fn those_that_may_still_start_it() {
        let held = ["window", "offline", "serial", "approval", "sent", "running", "lost"];
        let minions = held.map(|held| Outstanding { held: held.into(), ..Outstanding::default() });
        assert_eq!(startable(&minions), Startable { waiting: 4, sent: 1 });
        assert_eq!(startable(&[]), Startable::default());
    }

    #[test]
    fn what_looks_after_jobs_goes_to_all_at_once() {
        assert!(FUNCTIONS.iter().all(|name| is_control(&format!("saltutil.{name}"))));
        assert!(!is_control("saltutil.refresh_grains") && !is_control("cmd.run") && !is_control("kill_job"));
        assert_eq!(at_once(None).size, Some(Size::All(true)));
        let wait = Batch { size: Some(Size::Regions(true)), wait_ms: 7, ..Batch::default() };
        assert_eq!(
            (at_once(Some(wait.clone())).size, at_once(Some(wait)).wait_ms),
            (Some(Size::All(true)), 7)
        );
    }
}
