//! What the machine itself makes of a small thing beside a large one: a bare echo over TCP, to a process that does nothing
//! else.
//!
//! A small job wakes six processes, one after the other; so does an echo that goes three times. What the echo takes beside a
//! large job more than alone is waiting for a processor, on a machine whose processors are all in use.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, millis},
    part::{self, Part, PartKind},
};

/// The process that answers.
pub const ECHO: PartKind = PartKind { name: "echo", about: "Sends back each byte", main };

/// There and back, so often: as many wake-ups as a small job needs.
const TRIPS: u32 = 3;
/// Between two samples, so that they are no load of their own.
const BETWEEN: Duration = Duration::from_millis(5);
/// How long the process may take to start.
const READY_TIME: Duration = Duration::from_secs(30);

/// The echo, ready.
pub(super) struct Echo {
    _part: Part,
    stream: Option<TcpStream>,
}

/// Samples being taken.
pub(super) struct Sampling {
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<(TcpStream, Vec<f64>)>>,
}

impl Echo {
    /// Starts the process that answers, and connects to it.
    pub(super) async fn start(bed: &Bed) -> anyhow::Result<Echo> {
        let mut part = Part::start(ECHO.name, ECHO.name, &(), bed.dir()).await?;
        let address = part.expect("listening", READY_TIME).await?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Echo { _part: part, stream: Some(stream) })
    }

    /// Takes samples until [`Echo::stop`].
    pub(super) fn sample(&mut self) -> anyhow::Result<Sampling> {
        let stream = self.stream.take().context("one at a time")?;
        let stop = CancellationToken::new();
        Ok(Sampling { stop: stop.clone(), task: tokio::spawn(samples(stream, stop)) })
    }

    /// The samples, in milliseconds.
    pub(super) async fn stop(&mut self, sampling: Sampling) -> anyhow::Result<Vec<f64>> {
        sampling.stop.cancel();
        let (stream, samples) = sampling.task.await??;
        self.stream = Some(stream);
        Ok(samples)
    }
}

async fn samples(mut stream: TcpStream, stop: CancellationToken) -> std::io::Result<(TcpStream, Vec<f64>)> {
    let mut samples = Vec::new();
    loop {
        let begun = Instant::now();
        for _ in 0..TRIPS {
            let mut byte = [1];
            stream.write_all(&byte).await?;
            stream.read_exact(&mut byte).await?;
        }
        samples.push(millis(begun.elapsed()));
        tokio::select! {
            () = stop.cancelled() => return Ok((stream, samples)),
            () = tokio::time::sleep(BETWEEN) => {}
        }
    }
}

fn main() -> anyhow::Result<()> {
    let () = part::plan()?;
    part::end_with_the_scenario();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(answer())
}

async fn answer() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    part::tell(&format!("listening {}", listener.local_addr()?));
    let (mut stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).await?;
        stream.write_all(&byte).await?;
    }
}
