//! `growth`: what a job costs as the fleet grows, and as it is spread over more syndics.
//!
//! For each size a fabric of its own is started and asked the same no-op, which all answer equally: wall time, processor
//! time of each tier, bytes and batches on each uplink, rows in the top master's store. The top master is to grow with
//! syndics and not with minions (and with distinct answers: `fold`). Left out: the journal's fsync (simulated minions, journal in
//! memory). The budget: with 8 syndics a job of 5,000 equal answers costs the top master at most twice the processor time
//! of one of 500 (aim 1.2).

mod point;

use point::{Point, Standing};

use crate::{
    machine::limits::FABRIC_KIB,
    report::{
        Figure,
        Kind::{Size as Whole, Time},
        Report, Series,
    },
    scenario::{Run, Scenario, Size},
};

/// The sizes, and with how many syndics, unless a run is smaller.
const MINIONS: [u32; 6] = [500, 1_000, 2_000, 5_000, 10_000, 20_000];
/// The numbers of syndics, for the size in [`COMPARED`].
const SYNDICS: [u32; 5] = [1, 2, 4, 8, 16];
/// The two sizes of the budget.
const COMPARED: [u32; 2] = [500, 5_000];
/// Rounds at the two sizes of the budget are so many times those of the others: they are what is judged.
const JUDGED_ROUNDS: u32 = 4;
/// Jobs at the larger of them that come after somebody new attached.
const MOVED_ROUNDS: u32 = 5;

/// The scenario.
pub const SCENARIO: Scenario = Scenario {
    name: "growth",
    about: "What a job costs each tier from 500 to N minions (--minions), and with up to twice --syndics syndics",
    usual: Size { minions: 20_000, syndics: 8, rounds: 5 },
    tiny: Size { minions: 20, syndics: 1, rounds: 1 },
    least: 2,
    options: &[],
    fits: |limits, run| {
        sizes(run)
            .into_iter()
            .try_for_each(|(minions, syndics)| limits.swarm(minions, syndics, FABRIC_KIB))?;
        let [small, large] = compared(run);
        limits.swarm(small + large, 2 * run.syndics, FABRIC_KIB)
    },
    run: |run| Box::pin(measure(run)),
};

async fn measure(run: Run) -> anyhow::Result<Report> {
    let mut points = side_by_side(&run).await?.to_vec();
    for (minions, syndics) in sizes(&run) {
        if syndics == run.syndics && compared(&run).contains(&minions) {
            continue;
        }
        run.tell(&format!("{minions} minions below {syndics} syndics, {} rounds", run.rounds));
        let mut standing = Standing::start(run.sized(minions, syndics)).await?;
        for _ in 0..run.rounds {
            standing.round().await?;
        }
        points.push(standing.found());
    }
    points.sort_by_key(|point| (point.syndics != run.syndics, point.minions, point.syndics));
    let lost = points.iter().map(Point::lost).max().unwrap_or(0);
    let report = Report::new(&run, u64::from(run.minions).saturating_sub(lost))
        .note("each size is a fabric of its own; test.ping, which all answer equally; medians")
        .note(format!(
            "the two sizes that are compared stand at once and take turns; they have {JUDGED_ROUNDS} times the rounds"
        ))
        .note(
            "the fleet does not change between jobs, so that the top master uses the tree of the last job's targets again; \
             moved_top_cpu: the larger of the two after a minion more attached before each job",
        )
        .note("simulated minions (journal in memory), real top master and syndics, as in fanout")
        .note("uplink: bytes and batches of one of the uplinks, the mean of all; rows: what one job adds to the store");
    let report = curves(&run, &points).into_iter().fold(report, Report::curve);
    Ok(report.finish(figures(&run, &points)))
}

/// The two sizes of the budget, both standing and in turns: what the machine does meanwhile happens to both.
async fn side_by_side(run: &Run) -> anyhow::Result<[Point; 2]> {
    let rounds = run.rounds * if run.tiny { 1 } else { JUDGED_ROUNDS };
    let [small, large] = compared(run);
    run.tell(&format!(
        "{small} and {large} minions below {} syndics each, {rounds} rounds in turns",
        run.syndics
    ));
    let mut two = [
        Standing::start(run.sized(small, run.syndics)).await?,
        Standing::start(run.sized(large, run.syndics)).await?,
    ];
    for round in 0..rounds {
        let second = round as usize % 2;
        two[second].round().await?;
        two[1 - second].round().await?;
    }
    for _ in 0..MOVED_ROUNDS.min(run.rounds) {
        two[1].round_after_a_newcomer().await?;
    }
    Ok(two.map(Standing::found))
}

/// Every size that is measured: the fleet grows, then the syndics become more.
fn sizes(run: &Run) -> Vec<(u32, u32)> {
    let mut minions: Vec<u32> = MINIONS.into_iter().filter(|n| *n < run.minions).collect();
    if minions.is_empty() {
        minions.push(run.minions / 2);
    }
    minions.push(run.minions);
    let spread = compared(run)[1];
    let syndics = SYNDICS.into_iter().filter(|s| *s <= 2 * run.syndics && *s != run.syndics);
    minions.into_iter().map(|n| (n, run.syndics)).chain(syndics.map(|s| (spread, s))).collect()
}

