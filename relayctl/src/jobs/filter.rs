//! Which jobs: the filters of `jobs list` and `jobs stats`.

use clap::Args;
use relay_core::outcome::Outcome;
use relay_proto::operator::JobFilter;

use crate::{run::span::span, when};

/// States that are no outcomes.
const STATES: [&str; 3] = ["open", "closed", "cancelled"];

/// Which jobs. All of what is given must be so.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which jobs")]
pub struct FilterArgs {
    /// Only those: open, closed, cancelled; or those with a target that ended so: ok, failed, timed_out, interrupted,
    /// refused, not_started, unknown
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<String>,
    /// Only those of this function: a glob, as 'cmd.*'
    #[arg(long, value_name = "GLOB")]
    function: Option<String>,
    /// Only those whose target expression has this text in it
    #[arg(long, value_name = "TEXT")]
    target: Option<String>,
    /// Only those ordered by this operator
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those ordered since then: 1h (ago), or a moment as 2026-11-21T07:36:56Z
    #[arg(long, value_name = "TIME", value_parser = before_now)]
    since: Option<Moment>,
    /// Only those ordered until then
    #[arg(long, value_name = "TIME", value_parser = before_now)]
    until: Option<Moment>,
}

/// A moment as typed, and in microseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moment {
    text: String,
    micros: u64,
}

impl FilterArgs {
    /// For the wire.
    pub fn filter(&self) -> JobFilter {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let moment = |option: &Option<Moment>| option.as_ref().map_or(0, |m| m.micros);
        JobFilter {
            state: text(&self.state),
            function: text(&self.function),
            target: text(&self.target),
            caller: text(&self.user),
            since: moment(&self.since),
            until: moment(&self.until),
        }
    }

    /// The options as they were typed, for a command line that asks for more of the same.
    pub fn words(&self) -> String {
        let texts = [
            ("state", self.state.as_ref()),
            ("function", self.function.as_ref()),
            ("target", self.target.as_ref()),
            ("user", self.user.as_ref()),
            ("since", self.since.as_ref().map(|m| &m.text)),
            ("until", self.until.as_ref().map(|m| &m.text)),
        ];
        let given = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
        given.map(|(name, text)| format!(" --{name} '{}'", text.replace('\'', r"'\''"))).collect()
    }
}

fn state(text: &str) -> Result<String, String> {
    let known = STATES.contains(&text) || Outcome::from_word(text).is_some();
    let outcomes = || Outcome::ALL.map(Outcome::word).join(", ");
    known.then(|| text.to_owned()).ok_or_else(|| format!("write open, closed, or an outcome: {}", outcomes()))
}

fn before_now(text: &str) -> Result<Moment, String> {
    moment(text, when::now_micros())
}

fn moment(text: &str, now: u64) -> Result<Moment, String> {
    let wrong = || "write how long ago, as 1h or 2d, or a moment as 2026-11-21T07:36:56Z".to_owned();
    let micros = match (span(text), text.parse::<jiff::Timestamp>()) {
        (Ok(ago), _) => now.saturating_sub(ago.as_micros() as u64),
        (_, Ok(stamp)) => u64::try_from(stamp.as_microsecond()).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    Ok(Moment { text: text.to_owned(), micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = 1_795_246_616_000_000;
        let micros = |text| moment(text, now).map(|m| m.micros);
        assert_eq!(micros("1h"), Ok(now - 3_600_000_000));
        assert_eq!(micros("2026-11-21T07:36:56Z"), Ok(now));
        assert_eq!(micros("2026-11-21T08:36:56+01:00"), Ok(now));
        for wrong in ["yesterday", "", "2026-11-21", "-1h", "1960-01-01T00:00:00Z"] {
            assert!(micros(wrong).unwrap_err().starts_with("write how long ago"), "{wrong}");
        }
    }

    #[test]
    fn states() {
        for word in ["open", "closed", "cancelled", "failed", "not_started"] {
            assert_eq!(state(word).as_deref(), Ok(word));
        }
        assert!(state("running").unwrap_err().contains("open, closed"));
    }

    #[test]
    fn the_same_options_again() {
        let filter = FilterArgs {
            function: Some("cmd.*".into()),
            target: Some("it's".into()),
            since: Some(Moment { text: "1h".into(), micros: 5 }),
            ..FilterArgs::default()
        };
        assert_eq!(filter.words(), r" --function 'cmd.*' --target 'it'\''s' --since '1h'");
        assert_eq!(filter.filter().since, 5);
        assert_eq!(FilterArgs::default().filter(), JobFilter::default());
    }
}
