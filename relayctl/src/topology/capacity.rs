//! What regions carry, for programs and for people.

use relay_core::topology::capacity::RegionCapacity;
use serde_json::{Value, json};

use crate::output::table;

/// What regions carry, as data.
pub fn data(capacity: &[RegionCapacity]) -> Vec<Value> {
    let one = |region: &RegionCapacity| {
        let losses = region.losses.iter().map(|loss| {
            let cut_off: Vec<&str> = loss.cut_off.iter().map(|id| id.as_str()).collect();
            json!({
                "lost": loss.lost.as_str(), "cut_off": cut_off, "left": loss.left,
                "short": region.expected.saturating_sub(loss.left),
            })
        });
        json!({
            "region": region.region.as_str(),
            "expected": region.expected,
            "syndics": region.active,
            "standby": region.standby,
            "capacity": region.capacity,
            "reserve": region.reserve,
            "losses": losses.collect::<Vec<_>>(),
        })
    };
    capacity.iter().map(one).collect()
}

/// What regions carry, for people: with everything up, and after the worst loss of one syndic.
pub fn text(capacity: &[RegionCapacity]) -> String {
    let row = |region: &RegionCapacity| {
        let reserve = if region.standby == 0 { String::new() } else { format!(" + {}", region.standby) };
        let (lost, left) = match region.worst() {
            Some(loss) => (loss.lost.to_string(), loss.left.to_string()),
            None => (String::new(), String::new()),
        };
        let short = if region.short() == 0 { "-".to_owned() } else { region.short().to_string() };
        [
            region.region.to_string(),
            region.expected.to_string(),
            format!("{}{reserve}", region.active),
            region.capacity.to_string(),
            region.reserve.to_string(),
            lost,
            left,
            short,
        ]
    };
    table(
        ["REGION", "EXPECTED", "SYNDICS", "CAPACITY", "STANDBY", "WORST LOSS", "LEFT THEN", "SHORT THEN"],
        capacity.iter().map(row),
    )
}
