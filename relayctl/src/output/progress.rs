//! A job while it runs, on a terminal: a line for all of it and one per region, redrawn in place. Where there is no
//! terminal, nothing.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use relay_proto::operator::{Progress, RegionProgress};

use super::{
    paint::{Paint, clean},
    rate::Rate,
};

/// How often the clock moves while nothing else does.
const TICK: Duration = Duration::from_millis(250);
/// Most regions with a line of their own: more would scroll a terminal of 24 lines, and scrolled lines stay.
const MAX_REGIONS: usize = 16;
/// Longest name of a region that is shown whole, in characters.
const MAX_NAME: usize = 16;

/// Width of a bar, in characters.
const BAR: usize = 20;

/// Only the message varies in length, and it is cut off at the terminal's edge: a line that wrapped could not be redrawn.
const ALL: &str = "{prefix} {wide_msg}  {elapsed}";
const REGION: &str = "{prefix} {wide_msg}";

/// The lines, on standard error, so that standard output holds the answer alone.
pub struct Live {
    lines: Option<MultiProgress>,
    all: Option<ProgressBar>,
    regions: BTreeMap<String, Region>,
    rate: Rate,
    since: Instant,
    paint: Paint,
}

struct Region {
    line: ProgressBar,
    rate: Rate,
}

impl Live {
    /// Lines if standard error is a terminal that can redraw.
    pub fn new() -> Live {
        let terminal = std::io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Live::on((terminal && !dumb).then(MultiProgress::new), Paint::for_stream(terminal))
    }

    fn on(lines: Option<MultiProgress>, paint: Paint) -> Live {
        let (regions, rate) = (BTreeMap::new(), Rate::default());
        Live { lines, all: None, regions, rate, since: Instant::now(), paint }
    }

    /// Redraws what changed, of the regions alone.
    pub fn update(&mut self, regions: &[RegionProgress]) {
        self.progress(regions, &Progress::default());
    }

    /// Redraws what changed; `now` says where the batch stands, and its own regions are not looked at.
    pub fn progress(&mut self, regions: &[RegionProgress], now: &Progress) {
        let Some(lines) = &self.lines else { return };
        let at = self.since.elapsed().as_millis() as u64;
        let sum = total(regions);
        self.rate.note(at, done(&sum));
        let all = self.all.get_or_insert_with(|| all_line(lines));
        let widest =
            regions.iter().map(|region| name(&region.region).chars().count()).max().unwrap_or_default();
        let draw = |line: &ProgressBar, region: &RegionProgress, words: String| {
            line.set_prefix(format!("{:>widest$}", name(&region.region)));
            line.set_message(format!("{} {}, {words}", bar(region), counts(region)));
        };
        draw(all, &sum, overall(now, &sum, &self.rate, &self.paint));
        if regions.len() < 2 {
            return;
        }
        for region in regions {
            if !self.regions.contains_key(&region.region) && self.regions.len() >= MAX_REGIONS {
                continue;
            }
            let shown = self
                .regions
                .entry(region.region.clone())
                .or_insert_with(|| Region { line: line(lines, REGION), rate: Rate::default() });
            shown.rate.note(at, done(region));
            let words = [words(region, &self.paint), speed(&shown.rate, region.outstanding)];
            draw(&shown.line, region, joined(words));
        }
    }

