//! Options about how many minions run a job at once and when it stops: as typed, and as the batch rule they mean.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use relay_core::{
    batch::{BatchRule, BatchSize, MAX_STAGES},
    owner::MAX_WAIT,
    topology::Share,
};
use relay_proto::{
    batch,
    operator::{Batch, Subset},
};

use super::span::{millis, span};

/// How many at once, and when to stop.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Batches")]
pub struct BatchArgs {
    /// How many minions run it at once: 50, 10%, auto (as many as go well), canary:1,1%,10%,50%,100% (in stages), all.
    /// Default: what the topology says for each region
    #[arg(long, short = 'b', value_name = "SIZE", value_parser = size)]
    pub batch: Option<BatchSize>,
    /// How long a place stays empty after a minion is done
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub batch_wait: Option<Duration>,
    /// Start nothing more once so many executions have failed: 10 or 5%. Minions that were not reached do not count.
    /// A canary's default is 1
    #[arg(long, value_name = "N|N%", value_parser = share, conflicts_with = "failhard")]
    pub max_failures: Option<Share>,
    /// Start nothing more after the first failure: --max-failures 1
    #[arg(long)]
    pub failhard: bool,
    /// Only so many of the targets, chosen by chance
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub subset: Option<u32>,
    /// What chance begins with: the same seed chooses the same minions. Default: a random one, which is printed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Close the job once so many targets have an outcome: 99% or 500
    #[arg(long, value_name = "N|N%", value_parser = share)]
    pub until: Option<Share>,
    /// Close the job after so long, at most 24 h: a job is signed for no longer
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pub deadline: Option<Duration>,
    /// Wait for an operator between two canary stages. Nothing of a job starts later than 24 h after it was ordered: what
    /// is not approved by then is not started
    #[arg(long)]
    pub approve: bool,
    /// Wait so long for minions that are offline, at most 24 h. Default: as long as --delivery-timeout
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pub queue: Option<Duration>,
    /// A minion gets it only when no earlier job is on its way to it or runs there; who has to wait longer than 24 h does
    /// not start it
    #[arg(long)]
    pub serial_per_minion: bool,
}

impl BatchArgs {
    /// The batch for the wire; nothing if no option asks for one.
    ///
    /// # Errors
    /// Options that do not go together: which, and what to write.
    pub fn batch(&self) -> anyhow::Result<Option<Batch>> {
        if self.approve && !matches!(self.batch, Some(BatchSize::Canary(_))) {
            bail!("--approve waits between canary stages: write --batch canary:1,10%,100% too");
        }
        let failures = if self.failhard { Some(Share::Count(1)) } else { self.max_failures };
        let nonzero = |span| Some(millis(span)).filter(|ms| *ms > 0);
        let rule = BatchRule {
            size: self.batch.clone().unwrap_or_default(),
            wait: millis(self.batch_wait),
            max_failures: failures,
            approve: self.approve,
            until: self.until,
            deadline: nonzero(self.deadline),
            queue: nonzero(self.queue),
            serial: self.serial_per_minion,
            ..BatchRule::default()
        };
        let asked = self.batch.is_some() || rule != BatchRule::default();
        Ok(asked.then(|| batch::encode(&rule)))
    }

    /// The subset; `random` is the seed if none was given.
    ///
    /// # Errors
    /// A seed and nothing to choose.
    pub fn subset(&self, random: u64) -> anyhow::Result<Option<Subset>> {
        match (self.subset, self.seed) {
            (None, Some(_)) => bail!("--seed is for choosing some of the targets: write --subset N too"),
            (count, seed) => Ok(count.map(|count| Subset { count, seed: seed.unwrap_or(random) })),
        }
    }
}

/// A time for which a job may wait, as typed: no longer than it is signed for.
///
/// # Errors
/// What to write instead.
fn wait(text: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_millis(MAX_WAIT);
    let hours = MAX.as_secs() / 3_600;
    match span(text)? {
        long if long > MAX => Err(format!(
            "a job is signed for {hours} h, and nothing of it starts later: write at most {hours}h, or order it again later (relayctl schedule add)"
        )),
        wait => Ok(wait),
    }
}

/// How many at once, as typed.
///
/// # Errors
/// What to write instead.
pub fn size(text: &str) -> Result<BatchSize, String> {
    match text {
        "all" => return Ok(BatchSize::All),
        "auto" => return Ok(BatchSize::Auto),
        _ => {}
    }
    if let Some(stages) = text.strip_prefix("canary:") {
        return stages_of(stages).map(BatchSize::Canary);
    }
    let about = |e| format!("{e}; or auto, all, canary:1,1%,10%,50%,100%");
    share(text).map(BatchSize::Window).map_err(about)
}

fn stages_of(text: &str) -> Result<Vec<Share>, String> {
    if text.split(',').any(|stage| stage.trim().is_empty()) {
        return Err(
            "a stage is missing: write how many minions have run after each, as canary:1,10%,100%".into()
        );
    }
    let stages = text.split(',').map(|stage| share(stage.trim())).collect::<Result<Vec<_>, _>>()?;
    if stages.len() > MAX_STAGES {
        return Err(format!("{} stages: write at most {MAX_STAGES}", stages.len()));
    }
    // 5 and 10% cannot be compared without the targets; what can be must rise.
    let falls = stages.iter().enumerate().find_map(|(i, later)| {
        let earlier = stages[..i].iter().find(|earlier| !rises(**earlier, *later))?;
        Some(format!(
            "write stages that rise, as canary:1,10%,100%: {} comes after {}",
            word(*later),
            word(*earlier)
        ))
    });
    falls.map_or(Ok(stages), Err)
}

