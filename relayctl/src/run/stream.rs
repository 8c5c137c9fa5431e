//! A job's events as lines of JSON, as they come (`--out jsonl`).
//!
//! The answers of one committed change are written together once the change is whole, and the last of their lines has its
//! cursor. So whoever has the lines up to one with a cursor has everything before it, and "jobs watch --after" with that
//! cursor tells the rest: no gap, and no repeat.

use std::io::{self, Write};

use relay_core::ids::Jid;
use relay_proto::operator::{Closed, Count, JobHead, Progress, Returns, WatchEvent, watch_event::Event};
use serde_json::{Map, Value, json};

use crate::{job, when};

/// What of a stream is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Where the job stands, each time that is told.
    pub progress: bool,
    /// Only what comes after this cursor; the head was told to whoever has it. 0: all.
    pub after: u64,
}

/// Writes lines, and remembers how far they go.
pub struct Stream<W> {
    to: W,
    wanted: Wanted,
    head: bool,
    written: u64,
    /// Answers of a change that is not whole yet. As many as the change has, which the top master bounds; all of them are
    /// in the result anyway.
    pending: Vec<Value>,
}

impl<W: Write> Stream<W> {
    /// Writes to `to`.
    pub fn new(to: W, wanted: Wanted) -> Stream<W> {
        Stream { to, wanted, head: wanted.after == 0, written: wanted.after, pending: Vec::new() }
    }

    /// The cursor up to which all is written; 0: nothing.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes one event in, and writes what is whole now.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn event(&mut self, jid: Jid, event: &WatchEvent) -> io::Result<()> {
        match &event.event {
            Some(Event::Head(told)) => {
                // A watch that began anew tells the change again that was cut off.
                self.pending.clear();
                match std::mem::take(&mut self.head) {
                    true => self.line(&head(jid, told)),
                    false => Ok(()),
                }
            }
            Some(Event::Returns(told)) => self.returns(told, event.cursor),
            Some(Event::Progress(told)) if self.wanted.progress => self.line(&progress(told)),
            Some(Event::Closed(told)) => {
                self.flush()?;
                self.line(&closed(jid, told))
            }
            Some(Event::Progress(_)) | None => Ok(()),
        }
    }

    fn returns(&mut self, told: &Returns, cursor: u64) -> io::Result<()> {
        self.pending.push(returns(told, cursor));
        if cursor == 0 {
            return Ok(());
        }
        if cursor <= self.written {
            // A top master that began from the beginning.
            self.pending.clear();
            return Ok(());
        }
        self.flush()?;
        self.written = cursor;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        std::mem::take(&mut self.pending).iter().try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &Value) -> io::Result<()> {
        self.to.write_all(format!("{line}\n").as_bytes())?;
        self.to.flush()
    }
}

fn head(jid: Jid, head: &JobHead) -> Value {
    json!({
        "event": "head",
        "jid": jid.to_string(),
        "function": head.function,
        "args": serde_json::from_slice::<Value>(&head.args).unwrap_or_default(),
        "target": head.target,
        "caller": head.caller,
        "targets": head.targets,
        "created": when::moment(head.created),
    })
}

fn returns(told: &Returns, cursor: u64) -> Value {
    let mut line = json!({
        "event": "returns",
        "cursor": (cursor > 0).then_some(cursor),
        "at": when::moment(told.at),
        "outcome": told.outcome,
        "reason": told.reason,
        "retcode": told.retcode,
        "return": job::value(&told.body, &told.truncated),
        "minions": told.minions,
    });
    if !told.truncated.is_empty() {
        line["truncated"] = crate::plan::hex(&told.truncated).into();
    }
    line
}

fn progress(told: &Progress) -> Value {
    let region = |r: &relay_proto::operator::RegionProgress| {
        json!({
            "region": r.region, "targets": r.targets, "ok": r.ok, "failed": r.failed, "running": r.running,
            "outstanding": r.outstanding,
        })
    };
    json!({
        "event": "progress",
        "regions": told.regions.iter().map(region).collect::<Vec<_>>(),
        "window": told.window,
        "failures": told.failures,
        "delivery_failures": told.delivery_failures,
        "stopped": told.stopped,
        "stage": told.stage,
        "stages": told.stages,
        "awaits_approval": told.awaits_approval,
    })
}

