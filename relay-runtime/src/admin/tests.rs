//! The admin address over a real loopback socket.

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

struct Served {
    address: SocketAddr,
    parts: AdminParts,
    now: Arc<AtomicU64>,
    token: CancellationToken,
    task: JoinHandle<Result<(), AdminError>>,
}

async fn served() -> Served {
    served_within(PATIENCE).await
}

async fn served_within(patience: Patience) -> Served {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!(telemetry::RETURNS_TOTAL, "outcome" => "ok").increment(7);
    });
    let now = Arc::new(AtomicU64::new(1000));
    let clock = now.clone();
    let parts = AdminParts {
        metrics: recorder.handle(),
        health: Health::new(1000, 500),
        readiness: Readiness::not_yet("no parent attached"),
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, token) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(serve_patiently(listener, parts.clone(), token.clone(), patience));
    Served { address, parts, now, token, task }
}

impl Served {
    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// The status, and the whole answer.
    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut answer = String::new();
        self.send(request.as_bytes()).await.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect(&answer);
        (status, answer)
    }

    async fn stop(self) {
        self.token.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn each_path_answers_from_its_part() {
    let served = served().await;
    let (status, answer) = served.ask("GET", "/metrics").await;
    assert!(status == 200 && answer.contains("relay_returns_total{outcome=\"ok\"} 7"), "{answer}");
    assert!(answer.contains("version=0.0.4"), "{answer}");

    let (status, answer) = served.ask("GET", "/readyz").await;
    assert!(status == 503 && answer.ends_with("no parent attached\n"), "{answer}");
    served.parts.readiness.ready();
    assert_eq!(served.ask("GET", "/readyz").await.0, 200);
    served.parts.readiness.not_ready("spool full");
    assert_eq!(served.ask("GET", "/readyz").await.0, 503);

    for (path, method, want) in [
        ("/", "GET", 404),
        ("/metrics/", "GET", 404),
        ("/metrics?x=1", "GET", 200),
        ("/metrics", "POST", 405),
        ("/healthz", "DELETE", 405),
    ] {
        let (status, answer) = served.ask(method, path).await;
        assert_eq!(status, want, "{method} {path}: {answer}");
        assert_eq!(status == 405, answer.contains("allow: GET"));
    }
    served.stop().await;
}

#[tokio::test]
async fn health_follows_the_beat_of_the_loop() {
    let served = served().await;
    for (now, beat, want) in
        [(1500, None, 200), (1501, None, 503), (9000, Some(8500), 200), (9000, Some(1), 200)]
    {
        served.now.store(now, Ordering::Relaxed);
        beat.into_iter().for_each(|beat| served.parts.health.beat(beat));
        let (status, answer) = served.ask("GET", "/healthz").await;
        assert_eq!(status, want, "at {now} after {beat:?}: {answer}");
    }
    served.stop().await;
}

/// Asks the socket itself, not the runtime's possibly older view of it.
fn has_ended(stream: TcpStream) -> bool {
    let mut stream = stream.into_std().unwrap();
    let read = std::io::Read::read(&mut stream, &mut [0; 64]);
    !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn clients_that_say_nothing_fill_the_places_and_then_lose_them() {
    let served = served_within(Patience { head: Duration::from_millis(100), ..PATIENCE }).await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(served.send(b"GET /heal").await);
    }
    // There is no place for this one before the head timeout has freed one: when its answer is here, a silent
    // client's connection has ended.
    assert_eq!(served.ask("GET", "/healthz").await.0, 200);
    let ended = silent.into_iter().map(has_ended).filter(|ended| *ended).count();
    assert!(ended > 0, "more than {MAX_CONNECTIONS} connections were served at once");
    served.stop().await;
}

#[tokio::test]
async fn nonsense_harms_nobody_else() {
    let served = served().await;
    let mut answer = Vec::new();
    let nonsense = vec![b'\0'; 100];
    let _ = served.send(&nonsense).await.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(served.ask("GET", "/healthz").await.0, 200);
    served.stop().await;
}

#[tokio::test]
async fn an_address_others_can_reach_is_refused() {
    let served = served().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, served.parts.clone(), CancellationToken::new()).await;
    assert!(matches!(refused, Err(AdminError::NotLoopback(_))));
    served.stop().await;
}
