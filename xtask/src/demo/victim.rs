//! The syndic that dies in the demo, and what becomes of its minions.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{Shown, trial::Trial};
use crate::stop;

/// By then the minions of a dead syndic have to be elsewhere: they notice at once, and dial with pauses of 10 s at most.
const REATTACH: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// A syndic that can be killed.
pub struct Victim {
    /// Its id, which is its process's name too.
    pub id: String,
    /// Its region.
    pub region: String,
    /// Its process.
    pub pid: i32,
    /// The minions attached to it.
    pub minions: Vec<String>,
}

impl Victim {
    /// The first that has minions, and a neighbour in its region that can take them over.
    ///
    /// # Errors
    /// There is none.
    pub fn choose(trial: &Trial) -> anyhow::Result<Victim> {
        let status = trial.ask(&["fabric", "status"])?;
        let syndics: Vec<&Value> = status["syndics"].as_array().into_iter().flatten().collect();
        let has_neighbour =
            |s: &Value| syndics.iter().filter(|other| other["region"] == s["region"]).count() > 1;
        let chosen = syndics.iter().find(|s| s["minions_up"].as_u64() > Some(0) && has_neighbour(s));
        let chosen = chosen.context("no syndic has both minions and a neighbour in its region")?;
        let id = chosen["id"].as_str().context("a syndic without id")?.to_owned();
        let region = chosen["region"].as_str().unwrap_or_default().to_owned();
        let minions =
            attached(trial)?.into_iter().filter(|(_, at)| at.as_ref() == Some(&id)).map(|(m, _)| m).collect();
        Ok(Victim { pid: trial.pid(&id)?, id, region, minions })
    }

    /// Waits until each of its minions is attached elsewhere, and says where.
    ///
    /// # Errors
    /// They are not, in time.
    pub fn reattached(&self, trial: &Trial) -> anyhow::Result<Shown> {
        let begun = Instant::now();
        loop {
            let now = attached(trial)?;
            let mut places: BTreeMap<&str, usize> = BTreeMap::new();
            for syndic in self.minions.iter().filter_map(|id| now.get(id)?.as_deref()) {
                *places.entry(syndic).or_default() += 1;
            }
            let (up, all): (usize, usize) = (places.values().sum(), self.minions.len());
            let list =
                places.iter().map(|(syndic, n)| format!("{n} at {syndic}")).collect::<Vec<_>>().join(", ");
            let line = format!("{up} of {all} attached elsewhere: {list}");
            if up == all && !places.contains_key(self.id.as_str()) {
                println!("{line}");
                return Ok(Shown { what: format!("minions of {}", self.id), line });
            }
            if begun.elapsed() > REATTACH {
                bail!("after {} s only {line}", REATTACH.as_secs());
            }
            ensure!(!stop::asked(), "stopped by a signal");
            thread::sleep(LOOK);
        }
    }
}

/// Each minion, and the syndic at which it is up.
fn attached(trial: &Trial) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let list = trial.look(&["minions", "list", "--out", "json"])?;
    let one = |minion: &Value| {
        let syndic = minion["syndic"].as_str().filter(|_| minion["up"] == true).map(str::to_owned);
        Some((minion["id"].as_str()?.to_owned(), syndic))
    };
    Ok(list.as_array().into_iter().flatten().filter_map(one).collect())
}
