//! `salt-run manage.*`: who is there.
//!
//! Salt finds out by a ping of all minions, or by looking at TCP connections. The top master knows: every function is one
//! question about the inventory, and holds for minions below syndics too.

use std::cmp::Ordering;

use anyhow::bail;
use relay_proto::operator::{ListMinionsRequest, Minion};
use serde_json::{Map, Value, json};

use super::Call;
use crate::{connect::Fabric, salt::target};

/// The grain that holds a minion's version.
const VERSION_GRAIN: &str = "relayversion";

/// Runs one of them.
pub async fn run(function: &str, mut call: Call, fabric: &mut Fabric) -> anyhow::Result<Value> {
    let request = ListMinionsRequest {
        target: wanted(function, &mut call)?,
        down: false,
        grains: function == "versions",
    };
    let minions = fabric.minions(request).await?;
    if function == "versions" {
        return Ok(versions(&fabric.status().await?.software, &minions));
    }
    let state = |up: bool| ids(&minions, up);
    Ok(match function {
        "status" => json!({ "up": state(true), "down": state(false) }),
        _ => {
            state(function != "down" && !function.starts_with("not_") && function != "list_not_state").into()
        }
    })
}

/// The target that the arguments name; empty for all.
fn wanted(function: &str, call: &mut Call) -> anyhow::Result<String> {
    if function == "down" && call.take("removekeys").is_some_and(|value| value != Value::Bool(false)) {
        bail!("removekeys: keys cannot be removed here yet; certificates are issued outside the fabric");
    }
    let output = if function == "status" { call.named("output") } else { None };
    let kind = call.named("tgt_type").or_else(|| call.named("expr_form")).map_or("glob".into(), Call::text);
    let target = call.take("tgt").filter(|_| output.is_none_or(|o| o != Value::Bool(false)));
    call.done()?;
    match target.map(Call::text).as_deref() {
        None | Some("*") => Ok(String::new()),
        Some(word) => Ok(target::of_type(word, &kind)?.to_string()),
    }
}

fn ids(minions: &[Minion], up: bool) -> Vec<&str> {
    let mut ids: Vec<&str> = minions.iter().filter(|m| m.up == up).map(|m| m.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// By version, in Salt's groups. A minion that never told its version is in a group of its own.
fn versions(software: &str, minions: &[Minion]) -> Value {
    let top = software.rsplit('/').next().unwrap_or(software);
    let mut groups: Map<String, Value> = Map::from_iter([("Master".to_owned(), top.into())]);
    for minion in minions {
        let grains: Value = serde_json::from_str(&minion.grains).unwrap_or_default();
        let version = grains.get(VERSION_GRAIN).and_then(Value::as_str).unwrap_or_default();
        let group = match compare(version, top) {
            _ if version.is_empty() => "Minion version not known",
            Ordering::Less => "Minion requires update",
            Ordering::Greater => "Minion newer than master",
            Ordering::Equal => "Up to date",
        };
        let group = groups.entry(group).or_insert_with(|| Map::new().into());
        if let Value::Object(group) = group {
            group.insert(minion.id.clone(), version.into());
        }
    }
    groups.into()
}

/// Versions by their numbers; where those are the same, they are equal.
fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::salt::{Kind, Look, render_value};

    fn minion(id: &str, up: bool, version: &str) -> Minion {
        let grains =
            if version.is_empty() { String::new() } else { format!(r#"{{"relayversion":"{version}"}}"#) };
        Minion { id: id.into(), up, grains, ..Minion::default() }
    }

    fn call(name: &'static str, words: &[&str]) -> Call {
        Call::new(name, &words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn ids_are_sorted() {
        let all = [minion("b", true, ""), minion("a", true, ""), minion("c", false, "")];
        assert_eq!((ids(&all, true), ids(&all, false)), (vec!["a", "b"], vec!["c"]));
    }

    #[test]
    fn versions_in_salts_groups() {
        let minions = [
            minion("a", true, "0.2.0"),
            minion("b", true, "0.1.9"),
            minion("c", true, "0.10.0"),
            minion("d", false, ""),
        ];
        let found = versions("relay/0.2.0", &minions);
        let expected = "Master:
    0.2.0
Minion newer than master:
    ----------
    c:
        0.10.0
Minion requires update:
    ----------
    b:
        0.1.9
Minion version not known:
    ----------
    d:
Up to date:
    ----------
    a:
        0.2.0
";
        assert_eq!(render_value(Kind::Nested, &found, &Look::default()), expected);
    }

    #[test]
    fn targets_of_runners() {
        assert_eq!(wanted("up", &mut call("manage.up", &[])).unwrap(), "");
        assert_eq!(wanted("up", &mut call("manage.up", &["web*"])).unwrap(), "web*");
        let words = ["tgt=os:Debian", "tgt_type=grain", "timeout=5"];
        assert_eq!(wanted("status", &mut call("manage.status", &words)).unwrap(), "G@os:Debian");
        assert!(wanted("down", &mut call("manage.down", &["removekeys=True"])).is_err());
        assert!(wanted("up", &mut call("manage.up", &["colour=red"])).is_err());
    }
}
