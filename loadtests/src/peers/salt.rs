//! Salt, and the fabric with as many real minion processes: the same `test.ping`, in turn.
//!
//! Compared are like things: `salt '*' test.ping` with `relayctl run '*' test.ping`, each from exec to exit, its start
//! included; and a `LocalClient` that is kept with a connection to the top master that is kept. Both have their defaults.

use super::{
    Found,
    real::Real,
    script::{Asked, Script},
};
use crate::{
    machine::calm,
    report::{
        Figure,
        Kind::{Memory, Time},
    },
    scenario::Run,
    statistics::median,
};

/// Rounds that are not measured: minions that have just started still have work to do, our pages are touched.
const WARM_UP: u32 = 3;

/// One shape in which both are set up.
#[derive(Debug)]
pub struct Shape {
    /// What figures are named after.
    pub name: &'static str,
    /// The release of Salt.
    pub salt: &'static str,
    /// Syndics of Salt; 0 for none.
    pub salt_syndics: u32,
    /// Syndics of the fabric. It has always one: that is how it is built.
    pub syndics: u32,
    /// The number of minions that the budget is about.
    pub usual: u32,
    /// How many times slower Salt must be, and what is aimed for.
    pub budget: (f64, f64),
}

/// One salt-master. 3008.3 is the newest; the fabric stands with one syndic.
pub const FLAT: Shape =
    Shape { name: "flat", salt: "3008.3", salt_syndics: 0, syndics: 1, usual: 80, budget: (30.0, 100.0) };
/// A top master with two syndics. With 3006.28: the syndics of 3008.3 return nothing over ZeroMQ.
pub const TREE: Shape =
    Shape { name: "tree", salt: "3006.28", salt_syndics: 2, syndics: 2, usual: 20, budget: (100.0, 500.0) };

/// Milliseconds of each round.
#[derive(Debug, Default)]
struct Times {
    salt_cli: Vec<f64>,
    salt_kept: Vec<f64>,
    cli: Vec<f64>,
    kept: Vec<f64>,
    fewest: Option<u64>,
    /// Turns before which the machine did not come to rest.
    unquiet: u32,
}

/// Measures one shape with so many minions: so many rounds of the fabric, and of Salt.
///
/// # Errors
/// Something stood and then failed.
pub async fn measure(run: &Run, shape: &Shape, minions: u32, salt_rounds: u32) -> anyhow::Result<Found> {
    let dir = run.directory()?;
    run.tell(&format!("Salt {} ({}), {minions} salt-minions: takes minutes", shape.salt, shape.name));
    let args = [
        "--version",
        shape.salt,
        "--syndics",
        &shape.salt_syndics.to_string(),
        "--minions",
        &minions.to_string(),
    ];
    let args: Vec<String> = args.map(str::to_owned).into();
    let started = Script::start(&format!("salt-{}", shape.name), "with_salt.py", &args, dir.path()).await?;
    let mut salt = match started {
        Asked::Here(salt) => salt,
        Asked::Absent(why) => {
            return Ok(Found::absent(&format!("Salt {}, {}", shape.salt, shape.name), &why));
        }
    };
    let mut real = Real::start(run, minions, shape.syndics).await?;
    let times = rounds(run, &mut salt, &mut real, salt_rounds).await?;
    let memory = (salt.word("memory").await?.ms, real.minion_rss_mib()?);
    let notes = salt.notes.clone();
    salt.end().await?;
    Ok(found(shape, minions, &times, memory, notes))
}

