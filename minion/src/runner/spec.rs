//! What a runner is told and what it says: the files of a run's directory, their formats and their names.
//!
//! Each file carries its format number. A file that is torn, alien or of another format is an error here; what that
//! means (mostly: "as if it were absent") is decided by who reads it.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use nix::sys::signal::Signal;
use relay_core::{
    ids::{IdError, Jid, RequestId},
    outcome::{Answer, MAX_BODY_BYTES, Outcome, Reason},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The format of the files in this module. A reader refuses any other.
const FORMAT: u32 = 1;
/// Largest spec file, in bytes: a job's arguments fit a message of 1 MiB, and JSON may escape each byte.
const MAX_SPEC_BYTES: u64 = 8 << 20;
/// Largest END file, in bytes: the body, and less than 4 KiB around it.
const MAX_END_BYTES: u64 = MAX_BODY_BYTES as u64 + 4096;
/// Largest claim file, in bytes: a few numbers.
const MAX_CLAIM_BYTES: u64 = 4096;

/// What the runner is to do.
pub(super) const SPEC: &str = "spec.json";
/// How it ended. There once and for all, or not at all.
pub(super) const END: &str = "end.json";
/// Who may decide about the start: the runner that made it, or a minion that ruled the start out.
pub(super) const CLAIM: &str = "claim.json";
/// A FIFO whose write end the runner holds as long as it lives.
pub(super) const LIFE: &str = "life";
/// A FIFO that the runner reads: each byte is a [`Request`].
pub(super) const CONTROL: &str = "control";

/// What a living runner can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Kill the command: its answer becomes `cancelled` (`while_running`).
    Cancel,
    /// Send the command's process group this signal. What comes of it is the command's own end, or nothing.
    Signal(Signal),
}

impl Request {
    /// The byte of [`Request::Cancel`]; every signal's number is lower.
    const CANCEL: u8 = b'K';

    /// As the byte that stands for it in the FIFO.
    pub(super) fn byte(self) -> u8 {
        match self {
            Request::Cancel => Self::CANCEL,
            Request::Signal(signal) => signal as u8,
        }
    }

    /// What a byte asks for. One that means nothing here is a wish of a later version, and the oldest wish is the end.
    pub(super) fn of(byte: u8) -> Request {
        Signal::try_from(i32::from(byte)).map_or(Request::Cancel, Request::Signal)
    }
}

/// The random name of one run: of its directory, and in the environment of every process of it.
///
/// It is no jid, so that nothing that came over a wire ever becomes a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunToken(u128);

impl RunToken {
    /// A new one.
    pub fn random() -> RunToken {
        RunToken(rand::random())
    }

    /// As a number, for a journal.
    pub fn number(self) -> u128 {
        self.0
    }
}

impl From<u128> for RunToken {
    fn from(number: u128) -> Self {
        RunToken(number)
    }
}
impl fmt::Display for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
impl fmt::Debug for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl FromStr for RunToken {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse::<RequestId>().map(|id| RunToken(id.0))
    }
}

/// What a command returns when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `cmd.run`: stdout and stderr as they came, in one text.
    Text,
    /// `cmd.run_all`: a map of pid, retcode, stdout, stderr.
    Map,
    /// `cmd.run_stdout`: stdout alone.
    Stdout,
    /// `cmd.run_stderr`: stderr alone.
    Stderr,
    /// `cmd.retcode`: the exit code as a number.
    Retcode,
}

