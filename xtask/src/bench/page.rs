//! The page of results: for each scenario its last run with all figures, its plots, and how figures moved before.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use anyhow::Context as _;

use super::{
    kept::{Figure, Run, Series},
    plot,
};

/// The page, in the directory of the plots.
pub const PAGE: &str = "results.md";
/// So many runs before the last are shown.
const EARLIER: usize = 10;
const HEAD: &str = "\
# Results

Made by `cargo xtask bench report` from the kept results in `loadtests/results`: change neither by hand.
[performance.md](../performance.md) says what they mean, what was found, and what each change gained.
";

/// Writes the page and its plots; those of scenarios that are gone are removed.
///
/// # Errors
/// A file cannot be written.
pub fn write(dir: &Path, scenarios: &[Vec<Run>]) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "svg") {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    let mut page = HEAD.to_owned();
    for runs in scenarios {
        let Some(last) = runs.last() else { continue };
        page.push_str(&section(runs, last));
        for (plot, curves) in plots(last) {
            let Some(svg) = plot::svg(&curves) else { continue };
            let file = format!("{}-{}.svg", last.scenario, file_word(plot));
            fs::write(dir.join(&file), svg).with_context(|| file.clone())?;
            let _ = writeln!(page, "\n![{plot}]({file})\n\n{}", table(&curves).trim_end());
        }
    }
    let page_file = dir.join(PAGE);
    fs::write(&page_file, page).with_context(|| page_file.display().to_string())
}

