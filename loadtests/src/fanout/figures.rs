//! The figures of `fanout`, and what one has to know to read them.

use super::{Trees, WARM_UP, journals::Journals};
use crate::{
    bed::millis,
    report::{
        Figure,
        Kind::{Count, Memory, Size, Time},
        Report,
    },
    scenario::Run,
    statistics::{median, p99},
};

pub(super) fn report(run: &Run, trees: &Trees, journals: &Journals) -> Report {
    let report = Report::new(run, trees.accounted);
    Report { notes: notes(run, trees, journals), ..report }.finish(figures(trees, journals))
}

fn figures(trees: &Trees, journals: &Journals) -> Vec<Figure> {
    let rounds = &trees.rounds;
    let (fabric, tcp, grpc) = (median(&rounds.fabric_ms), median(&rounds.tcp_ms), median(&rounds.grpc_ms));
    let alone = median(&rounds.alone_ms);
    let (disk, memory) = (median(&journals.disk_ms), median(&journals.memory_ms));
    vec![
        Figure::new("fanout_vs_floor", fabric / tcp, "ratio", Time).at_most(3.0, 2.0),
        Figure::new("fanout_vs_grpc_tls_floor", fabric / grpc, "ratio", Time).at_most(1.6, 1.1),
        Figure::new("each_alone_vs_floor", alone / tcp, "ratio", Time),
        Figure::new("each_alone_vs_grpc_tls_floor", alone / grpc, "ratio", Time),
        Figure::new("each_alone_ms", alone, "ms", Time),
        Figure::new("fabric_ms", fabric, "ms", Time),
        Figure::new("floor_ms", tcp, "ms", Time),
        Figure::new("grpc_tls_floor_ms", grpc, "ms", Time),
        Figure::new("fabric_p99_ms", p99(&rounds.fabric_ms), "ms", Time),
        Figure::new("floor_p99_ms", p99(&rounds.tcp_ms), "ms", Time),
        Figure::new("grpc_tls_floor_p99_ms", p99(&rounds.grpc_ms), "ms", Time),
        Figure::new("journal_fsync_vs_memory", disk / memory, "ratio", Time),
        Figure::new("journal_fsync_ms", disk, "ms", Time),
        Figure::new("journal_memory_ms", memory, "ms", Time),
        Figure::new("attach_ms", millis(trees.attach), "ms", Time),
        Figure::new("syndic_rss_per_minion_kib", trees.rss_idle_kib, "KiB", Memory),
        Figure::new("syndic_rss_per_minion_used_kib", trees.rss_used_kib, "KiB", Memory),
        Figure::new("minion_rss_mib", trees.minion_rss_kib as f64 / 1024.0, "MiB", Memory),
        Figure::new("top_cpu_ms_per_job", rounds.used.top, "ms", Time),
        Figure::new("syndics_cpu_ms_per_job", rounds.used.syndics, "ms", Time),
        Figure::new("swarm_cpu_ms_per_job", rounds.used.swarm, "ms", Time),
        Figure::new("floor_cpu_ms_per_round", rounds.tcp_cpu_ms, "ms", Time),
        Figure::new("grpc_tls_floor_cpu_ms_per_round", rounds.grpc_cpu_ms, "ms", Time),
        Figure::new("uplink_bytes_per_job", rounds.uplinks.bytes, "bytes", Size),
        Figure::new("return_batches_per_job", rounds.uplinks.batches, "batches", Size),
        Figure::new("bodies_per_return_batch", trees.bodies, "bodies", Count).at_most(1.0, None),
    ]
}

fn notes(run: &Run, trees: &Trees, journals: &Journals) -> Vec<String> {
    let payload = trees.payload;
    let threads = run.threads.map_or_else(String::new, |n| format!(" but {n} runtime thread(s)"));
    let journal = if run.shape.journals { "on disk, with fsync" } else { "in memory (no fsync)" };
    vec![
        format!(
            "simulated minions: the minion's own session, dialler and verification; journal {journal}, two fixed grains, no runner"
        ),
        "a signature is verified once in a process, as in minion --count; each_alone: a second fabric in the same rounds, where each \
         minion verifies it, which as many machines would do at once and two cores do one after the other"
            .into(),
        format!("top master and syndics are real processes with their defaults{threads}: store and spools on disk, with fsync"),
        format!(
            "floors: the same shape, connections and processes, one thread each; job {} bytes, answer {} bytes; no \
             durability, no verification; the first in bare TCP, the second in tonic streams over mutual TLS 1.3",
            payload.job, payload.answer
        ),
        format!("{WARM_UP} rounds of each were not counted; rounds alternate, and so does their order; time is Submit to Closed at the operator"),
        format!(
            "journal_*: two fabrics of {} minions below {} syndics side by side, rounds alternate; in one, journals are \
             on disk: one writer thread for each swarm process, an fsync for each minion's file before it starts and \
             after it ends, all on this machine's one disk",
            journals.minions, run.syndics
        ),
        "attach: 64 dials under way at once in each swarm process".into(),
        "syndic_rss_per_minion: growth of VmRSS of all syndics from before the first attached until all are, idle, \
         over the minions; _used_: the same after the rounds; judged in the scenario idle"
            .into(),
        "minion_rss: VmRSS of one real minion process, attached and idle".into(),
        "uplink bytes: frames as the syndics count them, above gRPC and TLS".into(),
    ]
}