/// One external command, ready to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The job. In the child's environment as `RELAY_JID`.
    #[serde(with = "as_text")]
    pub jid: Jid,
    /// The job's function, for people.
    #[serde(default)]
    pub function: String,
    /// The program and its arguments; never empty. A shell stands here only if the function asks for one.
    pub argv: Vec<String>,
    /// The command as the operator wrote it, for messages.
    pub shown: String,
    /// What it returns.
    pub shape: Shape,
    /// Where it starts; the home of its user if absent.
    pub cwd: Option<PathBuf>,
    /// The user that it runs as; the minion's if absent.
    pub runas: Option<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Start from an empty environment, not from the minion's.
    pub clean_env: bool,
    /// What it reads on its stdin; nothing if absent.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Its file mode creation mask; the minion's if absent.
    #[serde(default)]
    pub umask: Option<u32>,
    /// Exit codes that count as 0.
    #[serde(default)]
    pub success_retcodes: Vec<i32>,
    /// An exit code other than 0 is no failure; a map still shows it.
    #[serde(default)]
    pub ignore_retcode: bool,
    /// What it writes is not returned.
    #[serde(default)]
    pub hide_output: bool,
    /// Salt's `timeout`: the command is killed and the answer is `failed`, with a message.
    pub timeout: Option<Duration>,
    /// The job's run limit: the command is killed and the answer is `timed_out`.
    pub run_limit: Duration,
}

/// The spec file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpecFile {
    format: u32,
    #[serde(with = "as_text")]
    pub token: RunToken,
    /// The boot that it was made in: after another boot nothing of the run is left.
    pub boot_id: String,
    pub command: CommandSpec,
}

impl SpecFile {
    pub fn new(token: RunToken, boot_id: String, command: CommandSpec) -> SpecFile {
        SpecFile { format: FORMAT, token, boot_id, command }
    }

    pub fn read(dir: &Path) -> io::Result<SpecFile> {
        let spec: SpecFile = read_json(&dir.join(SPEC), MAX_SPEC_BYTES)?;
        check_format(spec.format, SPEC)?;
        match spec.command.argv.is_empty() {
            true => Err(invalid(format!("{SPEC} holds no command"))),
            false => Ok(spec),
        }
    }

    /// Writes it without fsync: the minion's journal has the intent, and after a power cut an absent spec is proof
    /// enough that nothing runs.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        new_file(&dir.join(SPEC))?.write_all(&serde_json::to_vec(self)?)
    }
}

/// The claim file: made by hard link, so exactly one party makes it, and it is never seen half written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    format: u32,
    /// The runner's process id, which is its session's too; `None`: the start is ruled out.
    pub runner: Option<u32>,
    /// When the runner started, in clock ticks since boot: tells it from a later process of the same id.
    pub started: u64,
}

impl Claim {
    pub fn new(runner: Option<u32>, started: u64) -> Claim {
        Claim { format: FORMAT, runner, started }
    }

    pub fn read(dir: &Path) -> io::Result<Claim> {
        let claim: Claim = read_json(&dir.join(CLAIM), MAX_CLAIM_BYTES)?;
        check_format(claim.format, CLAIM)?;
        Ok(claim)
    }

