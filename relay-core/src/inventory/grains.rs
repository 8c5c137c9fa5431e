//! Grains as they arrive: JSON text from a minion that may be broken or hostile, checked against bounds before anything
//! is indexed, and kept once however many minions have the same.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Largest grains, as JSON text, in bytes. Salt's own grains of a large machine have some 10 KiB.
pub const MAX_GRAINS_BYTES: usize = 64 << 10;
/// Most values per minion: leaves (list elements one by one), and the maps and lists that hold them. Each is an entry of
/// the index.
pub const MAX_GRAIN_LEAVES: usize = 1024;
/// Longest value that can be searched for, in bytes. A longer one (a `PATH`) is kept and shown, but only `*` matches it.
pub const MAX_GRAIN_VALUE_BYTES: usize = 256;
/// Deepest nesting of maps and lists: the index is walked by recursion.
pub const MAX_GRAIN_DEPTH: usize = 8;

/// Why grains were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrainsError {
    /// Longer than [`MAX_GRAINS_BYTES`].
    #[error("grains have at most {MAX_GRAINS_BYTES} bytes, these have {0}: remove large ones on the minion")]
    TooLong(usize),
    /// Not JSON.
    #[error("grains are not JSON: {0}")]
    Json(String),
    /// JSON, but no object.
    #[error("grains are a JSON object, not {0}")]
    NoObject(&'static str),
    /// More than [`MAX_GRAIN_LEAVES`] values.
    #[error("grains have at most {MAX_GRAIN_LEAVES} values in all: remove some on the minion")]
    TooMany,
    /// Nested deeper than [`MAX_GRAIN_DEPTH`].
    #[error("grains nest at most {MAX_GRAIN_DEPTH} deep, {0:?} nests deeper: flatten it on the minion")]
    TooDeep(String),
}

/// SHA-256 of the JSON text: which text this is. Minions choose their grains, so it must resist collisions.
pub(super) type Digest = [u8; 32];

/// Every grain text that is in use, once.
#[derive(Debug, Default)]
pub(super) struct Interner {
    known: HashMap<Digest, Weak<Value>>,
    /// Size at which the dead entries are dropped.
    sweep_at: usize,
}

/// Below this many entries a sweep is not worth its while.
const SWEEP_FROM: usize = 64;

impl Interner {
    /// The checked grains of a text. A text seen before is neither parsed nor kept a second time.
    pub(super) fn intern(&mut self, text: &str) -> Result<(Digest, Arc<Value>), GrainsError> {
        if text.len() > MAX_GRAINS_BYTES {
            return Err(GrainsError::TooLong(text.len()));
        }
        let digest = Sha256::digest(text.as_bytes()).into();
        if let Some(value) = self.known.get(&digest).and_then(Weak::upgrade) {
            return Ok((digest, value));
        }
        let value = Arc::new(checked(text)?);
        self.sweep();
        self.known.insert(digest, Arc::downgrade(&value));
        Ok((digest, value))
    }

    /// The grains of a minion that has said nothing of them.
    pub(super) fn nothing(&mut self) -> (Digest, Arc<Value>) {
        self.intern("{}")
            .unwrap_or_else(|_| (Digest::default(), Arc::new(Value::Object(serde_json::Map::new()))))
    }

    /// Drops what nobody uses any more, whenever the table has doubled: constant time per entry, over time.
    fn sweep(&mut self) {
        if self.known.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.known.retain(|_, value| value.strong_count() > 0);
            self.sweep_at = 2 * self.known.len();
        }
    }
}

#[cfg(test)]
impl Interner {
    /// How many texts are kept, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

fn checked(text: &str) -> Result<Value, GrainsError> {
    let value: Value = serde_json::from_str(text).map_err(|e| GrainsError::Json(e.to_string()))?;
    let Value::Object(map) = &value else {
        return Err(GrainsError::NoObject(kind(&value)));
    };
    let mut leaves = 0;
    for (name, grain) in map {
        check(name, grain, 1, &mut leaves)?;
    }
    Ok(value)
}

fn check(name: &str, value: &Value, depth: usize, leaves: &mut usize) -> Result<(), GrainsError> {
    if depth > MAX_GRAIN_DEPTH {
        return Err(GrainsError::TooDeep(name.chars().take(64).collect()));
    }
    // Maps and lists count too: empty ones are cheap to send and not free to keep.
    *leaves += 1;
    if *leaves > MAX_GRAIN_LEAVES {
        return Err(GrainsError::TooMany);
    }
    match value {
        Value::Object(map) => map.values().try_for_each(|v| check(name, v, depth + 1, leaves)),
        Value::Array(items) => items.iter().try_for_each(|v| check(name, v, depth + 1, leaves)),
        _ => Ok(()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A leaf as grain globs see it: printed as Salt (Python's `str`) prints it, in lower case, since Salt compares grains
/// without regard to case. `None` if it is too long to search for, or no leaf.
pub(super) fn searchable(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => "none".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string().to_lowercase(),
        Value::String(s) if s.len() <= MAX_GRAIN_VALUE_BYTES => s.to_lowercase(),
        _ => return None,
    };
    Some(text)
}
