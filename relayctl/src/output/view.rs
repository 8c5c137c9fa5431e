//! How a job's answers are laid out: the options that every command has that shows a job.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;

/// Which answers stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Fold {
    /// Those that are equal
    #[default]
    Exact,
    /// Those that differ only in the minion's name, addresses, numbers, times and ids: a template and a table of these
    Similar,
    /// None: each minion by itself
    None,
}

/// The options.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct ViewArgs {
    /// Which answers stand together
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub fold: Fold,
    /// One answer per minion: --fold none
    #[arg(long, conflicts_with = "fold")]
    pub no_fold: bool,
    /// The most frequent answer once, and of each other one only what differs from it
    #[arg(long, conflicts_with = "no_fold")]
    pub diff: bool,
    /// All ids and rows, also on a terminal, where long lists are cut off
    #[arg(long)]
    pub no_clip: bool,
}

impl ViewArgs {
    /// What was asked for; lists are clipped only where people read them.
    pub fn view(&self) -> View {
        let fold = if self.no_fold { Fold::None } else { self.fold };
        View { fold, diff: self.diff, clip: !self.no_clip && std::io::stdout().is_terminal() }
    }
}

/// How a job is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// Which answers stand together.
    pub fold: Fold,
    /// Whether smaller groups are shown as differences.
    pub diff: bool,
    /// Whether long lists of ids and long tables are cut off.
    pub clip: bool,
}

/// Equal answers together or not, and everything shown.
impl From<bool> for View {
    fn from(fold: bool) -> View {
        View { fold: if fold { Fold::Exact } else { Fold::None }, ..View::default() }
    }
}

/// Longest list of ids that is shown on a terminal, in characters: three lines or so. Who it is is said by the count and
/// the first ids; who wants the others wants them in a file.
const MAX_IDS: usize = 240;
/// Most rows of a table that are shown on a terminal.
const MAX_ROWS: usize = 50;

impl View {
    /// Ids in compact form, cut off behind an id.
    pub fn ids(&self, compact: String) -> String {
        let Some((end, _)) = compact.char_indices().nth(MAX_IDS).filter(|_| self.clip) else {
            return compact;
        };
        let end = compact[..end].rfind(',').map_or(end, |comma| comma + 1);
        format!("{}…", &compact[..end])
    }

    /// How many of so many rows are shown.
    pub fn rows(&self, all: usize) -> usize {
        if self.clip { all.min(MAX_ROWS) } else { all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_off_behind_an_id() {
        let clip = View { clip: true, ..View::default() };
        let ids = (1000..1100).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let shown = clip.ids(ids.clone());
        assert!(shown.ends_with(",…") && shown.chars().count() <= MAX_IDS + 1, "{shown}");
        assert!(ids.starts_with(shown.trim_end_matches('…')));
        assert_eq!(View::default().ids(ids.clone()), ids);
        assert_eq!(clip.ids("web[001-900]".into()), "web[001-900]");
        assert_eq!(clip.ids("é".repeat(300)), format!("{}…", "é".repeat(240)));
        assert_eq!((clip.rows(3), clip.rows(5000), View::default().rows(5000)), (3, 50, 5000));
    }

    #[test]
    fn the_short_form_means_the_long_one() {
        assert_eq!(ViewArgs { no_fold: true, ..ViewArgs::default() }.view().fold, Fold::None);
        assert_eq!(ViewArgs { fold: Fold::Similar, ..ViewArgs::default() }.view().fold, Fold::Similar);
    }
}