    /// Makes the claim, if nobody has made it yet: says whether it is ours.
    pub fn make(&self, dir: &Path) -> io::Result<bool> {
        let draft = dir.join(format!("{CLAIM}.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        new_file(&draft)?.write_all(&serde_json::to_vec(self)?)?;
        let linked = fs::hard_link(&draft, dir.join(CLAIM));
        fs::remove_file(&draft)?;
        match linked {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// The END file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndFile {
    format: u32,
    #[serde(with = "as_text")]
    token: RunToken,
    #[serde(with = "as_text")]
    jid: Jid,
    outcome: String,
    reason: String,
    retcode: i32,
    /// SHA-256 of the output in hex, whatever its length.
    output: String,
    truncated: bool,
    /// The return value; null where there is none.
    body: Value,
}

impl EndFile {
    pub fn new(token: RunToken, jid: Jid, end: &End) -> EndFile {
        EndFile {
            format: FORMAT,
            token,
            jid,
            outcome: end.outcome.word().into(),
            reason: end.reason.word().into(),
            retcode: end.retcode,
            output: hex(&end.output),
            truncated: end.truncated,
            body: end.body.clone(),
        }
    }

    /// The answer in the END file of a run. An error if it is torn, of another run, or of another format.
    pub fn read(dir: &Path, token: RunToken) -> io::Result<Answer> {
        let file: EndFile = read_json(&dir.join(END), MAX_END_BYTES)?;
        check_format(file.format, END)?;
        if file.token != token {
            return Err(invalid(format!("{END} is of run {}, not of {token}", file.token)));
        }
        let outcome = Outcome::from_word(&file.outcome).filter(|o| o.is_final());
        let (Some(outcome), Some(reason), Some(hash)) =
            (outcome, Reason::from_word(&file.reason), unhex(&file.output))
        else {
            return Err(invalid(format!("{END} holds a word or a hash that means nothing here")));
        };
        let body = match &file.body {
            Value::Null => bytes::Bytes::new(),
            value => value.to_string().into(),
        };
        let truncated = file.truncated.then_some(hash);
        Ok(Answer { outcome, reason, retcode: file.retcode, body, truncated, by_tier: false })
    }

    /// Writes it so that it is there after a power cut, whole, or not at all.
    pub fn write_durably(&self, dir: &Path) -> io::Result<()> {
        let draft = dir.join(format!("{END}.tmp"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&draft, dir.join(END))?;
        File::open(dir)?.sync_all()
    }
}

/// How a command ended, with everything that goes into its END.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    pub outcome: Outcome,
    pub reason: Reason,
    pub retcode: i32,
    pub output: [u8; 32],
    pub truncated: bool,
    pub body: Value,
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn read_json<T: DeserializeOwned>(path: &Path, limit: u64) -> io::Result<T> {
    let mut text = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut text)?;
    if text.len() as u64 > limit {
        return Err(invalid(format!("{} has more than {limit} bytes", path.display())));
    }
    serde_json::from_slice(&text).map_err(|e| invalid(format!("{}: {e}", path.display())))
}

fn check_format(found: u32, file: &str) -> io::Result<()> {
    match found {
        FORMAT => Ok(()),
        other => Err(invalid(format!("{file} has format {other}; this minion reads {FORMAT}"))),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Ids in files as the text that people read.
mod as_text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(id: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end() -> End {
        let body = serde_json::json!({"pid": 7, "stdout": "a\n\u{0}é"});
        End {
            outcome: Outcome::Failed,
            reason: Reason::None,
            retcode: 3,
            output: [7; 32],
            truncated: true,
            body,
        }
    }

    #[test]
    fn an_end_is_read_as_it_was_written_and_only_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (token, jid) = (RunToken::random(), Jid::from_micros(1));
        EndFile::new(token, jid, &end()).write_durably(dir.path()).unwrap();
        let answer = EndFile::read(dir.path(), token).unwrap();
        assert_eq!((answer.outcome, answer.retcode, answer.truncated), (Outcome::Failed, 3, Some([7; 32])));
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), end().body);
        assert!(EndFile::read(dir.path(), RunToken::random()).is_err(), "of another run");

        let whole = fs::read(dir.path().join(END)).unwrap();
        for len in 0..whole.len() {
            fs::write(dir.path().join(END), &whole[..len]).unwrap();
            assert!(EndFile::read(dir.path(), token).is_err(), "torn at {len}");
        }
        let newer = String::from_utf8(whole).unwrap().replace("\"format\":1", "\"format\":2");
        fs::write(dir.path().join(END), newer).unwrap();
        assert!(EndFile::read(dir.path(), token).unwrap_err().to_string().contains("format 2"));
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let signals = Signal::iterator().map(Request::Signal);
        for request in signals.chain([Request::Cancel]) {
            assert_eq!(Request::of(request.byte()), request);
        }
        assert_eq!(Request::of(0), Request::Cancel);
    }

    #[test]
    fn a_claim_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Claim::new(Some(7), 1).make(dir.path()).unwrap());
        assert!(!Claim::new(None, 0).make(dir.path()).unwrap());
        assert_eq!(Claim::read(dir.path()).unwrap().runner, Some(7));
    }
}
