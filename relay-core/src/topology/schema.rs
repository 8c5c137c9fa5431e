//! The keys of a topology file, as a JSON schema (draft 2020-12), so that editors complete and check them.
//!
//! `keys` describes them; the reader in `decode` reads them. A test takes every key of both and sees that they agree: which
//! there are, which have to be there, which numbers and words they take.

mod keys;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use keys::{Key, Keys, Kind, TOPOLOGY};

/// What the schema is called; it is not fetched from there.
const ID: &str = "urn:relay:topology:1";

/// The JSON schema of topology files of version 1.
pub fn schema() -> Value {
    let mut root = Map::from_iter([
        ("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema")),
        ("$id".to_owned(), json!(ID)),
        ("title".to_owned(), json!("The topology of a relay fabric")),
    ]);
    root.extend(map(&TOPOLOGY));
    root.into()
}

fn map(keys: &Keys) -> Map<String, Value> {
    let properties: Map<String, Value> =
        keys.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = keys.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut map =
        Map::from_iter([("type".to_owned(), json!("object")), ("properties".to_owned(), properties.into())]);
    if !required.is_empty() {
        map.insert("required".into(), json!(required));
    }
    map.insert("additionalProperties".into(), json!(false));
    map
}

fn property(key: &Key) -> Value {
    let mut property = Map::from_iter([("description".to_owned(), json!(key.doc))]);
    property.extend(kind(&key.kind));
    if let Some(default) = key.default {
        property.insert("default".into(), default.json());
    }
    property.into()
}

fn kind(kind: &Kind) -> Map<String, Value> {
    let value = match kind {
        Kind::Text => text(),
        // A number is a text to the reader (an id may be 7); a pattern holds for texts only.
        Kind::Id => {
            json!({"type": ["string", "number", "boolean"], "pattern": ID_PATTERN, "maxLength": crate::ids::MAX_ID_BYTES})
        }
        Kind::Region => json!({"type": ["string", "number", "boolean"], "pattern": LABEL_PATTERN}),
        Kind::Address => json!({"type": "string", "pattern": "^.+:[0-9]{1,5}$"}),
        Kind::Network => json!({"type": "string", "pattern": "^[0-9A-Fa-f.:]+/[0-9]{1,3}$"}),
        Kind::Share => json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": u32::MAX},
            {"type": "string", "pattern": "^(0*[1-9][0-9]*|0*([1-9][0-9]?|100)%)$"},
        ]}),
        Kind::Number(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Words(words) => json!({"enum": words}),
        Kind::List(of) => json!({"type": "array", "items": self::kind(of)}),
        Kind::Filled(of) => json!({"type": "array", "items": self::kind(of), "minItems": 1}),
        Kind::OneOrMore => json!({"anyOf": [text(), {"type": "array", "items": text()}]}),
        Kind::Free(of) => json!({"type": "object", "additionalProperties": self::kind(of)}),
        Kind::Map(keys) => return map(keys),
    };
    let Value::Object(map) = value else { return Map::new() };
    map
}

/// A single value of any type is a text to the reader.
fn text() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

/// As [`crate::ids::check_id`], but for the length of a part.
const ID_PATTERN: &str = "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$";
/// One part of an id.
const LABEL_PATTERN: &str = "^[A-Za-z0-9_-]{1,63}$";
