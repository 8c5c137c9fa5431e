//! The witness: a file outside the fabric to which every job body appends when it starts, and the gates it waits at.
//!
//! The body is a shell script that knows its minion by the runner's command line, so it works for any number of minions
//! in one process. It goes on when its gate is open: a test decides who may end, and nothing depends on time.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use relay_core::ids::{Jid, MinionId};

/// What the body does; `DIR` is replaced. The runner's path is `…/<minion>/runs/<run>`.
const BODY: &str = r#"
id=$(tr '\0' '\n' </proc/$PPID/cmdline | sed -n 's|.*/\([^/]*\)/runs/.*|\1|p')
echo "$RELAY_JID $id $$" >> DIR/witness
while [ ! -e DIR/gates/all ] && [ ! -e "DIR/gates/$id" ]; do sleep 0.02; done
echo "done by $id"
"#;

/// One start that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The job.
    pub jid: Jid,
    /// The minion.
    pub minion: MinionId,
    /// The process id of the body.
    pub pid: i32,
}

/// The files.
#[derive(Debug, Clone)]
pub struct Witness(PathBuf);

impl Witness {
    pub(crate) fn new(root: &Path) -> Witness {
        let dir = root.join("witness.d");
        fs::create_dir_all(dir.join("gates")).expect("a directory for the witness");
        fs::write(dir.join("body.sh"), BODY.replace("DIR", &dir.display().to_string())).expect("the body");
        Witness(dir)
    }

    /// The command whose starts are seen, for `cmd.run`: it ends when its gate is open.
    pub fn command(&self) -> String {
        // Read by the shell that the runner starts, whose parent is thus the runner.
        format!(". {}/body.sh", self.0.display())
    }

    /// Lets this minion's bodies end, and those to come.
    pub fn open(&self, minion: &str) {
        fs::write(self.0.join("gates").join(minion), "").expect("a gate");
    }

    /// Lets all end.
    pub fn open_all(&self) {
        self.open("all");
    }

    /// Bodies wait again, but for those whose own gate is open.
    pub fn close_all(&self) {
        fs::remove_file(self.0.join("gates/all")).expect("an open gate");
    }

    /// Claims that a body started, as it would itself: for tests of those who look.
    pub fn pretend(&self, start: &Start) {
        let Start { jid, minion, pid } = start;
        let file = fs::OpenOptions::new().create(true).append(true).open(self.0.join("witness"));
        writeln!(file.expect("the witness"), "{jid} {minion} {pid}").expect("a line of the witness");
    }

    /// Every start so far.
    ///
    /// # Panics
    /// A line that no body wrote.
    pub fn starts(&self) -> Vec<Start> {
        let text = fs::read_to_string(self.0.join("witness")).unwrap_or_default();
        text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("witness: {line:?}"))).collect()
    }

    /// The process id of a job's body on a minion.
    ///
    /// # Panics
    /// It has not started.
    pub fn pid(&self, jid: Jid, minion: &str) -> i32 {
        let starts = self.starts();
        let start = starts.iter().find(|s| s.jid == jid && s.minion.as_str() == minion);
        start.unwrap_or_else(|| panic!("job {jid} has not started on {minion}")).pid
    }
}

fn parse(line: &str) -> Option<Start> {
    let mut words = line.split(' ');
    let (jid, minion, pid) = (words.next()?, words.next()?, words.next()?);
    Some(Start { jid: jid.parse().ok()?, minion: minion.parse().ok()?, pid: pid.parse().ok()? })
}
