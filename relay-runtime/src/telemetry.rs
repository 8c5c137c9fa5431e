//! What a daemon tells about itself: structured logs on stderr, and the names and meanings of its metrics.
//!
//! Owns the log format, the one list of metric names, and the figures of the process itself. Serving them is `admin`'s;
//! counting is done where things happen, with the constants below. The jid reaches a log line through its span's fields.

use std::fmt;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

mod names;

pub use names::*;

/// Overrides the configured level of one run, in the syntax of `RUST_LOG`: `RELAY_LOG=info,relay_runtime=debug`.
pub const LOG_VARIABLE: &str = "RELAY_LOG";

/// At level debug these print every HTTP/2 frame. [`LOG_VARIABLE`] can still ask for it.
const QUIET: &str = ",h2=info,hyper=info,rustls=info";

/// The exporter keeps every histogram sample until it is asked to sum them up; this bounds what it keeps.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Upper bounds of the store's commit times, in seconds: from a cached sync to a disk that harms every job.
const COMMIT_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: `TIME LEVEL role/id span{fields}: target: message fields`.
    #[default]
    Text,
    /// For machines: one JSON object per line, with `role` and `id` in front.
    Json,
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A level or filter that cannot be read.
    #[error(
        "{place}: {filter:?} is not a log filter ({why}); write a level (error, warn, info, debug, trace) or TARGET=LEVEL,..."
    )]
    Filter {
        /// The config key or the environment variable it came from.
        place: &'static str,
        /// What was written there.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Logging was set up twice in one process.
    #[error("logging is already set up in this process")]
    LoggingInstalled,
    /// Metrics were set up twice in one process, or a bucket is wrong.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Sends this process's log lines to stderr. `level` is the configured filter; [`LOG_VARIABLE`] overrides it.
/// `role` (`syndic`) and `id` (`aws-1`) mark every line, so that lines of several daemons can be read together.
///
/// # Errors
/// [`TelemetryError::Filter`], [`TelemetryError::LoggingInstalled`].
pub fn init_logging(level: &str, format: LogFormat, role: &str, id: &str) -> Result<(), TelemetryError> {
    let filter = log_filter(level, std::env::var(LOG_VARIABLE).ok())?;
    let logs = subscriber(filter, format, role, id, std::io::stderr);
    tracing::subscriber::set_global_default(logs).map_err(|_| TelemetryError::LoggingInstalled)
}

fn log_filter(level: &str, variable: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let variable = variable.filter(|text| !text.trim().is_empty());
    let (place, filter) = match variable {
        Some(text) => (LOG_VARIABLE, text),
        None if matches!(level, "debug" | "trace") => ("log level", format!("{level}{QUIET}")),
        None => ("log level", level.to_owned()),
    };
    // A bare word that is no level would be taken for the name of a module, and all lines would silently vanish.
    let known =
        |word: &str| word.contains(['=', '[']) || word.parse::<tracing::metadata::LevelFilter>().is_ok();
    if let Some(word) = filter.split(',').map(str::trim).find(|word| !known(word)) {
        let why = format!("{word:?} is no level");
        return Err(TelemetryError::Filter { place, filter, why });
    }
    EnvFilter::try_new(&filter).map_err(|error| TelemetryError::Filter {
        place,
        filter,
        why: error.to_string(),
    })
}

fn subscriber<W>(
    filter: EnvFilter,
    format: LogFormat,
    role: &str,
    id: &str,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A log that cannot be written must not end the process: tracing would tell of it on stderr, and panic there.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    let builder = builder.with_env_filter(filter).with_writer(writer).with_ansi(false);
    let lines = tracing_subscriber::fmt::format();
    match format {
        LogFormat::Text => {
            let mark = format!("{role}/{id} ");
            Box::new(builder.event_format(Marked { lines: lines.with_ansi(false), mark, skip: "" }).finish())
        }
        LogFormat::Json => {
            let mark = serde_json::json!({ "role": role, "id": id }).to_string();
            let mark = mark.trim_end_matches('}').to_owned() + ",";
            let lines = lines.json().flatten_event(true).with_span_list(false);
            Box::new(
                builder
                    .fmt_fields(JsonFields::new())
                    .event_format(Marked { lines, mark, skip: "{" })
                    .finish(),
            )
        }
    }
}

/// Puts a fixed mark at the start of each line. A span cannot do it: tasks and threads start outside of any.
struct Marked<F> {
    lines: F,
    mark: String,
    /// What the mark replaces at the start of the line.
    skip: &'static str,
}

impl<S, N, F> FormatEvent<S, N> for Marked<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.lines.format_event(ctx, Writer::new(&mut line), event)?;
        out.write_str(&self.mark)?;
        out.write_str(line.strip_prefix(self.skip).unwrap_or(&line))
    }
}