/// A plot's name in that of a file: a link to it must not look like anything but a path.
fn file_word(plot: &str) -> String {
    let words = plot.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

fn section(runs: &[Run], last: &Run) -> String {
    let Run { scenario, machine, commit, took_s, minions, syndics, rounds, seed, arguments, .. } = last;
    let own: String = arguments.iter().map(|word| format!(" {word}")).collect();
    let mut text = format!(
        "\n## {scenario}\n\n```sh\ncargo xtask bench {scenario} --minions {minions} --syndics {syndics} --rounds {rounds} --seed {seed}{own}\n```\n"
    );
    let _ = writeln!(
        text,
        "\nCommit {commit}, {}, {took_s:.0} s; {} cores ({}), {} GiB, {}, {}.\n",
        date(last.ended),
        machine.cores,
        machine.cpu,
        (machine.memory_mib as f64 / 1024.0).round(),
        machine.kernel,
        machine.disk
    );
    text.push_str("| figure | must | aim | measured | | |\n|---|---|---|---|---|---|\n");
    last.figures.iter().for_each(|figure| text.push_str(&row(figure)));
    if !last.notes.is_empty() {
        text.push('\n');
        last.notes.iter().for_each(|note| text.push_str(&format!("* {}\n", plain(note))));
    }
    text.push_str(&history(runs, last));
    text
}

/// Words that are no Markdown.
fn plain(words: &str) -> String {
    words.replace('*', "\\*").replace('_', "\\_").replace('<', "&lt;")
}

fn row(figure: &Figure) -> String {
    let Figure { name, value, unit, must, aim, .. } = figure;
    let shown = |value: &Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let measured = value.map_or("nothing".to_owned(), |value| value.to_string());
    format!("| {name} | {} | {} | {measured} | {unit} | {} |\n", shown(must), shown(aim), figure.verdict())
}

/// The figures with a budget in the runs of the same size on such a machine, the newest first. A run need not have all of them:
/// `peers` may have been asked for some.
fn history(runs: &[Run], last: &Run) -> String {
    let like =
        |run: &&Run| (run.minions, run.syndics, &run.machine) == (last.minions, last.syndics, &last.machine);
    let shown: Vec<&Run> = runs.iter().rev().filter(like).take(EARLIER + 1).collect();
    let mut names: Vec<&str> = Vec::new();
    for figure in shown.iter().flat_map(|run| &run.figures).filter(|figure| figure.must.is_some()) {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    if shown.len() < 2 || names.is_empty() {
        return String::new();
    }
    let (head, rule) = (names.join(" | "), "---|".repeat(names.len()));
    let mut text = format!("\n| run | commit | rounds | {head} |\n|---|---|---|{rule}\n");
    for run in shown {
        let value = |name: &&str| run.figures.iter().find(|f| f.name == *name).and_then(|f| f.value);
        let values = names.iter().map(|name| value(name).map_or(String::new(), |value| value.to_string()));
        let values = values.collect::<Vec<_>>().join(" | ");
        let _ = writeln!(text, "| {} | {} | {} | {values} |", date(run.ended), run.commit, run.rounds);
    }
    text
}

/// The curves of each plot, in the order in which they were told.
fn plots(run: &Run) -> Vec<(&str, Vec<&Series>)> {
    let mut plots: Vec<(&str, Vec<&Series>)> = Vec::new();
    for curve in &run.series {
        match plots.iter_mut().find(|(plot, _)| *plot == curve.plot) {
            Some((_, curves)) => curves.push(curve),
            None => plots.push((&curve.plot, vec![curve])),
        }
    }
    plots
}

/// A plot's numbers: a row for each place on its axis.
fn table(curves: &[&Series]) -> String {
    let Some(first) = curves.first() else { return String::new() };
    let mut rows: BTreeMap<u64, (f64, Vec<String>)> = BTreeMap::new();
    for (k, curve) in curves.iter().enumerate() {
        for (x, y) in &curve.points {
            // Bits of numbers from zero up sort as the numbers do.
            let row = rows.entry(x.to_bits()).or_insert_with(|| (*x, vec![String::new(); curves.len()]));
            row.1[k] = ((y * 1000.0).round() / 1000.0).to_string();
        }
    }
    let names: Vec<String> = curves.iter().map(|curve| format!("{} [{}]", curve.name, curve.y)).collect();
    let mut text = format!("| {} | {} |\n|---|{}\n", first.x, names.join(" | "), "---|".repeat(names.len()));
    for (x, values) in rows.values() {
        let _ = writeln!(text, "| {} | {} |", plot::number(*x), values.join(" | "));
    }
    text
}

/// The day, from seconds since 1970.
fn date(seconds: i64) -> String {
    // Days to a date of the Gregorian calendar; its years begin in March here, so that the leap day is the last.
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::{super::kept::tests::LINE, *};

    fn run() -> Run {
        serde_json::from_str(LINE).unwrap()
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_795_300_000, "2026-11-21"),
            (4_107_542_399, "2100-02-28"),
        ];
        for (seconds, expected) in table {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn the_page_has_the_last_run_its_plots_and_how_figures_moved() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("gone.svg"), "").unwrap();
        let mut first = run();
        first.figures[0].value = Some(3.5);
        write(dir.path(), &[vec![first, run()]]).unwrap();
        let page = fs::read_to_string(dir.path().join(PAGE)).unwrap();
        for part in [
            "## fanout",
            "cargo xtask bench fanout --minions 5000 --syndics 8 --rounds 20 --seed 7 --window 500\n",
            "| fanout_vs_floor | 3 | 2 | 2.5 | ratio | kept |",
            "| peer_vs_fabric | 30 | 100 | 20 | ratio | **missed** |",
            "| 2026-11-21 | abc | 20 | 3.5 | 20 |",
            "![wall by minions](fanout-wall-by-minions.svg)",
            "| 500 | 20 |",
            "* how",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(dir.path().join("fanout-wall-by-minions.svg").is_file());
        assert!(!dir.path().join("gone.svg").exists());
    }

    #[test]
    fn a_figure_that_the_last_run_was_not_asked_for_is_in_the_history() {
        let mut last = run();
        let other = last.figures.iter().position(|figure| figure.name == "peer_vs_fabric").unwrap();
        last.figures.remove(other);
        let text = history(&[run(), last.clone()], &last);
        assert!(text.contains("| fanout_vs_floor | peer_vs_fabric |"), "{text}");
        assert!(text.contains("| 2.5 |  |\n") && text.contains("| 2.5 | 20 |\n"), "{text}");
    }

    #[test]
    fn files_of_plots_are_words() {
        assert_eq!(file_word("CPU by minions"), "cpu-by-minions");
        assert_eq!(file_word("soak: resident memory/2"), "soak-resident-memory-2");
    }

    #[test]
    fn runs_of_another_machine_or_size_are_no_history() {
        let mut other = run();
        other.machine.cores = 64;
        let mut small = run();
        small.minions = 500;
        assert_eq!(history(&[other, small, run()], &run()), "");
        assert_ne!(history(&[run(), run()], &run()), "");
    }
}
