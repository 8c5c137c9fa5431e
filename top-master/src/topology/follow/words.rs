//! What would change, in words: a line each.

use relay_core::topology::plan::{Change, Edit};
use serde_json::Value;

/// Lines that are shown; who wants all of them plans.
const MAX_LINES: usize = 100;
/// Longest value, in characters.
const MAX_VALUE: usize = 200;

/// All changes, at most [`MAX_LINES`] and how many more.
pub(super) fn all(changes: &[Change]) -> Vec<String> {
    let more = changes.len().saturating_sub(MAX_LINES);
    let more = (more > 0).then(|| format!("and {more} more: relayctl topology plan shows them"));
    changes.iter().take(MAX_LINES).map(line).chain(more).collect()
}

fn line(Change { part, edit }: &Change) -> String {
    match edit {
        Edit::Added(_) => format!("added: {part}"),
        Edit::Removed(_) => format!("removed: {part}"),
        Edit::Field { name, before, after } => {
            format!("{part}: {name}: {} -> {}", value(before.as_ref()), value(after.as_ref()))
        }
    }
}

fn value(value: Option<&Value>) -> String {
    let text = match value {
        None => return "not set".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match text.chars().count() > MAX_VALUE {
        true => text.chars().take(MAX_VALUE).chain(['…']).collect(),
        false => text,
    }
}
