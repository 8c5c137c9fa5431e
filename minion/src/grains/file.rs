//! The file of custom grains: read with the configuration's own reader, written so that a crash leaves the old one or
//! the new one.
//!
//! One line per grain, its value as JSON, which is YAML: a person reads and edits it as any other YAML file.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use relay_runtime::config::load_grains;
use serde_json::Value;

/// Mode of a file that was not there before; one that was keeps its own.
const NEW_MODE: u32 = 0o600;
/// What stands above the grains.
const HEADER: &str = "# Custom grains of this minion, kept by grains.setval and its kin. After an edit: saltutil.refresh_grains\n";

/// The grains in the file; none if it is not there.
pub(super) fn load(path: &Path) -> Result<BTreeMap<String, Value>, String> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Ok(found) if found.len() == 0 => Ok(BTreeMap::new()),
        _ => load_grains(path).map_err(|e| e.to_string()),
    }
}

/// Replaces the file, durably. Comments in it are lost, as with Salt.
pub(super) fn save(path: &Path, grains: &BTreeMap<String, Value>) -> Result<(), String> {
    // A link stays one: what it points to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let told = |e: io::Error| format!("cannot write {}: {e}", path.display());
    let draft = draft_of(&path).ok_or_else(|| format!("{} names no file", path.display()))?;
    let _ = fs::remove_file(&draft);
    let replaced = write(&path, &draft, grains).map_err(told).and_then(|()| {
        // Read back by whom it will be read at the next start: a file that stops the minion must not come to be.
        match load(&draft)? == *grains {
            true => replace(&path, &draft).map_err(told),
            false => Err(format!("{}: a grain would not be read back as it was stored", path.display())),
        }
    });
    if replaced.is_err() {
        let _ = fs::remove_file(&draft);
    }
    replaced
}

fn draft_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    Some(path.with_file_name(format!(".{name}.{}", std::process::id())))
}

fn write(path: &Path, draft: &Path, grains: &BTreeMap<String, Value>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(NEW_MODE).open(draft)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        // Only root can give a file away; anybody else owns the old one too, or may keep the new one.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    file.write_all(text(grains).as_bytes())?;
    file.sync_all()
}

fn replace(path: &Path, draft: &Path) -> io::Result<()> {
    fs::rename(draft, path)?;
    File::open(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

fn text(grains: &BTreeMap<String, Value>) -> String {
    let lines = grains.iter().map(|(name, value)| format!("{}: {}\n", word(name), flow(value)));
    let lines: String = lines.collect();
    // An empty file, and one of comments alone, is no map; this is one.
    format!("{HEADER}{}", if lines.is_empty() { "{}\n" } else { &lines })
}

/// JSON, with plain words where YAML reads them as what they are.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries = map.iter().map(|(name, value)| format!("{}: {}", word(name), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Words that some YAML reads as something else than a text.
const NOT_PLAIN: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];

fn word(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        && !NOT_PLAIN.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.into() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn grains(value: Value) -> BTreeMap<String, Value> {
        value.as_object().unwrap().clone().into_iter().collect()
    }

    #[test]
    fn the_file_reads_well_and_keeps_its_mode_and_its_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.yaml"), dir.path().join("grains.yaml"));
        fs::write(&real, "a: 1\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        save(&link, &grains(json!({"roles": ["web", "db 1", true, "yes"], "rack": 7, "x": {"y": null}})))
            .unwrap();
        let text = fs::read_to_string(&real).unwrap();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, ["rack: 7", r#"roles: [web, "db 1", true, "yes"]"#, r#"x: {"y": null}"#]);
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn a_new_file_is_the_minions_own_and_no_grains_are_a_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grains.yaml");
        assert_eq!(load(&path).unwrap(), BTreeMap::new());
        save(&path, &BTreeMap::new()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(load(&path).unwrap(), BTreeMap::new());
        assert!(
            save(&dir.path().join("no/such/dir"), &BTreeMap::new()).unwrap_err().contains("cannot write")
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}|[\\x00-\\x7f]{0,6}|(true|No|~|0x1f|1e3|-|:|#a| b |a: b)".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z:#? -]{0,5}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Either it is read back as it was, or the old file stands.
        #[test]
        fn what_is_saved_is_what_is_loaded(value in any_value(), name in "[a-z ]{1,6}") {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("grains.yaml");
            let stored: BTreeMap<_, _> = [(name, value)].into();
            match save(&path, &stored) {
                Ok(()) => prop_assert_eq!(load(&path).unwrap(), stored),
                Err(_) => prop_assert!(!path.exists()),
            }
        }
    }
}
