//! Salt's rules for changing one value inside the grains: what becomes of the top-level grain that holds it.
//!
//! Pure: all grains in, the new value of one out. Keys go into maps as `a:b:c`; lists of names become lists of maps.

use serde_json::{Map, Value, json};

use crate::grains::traverse;

/// How a key and a value are to be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'a> {
    /// What separates the levels of the key.
    pub delimiter: &'a str,
    /// Overwrite maps and lists.
    pub force: bool,
    /// With the value null: remove the key itself.
    pub destructive: bool,
}

/// The new value of a top-level grain; none: it is removed.
pub(super) type Changed = (String, Option<Value>);

/// `grains.set`: sets a value anywhere. `Ok(None)`: it is set already.
///
/// # Errors
/// Why not, in Salt's words.
pub(super) fn set(grains: &Value, key: &str, value: Value, how: How) -> Result<Option<Changed>, String> {
    let old = traverse(grains, key, how.delimiter);
    if old == Some(&value) && (!value.is_null() || !how.destructive) {
        return Ok(None);
    }
    if !how.force && old.is_some_and(is_complex) {
        return Err(format!(
            "The key '{key}' exists but is a dict or a list. Use 'force=True' to overwrite."
        ));
    }
    if !how.force && old.is_some_and(|old| !old.is_null()) && is_complex(&value) {
        return Err(format!(
            "The key '{key}' exists and the given value is a dict or a list. Use 'force=True' to overwrite."
        ));
    }
    let removed = value.is_null() && how.destructive;
    let Some((mut above, mut last)) = split(key, how.delimiter) else {
        return Ok(Some((key.into(), (!removed).then_some(value))));
    };
    let mut inner = (!removed).then_some(value);
    loop {
        let outer = traverse(grains, above, how.delimiter).cloned().unwrap_or_else(|| json!({}));
        let outer = within(outer, above, last, inner, how.force)?;
        match split(above, how.delimiter) {
            None => return Ok(Some((above.into(), Some(outer)))),
            Some(next) => ((above, last), inner) = (next, Some(outer)),
        }
    }
}

/// One level of [`set`]: `outer` with the value (or without the name, if there is none) put at `last`.
fn within(outer: Value, key: &str, last: &str, value: Option<Value>, force: bool) -> Result<Value, String> {
    let entry = |value: Option<Value>| json!({last: value.unwrap_or_default()});
    match (outer, value) {
        (Value::Object(mut map), None) => {
            map.shift_remove(last);
            Ok(map.into())
        }
        (Value::Object(mut map), Some(value)) => {
            map.insert(last.into(), value);
            Ok(map.into())
        }
        (Value::Array(mut list), value) => {
            let mut found = false;
            for item in &mut list {
                match item {
                    Value::Object(map) if map.contains_key(last) => {
                        map.insert(last.into(), value.clone().unwrap_or_default());
                        found = true;
                    }
                    item if item == last => (*item, found) = (entry(value.clone()), true),
                    _ => {}
                }
            }
            if !found {
                list.push(entry(value));
            }
            Ok(list.into())
        }
        (old, value) if old == last || force => Ok(entry(value)),
        (old, _) => Err(format!(
            "The key '{key}' value is '{}', which is different from the provided key '{last}'. \
             Use 'force=True' to overwrite.",
            old.as_str().map_or_else(|| old.to_string(), str::to_string)
        )),
    }
}

/// `grains.append`: adds a value, or each of a list of values, to a list.
///
/// # Errors
/// What Salt returns instead, as a text.
pub(super) fn append(
    grains: &Value,
    key: &str,
    value: Value,
    convert: bool,
    delimiter: &str,
) -> Result<Changed, String> {
    let mut list = match traverse(grains, key, delimiter).cloned() {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(other) if convert => vec![other],
        Some(_) => return Err(format!("The key {key} is not a valid list")),
    };
    if list.contains(&value) {
        return Err(format!("The val {} was already in the list {key}", shown(&value)));
    }
    match value {
        Value::Array(more) => list.extend(more),
        one => list.push(one),
    }
    Ok(lift(grains, key, list.into(), delimiter))
}

/// `grains.remove`: takes a value out of a list.
///
/// # Errors
/// What Salt returns instead, as a text.
pub(super) fn remove(grains: &Value, key: &str, value: &Value, delimiter: &str) -> Result<Changed, String> {
    let mut list = match traverse(grains, key, delimiter).cloned() {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(format!("The key {key} is not a valid list")),
    };
    let Some(at) = list.iter().position(|item| item == value) else {
        return Err(format!("The val {} was not in the list {key}", shown(value)));
    };
    list.remove(at);
    Ok(lift(grains, key, list.into(), delimiter))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| super::super::python::repr(value), str::to_string)
}

