//! `fold`: answers of 4 KiB from all minions: equal, of five kinds, and all distinct; and names that nothing folds.
//!
//! Two fabrics stand side by side and their rounds alternate: in one the minions' names are a letter and a number, in the
//! other they have nothing in common. The answers are texts in the minions' grains (`grains.get`), so that next to nothing
//! goes down. Counted are the bytes of all uplinks together, as the syndics write them: heartbeats of those seconds
//! included, gRPC and TLS not. Beside them stand the top master's processor time and the rows of its store, which grow with distinct
//! answers (with minions and syndics: `growth`). A connection remembers bodies that it has carried
//! (`relay-runtime/src/link/bodies.rs`); in the usual size the distinct texts of each round push the others out, so that every job carries its own again. Left out: the journal's fsync (simulated minions, journal in memory).
//!
//! Budgets, for 5,000 answers of 4 KiB: equal, at most 128 KiB over all uplinks (aim 48); all distinct, at most 1.05 times
//! the answers themselves (aim 1.02); wall time of equal answers under hostile names at most 1.2 times that under friendly
//! ones (aim 1.05).

use std::collections::BTreeMap;

use crate::{
    bed::{Bed, PAUSE, millis},
    machine::limits::FABRIC_KIB,
    report::{
        Figure,
        Kind::{Size as Whole, Time},
        Report,
    },
    scenario::{Number, Run, Scenario, Size},
    statistics::median,
    swarm::Shape,
};

/// KiB of memory for the texts of one minion, wherever they are kept: at itself, its syndic and the top master.
const TEXTS_KIB: u64 = 100;
/// The quotes around a text.
const QUOTES: f64 = 2.0;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "fold",
    about: "Large answers: equal, of five kinds, all distinct, and under names that have nothing in common",
    usual: Size { minions: 5_000, syndics: 8, rounds: 20 },
    tiny: Size { minions: 40, syndics: 2, rounds: 1 },
    least: 10,
    options: &[Number {
        name: "bytes",
        about: "Length of an answer",
        usual: 4_096,
        tiny: 4_096,
        range: (64, 65_536),
    }],
    fits: |limits, run| limits.swarm(run.minions, run.syndics, 2 * (FABRIC_KIB + TEXTS_KIB)),
    run: |run| Box::pin(measure(run)),
};

/// A grain, whose text is the answer.
type Grain = &'static str;
const EQUAL: Grain = "equal";
const KIND: Grain = "kind";
const OWN: Grain = "own";

/// What the rounds of one fabric showed.
#[derive(Default)]
struct Rounds(BTreeMap<(What, Grain), Vec<f64>>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    WallMs,
    UplinkBytes,
    TopMs,
    Rows,
}

impl Rounds {
    fn of(&self, what: What, grain: Grain) -> f64 {
        median(self.0.get(&(what, grain)).map_or(&[][..], Vec::as_slice))
    }

    fn add(&mut self, what: What, grain: Grain, value: f64) {
        self.0.entry((what, grain)).or_default().push(value);
    }
}

async fn measure(run: Run) -> anyhow::Result<Report> {
    let texts = u32::try_from(run.number("bytes")).unwrap_or(u32::MAX);
    let shaped = |hostile_names| Run { shape: Shape { texts, hostile_names, ..run.shape }, ..run.clone() };
    let mut friendly = Bed::start(&shaped(false)).await?;
    let mut hostile = Bed::start(&shaped(true)).await?;
    let (mut by_friendly, mut by_hostile) = (Rounds::default(), Rounds::default());
    // Of each the first is not counted.
    for bed in [&mut friendly, &mut hostile] {
        one(bed, EQUAL, &mut Rounds::default()).await?;
    }
    for round in 1..=run.rounds {
        let mut two = [(&mut friendly, &mut by_friendly), (&mut hostile, &mut by_hostile)];
        // Whoever is first comes after a large job, the other after a small one: they take turns in that, too.
        if round % 2 == 0 {
            two.reverse();
        }
        for grain in [EQUAL, KIND, OWN] {
            for (bed, rounds) in &mut two {
                one(bed, grain, rounds).await?;
            }
        }
        run.tell(&format!("round {round} of {}", run.rounds));
    }
    let accounted = friendly.accounted().min(hostile.accounted());
    Ok(Report::new(&run, accounted)
        .note(format!("answers are texts of {texts} bytes, in the minions' grains; grains.get"))
        .note("uplink bytes: frames of all syndics together in one job, above gRPC and TLS, heartbeats included; medians")
        .note("a connection remembers 256 KiB of bodies; the distinct texts of each round push the others out of it, if there are more")
        .note("top_cpu: the top master's processor time for one job, friendly names; store_rows: what the job adds to its store")
        .note("hostile: names of 16 hexadecimal digits without a common beginning; a fabric of its own; rounds alternate, and so does who is first")
        .note("simulated minions (journal in memory), real top master and syndics, as in fanout")
        .finish(figures(&run, f64::from(texts) + QUOTES, &by_friendly, &by_hostile)))
}

