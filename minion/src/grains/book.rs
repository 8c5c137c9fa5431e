//! The grains of a running minion: what they are now, what its operators set, and whether the parent knows.
//!
//! Owns their gathering again and the custom ones' way into the file. Telling the parent is the session's, which asks
//! [`GrainBook::take_news`].

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
};

use relay_core::{
    ids::MinionId,
    inventory::{MAX_GRAIN_DEPTH, MAX_GRAIN_LEAVES, MAX_GRAINS_BYTES},
};
use serde_json::{Map, Value};

use super::{collect, file};

/// Why a custom grain was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The minion's id comes from its configuration and its certificate.
    #[error("the grain 'id' is the minion's name and cannot be set")]
    Id,
    /// The configuration wins over the file.
    #[error("the grain '{0}' is set in the minion's configuration (grains:), which wins: change it there")]
    Configured(String),
    /// Nothing is kept: a simulated minion, or `minion call` without a configuration.
    #[error(
        "this minion has no file for its grains: it runs without a configuration (name one with --config)"
    )]
    NoFile,
    /// The inventory would refuse them all.
    #[error("grains have at most {limit} {what}, they would have {found}: store less")]
    TooMuch {
        /// What of.
        what: &'static str,
        /// How much the inventory takes.
        limit: usize,
        /// How much it would be.
        found: usize,
    },
    /// The file cannot be read or written; the text names it.
    #[error("{0}")]
    File(String),
}

struct Now {
    value: Arc<Value>,
    text: Arc<str>,
}

impl Now {
    fn of(value: Arc<Value>) -> Now {
        let text = value.to_string().into();
        Now { value, text }
    }
}

/// A minion's grains, shared by its session and the functions that it runs.
pub struct GrainBook {
    id: MinionId,
    /// Those of the configuration.
    configured: BTreeMap<String, Value>,
    /// Where custom ones are kept; none: nowhere, and nothing is ever gathered again.
    file: Option<PathBuf>,
    now: Mutex<Now>,
    news: AtomicBool,
}

impl GrainBook {
    /// Grains that stay as they are.
    pub fn fixed(id: MinionId, grains: Arc<Value>) -> GrainBook {
        let now = Mutex::new(Now::of(grains));
        GrainBook { id, configured: BTreeMap::new(), file: None, now, news: AtomicBool::new(false) }
    }

    /// This machine's grains, with those of the configuration and those of a file, which need not be there yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(
        id: MinionId,
        configured: BTreeMap<String, Value>,
        file: PathBuf,
    ) -> Result<GrainBook, StoreError> {
        let now = Mutex::new(Now::of(Arc::new(Value::Null)));
        let book = GrainBook { id, configured, file: Some(file), now, news: AtomicBool::new(false) };
        book.refresh()?;
        book.take_news();
        Ok(book)
    }

    /// Whose they are.
    pub fn id(&self) -> &MinionId {
        &self.id
    }

    /// The grains, a JSON object.
    pub fn value(&self) -> Arc<Value> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).value.clone()
    }

    /// The same as JSON text, as it is reported upwards.
    pub fn text(&self) -> Arc<str> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    /// Whether they have changed since the last call.
    pub fn take_news(&self) -> bool {
        self.news.fetch_and(false, AcqRel)
    }

    /// Gathers them again: the machine's, the configuration's as it was at the start, the file's as it is. Blocks for
    /// some milliseconds.
    ///
    /// # Errors
    /// The file cannot be read; the grains stay as they were.
    pub fn refresh(&self) -> Result<(), StoreError> {
        if self.file.is_some() {
            self.take(self.with(self.custom()?));
        }
        Ok(())
    }

    /// The custom grains, as the file has them now.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn custom(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        self.file
            .as_deref()
            .map_or_else(|| Ok(BTreeMap::new()), |path| file::load(path).map_err(StoreError::File))
    }

    /// Stores a custom grain durably, or removes it (`None`), and gathers all grains again.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn store(&self, name: &str, value: Option<Value>) -> Result<(), StoreError> {
        let path = self.file.as_deref().ok_or(StoreError::NoFile)?;
        if name == "id" {
            return Err(StoreError::Id);
        } else if self.configured.contains_key(name) {
            return Err(StoreError::Configured(name.into()));
        }
        let mut custom = self.custom()?;
        match value {
            Some(value) => drop(custom.insert(name.into(), value)),
            None => drop(custom.remove(name)),
        }
        let all = self.with(custom.clone());
        check_size(&all)?;
        file::save(path, &custom).map_err(StoreError::File)?;
        self.take(all);
        Ok(())
    }

    fn with(&self, custom: BTreeMap<String, Value>) -> Value {
        let mut fixed: Map<String, Value> = custom.into_iter().collect();
        fixed.extend(self.configured.clone());
        collect(&self.id, &fixed)
    }

    fn take(&self, grains: Value) {
        let new = Now::of(Arc::new(grains));
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.text != new.text {
            *now = new;
            self.news.fetch_or(true, AcqRel);
        }
    }
}