fn rises(earlier: Share, later: Share) -> bool {
    match (earlier, later) {
        (Share::Count(a), Share::Count(b)) => a < b,
        (Share::Percent(a), Share::Percent(b)) => a < b,
        (Share::Percent(all), Share::Count(_)) => all < 100,
        (Share::Count(_), Share::Percent(_)) => true,
    }
}

fn word(share: Share) -> String {
    match share {
        Share::Count(n) => n.to_string(),
        Share::Percent(p) => format!("{p}%"),
    }
}

/// A number of minions or a part of them, as typed: `50` or `10%`.
///
/// # Errors
/// What to write instead.
pub fn share(text: &str) -> Result<Share, String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.strip_suffix('%') {
        Some(percent) if digits(percent) => match percent.parse() {
            Ok(p @ 1..=100) => Ok(Share::Percent(p)),
            _ => Err(format!("{text} is not a part of the targets: write 1% to 100%")),
        },
        None if digits(text) => match text.parse() {
            Ok(0) => Err("0 minions is nobody: write at least 1".into()),
            Ok(n) => Ok(Share::Count(n)),
            Err(_) => Err(format!(
                "{text} is more minions than there can be: write a smaller number, or a part as 10%"
            )),
        },
        _ => Err("write a number of minions as 50, or a part of the targets as 10%".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_longer_than_it_is_signed_for() {
        assert_eq!(wait("24h"), Ok(Duration::from_millis(MAX_WAIT)));
        assert_eq!(wait("30s"), Ok(Duration::from_secs(30)));
        let error = wait("86400001ms").unwrap_err();
        assert!(error.contains("signed for 24 h") && error.contains("at most 24h"), "{error}");
        assert!(wait("soon").unwrap_err().starts_with("write a time as"));
    }

    #[test]
    fn sizes() {
        use Share::{Count, Percent};
        let canary = vec![Count(1), Percent(1), Percent(10), Percent(50), Percent(100)];
        for (text, expected) in [
            ("50", BatchSize::Window(Count(50))),
            ("10%", BatchSize::Window(Percent(10))),
            ("100%", BatchSize::Window(Percent(100))),
            ("auto", BatchSize::Auto),
            ("all", BatchSize::All),
            ("canary:1,1%,10%,50%,100%", BatchSize::Canary(canary)),
            ("canary:1,5", BatchSize::Canary(vec![Count(1), Count(5)])),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_what_to_write() {
        for (text, told) in [
            ("0", "write at least 1"),
            ("0%", "write 1% to 100%"),
            ("101%", "write 1% to 100%"),
            ("1000%", "write 1% to 100%"),
            ("-5", "write a number of minions"),
            ("5000000000", "write a smaller number"),
            ("half", "write a number of minions"),
            ("", "write a number of minions"),
            ("canary:", "a stage is missing"),
            ("canary:1,,5", "a stage is missing"),
            ("canary:10%,5%", "5% comes after 10%"),
            ("canary:1,50%,1", "1 comes after 1"),
            ("canary:100%,5", "5 comes after 100%"),
            ("canary:1,1", "1 comes after 1"),
            ("canary:1,0", "write at least 1"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let many: Vec<String> = (1..40).map(|n| n.to_string()).collect();
        assert!(size(&format!("canary:{}", many.join(","))).unwrap_err().contains("at most 32"));
    }

    #[test]
    fn no_option_is_no_batch_and_any_is_one() {
        assert_eq!(BatchArgs::default().batch().unwrap(), None);
        let failhard = BatchArgs { failhard: true, ..BatchArgs::default() }.batch().unwrap();
        let rule = batch::decode(failhard.unwrap()).unwrap();
        assert_eq!((rule.size, rule.max_failures), (BatchSize::Regions, Some(Share::Count(1))));
        let all = BatchArgs { batch: Some(BatchSize::All), ..BatchArgs::default() }.batch().unwrap();
        assert_eq!(batch::decode(all.unwrap()).unwrap().size, BatchSize::All);
    }

    #[test]
    fn what_does_not_go_together() {
        let approve = BatchArgs { approve: true, batch: Some(BatchSize::Auto), ..BatchArgs::default() };
        assert!(approve.batch().unwrap_err().to_string().contains("canary:"));
        let seed = BatchArgs { seed: Some(1), ..BatchArgs::default() };
        assert!(seed.subset(7).unwrap_err().to_string().contains("--subset N"));
        let both = BatchArgs { subset: Some(3), seed: Some(1), ..BatchArgs::default() };
        assert_eq!(both.subset(7).unwrap(), Some(Subset { count: 3, seed: 1 }));
        let drawn = BatchArgs { subset: Some(3), ..BatchArgs::default() };
        assert_eq!(drawn.subset(7).unwrap(), Some(Subset { count: 3, seed: 7 }));
    }
}
