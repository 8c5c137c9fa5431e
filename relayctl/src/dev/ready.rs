//! Waiting for what was started, with a bound, and telling who died meanwhile.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::Child,
    time::Duration,
};

use anyhow::{anyhow, bail};
use relay_core::identity::Role;
use relay_proto::operator::StatusReply;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::layout::Daemon;

/// Between two questions to a process that is starting.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one answer of `/readyz` may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How much of an answer is read, in bytes: the status line.
const ANSWER_BYTES: u64 = 256;
/// How much of the end of a log is shown: some lines.
const TAIL_BYTES: u64 = 4_096;
const TAIL_LINES: usize = 15;

/// What was started, as its parent sees it.
pub struct Started {
    /// What it is.
    pub daemon: Daemon,
    /// The process.
    pub child: Child,
}

/// Says who died, with the end of its log.
///
/// # Errors
/// One of them is dead.
pub fn check_alive(base: &Path, started: &mut [Started]) -> anyhow::Result<()> {
    for Started { daemon, child } in started {
        if let Some(ended) = child.try_wait()? {
            let log = daemon.log(base);
            bail!("{} died ({ended}); the end of {}:\n{}", daemon.name, log.display(), tail(&log));
        }
    }
    Ok(())
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|e| format!("(cannot be read: {e})"));
    let lines: Vec<&str> = text.lines().collect();
    match lines.len() {
        0 => "  (it is empty)".into(),
        n => lines[n.saturating_sub(TAIL_LINES)..].iter().map(|l| format!("  {l}\n")).collect(),
    }
}

/// Waits until all that was started so far is ready. Of several top masters one is, the owner; the others are there.
///
/// # Errors
/// One dies, or the deadline passes.
pub async fn all_ready(base: &Path, started: &mut [Started], deadline: Instant) -> anyhow::Result<()> {
    loop {
        let Some(missing) = missing(started.iter().map(|s| &s.daemon)).await.cloned() else { return Ok(()) };
        check_alive(base, started)?;
        if Instant::now() >= deadline {
            return Err(not_ready(base, &missing));
        }
        sleep(PAUSE).await;
    }
}

/// The error of who is not ready in time.
pub fn not_ready(base: &Path, daemon: &Daemon) -> anyhow::Error {
    let (Daemon { name, admin, .. }, log) = (daemon, daemon.log(base));
    let (path, end) = (log.display(), tail(&log));
    anyhow!("{name} is not ready (http://{admin}/readyz); the end of {path}:\n{end}")
}

/// The first that is not there yet, or not ready and should be.
pub async fn missing<'a>(daemons: impl Iterator<Item = &'a Daemon>) -> Option<&'a Daemon> {
    let mut standby = None;
    let mut owned = false;
    for daemon in daemons {
        match (ask(daemon.admin).await, daemon.role) {
            (Answer::Ready, Role::TopMaster) => owned = true,
            (Answer::Ready, _) => {}
            (Answer::NotReady, Role::TopMaster) => standby = standby.or(Some(daemon)),
            (Answer::Silent | Answer::NotReady, _) => return Some(daemon),
        }
    }
    standby.filter(|_| !owned)
}

/// What `/readyz` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Silent,
    /// Something else than 200. So does a standby.
    NotReady,
    /// 200.
    Ready,
}