fn closed(jid: Jid, told: &Closed) -> Value {
    json!({
        "event": "closed",
        "jid": jid.to_string(),
        "elapsed_ms": told.elapsed_ms,
        "outcomes": counts(&told.outcomes),
    })
}

/// Counts as an object: outcome word and number.
pub fn counts(counts: &[Count]) -> Map<String, Value> {
    counts.iter().map(|c| (c.outcome.clone(), c.minions.into())).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn jid() -> Jid {
        Jid::from_micros(1_795_246_616_123_456)
    }

    fn ok(minion: &str, cursor: u64) -> WatchEvent {
        let returns = Returns {
            outcome: "ok".into(),
            body: Bytes::from_static(b"true"),
            minions: vec![minion.to_owned()],
            at: 1_795_246_617_000_000,
            ..Returns::default()
        };
        WatchEvent { event: Some(Event::Returns(returns)), cursor }
    }

    fn plain(event: Event) -> WatchEvent {
        WatchEvent { event: Some(event), cursor: 0 }
    }

    fn story() -> Vec<WatchEvent> {
        vec![
            plain(Event::Head(JobHead { targets: 4, ..JobHead::default() })),
            ok("a", 0),
            ok("b", 5),
            plain(Event::Progress(Progress::default())),
            ok("c", 6),
            ok("d", 9),
            plain(Event::Closed(Closed { elapsed_ms: 7, outcomes: Vec::new() })),
        ]
    }

    fn lines(events: &[WatchEvent], wanted: Wanted) -> Vec<String> {
        let mut written = Vec::new();
        let mut stream = Stream::new(&mut written, wanted);
        events.iter().for_each(|event| stream.event(jid(), event).unwrap());
        String::from_utf8(written).unwrap().lines().map(str::to_owned).collect()
    }

    /// What a top master tells a watch that resumes.
    fn resumed(after: u64) -> Vec<WatchEvent> {
        let mut events = story();
        let seen = events.iter().rposition(|e| e.cursor > 0 && e.cursor <= after);
        events.drain(1..seen.map_or(1, |at| at + 1));
        events
    }

    #[test]
    fn a_line() {
        let expected = concat!(
            r#"{"event":"returns","cursor":6,"at":"2026-11-21T07:36:57Z","outcome":"ok","reason":"","retcode":0,"#,
            r#""return":true,"minions":["c"]}"#
        );
        let found: Value = serde_json::from_str(&lines(&story(), Wanted::default())[3]).unwrap();
        assert_eq!(found, serde_json::from_str::<Value>(expected).unwrap());
    }

    #[test]
    fn progress_only_if_asked_for() {
        let all = lines(&story(), Wanted { progress: true, after: 0 });
        assert_eq!(all.len(), 7);
        assert_eq!(lines(&story(), Wanted::default()).len(), 6);
    }

    #[test]
    fn a_change_that_is_cut_off_is_not_begun() {
        assert_eq!(lines(&story()[..2], Wanted::default()).len(), 1);
        assert_eq!(lines(&story()[..3], Wanted::default()).len(), 3);
    }

    proptest! {
        /// However a stream is cut, what was written up to the last cursor and what another watch writes after it are the
        /// undisturbed stream; and a connection that is lost and taken up again leaves no trace.
        #[test]
        fn two_streams_together_are_the_undisturbed_one(cut in 1_usize..7) {
            let whole = lines(&story(), Wanted::default());
            let first = lines(&story()[..cut], Wanted::default());
            let after = story()[..cut].iter().map(|e| e.cursor).max().unwrap();
            let second = lines(&resumed(after), Wanted { after, ..Wanted::default() });
            // Without any cursor the second tells all but the head.
            prop_assert_eq!([first.clone(), second.clone()].concat(), if after == 0 { [first, whole.clone()].concat() } else { whole.clone() });
            let again = [&story()[..cut], &resumed(after)].concat();
            prop_assert_eq!(lines(&again, Wanted::default()), whole.clone());
            let from_the_beginning = [&story()[..cut], &story()].concat();
            prop_assert_eq!(lines(&from_the_beginning, Wanted::default()), whole);
        }
    }
}