/// The inventory's bounds: beyond them the top master would refuse all grains of this minion.
fn check_size(grains: &Value) -> Result<(), StoreError> {
    let (count, depth) = extent(grains);
    for (what, limit, found) in [
        ("bytes", MAX_GRAINS_BYTES, grains.to_string().len()),
        ("values in all", MAX_GRAIN_LEAVES, count),
        ("levels", MAX_GRAIN_DEPTH, depth),
    ] {
        if found > limit {
            return Err(StoreError::TooMuch { what, limit, found });
        }
    }
    Ok(())
}

/// How many values there are below one, and on how many levels.
fn extent(value: &Value) -> (usize, usize) {
    let below: Vec<&Value> = match value {
        Value::Object(map) => map.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => return (0, 0),
    };
    let count = below.len();
    below.into_iter().map(extent).fold((count, 1), |(n, deep), (more, depth)| (n + more, deep.max(depth + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn book(dir: &std::path::Path) -> GrainBook {
        let configured = [("site".to_string(), json!("north"))].into();
        GrainBook::open("web01".parse().unwrap(), configured, dir.join("grains.yaml")).unwrap()
    }

    #[test]
    fn what_is_stored_is_known_at_once_told_once_and_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = book(dir.path());
        assert!(!first.take_news(), "what was there at the start is sent with the attach");
        first.store("role", Some(json!({"web": [1, "a: b"]}))).unwrap();
        assert_eq!(first.value()["role"], json!({"web": [1, "a: b"]}));
        assert!(first.text().contains("a: b") && first.take_news() && !first.take_news());
        first.store("role", Some(json!({"web": [1, "a: b"]}))).unwrap();
        assert!(!first.take_news(), "nothing changed");
        assert_eq!(book(dir.path()).value(), first.value());
        first.store("role", None).unwrap();
        assert!(first.take_news() && first.value().get("role").is_none());
    }

    #[test]
    fn the_file_is_read_again_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let book = book(dir.path());
        std::fs::write(dir.path().join("grains.yaml"), "rack: 7\nsite: south\n").unwrap();
        book.refresh().unwrap();
        assert_eq!((&book.value()["rack"], &book.value()["site"]), (&json!(7), &json!("north")));
        assert!(book.take_news());
        std::fs::write(dir.path().join("grains.yaml"), "rack: [").unwrap();
        assert!(book.refresh().unwrap_err().to_string().contains("grains.yaml:1"));
        assert_eq!(book.value()["rack"], json!(7));
    }

    #[test]
    fn what_cannot_be_stored_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let book = book(dir.path());
        let deep = (0..9).fold(json!(1), |inner, _| json!([inner]));
        for (name, value, says) in [
            ("id", json!("x"), "'id' is the minion's name"),
            ("site", json!("x"), "'site' is set in the minion's configuration"),
            ("big", json!("x".repeat(70_000)), "bytes"),
            ("many", json!(vec![1; 1_100]), "values in all"),
            ("deep", deep, "levels"),
        ] {
            let error = book.store(name, Some(value)).unwrap_err().to_string();
            assert!(error.contains(says), "{error:?} does not say {says:?}");
        }
        assert!(!dir.path().join("grains.yaml").exists() && !book.take_news());
        let fixed = GrainBook::fixed("web01".parse().unwrap(), Arc::new(json!({})));
        assert!(matches!(fixed.store("a", Some(json!(1))), Err(StoreError::NoFile)));
    }
}