/// Puts a nested value back into what holds it, up to the top level.
fn lift(grains: &Value, key: &str, value: Value, delimiter: &str) -> Changed {
    let Some((above, last)) = split(key, delimiter) else { return (key.into(), Some(value)) };
    let outer = match traverse(grains, above, delimiter).cloned() {
        Some(Value::Object(mut map)) => {
            map.insert(last.into(), value);
            Value::Object(map)
        }
        Some(Value::Array(mut list)) => {
            match list.iter_mut().find_map(|item| item.as_object_mut()?.get_mut(last)) {
                Some(place) => *place = value,
                None => list.push(json!({last: value})),
            }
            Value::Array(list)
        }
        _ => Value::Object(Map::from_iter([(last.to_string(), value)])),
    };
    lift(grains, above, outer, delimiter)
}

fn split<'a>(key: &'a str, delimiter: &str) -> Option<(&'a str, &'a str)> {
    key.rsplit_once(delimiter)
}

fn is_complex(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: How = How { delimiter: ":", force: false, destructive: false };

    fn grains() -> Value {
        json!({"role": "web", "l": ["a", {"b": 1}], "m": {"x": {"y": 1}, "t": "z"}, "none": null})
    }

    #[test]
    fn a_value_is_set_where_its_key_leads() {
        let destructive = How { destructive: true, ..HOW };
        for (key, value, how, changed) in [
            ("role", json!("db"), HOW, ("role", Some(json!("db")))),
            ("new", json!([1]), HOW, ("new", Some(json!([1])))),
            ("none", json!({"a": 1}), HOW, ("none", Some(json!({"a": 1})))),
            ("n:e:w", json!(1), HOW, ("n", Some(json!({"e": {"w": 1}})))),
            ("m:x:y", json!(2), HOW, ("m", Some(json!({"x": {"y": 2}, "t": "z"})))),
            ("m:t:z", json!(2), HOW, ("m", Some(json!({"x": {"y": 1}, "t": {"z": 2}})))),
            ("l:b", json!(2), HOW, ("l", Some(json!(["a", {"b": 2}])))),
            ("l:a", json!(2), HOW, ("l", Some(json!([{"a": 2}, {"b": 1}])))),
            ("l:c", json!(2), HOW, ("l", Some(json!(["a", {"b": 1}, {"c": 2}])))),
            ("role", json!(null), HOW, ("role", Some(json!(null)))),
            ("role", json!(null), destructive, ("role", None)),
            ("none", json!(null), destructive, ("none", None)),
            ("m:x:y", json!(null), destructive, ("m", Some(json!({"x": {}, "t": "z"})))),
            ("m", json!(1), How { force: true, ..HOW }, ("m", Some(json!(1)))),
            ("m/x/y", json!(3), How { delimiter: "/", ..HOW }, ("m", Some(json!({"x": {"y": 3}, "t": "z"})))),
        ] {
            let (name, value) = set(&grains(), key, value, how).unwrap().unwrap();
            assert_eq!((name.as_str(), value), changed, "{key}");
        }
        assert_eq!(set(&grains(), "role", json!("web"), HOW), Ok(None));
        for (key, value, says) in [
            ("m", json!(1), "exists but is a dict or a list"),
            ("role", json!([1]), "the given value is a dict or a list"),
            (
                "role:x",
                json!(1),
                "The key 'role' value is 'web', which is different from the provided key 'x'",
            ),
        ] {
            assert!(set(&grains(), key, value, HOW).unwrap_err().contains(says), "{key}");
        }
    }

    #[test]
    fn lists_take_and_give_values() {
        let grains = grains();
        for (key, value, changed) in [
            ("l", json!("c"), ("l", json!(["a", {"b": 1}, "c"]))),
            ("new", json!(["a", "b"]), ("new", json!(["a", "b"]))),
            ("m:list", json!(1), ("m", json!({"x": {"y": 1}, "t": "z", "list": [1]}))),
            ("n:e:w", json!(1), ("n", json!({"e": {"w": [1]}}))),
        ] {
            let (name, value) = append(&grains, key, value, false, ":").unwrap();
            assert_eq!((name.as_str(), value), (changed.0, Some(changed.1)));
        }
        let converted = append(&grains, "role", json!("db"), true, ":").unwrap();
        assert_eq!(converted, ("role".into(), Some(json!(["web", "db"]))));
        assert_eq!(remove(&grains, "l", &json!("a"), ":").unwrap(), ("l".into(), Some(json!([{"b": 1}]))));
        for (told, says) in [
            (append(&grains, "role", json!("x"), false, ":"), "The key role is not a valid list"),
            (append(&grains, "l", json!("a"), false, ":"), "The val a was already in the list l"),
            (remove(&grains, "l", &json!("x"), ":"), "The val x was not in the list l"),
            (remove(&grains, "m", &json!("x"), ":"), "The key m is not a valid list"),
        ] {
            assert_eq!(told.unwrap_err(), says);
        }
    }
}
