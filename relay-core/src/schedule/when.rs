//! Nominal times: the minutes of a cron expression, or the multiples of an interval.
//!
//! Intervals count from 1970 UTC, so "every 30 minutes" is at :00 and :30, whoever counts and whenever it was asked for.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::RuleError;
use crate::time::{Millis, WallMicros};

/// Longest cron expression, in bytes. All sixty minutes written out are less.
pub const MAX_CRON_BYTES: usize = 400;
/// Shortest interval: what is wanted more often is a service, not a schedule.
pub const MIN_EVERY: Millis = 1_000;
/// Longest interval: a year.
const MAX_EVERY: Millis = 366 * 24 * 60 * 60 * 1_000;
const CRON_FIELDS: usize = 5;

/// Which nominal times there are.
#[derive(Debug, Clone)]
pub enum When {
    /// A cron expression's.
    Cron(Box<Cron>),
    /// The multiples of so many milliseconds.
    Every(Millis),
}

impl When {
    pub(super) fn read(cron: &str, every: Millis) -> Result<When, RuleError> {
        match (cron, every) {
            ("", MIN_EVERY..=MAX_EVERY) => Ok(When::Every(every)),
            ("", 0) => Err(RuleError::When),
            ("", every) => Err(RuleError::Every(every)),
            (cron, 0) => read_cron(cron).map(|cron| When::Cron(Box::new(cron))),
            _ => Err(RuleError::When),
        }
    }

    /// The first nominal time after a moment.
    pub(super) fn after(&self, moment: WallMicros) -> Option<WallMicros> {
        match self {
            When::Every(every) => (moment / (every * 1_000) + 1).checked_mul(every * 1_000),
            When::Cron(cron) => {
                cron.find_next_occurrence(&zoned(moment)?, false).ok().as_ref().and_then(micros)
            }
        }
    }

    /// The last nominal time at a moment or before it.
    pub(super) fn at_or_before(&self, moment: WallMicros) -> Option<WallMicros> {
        match self {
            When::Every(every) => Some(moment / (every * 1_000) * (every * 1_000)),
            When::Cron(cron) => {
                cron.find_previous_occurrence(&zoned(moment)?, true).ok().as_ref().and_then(micros)
            }
        }
    }
}

fn read_cron(text: &str) -> Result<Cron, RuleError> {
    let wrong = |why: String| RuleError::Cron { text: text.chars().take(MAX_CRON_BYTES).collect(), why };
    if text.len() > MAX_CRON_BYTES {
        return Err(wrong(format!("longer than {MAX_CRON_BYTES} bytes")));
    }
    let fields = text.split_whitespace().count();
    if !text.starts_with('@') && fields != CRON_FIELDS {
        return Err(wrong(format!("{fields} fields, not {CRON_FIELDS}")));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| wrong(error.to_string().trim_end_matches('.').to_owned()))
}

/// A moment in UTC, to the second below: cron knows no fractions.
fn zoned(moment: WallMicros) -> Option<Zoned> {
    let seconds = i64::try_from(moment / 1_000_000).ok()?;
    Timestamp::from_second(seconds).ok().map(|at| at.to_zoned(TimeZone::UTC))
}

fn micros(at: &Zoned) -> Option<WallMicros> {
    u64::try_from(at.timestamp().as_second()).ok().map(|seconds| seconds * 1_000_000)
}