    /// Takes the lines away, so that the answer stands alone.
    pub fn clear(&mut self) {
        self.regions.values().for_each(|region| region.line.finish_and_clear());
        self.all.iter().for_each(ProgressBar::finish_and_clear);
        self.regions.clear();
        self.all = None;
        // A terminal that went away has nothing to be cleared.
        let _ = self.lines.as_ref().map(MultiProgress::clear);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One clock for all lines: each steady tick is a thread.
fn all_line(lines: &MultiProgress) -> ProgressBar {
    let all = line(lines, ALL);
    all.enable_steady_tick(TICK);
    all
}

fn line(lines: &MultiProgress, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    lines.add(ProgressBar::no_length().with_style(style))
}

fn name(region: &str) -> String {
    clean(region).chars().take(MAX_NAME).collect()
}

/// `[=====>    ]`
fn bar(region: &RegionProgress) -> String {
    let full =
        (done(region) as u128 * BAR as u128).checked_div(region.targets.into()).unwrap_or_default() as usize;
    let head = if (1..BAR).contains(&full) { ">" } else { "" };
    format!("[{:BAR$}]", format!("{}{head}", "=".repeat(full.min(BAR) - head.len())))
}

fn counts(region: &RegionProgress) -> String {
    format!("{}/{}", done(region), region.targets)
}

fn done(region: &RegionProgress) -> u64 {
    region.targets.saturating_sub(region.outstanding)
}

fn total(regions: &[RegionProgress]) -> RegionProgress {
    let mut sum = RegionProgress { region: "all".into(), ..RegionProgress::default() };
    for region in regions {
        sum.targets += region.targets;
        sum.ok += region.ok;
        sum.failed += region.failed;
        sum.running += region.running;
        sum.outstanding += region.outstanding;
    }
    sum
}

fn joined(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Where a region stands.
fn words(region: &RegionProgress, paint: &Paint) -> String {
    let waiting = region.outstanding.saturating_sub(region.running);
    let word = |n: u64, word: &str| if n > 0 { format!("{n} {word}") } else { String::new() };
    let failed = word(region.failed, "failed");
    let failed = if failed.is_empty() { failed } else { paint.red(failed) };
    joined([
        format!("{} ok", region.ok),
        failed,
        word(region.running, "running"),
        word(waiting, "outstanding"),
    ])
}

fn speed(rate: &Rate, outstanding: u64) -> String {
    let speed = rate.per_second().filter(|rate| *rate > 0.0).map(|rate| match rate {
        slow if slow < 10.0 => format!("{slow:.1}/s"),
        fast => format!("{fast:.0}/s"),
    });
    let left = rate.seconds_for(outstanding).map(|left| match left {
        seconds if seconds < 60 => format!("about {seconds} s left"),
        seconds => format!("about {} min left", seconds.div_ceil(60)),
    });
    joined([speed.unwrap_or_default(), left.unwrap_or_default()])
}

/// Where the job stands: what stops or holds it first, since the terminal's edge cuts off what is last.
fn overall(now: &Progress, sum: &RegionProgress, rate: &Rate, paint: &Paint) -> String {
    let stopped = match now.stopped.as_str() {
        "" => String::new(),
        why => paint.red(format!("stopped: {}", clean(why).replace('\n', " "))),
    };
    let holds = if now.awaits_approval { paint.yellow("waits for approval") } else { String::new() };
    let stage = if now.stages > 0 { format!("stage {} of {}", now.stage, now.stages) } else { String::new() };
    let window = if now.window > 0 { format!("{} at once", now.window) } else { String::new() };
    let failures = match (now.failures, now.delivery_failures) {
        (0, 0) => String::new(),
        (failures, not_delivered) => format!("failures: {failures}, not delivered: {not_delivered}"),
    };
    // What will come once somebody approves, nobody knows.
    let left = if now.awaits_approval || !now.stopped.is_empty() { 0 } else { sum.outstanding };
    joined([stopped, holds, stage, window, failures, words(sum, paint), speed(rate, left)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str, ok: u64, failed: u64, running: u64, outstanding: u64) -> RegionProgress {
        let targets = ok + failed + outstanding;
        RegionProgress { region: name.into(), targets, ok, failed, running, outstanding }
    }

    #[test]
    fn running_ones_are_not_counted_twice() {
        let region = region("aws", 50, 1, 3, 9);
        assert_eq!(words(&region, &Paint::PLAIN), "50 ok, 1 failed, 3 running, 6 outstanding");
        assert_eq!(words(&RegionProgress::default(), &Paint::PLAIN), "0 ok");
        assert!(words(&region, &Paint::ON).contains("\x1b[31m1 failed\x1b[0m"));
    }

    #[test]
    fn the_whole_job_in_a_line() {
        let regions = vec![region("aws", 50, 1, 3, 9), region("gcp", 10, 0, 0, 30)];
        let sum = total(&regions);
        let mut rate = Rate::default();
        rate.note(0, 0);
        rate.note(2000, 20);
        let now = Progress::default();
        let plain = |now: &Progress| overall(now, &sum, &rate, &Paint::PLAIN);
        assert_eq!(plain(&now), "60 ok, 1 failed, 3 running, 36 outstanding, 10/s, about 4 s left");
        let batch =
            Progress { window: 50, failures: 1, delivery_failures: 2, stage: 2, stages: 5, ..now.clone() };
        let expected = "stage 2 of 5, 50 at once, failures: 1, not delivered: 2, \
                        60 ok, 1 failed, 3 running, 36 outstanding, 10/s, about 4 s left";
        assert_eq!(plain(&batch), expected);
        let held = plain(&Progress { awaits_approval: true, ..batch });
        assert!(held.starts_with("waits for approval, stage 2 of 5") && !held.contains("left"), "{held}");
        let stopped = plain(&Progress { stopped: "10 failed,\nthe limit".into(), ..now });
        assert!(stopped.starts_with("stopped: 10 failed, the limit, 60 ok"), "{stopped}");
    }

    #[test]
    fn without_a_terminal_nothing_is_drawn() {
        let mut live = Live::on(None, Paint::PLAIN);
        live.update(&[region("aws", 1, 0, 0, 1)]);
        assert!(live.all.is_none() && live.regions.is_empty());
    }

    #[test]
    fn a_line_for_all_and_one_for_each_region() {
        let hidden = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut live = Live::on(Some(hidden), Paint::PLAIN);
        live.update(&[region("aws", 1, 0, 0, 1)]);
        assert!(live.regions.is_empty(), "one region is all");
        let many: Vec<RegionProgress> = (0..30).map(|n| region(&format!("r{n}"), 1, 0, 0, 1)).collect();
        live.update(&many);
        assert_eq!(live.regions.len(), MAX_REGIONS);
        let all = live.all.clone().unwrap();
        assert!(all.message().starts_with("[=========>          ] 30/60, 30 ok"), "{}", all.message());
        live.clear();
        assert!(live.regions.is_empty() && live.all.is_none() && all.is_finished());
    }

    /// A terminal of 40 columns that remembers the widest line it was given.
    #[derive(Debug, Clone, Default)]
    struct Narrow(std::sync::Arc<std::sync::atomic::AtomicUsize>);

    impl indicatif::TermLike for Narrow {
        fn width(&self) -> u16 {
            40
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            let widest = text.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0);
            self.0.fetch_max(widest, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let screen = Narrow::default();
        let target = indicatif::ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let mut live = Live::on(Some(MultiProgress::with_draw_target(target)), Paint::PLAIN);
        live.update(&[region("europe-west-1-and-more", 500, 100, 33, 999), region("aws", 1, 0, 0, 1)]);
        live.regions.values().for_each(|region| region.line.tick());
        drop(live);
        let widest = screen.0.load(std::sync::atomic::Ordering::Relaxed);
        assert!((20..=40).contains(&widest), "{widest}");
    }

    #[test]
    fn bars() {
        let drawn = |ok, outstanding| bar(&region("a", ok, 0, 0, outstanding));
        assert_eq!(drawn(0, 10), format!("[{}]", " ".repeat(20)));
        assert_eq!(drawn(1, 9), format!("[=>{}]", " ".repeat(18)));
        assert_eq!(drawn(9, 1), format!("[{}>  ]", "=".repeat(17)));
        assert_eq!(drawn(10, 0), format!("[{}]", "=".repeat(20)));
        assert_eq!(drawn(0, 0), format!("[{}]", " ".repeat(20)));
    }
}
