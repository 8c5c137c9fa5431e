//! What the journal's fsync costs: two fabrics side by side, which differ in nothing else.

use crate::{bed::Bed, scenario::Run, swarm::Shape};

/// What was measured, in milliseconds for each round.
pub(super) struct Journals {
    /// Minions of each fabric.
    pub minions: u32,
    /// Journals on disk, with fsync.
    pub disk_ms: Vec<f64>,
    /// Journals in memory.
    pub memory_ms: Vec<f64>,
}

pub(super) async fn measure(run: &Run) -> anyhow::Result<Journals> {
    let minions = u32::try_from(run.number("journal-minions")).unwrap_or(u32::MAX).min(run.minions);
    let shaped = |journals| Run { shape: Shape { journals, ..run.shape }, ..run.sized(minions, run.syndics) };
    run.tell(&format!("two fabrics of {minions} minions: journals on disk, and in memory"));
    let mut on_disk = Bed::start(&shaped(true)).await?;
    let mut in_memory = Bed::start(&shaped(false)).await?;
    // Of each the first is not counted.
    on_disk.ping_ms().await?;
    in_memory.ping_ms().await?;
    let (mut disk_ms, mut memory_ms) = (Vec::new(), Vec::new());
    for _ in 0..run.rounds {
        disk_ms.push(on_disk.ping_ms().await?);
        memory_ms.push(in_memory.ping_ms().await?);
    }
    for bed in [&on_disk, &in_memory] {
        anyhow::ensure!(bed.accounted() == u64::from(minions), "a job on {minions} minions lost some");
    }
    Ok(Journals { minions, disk_ms, memory_ms })
}
