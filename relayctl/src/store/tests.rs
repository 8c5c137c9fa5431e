//! The commands as a person types them, on files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use relay_core::{
    ids::{Epoch, Incarnation},
    inventory::Record,
    owner::Write,
};
use relay_runtime::store::{SqliteStore, Store};
use tempfile::TempDir;

/// Where SQLite keeps the version that a program gave its file.
const USER_VERSION: std::ops::Range<usize> = 60..64;

/// A directory, and a closed store in it.
fn made() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.begin().await.unwrap().epoch, Epoch(1));
        store.commit(1, vec![Write::Minions(vec![minion()])]).await.unwrap();
        store.close().await;
    });
    (directory, path)
}

fn minion() -> Record {
    Record {
        no: 0,
        id: "m0".parse().unwrap(),
        region: "aws".parse().unwrap(),
        syndic: "aws-1".parse().unwrap(),
        incarnation: Incarnation(1),
        incarnation_seq: 1,
        grains: "{\"os\":\"Debian\"}".into(),
        up: true,
        since: 1,
    }
}

/// `relayctl store COMMAND --sqlite STORE REST...`: its exit code.
fn code(command: &str, store: &Path, rest: &[&Path]) -> u8 {
    let mut words = vec!["relayctl".into(), "store".into(), command.into(), "--sqlite".into(), store.into()];
    words.extend(rest.iter().map(|word| word.as_os_str().to_owned()));
    crate::main(words)
}

fn set_version(path: &Path, version: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[USER_VERSION].copy_from_slice(&[0, 0, 0, version]);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_store_goes_through_a_file() {
    let (directory, store) = made();
    let (file, copy) = (directory.path().join("export.jsonl"), directory.path().join("copy.sqlite"));
    assert_eq!(code("check", &store, &[]), 0);
    assert_eq!(code("export", &store, &[&file]), 0);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 3, "a first line, a minion, a last line");
    assert_eq!(code("export", &store, &[&file]), 3, "a file that is there stays");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(code("import", &copy, &[&file]), 0);
    assert_eq!(code("check", &copy, &[]), 0);
    assert_eq!(code("import", &copy, &[&file]), 3, "it is not empty any more");
    let cut = text.len() - 2;
    fs::write(&file, &text[..cut]).unwrap();
    let other = directory.path().join("other.sqlite");
    assert_eq!(code("import", &other, &[&file]), 3, "it was cut off");
    assert!(!other.exists());
}

#[test]
fn problems_have_a_code_of_their_own() {
    let (_directory, store) = made();
    let bytes = fs::read(&store).unwrap();
    let grains = b"{\"os\":\"Debian\"}";
    let at = bytes.windows(grains.len()).position(|w| w == grains).unwrap();
    let mut flipped = bytes.clone();
    flipped[at] ^= 1;
    fs::write(&store, flipped).unwrap();
    assert_eq!(code("check", &store, &[]), 1);
}

#[test]
fn what_cannot_be_read_is_neither_good_nor_bad() {
    let (directory, store) = made();
    let absent = directory.path().join("absent.sqlite");
    assert_eq!(code("check", &absent, &[]), 3);
    assert_eq!(code("export", &absent, &[&directory.path().join("x")]), 3);
    assert!(!directory.path().join("x").exists(), "an export that failed leaves no file");
    set_version(&store, 99);
    let before = fs::read(&store).unwrap();
    for command in ["check", "migrate"] {
        assert_eq!(code(command, &store, &[]), 3, "{command} of a newer store");
    }
    assert_eq!(fs::read(&store).unwrap(), before);
}

#[test]
fn a_current_store_needs_no_migration() {
    let (directory, store) = made();
    assert_eq!(code("migrate", &store, &[]), 0);
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name.to_string_lossy().contains("backup")), "{files:?}");
}

#[test]
fn which_store_is_said_once() {
    let code = |line: &str| crate::main(line.split(' ').map(Into::into));
    for line in [
        "relayctl store check",
        "relayctl store check --config a --sqlite b",
        "relayctl store check --config /no/such/file",
        "relayctl store import --sqlite b",
        "relayctl store export --sqlite b",
    ] {
        assert_eq!(code(line), 3, "{line}");
    }
}
