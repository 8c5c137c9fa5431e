//! Refusals, counted when there are too many: who is refused all the time must not fill the disk, and must not go unnoticed.
//!
//! In each minute, so many refusals of one caller are recorded one by one, and so many of all together; further ones are
//! counted, and the counts are recorded at the minute's end, by caller. At its worst that is some 300 records a minute.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use relay_core::audit::{Event, Kind};

/// How long a window is.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Refusals of one caller that are recorded in a window.
pub(super) const PER_CALLER: u32 = 20;
/// Refusals of all callers together that are recorded in a window.
pub(super) const OF_ALL: u32 = 240;
/// Callers whose counts are recorded by name at a window's end; the others are one record together.
pub(super) const NAMED: usize = 50;
/// Callers that are told apart in a window. Who comes when there are so many counts among the others.
pub(super) const CALLERS: usize = 4_096;

/// How a forgery becomes known that was refused below (`daemon/found.rs`).
pub(crate) const REPORT: &str = "report";
/// Stands for those who are not told apart.
const OTHERS: &str = "others";

#[derive(Default)]
struct Count {
    recorded: u32,
    suppressed: u64,
}

/// The window that runs.
pub(super) struct Denials {
    began: Instant,
    recorded: u32,
    counts: HashMap<(String, Kind), Count>,
}

impl Default for Denials {
    fn default() -> Denials {
        Denials { began: Instant::now(), recorded: 0, counts: HashMap::new() }
    }
}

/// Whether strangers can make such events at will: what was refused, and what nobody stands for.
fn is_cheap(event: &Event) -> bool {
    event.kind == Kind::Deny || event.how == "nobody"
}

/// Who is rationed. Of reports of forgeries that is the syndic over whose link they came: who is said to have refused something below it
/// is its word, and it could make up one for each record.
fn caller(event: &Event) -> String {
    let via = event.details.get("via").filter(|_| event.how == REPORT);
    via.map_or_else(|| event.who.clone(), |via| format!("reports via {via}"))
}

impl Denials {
    /// Whether an event is to be recorded by itself. If not, it is counted.
    pub(super) fn is_due(&mut self, event: &Event) -> bool {
        if !is_cheap(event) {
            return true;
        }
        let room = self.recorded < OF_ALL;
        let count = self.of(event);
        if room && count.recorded < PER_CALLER {
            count.recorded += 1;
            self.recorded += 1;
            return true;
        }
        count.suppressed += 1;
        false
    }

    /// Counts an event that could not be recorded.
    pub(super) fn count(&mut self, event: &Event) {
        self.of(event).suppressed += 1;
    }

    fn of(&mut self, event: &Event) -> &mut Count {
        let key = (caller(event), event.kind);
        let known = self.counts.len() < CALLERS || self.counts.contains_key(&key);
        let key = if known { key } else { (OTHERS.to_owned(), event.kind) };
        self.counts.entry(key).or_default()
    }

    /// When the window ends.
    pub(super) fn ends(&self) -> Instant {
        self.began + WINDOW
    }

    /// The counts of the window, as events; the next one begins.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<Event> {
        (self.began, self.recorded) = (now, 0);
        let counts = std::mem::take(&mut self.counts).into_iter();
        let mut counts: Vec<_> = counts.filter(|(_, count)| count.suppressed > 0).collect();
        counts.sort_by(|(a, x), (b, y)| y.suppressed.cmp(&x.suppressed).then_with(|| a.cmp(b)));
        let rest = counts.split_off(counts.len().min(NAMED));
        let mut events: Vec<Event> = counts
            .into_iter()
            .map(|((who, kind), count)| suppressed(&who, kind.word(), count.suppressed))
            .collect();
        if !rest.is_empty() {
            let sum = rest.iter().map(|(_, count)| count.suppressed).sum();
            events.push(suppressed(OTHERS, "any", sum).with("callers", rest.len()));
        }
        events
    }
}

/// So many events of a kind were not recorded one by one.
fn suppressed(who: &str, of: &str, count: u64) -> Event {
    Event::new(Kind::Suppressed, who, "self").about(of).with("count", count).with("seconds", WINDOW.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deny(who: &str) -> Event {
        Event::new(Kind::Deny, who, "certificate")
    }

    fn recorded(denials: &mut Denials, who: &str, times: u32) -> u32 {
        (0..times).filter(|_| denials.is_due(&deny(who))).count() as u32
    }

    #[test]
    fn one_caller_fills_nothing_and_is_counted() {
        let mut denials = Denials::default();
        assert_eq!(recorded(&mut denials, "mallory", 1_000), PER_CALLER);
        assert_eq!(recorded(&mut denials, "alice", 1), 1, "others are heard");
        let told = denials.turn(Instant::now());
        let expected = suppressed("mallory", "deny", u64::from(1_000 - PER_CALLER));
        assert_eq!(told, [expected]);
        assert_eq!((recorded(&mut denials, "mallory", 1), denials.turn(Instant::now())), (1, vec![]));
    }

    #[test]
    fn what_a_syndic_passes_on_counts_as_its_own_whoever_is_named() {
        let mut denials = Denials::default();
        let reports =
            (0..200).map(|n| Event::new(Kind::Deny, format!("minion m{n}"), REPORT).with("via", "aws-1"));
        assert_eq!(reports.filter(|report| denials.is_due(report)).count() as u32, PER_CALLER);
        assert_eq!(recorded(&mut denials, "aws-1", 1), 1, "what it does itself is another thing");
        let expected = suppressed("reports via aws-1", "deny", u64::from(200 - PER_CALLER));
        assert_eq!(denials.turn(Instant::now()), [expected]);
    }

    #[test]
    fn many_callers_fill_nothing_and_are_counted() {
        let mut denials = Denials::default();
        let callers = CALLERS as u32 + 100;
        let all: u32 = (0..callers).map(|n| recorded(&mut denials, &format!("m{n}"), 2)).sum();
        assert_eq!(all, OF_ALL);
        assert!(denials.counts.len() <= CALLERS + 1);
        let told = denials.turn(Instant::now());
        assert_eq!(told.len(), NAMED + 1);
        let sum: u64 = told.iter().map(|event| event.details["count"].parse::<u64>().unwrap()).sum();
        assert_eq!(sum, u64::from(2 * callers - OF_ALL), "none is lost");
    }

    #[test]
    fn what_is_no_refusal_is_always_recorded() {
        let mut denials = Denials::default();
        let job = Event::new(Kind::Job, "alice", "certificate");
        assert!((0..10_000).all(|_| denials.is_due(&job)));
        let stranger = Event::new(Kind::Enrol, "192.0.2.1", "nobody");
        assert!(!(0..1_000).all(|_| denials.is_due(&stranger)));
    }
}
