//! Whether new jobs are taken: only while this top master knows that it owns the fabric.

use relay_core::time::Millis;
use relay_proto::Code;
use relay_runtime::clock::Clock;
use tokio::sync::watch;
use tonic::Status;

use crate::owning::Lead;

/// How this top master stands with the registry.
#[derive(Clone)]
pub struct Reach(Option<(watch::Receiver<Lead>, Clock)>);

impl Reach {
    /// The registry is in this process: it is always there.
    pub fn always() -> Reach {
        Reach(None)
    }

    /// The registry is elsewhere.
    pub fn of(lead: watch::Receiver<Lead>, clock: Clock) -> Reach {
        Reach(Some((lead, clock)))
    }

    /// Whether something new may begin.
    ///
    /// # Errors
    /// [`Code::Registry`]: the time of our lease has passed without a word from the registry.
    pub(crate) fn check(&self) -> Result<(), Status> {
        let Some((lead, clock)) = &self.0 else { return Ok(()) };
        let (now, lead) = (clock.now(), lead.borrow());
        if now < lead.certain_until {
            return Ok(());
        }
        Err(Code::Registry.status(refusal(now.saturating_sub(lead.uncertain_since))))
    }
}

fn refusal(silent: Millis) -> String {
    let seconds = silent / 1_000;
    format!(
        "the registry (etcd) can't be reached since {seconds} s; running jobs go on, new ones are refused until it is \
         back: look after etcd, nothing is to be done here"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_jobs_need_a_lease_that_is_not_over() {
        let clock = Clock::start();
        let (lead, seen) = watch::channel(Lead { certain_until: u64::MAX, ..Lead::default() });
        let reach = Reach::of(seen, clock);
        assert!(reach.check().is_ok() && Reach::always().check().is_ok());
        lead.send_replace(Lead { certain_until: 0, uncertain_since: 0, ..Lead::default() });
        let refused = reach.check().unwrap_err();
        assert_eq!(Code::of(&refused), Some(Code::Registry));
        assert!(refused.message().contains("the registry (etcd) can't be reached since 0 s"), "{refused}");
    }
}
