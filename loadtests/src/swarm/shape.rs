//! What simulated minions are like: their names, their grains, and where their journals are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Kinds of the text in the grain `kind`.
pub const KINDS: u32 = 5;

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Journals are on disk, with fsync, as real ones are; else in memory.
    pub journals: bool,
    /// Each verifies every signature itself, as on a machine of its own; else each is verified once in a process, as
    /// `minion --count` does (`minion/src/serve.rs`).
    pub each_alone: bool,
    /// Names have nothing in common; else they are a letter and a number.
    pub hostile_names: bool,
    /// All dial at once; else so many at a time that nothing storms.
    pub at_once: bool,
    /// Bytes of a text in each of three more grains: `equal` is the same for all, of `kind` there are [`KINDS`], `own` is
    /// everybody's own. So one function, `grains.get`, answers equally or differently. 0: these grains are not there.
    pub texts: u32,
    /// So many of the first minions are in a process of their own: what one of them answers does not wait for thousands that
    /// share its process, as it would not on a machine of its own.
    pub apart: u32,
}

impl Shape {
    /// The name of the minion with a number.
    pub fn name(&self, n: u32) -> String {
        match self.hostile_names {
            false => format!("m{n:05}"),
            true => format!("{:016x}", mixed(n)),
        }
    }

    /// Its grains.
    pub fn grains(&self, n: u32) -> Arc<Value> {
        let mut grains = json!({ "os": "Linux", "role": "swarm" });
        if self.texts > 0 {
            grains["equal"] = text("equal", self.texts).into();
            grains["kind"] = text(&format!("kind {}", n % KINDS), self.texts).into();
            grains["own"] = text(&format!("own {n}"), self.texts).into();
        }
        Arc::new(grains)
    }
}

/// A text of so many bytes that begins with a word.
fn text(word: &str, bytes: u32) -> String {
    let mut text = format!("{word} ");
    text.extend(std::iter::repeat_n('.', (bytes as usize).saturating_sub(text.len())));
    text
}

/// The finaliser of splitmix64: neighbouring numbers have nothing in common afterwards, and no two become one.
fn mixed(n: u32) -> u64 {
    let mut z = u64::from(n).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use relay_core::ids::MinionId;

    use super::*;

    #[test]
    fn names_are_valid_and_distinct_and_hostile_ones_share_no_beginning() {
        for hostile_names in [false, true] {
            let shape = Shape { hostile_names, ..Shape::default() };
            let names: HashSet<MinionId> = (0..20_000).map(|n| shape.name(n).parse().unwrap()).collect();
            assert_eq!(names.len(), 20_000);
            let beginnings: HashSet<String> = names.iter().map(|id| id.as_str()[..3].to_owned()).collect();
            assert_eq!(beginnings.len() > 4_000, hostile_names, "{}", beginnings.len());
        }
    }

    #[test]
    fn texts_are_equal_of_some_kinds_and_own_and_of_one_size() {
        let shape = Shape { texts: 4_096, ..Shape::default() };
        let of = |grain: &str| -> HashSet<String> {
            (0..50).map(|n| shape.grains(n)[grain].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!((of("equal").len(), of("kind").len(), of("own").len()), (1, 5, 50));
        assert!(of("own").iter().all(|text| text.len() == 4_096));
        assert!(Shape::default().grains(1).get("own").is_none());
    }
}
