//! Grains that an operator sets: from a grains file, and from the minion's config.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// Largest grains file, in bytes. Grains are sent at every attach and held for every minion by the top master.
pub const MAX_FILE_BYTES: u64 = 64 << 10;
/// Deepest nesting of grains set by an operator; far below what JSON readers of other tiers take.
const MAX_DEPTH: usize = 16;

/// Why grains that an operator set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GrainsError {
    /// The file is there, but cannot be read.
    #[error("{}: cannot read the grains file: {source}; make it readable for the minion, or remove it from the config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("{}: a grains file has at most {MAX_FILE_BYTES} bytes, this one has more", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is no YAML, or not a map.
    #[error("{}:{line}:{column}: {wrong}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// What is wrong.
        wrong: String,
    },
    /// A grain that cannot be set.
    #[error("{place}: grain {name:?} {wrong}")]
    Refused {
        /// The file, or the config.
        place: String,
        /// The grain.
        name: String,
        /// What is wrong with it, and what to do.
        wrong: &'static str,
    },
}

/// Reads a grains file: a YAML map of grains.
///
/// # Errors
/// It is unreadable, too large, no YAML map, too deep, or sets the grain `id`; with the place in the file where there
/// is one.
pub fn read_fixed(path: &Path) -> Result<Map<String, Value>, GrainsError> {
    let text = read_bounded(path)?;
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok(Map::new());
    }
    let grains: Map<String, Value> = serde_saphyr::from_str(&text).map_err(|e| invalid(path, &e))?;
    check(&grains, &path.display().to_string())?;
    Ok(grains)
}

/// The grains of the file with those of the config over them.
///
/// # Errors
/// The config sets the grain `id`, or nests too deep.
pub fn merge_fixed(
    file: Map<String, Value>,
    config: Map<String, Value>,
) -> Result<Map<String, Value>, GrainsError> {
    check(&config, "grains in the config")?;
    let mut merged = file;
    merged.extend(config);
    Ok(merged)
}

fn read_bounded(path: &Path) -> Result<String, GrainsError> {
    let unreadable = |source| GrainsError::Unreadable { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(GrainsError::TooLong { path: path.into() });
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        GrainsError::Invalid {
            path: path.into(),
            line: before.iter().filter(|b| **b == b'\n').count() as u64 + 1,
            column: (before.len() - line_start) as u64 + 1,
            wrong: "not UTF-8: save the file as UTF-8".into(),
        }
    })
}

fn invalid(path: &Path, error: &serde_saphyr::Error) -> GrainsError {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let wrong = error.without_snippet().to_string();
    GrainsError::Invalid {
        path: path.into(),
        line,
        column,
        wrong: format!("{wrong}; a grains file is a YAML map"),
    }
}

fn check(grains: &Map<String, Value>, place: &str) -> Result<(), GrainsError> {
    let refused = |name: &str, wrong| GrainsError::Refused { place: place.into(), name: name.into(), wrong };
    for (name, value) in grains {
        match name.as_str() {
            "" => return Err(refused(name, "has no name: give it one")),
            "id" => return Err(refused(name, "is the minion's identity and cannot be set: remove it")),
            _ if !is_shallow(value, MAX_DEPTH) => {
                return Err(refused(name, "nests deeper than 16 levels: flatten it"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(list) => depth > 0 && list.iter().all(|v| is_shallow(v, depth - 1)),
        Value::Object(map) => depth > 0 && map.values().all(|v| is_shallow(v, depth - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: impl AsRef<[u8]>) -> Result<Map<String, Value>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grains");
        std::fs::write(&path, text).unwrap();
        read_fixed(&path).map_err(|e| e.to_string().replace(&*path.to_string_lossy(), "grains"))
    }

    #[test]
    fn a_file_is_a_map_of_any_values_in_its_order() {
        let grains = read("role: db\nzones: [a, b]\nnested: {x: 1, y: yes}\nempty:\n").unwrap();
        assert_eq!(
            Value::from(grains.clone()),
            json!({"role": "db", "zones": ["a", "b"], "nested": {"x": 1, "y": true}, "empty": null})
        );
        assert_eq!(grains.keys().collect::<Vec<_>>(), ["role", "zones", "nested", "empty"]);
        for nothing in ["", "\n# only a comment\n"] {
            assert_eq!(read(nothing), Ok(Map::new()));
        }
    }

    #[test]
    fn hostile_files_are_refused_with_their_place() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
        for (text, says) in [
            ("role: db\nrole: web\n".to_string(), "grains:2:1"),
            ("role: [a\n".into(), "grains:"),
            ("- a\n- b\n".into(), "grains:1:"),
            ("id: other\n".into(), "identity"),
            (format!("deep: {}{}\n", "[".repeat(20), "]".repeat(20)), "deeper"),
            (format!("deep: {}\n", "[".repeat(5_000)), "grains:"),
            (bomb.into(), "grains:"),
            (format!("big: {}\n", "x".repeat(MAX_FILE_BYTES as usize)), "at most 65536 bytes"),
        ] {
            let wrong = read(&text).unwrap_err();
            assert!(wrong.contains(says), "{wrong:?} does not say {says:?}");
        }
        assert!(read(b"a: b\nc: \xff\n").unwrap_err().starts_with("grains:2:4: not UTF-8"));
    }

    #[test]
    fn the_config_stands_over_the_file() {
        let map = |v: Value| v.as_object().unwrap().clone();
        let merged = merge_fixed(map(json!({"a": 1, "b": 1})), map(json!({"b": 2}))).unwrap();
        assert_eq!(Value::from(merged), json!({"a": 1, "b": 2}));
        assert!(merge_fixed(Map::new(), map(json!({"id": "x"}))).is_err());
    }
}
