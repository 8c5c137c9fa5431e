//! Waiting for what was started, with a bound, and telling who died meanwhile.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::Child,
    time::Duration,
};

use anyhow::{anyhow, bail};
use relay_proto::operator::StatusReply;
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

/// Waits until all that was started so far is ready.
///
/// # Errors
/// One dies, or the deadline passes.
pub async fn all_ready(base: &Path, started: &mut [Started], deadline: Instant) -> anyhow::Result<()> {
    for i in 0..started.len() {
        while !is_ready(started[i].daemon.admin).await {
            check_alive(base, started)?;
            if Instant::now() >= deadline {
                let Daemon { name, admin, .. } = &started[i].daemon;
                let log = started[i].daemon.log(base);
                bail!(
                    "{name} is not ready (http://{admin}/readyz); the end of {}:\n{}",
                    log.display(),
                    tail(&log)
                );
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Whether a daemon's `/readyz` answers 200.
pub async fn is_ready(admin: std::net::SocketAddr) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(admin).await?;
        let question = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        socket.write_all(question.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(ANSWER_TIME, ask).await;
    answer.is_ok_and(|read| read.is_ok_and(|bytes| bytes.starts_with(b"HTTP/1.1 200")))
}

/// How many are attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attached {
    /// Syndics.
    pub syndics: usize,
    /// Minions.
    pub minions: u64,
}

impl Attached {
    /// What a top master says.
    pub fn of(status: &StatusReply) -> Attached {
        Attached {
            syndics: status.syndics.iter().filter(|s| s.up).count(),
            minions: status.regions.iter().map(|r| r.minions_up).sum(),
        }
    }

    /// Whether these are all that `wanted` says.
    pub fn reaches(&self, wanted: &Attached) -> bool {
        self.syndics >= wanted.syndics && self.minions >= wanted.minions
    }

    /// The error when they are not, in time.
    pub fn too_few(&self, wanted: &Attached, waited: Duration) -> anyhow::Error {
        anyhow!(
            "after {:.0} s only {} of {} syndics and {} of {} minions are attached",
            waited.as_secs_f64(),
            self.syndics,
            wanted.syndics,
            self.minions,
            wanted.minions
        )
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::{Region, Syndic};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn attached_means_all_of_both() {
        let region = |up| Region { minions_up: up, minions: 9, ..Region::default() };
        let status = StatusReply {
            syndics: vec![Syndic { up: true, ..Syndic::default() }, Syndic::default()],
            regions: vec![region(2), region(3)],
            ..StatusReply::default()
        };
        let now = Attached::of(&status);
        assert_eq!(now, Attached { syndics: 1, minions: 5 });
        assert!(now.reaches(&Attached { syndics: 1, minions: 5 }));
        assert!(!now.reaches(&Attached { syndics: 2, minions: 5 }));
        assert!(!now.reaches(&Attached { syndics: 1, minions: 6 }));
    }

    #[tokio::test]
    async fn ready_is_only_what_answers_200() {
        for (answer, ready) in
            [("HTTP/1.1 200 OK\r\n\r\n", true), ("HTTP/1.1 503 Not yet\r\n\r\n", false), ("", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut question = [0; 512];
                let n = socket.read(&mut question).await.unwrap();
                socket.write_all(answer.as_bytes()).await.unwrap();
                question[..n].to_vec()
            });
            assert_eq!(is_ready(address).await, ready, "{answer:?}");
            assert!(server.await.unwrap().starts_with(b"GET /readyz HTTP/1.1\r\n"));
            // Nobody listens there any more.
            assert!(!is_ready(address).await);
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
