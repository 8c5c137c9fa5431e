//! A job while it runs, on a terminal: one line per region, redrawn in place. Where there is no terminal, nothing.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use relay_proto::operator::RegionProgress;

use super::paint::clean;

/// How often the clock moves while nothing else does.
const TICK: Duration = Duration::from_millis(250);

/// The lines, on standard error, so that standard output holds the answer alone.
pub struct Live {
    lines: Option<MultiProgress>,
    regions: BTreeMap<String, ProgressBar>,
}

impl Live {
    /// Lines if standard error is a terminal.
    pub fn new() -> Live {
        let lines = std::io::stderr().is_terminal().then(MultiProgress::new);
        Live { lines, regions: BTreeMap::new() }
    }

    /// Redraws what changed.
    pub fn update(&mut self, regions: &[RegionProgress]) {
        let Some(lines) = &self.lines else { return };
        for region in regions {
            let line = self.regions.entry(region.region.clone()).or_insert_with(|| line(lines, region));
            line.set_length(region.targets);
            line.set_position(region.targets.saturating_sub(region.outstanding));
            line.set_message(words(region));
        }
    }

    /// Takes the lines away, so that the answer stands alone.
    pub fn clear(&mut self) {
        self.regions.values().for_each(ProgressBar::finish_and_clear);
        self.regions.clear();
        // A terminal that went away has nothing to be cleared.
        let _ = self.lines.as_ref().map(MultiProgress::clear);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(lines: &MultiProgress, region: &RegionProgress) -> ProgressBar {
    let template = "{prefix:>12} [{bar:24}] {pos}/{len}  {msg}  {elapsed}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let line = lines.add(ProgressBar::new(region.targets));
    line.set_style(style.progress_chars("=> "));
    line.set_prefix(clean(&region.region));
    line.enable_steady_tick(TICK);
    line
}

/// Where a region stands.
pub fn words(region: &RegionProgress) -> String {
    let waiting = region.outstanding.saturating_sub(region.running);
    let counts =
        [(region.ok, "ok"), (region.failed, "failed"), (region.running, "running"), (waiting, "outstanding")];
    let shown: Vec<String> = counts
        .iter()
        .filter(|(n, word)| *n > 0 || *word == "ok")
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_ones_are_not_counted_twice() {
        let region = RegionProgress {
            region: "aws".into(),
            targets: 60,
            ok: 50,
            failed: 1,
            running: 3,
            outstanding: 9,
        };
        assert_eq!(words(&region), "50 ok, 1 failed, 3 running, 6 outstanding");
        assert_eq!(words(&RegionProgress::default()), "0 ok");
    }
}