async fn rounds(run: &Run, salt: &mut Script, real: &mut Real, salt_rounds: u32) -> anyhow::Result<Times> {
    for _ in 0..WARM_UP {
        salt.word("cli").await?;
        real.cli_ms().await?;
        real.kept_ms().await?;
    }
    let mut times = Times::default();
    // Where Salt is too slow for many rounds, the fabric has its own beside each of them.
    let each = run.rounds.div_ceil(salt_rounds.max(1));
    for round in 1..=salt_rounds {
        // Salt leaves minions behind that still look for jobs; neither it nor the fabric pays for that.
        times.unquiet += u32::from(!calm().await?);
        let cli = salt.word("cli").await?;
        times.unquiet += u32::from(!calm().await?);
        let kept = salt.word("kept").await?;
        times.salt_cli.push(cli.ms);
        times.salt_kept.push(kept.ms);
        let fewest = cli.answers.min(kept.answers);
        times.fewest = Some(times.fewest.map_or(fewest, |before| before.min(fewest)));
        times.unquiet += u32::from(!calm().await?);
        for _ in 0..each {
            times.cli.push(real.cli_ms().await?);
            times.kept.push(real.kept_ms().await?);
        }
        let (ours, our_kept) = (median(&times.cli), median(&times.kept));
        run.tell(&format!(
            "round {round}: salt {:.0} ms, LocalClient {:.0} ms; so far relayctl {ours:.1} ms, kept {our_kept:.1} ms",
            cli.ms, kept.ms
        ));
    }
    Ok(times)
}

fn found(shape: &Shape, minions: u32, times: &Times, memory: (f64, f64), salt_notes: Vec<String>) -> Found {
    let name = |text: &str| format!("{}_{text}", shape.name);
    let (salt_cli, cli) = (median(&times.salt_cli), median(&times.cli));
    let (salt_kept, kept) = (median(&times.salt_kept), median(&times.kept));
    let (must, aim) = shape.budget;
    let ratio = Figure::new(name("salt_vs_fabric"), salt_cli / cli, "ratio", Time).at_least(must, aim);
    let figures = vec![
        if minions == shape.usual { ratio } else { ratio.unjudged() },
        Figure::new(name("salt_cli_ms"), salt_cli, "ms", Time),
        Figure::new(name("relayctl_ms"), cli, "ms", Time),
        Figure::new(name("salt_kept_vs_fabric_kept"), salt_kept / kept, "ratio", Time).higher(),
        Figure::new(name("salt_local_client_ms"), salt_kept, "ms", Time),
        Figure::new(name("fabric_kept_ms"), kept, "ms", Time),
        Figure::new(name("salt_minion_pss_mib"), memory.0, "MiB", Memory),
        Figure::new(name("fabric_minion_rss_mib"), memory.1, "MiB", Memory),
    ];
    let mut notes = salt_notes;
    notes.push(format!(
        "{}: {minions} minions, {} rounds of Salt and {} of the fabric ({} syndics, real minion processes, journals on disk), in turn; medians",
        shape.name,
        times.salt_cli.len(),
        times.cli.len(),
        shape.syndics
    ));
    notes.push(format!(
        "{}: memory of a salt-minion with its children, shared pages counted once (PSS); of a minion with all that it shares (RSS)",
        shape.name
    ));
    if let Some(fewest) = times.fewest.filter(|fewest| *fewest < u64::from(minions)) {
        notes.push(format!("{}: in its worst round Salt showed {fewest} of {minions} answers", shape.name));
    }
    if times.unquiet > 0 {
        notes
            .push(format!("{}: before {} turns the machine did not come to rest", shape.name, times.unquiet));
    }
    Found { figures, notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_judged_at_its_own_size_only_and_missing_answers_are_told() {
        let times = Times {
            salt_cli: vec![4_000.0, 5_000.0, 4_500.0],
            salt_kept: vec![3_000.0],
            cli: vec![90.0],
            kept: vec![10.0],
            fewest: Some(79),
            unquiet: 2,
        };
        let all = found(&FLAT, 80, &times, (72.0, 11.0), vec!["Salt".into()]);
        assert_eq!((all.figures[0].value, all.figures[0].judged), (50.0, true));
        assert_eq!(all.figures[0].name, "flat_salt_vs_fabric");
        assert_eq!(all.figures[3].value, 300.0);
        for told in ["79 of 80", "before 2 turns"] {
            assert!(all.notes.iter().any(|note| note.contains(told)), "{told}: {:?}", all.notes);
        }
        let few = found(&FLAT, 4, &times, (72.0, 11.0), Vec::new());
        assert!(!few.figures[0].judged);
        assert!(!few.notes.iter().any(|note| note.contains("worst round")), "{:?}", few.notes);
    }
}
