use std::os::unix::fs::MetadataExt;

use super::*;

fn context(name: &str) -> Context {
    Context {
        name: name.into(),
        fabric: "acme.example".into(),
        addresses: vec![Address {
            address: "127.0.0.1:4511".into(),
            server_name: "top-1.top-master.aws.acme.example".into(),
        }],
        ca: "/pki/ca.crt".into(),
        cert: Some("/pki/op.pem".into()),
        key: Some("/pki/op.key".into()),
        root: None,
    }
}

fn file(dir: &tempfile::TempDir) -> ContextFile {
    ContextFile::at(dir.path().join("relay/contexts.yaml"))
}

#[test]
fn what_is_written_is_read_again_and_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(&dir);
    assert_eq!(file.read().unwrap(), Contexts::default());
    file.change(|all| {
        all.put(context("b"));
        all.put(context("a"));
        all.current = Some("b".into());
        Ok(())
    })
    .unwrap();
    let read = file.read().unwrap();
    assert_eq!(read.contexts, [context("a"), context("b")]);
    assert_eq!(read.choose(None).unwrap().name, "b");
    assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
    let names: Vec<_> =
        fs::read_dir(file.path().parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        names.iter().all(|n| n == "contexts.yaml" || n == "contexts.yaml.lock"),
        "no draft is left: {names:?}"
    );
}

#[test]
fn a_refused_change_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(&dir);
    let refused: anyhow::Result<()> = file.change(|all| {
        all.put(context("a"));
        bail!("no")
    });
    assert!(refused.is_err());
    assert!(!file.path().exists());
}

#[test]
fn two_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(&dir);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let file = file.clone();
            let add = move |all: &mut Contexts| {
                all.put(context(&format!("c{i}")));
                Ok(())
            };
            scope.spawn(move || file.change(add).unwrap());
        }
    });
    assert_eq!(file.read().unwrap().contexts.len(), 8);
}

#[test]
fn choosing() {
    let mut all = Contexts::default();
    assert!(all.choose(None).unwrap_err().to_string().contains("relayctl dev up"));
    all.put(context("a"));
    all.put(context("b"));
    assert!(all.choose(None).unwrap_err().to_string().contains("one of: a, b"));
    assert!(all.choose(Some("x")).unwrap_err().to_string().contains("there are: a, b"));
    assert_eq!(all.choose(Some("a")).unwrap().name, "a");
    all.current = Some("b".into());
    assert_eq!(all.choose(None).unwrap().name, "b");
    all.remove("b");
    assert_eq!((all.current.clone(), all.contexts.len()), (None, 1));
}

#[test]
fn broken_files_are_told_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = ContextFile::at(dir.path().join("contexts.yaml"));
    let table = [
        ("version: 2\n", "version 2"),
        ("version: 1\ncontext: []\n", "context"),
        ("version: 1\ncurrent: [\n", "line"),
        ("version: 1\ncontexts: [{name: a}]\n", "fabric"),
    ];
    for (text, part) in table {
        fs::write(file.path(), text).unwrap();
        let told = format!("{:#}", file.read().unwrap_err());
        assert!(told.contains("contexts.yaml") && told.contains(part), "{text:?}: {told}");
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = ContextFile::at(dir.path().join("contexts.yaml"));
    let text = serde_saphyr::to_string(&Contexts {
        contexts: vec![Context { ca: "pki/ca.crt".into(), ..context("a") }],
        ..Contexts::default()
    });
    fs::write(file.path(), text.unwrap()).unwrap();
    let read = file.read().unwrap();
    assert_eq!(read.contexts[0].ca, dir.path().join("pki/ca.crt"));
    assert_eq!(read.contexts[0].key.as_deref(), Some(Path::new("/pki/op.key")));
}
