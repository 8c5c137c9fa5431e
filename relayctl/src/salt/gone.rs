//! When `salt` stops waiting: every minion that has not answered is gone, and was at the last look as well.
//!
//! Salt asks the minions (`saltutil.find_job`) and gives up on those that do not say that they still run the job. Here
//! nobody is asked: the top master knows which minions are connected. The job goes on either way, and a late answer is
//! found with `salt-run jobs.lookup_jid`.

use std::time::Duration;

use relay_core::ids::Jid;
use relay_proto::operator::Outstanding;

use crate::connect::Fabric;

/// Between two looks. Two in a row must agree, so a minion is gone for ten seconds before it is given up: as long as
/// Salt's `gather_job_timeout`.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Waits until all that are outstanding are gone; returns their ids. For ever, if somebody is still at work or the fabric
/// will settle the rest by itself.
pub async fn all_gone(mut fabric: Fabric, jid: Jid) -> Vec<String> {
    let mut before = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Whoever cannot be asked now is asked again; the watch itself tells when the connection stays away.
        let Ok(outstanding) = fabric.outstanding(jid).await else { continue };
        let now = !outstanding.is_empty() && outstanding.iter().all(is_gone);
        if now && before {
            return outstanding.into_iter().map(|o| o.id).collect();
        }
        before = now;
    }
}

/// It has the job, or may have it, and is not connected. What is still at the top master gets its outcome from there.
fn is_gone(minion: &Outstanding) -> bool {
    !minion.up && matches!(minion.held.as_str(), "sent" | "lost" | "running")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_settle_is_given_up() {
        for (held, up, gone) in [
            ("running", false, true),
            ("lost", false, true),
            ("sent", false, true),
            ("running", true, false),
            ("sent", true, false),
            ("window", false, false),
            ("offline", false, false),
            ("serial", false, false),
            ("approval", false, false),
        ] {
            let minion = Outstanding { held: held.into(), up, ..Outstanding::default() };
            assert_eq!(is_gone(&minion), gone, "{held} {up}");
        }
    }
}