/// Makes this process's metrics countable and gives the handle that `admin` renders. Whoever calls it also runs
/// [`run_upkeep`] as a task.
///
/// # Errors
/// [`TelemetryError::Metrics`] when called twice.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = metrics_builder()?.install_recorder()?;
    names::describe();
    Ok(handle)
}

fn metrics_builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(STORE_COMMIT_SECONDS.into()), COMMIT_BUCKETS)
}

/// Sums up histogram samples each 5 s until `token` is cancelled. Without it they pile up between scrapes, for ever
/// when nobody scrapes.
pub async fn run_upkeep(handle: PrometheusHandle, token: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while token.run_until_cancelled(ticks.tick()).await.is_some() {
        handle.run_upkeep();
    }
}

/// Reads this process's memory and descriptors from `/proc` into their gauges. Called at each scrape; a figure that
/// cannot be read keeps its last value.
pub fn refresh_process_metrics() {
    if let Some(kib) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(rss_kib) {
        metrics::gauge!(PROCESS_RSS_BYTES).set((kib * 1024) as f64);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!(PROCESS_OPEN_FDS).set(entries.count() as f64);
    }
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::names::{DESCRIPTIONS, Shape, describe};
    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, id: &str) -> String {
        let lines = Lines::default();
        let sink = lines.clone();
        let logs = subscriber(EnvFilter::new("info"), format, "syndic", id, move || sink.clone());
        tracing::subscriber::with_default(logs, || {
            let _job = tracing::info_span!("job", jid = "20260101000000000000").entered();
            tracing::info!(minions = 3, "sent");
            tracing::debug!("not this one");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_text_line_names_the_daemon_the_jid_and_the_fields() {
        let line = logged(LogFormat::Text, "aws-1");
        assert!(line.starts_with("syndic/aws-1 "), "{line}");
        assert!(line.contains("jid=\"20260101000000000000\"") && line.contains("sent minions=3"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_json_line_is_one_object_whatever_the_id() {
        let line = logged(LogFormat::Json, "odd}\"id}");
        let object: serde_json::Value = serde_json::from_str(&line).expect(&line);
        for (pointer, want) in
            [("/role", "syndic"), ("/id", "odd}\"id}"), ("/message", "sent"), ("/level", "INFO")]
        {
            assert_eq!(object.pointer(pointer).and_then(|v| v.as_str()), Some(want), "{line}");
        }
        assert_eq!(object["span"]["jid"], "20260101000000000000");
        assert_eq!(object["minions"], 3);
    }

    #[test]
    fn the_variable_wins_over_the_config_and_nonsense_is_named() {
        let filter = |level, variable: Option<&str>| {
            log_filter(level, variable.map(str::to_owned)).map(|f| f.to_string()).map_err(|e| e.to_string())
        };
        assert_eq!(filter("warn", None), Ok("warn".into()));
        assert_eq!(filter("warn", Some(" ")), Ok("warn".into()));
        assert_eq!(filter("warn", Some("relay_runtime=debug")), Ok("relay_runtime=debug".into()));
        assert!(filter("lots", None).unwrap_err().contains("log level: \"lots\""));
        assert!(filter("info", Some("a=b=c")).unwrap_err().contains(LOG_VARIABLE));
    }

    #[test]
    fn every_metric_is_rendered_under_its_name_with_its_help() {
        let recorder = metrics_builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            refresh_process_metrics();
            for (name, shape, _, _) in DESCRIPTIONS {
                match shape {
                    Shape::Counter => metrics::counter!(*name).increment(1),
                    Shape::Gauge => metrics::gauge!(*name).increment(1.0),
                    Shape::Histogram => metrics::histogram!(*name).record(0.002),
                }
            }
        });
        let text = recorder.handle().render();
        for (name, _, _, help) in DESCRIPTIONS {
            assert!(text.contains(&format!("# HELP {name} {help}")), "{name} in {text}");
        }
        assert!(text.contains("relay_store_commit_seconds_bucket{le=\"0.0025\"} 1"), "{text}");
        let rss = text.lines().find_map(|l| l.strip_prefix("process_resident_memory_bytes ")).unwrap();
        assert!(rss.parse::<f64>().unwrap() > 100_000.0, "a Rust test has more than 100 kB: {rss}");
    }

    #[test]
    fn memory_is_read_from_the_line_that_has_it() {
        assert_eq!(rss_kib("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  812 kB\n"), Some(812));
        assert_eq!(rss_kib("Name:\tx\n"), None);
        assert_eq!(rss_kib("VmRSS:\t lots kB\n"), None);
    }
}
