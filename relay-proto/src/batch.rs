//! Batches between their wire form and the core's. The same form is kept in the store.

use std::collections::BTreeMap;

use relay_core::{
    batch::{BatchRule, BatchSize, MAX_STAGES, RegionBatch},
    ids::RegionName,
    topology::Share,
};

use crate::{
    WireError,
    operator::{self as wire, batch::Size, share::Kind},
};

/// A share for the wire.
pub fn share(share: Share) -> wire::Share {
    let kind = match share {
        Share::Count(n) => Kind::Count(n),
        Share::Percent(p) => Kind::Percent(p.into()),
    };
    wire::Share { kind: Some(kind) }
}

fn read_share(share: wire::Share) -> Result<Share, WireError> {
    match share.kind {
        Some(Kind::Count(n)) if n > 0 => Ok(Share::Count(n)),
        Some(Kind::Percent(p @ 1..=100)) => Ok(Share::Percent(p as u8)),
        Some(Kind::Percent(p)) => Err(WireError::field("batch", format_args!("{p}% is not from 1% to 100%"))),
        _ => Err(WireError::field("batch", "0 is no number of minions: at least 1")),
    }
}

fn read_optional(share: Option<wire::Share>) -> Result<Option<Share>, WireError> {
    share.map(read_share).transpose()
}

/// A rule for the wire or the store.
pub fn encode(rule: &BatchRule) -> wire::Batch {
    let size = match &rule.size {
        BatchSize::Regions => Size::Regions(true),
        BatchSize::All => Size::All(true),
        BatchSize::Window(window) => Size::Window(share(*window)),
        BatchSize::Auto => Size::Auto(true),
        BatchSize::Canary(stages) => {
            Size::Canary(wire::Canary { stages: stages.iter().copied().map(share).collect() })
        }
    };
    let region = |(name, r): (&RegionName, &RegionBatch)| wire::RegionBatch {
        region: name.to_string(),
        default_window: r.default_window.map(share),
        max_failures: r.max_failures.map(share),
        cap: r.cap.map(share),
        auto_min: r.auto_min.map(share),
        auto_max: r.auto_max.map(share),
    };
    wire::Batch {
        size: Some(size),
        wait_ms: rule.wait,
        max_failures: rule.max_failures.map(share),
        approve: rule.approve,
        until: rule.until.map(share),
        deadline_ms: rule.deadline.unwrap_or(0),
        queue_ms: rule.queue.unwrap_or(0),
        serial_per_minion: rule.serial,
        region_rules: rule.regions.iter().map(region).collect(),
    }
}

/// A rule from the wire or the store.
///
/// # Errors
/// A share of nothing or of more than all, stages that do not rise, too many of them, a region with no name of one.
pub fn decode(batch: wire::Batch) -> Result<BatchRule, WireError> {
    let size = match batch.size {
        None | Some(Size::Regions(_)) => BatchSize::Regions,
        Some(Size::All(_)) => BatchSize::All,
        Some(Size::Window(window)) => BatchSize::Window(read_share(window)?),
        Some(Size::Auto(_)) => BatchSize::Auto,
        Some(Size::Canary(canary)) => BatchSize::Canary(stages(canary)?),
    };
    if batch.approve && !matches!(size, BatchSize::Canary(_)) {
        return Err(WireError::field("batch", "approval is between canary stages, and this batch has none"));
    }
    let nonzero = |n: u64| (n > 0).then_some(n);
    Ok(BatchRule {
        size,
        wait: batch.wait_ms,
        max_failures: read_optional(batch.max_failures)?,
        approve: batch.approve,
        until: read_optional(batch.until)?,
        deadline: nonzero(batch.deadline_ms),
        queue: nonzero(batch.queue_ms),
        serial: batch.serial_per_minion,
        regions: batch.region_rules.into_iter().map(region).collect::<Result<BTreeMap<_, _>, _>>()?,
    })
}

fn stages(canary: wire::Canary) -> Result<Vec<Share>, WireError> {
    let stages = canary.stages.into_iter().map(read_share).collect::<Result<Vec<_>, _>>()?;
    match stages.len() {
        1..=MAX_STAGES => Ok(stages),
        n => Err(WireError::field("batch", format_args!("{n} canary stages: from 1 to {MAX_STAGES}"))),
    }
}

fn region(r: wire::RegionBatch) -> Result<(RegionName, RegionBatch), WireError> {
    let name = r.region.parse().map_err(|e| WireError::field("batch region", e))?;
    let rule = RegionBatch {
        default_window: read_optional(r.default_window)?,
        max_failures: read_optional(r.max_failures)?,
        cap: read_optional(r.cap)?,
        auto_min: read_optional(r.auto_min)?,
        auto_max: read_optional(r.auto_max)?,
    };
    Ok((name, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_the_wire() {
        let all = RegionBatch {
            default_window: Some(Share::Percent(20)),
            max_failures: Some(Share::Count(3)),
            cap: Some(Share::Count(500)),
            auto_min: Some(Share::Count(2)),
            auto_max: Some(Share::Percent(50)),
        };
        let sizes = [
            BatchSize::Regions,
            BatchSize::All,
            BatchSize::Window(Share::Percent(10)),
            BatchSize::Auto,
            BatchSize::Canary(vec![Share::Count(1), Share::Percent(100)]),
        ];
        for size in sizes {
            let rule = BatchRule {
                approve: matches!(size, BatchSize::Canary(_)),
                size,
                wait: 5,
                max_failures: Some(Share::Count(10)),
                until: Some(Share::Percent(99)),
                deadline: Some(30_000),
                queue: Some(3_600_000),
                serial: true,
                regions: BTreeMap::from([("aws".parse().unwrap(), all)]),
            };
            assert_eq!(decode(encode(&rule)), Ok(rule));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let count = |n| Some(wire::Share { kind: Some(Kind::Count(n)) });
        let percent = |n| Some(wire::Share { kind: Some(Kind::Percent(n)) });
        for share in [count(0), percent(0), percent(101), Some(wire::Share { kind: None })] {
            assert!(decode(wire::Batch { max_failures: share, ..Default::default() }).is_err(), "{share:?}");
        }
        let empty = Some(Size::Canary(wire::Canary { stages: Vec::new() }));
        assert!(decode(wire::Batch { size: empty, ..Default::default() }).is_err());
        assert!(decode(wire::Batch { approve: true, ..Default::default() }).is_err());
    }
}