/// The two sizes of the budget, or what there is of them.
fn compared(run: &Run) -> [u32; 2] {
    match run.minions > COMPARED[0] {
        true => [COMPARED[0], COMPARED[1].min(run.minions)],
        false => [run.minions / 2, run.minions],
    }
}

fn figures(run: &Run, points: &[Point]) -> Vec<Figure> {
    let [small, large] = compared(run);
    let at = |minions| points.iter().find(|p| p.minions == minions && p.syndics == run.syndics);
    let mut figures = Vec::new();
    if let (Some(small), Some(large)) = (at(small), at(large)) {
        let grown = large.used.top / small.used.top.max(f64::MIN_POSITIVE);
        let name = format!("top_cpu_{}_vs_{}", large.minions, small.minions);
        let figure = Figure::new(name, grown, "ratio", Time).at_most(2.0, 1.2);
        let full = [small.minions, large.minions] == COMPARED;
        figures.push(if full { figure } else { figure.unjudged() });
    }
    for point in points {
        let name = |what: &str| format!("n{}_s{}_{what}", point.minions, point.syndics);
        figures.push(Figure::new(name("wall_ms"), point.wall_ms, "ms", Time));
        figures.push(Figure::new(name("top_cpu_ms"), point.used.top, "ms", Time));
        if let Some(moved) = point.moved_top_ms {
            figures.push(Figure::new(name("moved_top_cpu_ms"), moved, "ms", Time));
        }
        figures.push(Figure::new(name("uplink_bytes"), point.uplink.bytes, "bytes", Whole));
        figures.push(Figure::new(name("store_rows"), point.rows, "rows", Whole));
    }
    figures
}

/// One curve of a plot, as a column of a table.
struct Column {
    plot: [&'static str; 2],
    name: &'static str,
    y: &'static str,
    of: fn(&Point) -> f64,
}

const COLUMNS: [Column; 7] = [
    Column { plot: ["wall by minions", "wall by syndics"], name: "median", y: "ms", of: |p| p.wall_ms },
    Column { plot: CPU, name: "top master", y: "ms", of: |p| p.used.top },
    Column { plot: CPU, name: "all syndics", y: "ms", of: |p| p.used.syndics },
    Column { plot: CPU, name: "swarm", y: "ms", of: |p| p.used.swarm },
    Column {
        plot: ["uplink by minions", "uplink by syndics"],
        name: "one uplink",
        y: "bytes",
        of: |p| p.uplink.bytes,
    },
    Column {
        plot: ["batches by minions", "batches by syndics"],
        name: "one uplink",
        y: "batches",
        of: |p| p.uplink.batches,
    },
    Column { plot: ["rows by minions", "rows by syndics"], name: "store", y: "rows", of: |p| p.rows },
];
const CPU: [&str; 2] = ["CPU by minions", "CPU by syndics"];

fn curves(run: &Run, points: &[Point]) -> Vec<Series> {
    let grown = || points.iter().filter(|p| p.syndics == run.syndics);
    let mut spread: Vec<&Point> = points.iter().filter(|p| p.minions == compared(run)[1]).collect();
    spread.sort_by_key(|p| p.syndics);
    let mut curves = Vec::new();
    for Column { plot: [by_minions, by_syndics], name, y, of } in COLUMNS {
        let points = grown().map(|p| (f64::from(p.minions), of(p))).collect();
        curves.push(Series { plot: by_minions, name: name.into(), x: "minions", y, points });
        let points = spread.iter().map(|p| (f64::from(p.syndics), of(p))).collect();
        curves.push(Series { plot: by_syndics, name: name.into(), x: "syndics", y, points });
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::run;

    #[test]
    fn the_fleet_grows_then_the_syndics_and_small_runs_have_two_sizes() {
        let full = run(false).sized(20_000, 8);
        let grown = [500, 1_000, 2_000, 5_000, 10_000, 20_000].map(|n| (n, 8));
        let spread = [1, 2, 4, 16].map(|s| (5_000, s));
        assert_eq!(sizes(&full), [&grown[..], &spread[..]].concat());
        assert_eq!(sizes(&run(true).sized(20, 1)), [(10, 1), (20, 1), (20, 2)]);
        assert_eq!(sizes(&run(false).sized(2_000, 2))[..3], [(500, 2), (1_000, 2), (2_000, 2)]);
    }

    #[test]
    fn only_the_sizes_of_the_budget_are_judged() {
        let point = |minions, top| Point { minions, syndics: 8, ..Point::of_top(top) };
        let full = run(false).sized(5_000, 8);
        let missed = figures(&full, &[point(500, 10.0), point(5_000, 21.0)]);
        assert!(missed[0].missed(), "{missed:?}");
        assert_eq!(figures(&full, &[point(500, 10.0), point(5_000, 11.0)])[0].verdict(), "aim reached");
        let small = figures(&run(false).sized(1_000, 8), &[point(500, 1.0), point(1_000, 9.0)]);
        assert_eq!(small[0].verdict(), "not judged");
    }
}
