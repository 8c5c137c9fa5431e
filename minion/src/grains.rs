//! What a minion knows of its machine, under the names that Salt gives it, and what its operator adds to it.
//!
//! The blob is reported upwards at every attach and whenever it changes ([`GrainBook`]), so it holds only what stays the
//! same between two starts of the process on the same machine. What changes with the process ([`volatile`]) is added where a person asks for it.

mod book;
mod file;
mod hardware;
mod network;
mod os;
mod process;
mod sources;

pub use book::{GrainBook, StoreError};
pub use process::volatile;

use relay_core::ids::MinionId;
use serde_json::{Map, Value};
use sources::Sources;

/// Gathers the grains of this machine. `fixed` is what the operator set (the configuration and its grains file); it
/// overrides what was found, all but the `id`. Reads files under /etc, /proc and /sys: a few milliseconds of
/// blocking, never of network. What cannot be read is left out.
pub fn collect(id: &MinionId, fixed: &Map<String, Value>) -> Value {
    let sources = Sources::here();
    let mut grains = Map::new();
    grains.insert("id".into(), id.as_str().into());
    os::add(&mut grains, &sources);
    hardware::add(&mut grains, &sources);
    network::add(&mut grains, &sources);
    process::add(&mut grains, &sources, id);
    for (name, value) in fixed.iter().filter(|(name, _)| *name != "id") {
        grains.insert(name.clone(), value.clone());
    }
    grains.into()
}

/// Follows a key such as `ip_interfaces:eth0:0` into maps and lists. Salt's rules: a number counts in a list, and a
/// name in a list of maps means the first map that has it; a grain whose name holds the whole key wins.
pub fn traverse<'a>(within: &'a Value, key: &str, delimiter: &str) -> Option<&'a Value> {
    if let Some(exact) = within.get(key) {
        return Some(exact);
    }
    key.split(delimiter).try_fold(within, |at, part| match at {
        Value::Array(list) => match part.parse::<usize>() {
            Ok(i) => list.get(i),
            Err(_) => list.iter().find_map(|entry| entry.get(part)),
        },
        other => other.get(part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_go_into_maps_and_lists() {
        let grains = json!({"a": {"b": [1, {"c": "x"}]}, "n:m": "whole", "t": "text"});
        for (key, found) in [
            ("a:b:0", Some(json!(1))),
            ("a:b:1:c", Some(json!("x"))),
            ("a:b:c", Some(json!("x"))),
            ("n:m", Some(json!("whole"))),
            ("a:b:2", None),
            ("a:x", None),
            ("t:e", None),
            ("", None),
        ] {
            assert_eq!(traverse(&grains, key, ":"), found.as_ref(), "{key}");
        }
        assert_eq!(traverse(&grains, "a/b/0", "/"), Some(&json!(1)));
    }

    #[test]
    fn two_collections_are_equal_and_the_id_stands_fast() {
        let id: MinionId = "web01".parse().unwrap();
        let fixed = json!({"id": "other", "role": "db", "os": "Mine"});
        let fixed = fixed.as_object().unwrap();
        let grains = collect(&id, fixed);
        assert_eq!(grains, collect(&id, fixed));
        assert_eq!(
            (&grains["id"], &grains["role"], &grains["os"]),
            (&json!("web01"), &json!("db"), &json!("Mine"))
        );
        for name in
            ["kernel", "kernelrelease", "cpuarch", "num_cpus", "mem_total", "host", "ipv4", "server_id"]
        {
            assert!(grains.get(name).is_some(), "{name} is missing in {grains}");
        }
    }
}