/// Asks a daemon's `/readyz`.
pub async fn ask(admin: std::net::SocketAddr) -> Answer {
    let ask = async {
        let mut socket = TcpStream::connect(admin).await?;
        let question = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        socket.write_all(question.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match timeout(ANSWER_TIME, ask).await {
        Ok(Ok(bytes)) if bytes.starts_with(b"HTTP/1.1 200") => Answer::Ready,
        Ok(Ok(bytes)) if bytes.starts_with(b"HTTP/1.1 ") => Answer::NotReady,
        _ => Answer::Silent,
    }
}

/// How many are there: of top masters registered, of the others attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Top masters.
    #[serde(default)]
    pub top_masters: usize,
    /// Syndics.
    pub syndics: usize,
    /// Minions.
    pub minions: u64,
}

impl Attached {
    /// What a top master says.
    pub fn of(status: &StatusReply) -> Attached {
        Attached {
            top_masters: status.top_masters.len(),
            syndics: status.syndics.iter().filter(|s| s.up).count(),
            minions: status.regions.iter().map(|r| r.minions_up).sum(),
        }
    }

    /// Whether these are all that `wanted` says.
    pub fn reaches(&self, wanted: &Attached) -> bool {
        self.top_masters >= wanted.top_masters
            && self.syndics >= wanted.syndics
            && self.minions >= wanted.minions
    }

    /// These of so many, for people.
    pub fn of_all(&self, all: &Attached) -> String {
        let Attached { top_masters, syndics, minions } = all;
        let tops = match top_masters {
            0 | 1 => String::new(),
            n => format!("{} of {n} top masters, ", self.top_masters),
        };
        format!("{tops}{} of {syndics} syndics and {} of {minions} minions", self.syndics, self.minions)
    }

    /// The error when they are not, in time.
    pub fn too_few(&self, wanted: &Attached, waited: Duration) -> anyhow::Error {
        anyhow!("after {:.0} s only {} are attached", waited.as_secs_f64(), self.of_all(wanted))
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::{Region, Syndic, TopMaster};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn attached_means_all_of_both() {
        let region = |up| Region { minions_up: up, minions: 9, ..Region::default() };
        let status = StatusReply {
            syndics: vec![Syndic { up: true, ..Syndic::default() }, Syndic::default()],
            regions: vec![region(2), region(3)],
            top_masters: vec![TopMaster::default()],
            ..StatusReply::default()
        };
        let now = Attached::of(&status);
        assert_eq!(now, Attached { top_masters: 1, syndics: 1, minions: 5 });
        assert!(now.reaches(&now));
        assert!(!now.reaches(&Attached { top_masters: 2, ..now }));
        assert!(!now.reaches(&Attached { syndics: 2, ..now }));
        assert!(!now.reaches(&Attached { minions: 6, ..now }));
        assert_eq!(now.of_all(&Attached { minions: 6, ..now }), "1 of 1 syndics and 5 of 6 minions");
        let two = Attached { top_masters: 2, ..now };
        assert_eq!(now.of_all(&two), "1 of 2 top masters, 1 of 1 syndics and 5 of 5 minions");
    }

    #[tokio::test]
    async fn ready_is_only_what_answers_200() {
        for (answer, expected) in [(OK, Answer::Ready), (NOT_YET, Answer::NotReady), ("", Answer::Silent)] {
            let (address, server) = server(answer).await;
            assert_eq!(ask(address).await, expected, "{answer:?}");
            assert!(server.await.unwrap().starts_with(b"GET /readyz HTTP/1.1\r\n"));
            // Nobody listens there any more.
            assert_eq!(ask(address).await, Answer::Silent);
        }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";
    const NOT_YET: &str = "HTTP/1.1 503 Not yet\r\n\r\n";

    /// Answers one question, and says which.
    async fn server(answer: &'static str) -> (std::net::SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut question = [0; 512];
            let n = socket.read(&mut question).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            question[..n].to_vec()
        });
        (address, server)
    }

    #[tokio::test]
    async fn one_owner_and_standbys_that_are_there_are_enough() {
        use Role::{Syndic, TopMaster};
        for (daemons, expected) in [
            (&[(TopMaster, NOT_YET), (TopMaster, OK), (Syndic, OK)][..], None),
            (&[(TopMaster, NOT_YET), (TopMaster, NOT_YET)], Some(0)),
            (&[(TopMaster, OK), (TopMaster, "")], Some(1)),
            (&[(TopMaster, OK), (Syndic, NOT_YET)], Some(1)),
        ] {
            let mut all = Vec::new();
            for (n, (role, answer)) in daemons.iter().enumerate() {
                let admin = server(answer).await.0;
                all.push(Daemon { name: n.to_string(), role: *role, count: None, admin });
            }
            let found = missing(all.iter()).await.map(|daemon| daemon.name.parse().unwrap());
            assert_eq!(found, expected, "{daemons:?}");
        }
    }

    #[test]
    fn who_died_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let admin = "127.0.0.1:1".parse().unwrap();
        let daemon =
            Daemon { name: "syndic-1".into(), role: relay_core::identity::Role::Syndic, count: None, admin };
        std::fs::create_dir(daemon.dir(dir.path())).unwrap();
        let words = "for i in $(seq 100); do echo line $i; done; echo port taken >&2; exit 3";
        let log = daemon.log(dir.path());
        let mut child =
            super::super::process::start(Path::new("sh"), &["-c".into(), words.into()], &log).unwrap();
        child.wait().unwrap();
        let told = check_alive(dir.path(), &mut [Started { daemon, child }]).unwrap_err().to_string();
        assert!(told.starts_with("syndic-1 died (exit status: 3)"), "{told}");
        assert!(
            told.contains("port taken") && told.contains("line 100") && !told.contains("line 80\n"),
            "{told}"
        );
    }
}