/// One job whose answers are the texts of a grain.
async fn one(bed: &mut Bed, grain: Grain, rounds: &mut Rounds) -> anyhow::Result<()> {
    let (before, used, rows) = (bed.fabric.uplinks().await?, bed.used()?, bed.fabric.store_rows()?);
    let args = format!(r#"{{"args":["{grain}"],"kwargs":{{}}}}"#);
    let ended = bed.job("grains.get", &args, None).await?;
    // Acknowledgements that are still on their way belong to this job.
    tokio::time::sleep(PAUSE).await;
    rounds.add(What::TopMs, grain, bed.used()?.each_since(used, 1).top);
    rounds.add(What::UplinkBytes, grain, bed.fabric.uplinks().await?.each_since(before, 1).bytes);
    rounds.add(What::Rows, grain, bed.fabric.store_rows()?.saturating_sub(rows) as f64);
    rounds.add(What::WallMs, grain, millis(ended.elapsed));
    Ok(())
}

fn figures(run: &Run, answer: f64, friendly: &Rounds, hostile: &Rounds) -> Vec<Figure> {
    let raw = f64::from(run.minions) * answer;
    let kib = |bytes: f64| bytes / 1024.0;
    let bytes = |rounds: &Rounds, grain| rounds.of(What::UplinkBytes, grain);
    let wall = |rounds: &Rounds, name, grain| Figure::new(name, rounds.of(What::WallMs, grain), "ms", Time);
    let top = |name, grain| Figure::new(name, friendly.of(What::TopMs, grain), "ms", Time);
    let rows = |name, grain| Figure::new(name, friendly.of(What::Rows, grain), "rows", Whole);
    let hostile_vs_friendly = hostile.of(What::WallMs, EQUAL) / friendly.of(What::WallMs, EQUAL);
    vec![
        Figure::new("equal_uplinks_kib", kib(bytes(friendly, EQUAL)), "KiB", Whole).at_most(128.0, 48.0),
        Figure::new("distinct_uplinks_vs_raw", bytes(friendly, OWN) / raw, "ratio", Whole)
            .at_most(1.05, 1.02),
        Figure::new("hostile_vs_friendly_names", hostile_vs_friendly, "ratio", Time).at_most(1.2, 1.05),
        Figure::new("kinds_uplinks_kib", kib(bytes(friendly, KIND)), "KiB", Whole),
        Figure::new("hostile_equal_uplinks_kib", kib(bytes(hostile, EQUAL)), "KiB", Whole),
        Figure::new("hostile_distinct_uplinks_vs_raw", bytes(hostile, OWN) / raw, "ratio", Whole),
        wall(friendly, "equal_ms", EQUAL),
        wall(friendly, "kinds_ms", KIND),
        wall(friendly, "distinct_ms", OWN),
        wall(hostile, "hostile_equal_ms", EQUAL),
        wall(hostile, "hostile_kinds_ms", KIND),
        wall(hostile, "hostile_distinct_ms", OWN),
        top("equal_top_cpu_ms", EQUAL),
        top("kinds_top_cpu_ms", KIND),
        top("distinct_top_cpu_ms", OWN),
        rows("equal_store_rows", EQUAL),
        rows("kinds_store_rows", KIND),
        rows("distinct_store_rows", OWN),
    ]
}
