//! ClusterShell: `clush -b` and `nodeset -f` on names that fold and on names that do not.
//!
//! It is no fabric: it starts an ssh for each name, here a shim that runs the command on this machine. Shown without a
//! budget, for what folding and fanning out cost a tool that people know.

use super::{
    Found,
    script::{Asked, Script},
};
use crate::{
    bed::PAUSE,
    report::{Figure, Kind::Time},
    scenario::Run,
    statistics::median,
};

/// Measured rounds, at most: what is shown has no budget.
const ROUNDS: u32 = 3;
/// What is measured: the script's word, and the figure's name.
const WORDS: [(&str, &str); 6] = [
    ("flat", "clush_flat"),
    ("flat-hostile", "clush_flat_hostile_names"),
    ("tree", "clush_tree"),
    ("tree-hostile", "clush_tree_hostile_names"),
    ("fold", "nodeset_fold"),
    ("fold-hostile", "nodeset_fold_hostile_names"),
];

/// The second number of names is so many times the first: how each grows shows.
const GROWTH: u32 = 5;

/// Measures with so many names, and with a fifth of them.
///
/// # Errors
/// It is here and failed.
pub async fn measure(run: &Run, names: u32) -> anyhow::Result<Found> {
    let mut all = Found::default();
    for names in [names.div_ceil(GROWTH), names] {
        let dir = run.directory()?;
        run.tell(&format!("ClusterShell, {names} names"));
        let args = ["--names".to_owned(), names.to_string(), "--seed".to_owned(), run.seed.to_string()];
        match Script::start("clustershell", "with_clustershell.py", &args, dir.path()).await? {
            Asked::Here(script) => all.add(rounds(run, script, names).await?),
            Asked::Absent(why) => return Ok(Found::absent("ClusterShell", &why)),
        }
    }
    Ok(all)
}

async fn rounds(run: &Run, mut script: Script, names: u32) -> anyhow::Result<Found> {
    let mut times = WORDS.map(|_| Vec::new());
    for _ in 0..run.rounds.min(ROUNDS) {
        for ((word, _), times) in WORDS.iter().zip(&mut times) {
            tokio::time::sleep(PAUSE).await;
            let took = script.word(word).await?;
            anyhow::ensure!(
                took.answers == u64::from(names),
                "{word}: {} of {names} names answered",
                took.answers
            );
            times.push(took.ms);
        }
    }
    let notes = std::mem::take(&mut script.notes);
    script.end().await?;
    let figures = WORDS.iter().zip(&times);
    let figures = figures
        .map(|((_, name), times)| Figure::new(format!("{name}_{names}_ms"), median(times), "ms", Time));
    Ok(Found { figures: figures.collect(), notes })
}
