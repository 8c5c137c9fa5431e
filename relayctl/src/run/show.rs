//! Showing a job that is waited for: live lines and the result for people, one document or a stream for programs.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::pin,
    time::Duration,
};

use anyhow::bail;
use clap::Args;
use relay_proto::operator::{Progress, RegionProgress, WatchEvent};

use super::{
    signals::signals,
    stream::{Stream, Wanted},
    terminal::Terminal,
    watch::{SECOND, Watcher},
};
use crate::{
    connect::Fabric,
    exit::Exit,
    job::{self, End, JobResult},
    output::{Live, Output, View, ViewArgs},
};

/// How long a job runs before it is drawn: lines that flash up and go again tell nobody anything.
const DRAW_AFTER: Duration = Duration::from_millis(300);

/// How a job that is waited for is shown.
#[derive(Debug, Clone, Default, Args)]
pub struct Showing {
    #[command(flatten)]
    pub layout: ViewArgs,
    /// With --out jsonl: also a line each time it is told where the job stands
    #[arg(long)]
    pub progress: bool,
    /// Only what comes after the line with this cursor.
    #[arg(skip)]
    pub after: u64,
}

impl Showing {
    /// Whether what is asked for can be had in this form.
    ///
    /// # Errors
    /// An option of the stream, and another form.
    pub fn check(&self, out: &Output) -> anyhow::Result<()> {
        match (out.is_stream(), self.progress, self.after) {
            (false, true, _) => bail!("--progress is for a stream of lines: write --out jsonl too"),
            (false, _, 1..) => bail!("--after goes on with a stream of lines: write --out jsonl too"),
            _ => Ok(()),
        }
    }
}

/// Waits for a job and prints it. Ctrl-C, or a connection that stays away, end the waiting and not the job.
///
/// # Errors
/// The job cannot be watched.
pub async fn wait(
    mut fabric: Fabric,
    mut result: JobResult,
    showing: &Showing,
    terminal: &mut Terminal,
    out: &Output,
) -> anyhow::Result<Exit> {
    result.resume_after(showing.after);
    let jid = result.jid;
    let screen = Screen::new(Live::new());
    let mut stream = out
        .is_stream()
        .then(|| Stream::new(io::stdout(), Wanted { progress: showing.progress, after: showing.after }));
    let each = |now: &JobResult, event: &WatchEvent| match &mut stream {
        Some(stream) => stream.event(jid, event).map_err(|e| format!("cannot write to standard output: {e}")),
        None => {
            screen.stands(now);
            Ok(())
        }
    };
    let mut signals = signals();
    let watcher = Watcher::new(jid, fabric.clone(), terminal, SECOND);
    let quiet = |now| screen.quiet(now);
    let waiting = watcher.wait(&mut fabric, &mut signals, &mut result, each, quiet);
    let ended = screen.drawn_while(waiting).await;
    screen.clear();
    let ended = job::named(jid, ended)?;
    if stream.is_none()
        && let Err(error) = show(&result, showing.layout.view(), out)
    {
        // The job was accepted: to say anything else would invite to run it again.
        eprintln!("relayctl: {error:#}; the job itself: relayctl jobs show {jid}");
        return Ok(Exit::Running);
    }
    if let End::GivenUp(why) = ended {
        let more = more(stream.as_ref().map(Stream::written));
        eprintln!("{why}; the job goes on: relayctl jobs watch {jid}{more}");
    }
    Ok(exit(&result, showing.after))
}

/// The live lines: not before the job has taken a moment, and not while something is asked.
struct Screen {
    live: RefCell<Live>,
    /// Where the job stands, to be drawn once it may be.
    stands: RefCell<(Vec<RegionProgress>, Progress)>,
    began: Cell<bool>,
    asking: Cell<bool>,
}

impl Screen {
    fn new(live: Live) -> Screen {
        let (live, stands) = (RefCell::new(live), RefCell::default());
        Screen { live, stands, began: Cell::new(false), asking: Cell::new(false) }
    }

    /// Waits; what takes longer than a moment is drawn from then on.
    async fn drawn_while<T>(&self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        tokio::select! {
            biased;
            ended = &mut waiting => return ended,
            () = tokio::time::sleep(DRAW_AFTER) => self.begin(),
        }
        waiting.await
    }

    fn may_draw(&self) -> bool {
        self.began.get() && !self.asking.get()
    }

    fn draw(&self) {
        let (regions, standing) = &*self.stands.borrow();
        if self.may_draw() && !regions.is_empty() {
            self.live.borrow_mut().progress(regions, standing);
        }
    }

    fn stands(&self, now: &JobResult) {
        self.stands.replace((now.regions.clone(), now.standing.clone()));
        self.draw();
    }

    fn begin(&self) {
        self.began.set(true);
        self.draw();
    }

    fn quiet(&self, now: bool) {
        if now && !self.asking.replace(now) {
            self.clear();
        }
        self.asking.set(now);
    }

    fn clear(&self) {
        self.live.borrow_mut().clear();
    }
}

/// What goes on with a stream that was written up to a cursor; one without any begins anew.
fn more(written: Option<u64>) -> String {
    match written {
        None => String::new(),
        Some(0) => " --out jsonl".into(),
        Some(cursor) => format!(" --out jsonl --after {cursor}"),
    }
}

/// A watch that began in the middle does not know the outcomes from before; the job's end counts them all.
fn exit(result: &JobResult, after: u64) -> Exit {
    match after {
        0 => Exit::of_job(result.outcomes(), result.is_closed()),
        _ => Exit::of_job(result.outcomes_at_close(), result.is_closed()),
    }
}

/// Prints a job as far as it is known.
///
/// # Errors
/// Standard output cannot be written.
pub fn show(result: &JobResult, view: View, out: &Output) -> anyhow::Result<()> {
    out.show_job(result, view)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn nothing_is_drawn_at_once_nor_while_something_is_asked() {
        let screen = Screen::new(Live::new());
        assert!(!screen.may_draw());
        screen.begin();
        assert!(screen.may_draw());
        screen.quiet(true);
        assert!(!screen.may_draw());
        screen.quiet(false);
        assert!(screen.may_draw());
    }

    #[test]
    fn what_is_told_to_be_typed_can_be_typed() {
        for written in [None, Some(0), Some(17)] {
            let line = format!("relayctl jobs watch 20261121073656123456{}", more(written));
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        assert!(more(Some(17)).contains("--after 17"));
    }
}
