//! An authority's life by command lines, and what is told when something cannot be done.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use relay_runtime::{
    authority::{Authority, Held},
    config::TlsConfig,
    identity,
    trust::Seconds,
};

const DAY: Seconds = 24 * 3600;

fn relayctl(line: &str) -> u8 {
    crate::main(std::iter::once("relayctl").chain(line.split(' ')).map(Into::into))
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let init =
            format!("ca init --dir {} --fabric acme.example --top-region core --region aws", place.ca());
        assert_eq!(relayctl(&init), 0);
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn ca(&self) -> String {
        self.path("ca")
    }

    fn ca_line(&self, line: &str) -> u8 {
        let (command, rest) =
            line.split_once(' ').map_or((line, String::new()), |(c, r)| (c, format!(" {r}")));
        match command {
            "introduce" | "retire" => {
                relayctl(&format!("ca rotate-root {command} --dir {}{rest}", self.ca()))
            }
            _ => relayctl(&format!("ca {command} --dir {}{rest}", self.ca())),
        }
    }

    fn open(&self) -> Authority {
        Authority::open(Path::new(&self.ca())).unwrap()
    }
}

#[test]
fn a_fabric_from_nothing() {
    let place = Place::new();
    assert_eq!(place.ca_line("status"), 0);
    let to = place.path("top-1");
    assert_eq!(place.ca_line(&format!("issue --role top-master --id top-1 --region core --to {to}")), 0);
    let tls = TlsConfig {
        ca: format!("{to}/ca.crt").into(),
        cert: format!("{to}/top-1.pem").into(),
        key: format!("{to}/top-1.key").into(),
    };
    let loaded = identity::load(&tls, &"acme.example".parse().unwrap()).unwrap();
    assert_eq!(loaded.identity.to_dns(), "top-1.top-master.core.acme.example");
    let trust = place.path("mnt");
    let exported = format!("export --root {} --trust {trust}", place.path("ca.crt"));
    assert_eq!(place.ca_line(&exported), 0);
    let held = Held::open(Path::new(&trust)).unwrap();
    assert_eq!(held.issuers().len(), 4);
    assert_eq!(fs::metadata(format!("{trust}/list.key")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&trust).unwrap().mode() & 0o777, 0o700);
    // A second copy takes the place of the first, without what is gone.
    assert_eq!(place.ca_line("rotate-issuer --region aws"), 0);
    assert_eq!(place.ca_line(&exported), 0);
    let again = Held::open(Path::new(&trust)).unwrap();
    assert_eq!(again.issuers().len(), 4);
    assert_eq!(fs::read_dir(format!("{trust}/issuers")).unwrap().count(), 8);
}

#[test]
fn the_root_is_replaced_by_command_lines() {
    let place = Place::new();
    let old = place.open().pin();
    assert_eq!(place.ca_line("introduce"), 0);
    assert_eq!(place.ca_line("status"), 2, "half done");
    assert_eq!(place.ca_line("retire"), 3, "issuers of the old root");
    assert_eq!(place.ca_line("rotate-issuer --all"), 0);
    assert_eq!(place.ca_line("retire"), 0);
    assert_eq!(place.ca_line("status"), 0);
    assert_ne!(place.open().pin(), old);
    assert_eq!(place.ca_line("extend"), 0);
    assert_eq!(place.ca_line("add-region --region gcp"), 0);
    assert_eq!(place.open().held().issuers().len(), 5);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let place = Place::new();
    let init = format!("init --fabric acme.example --top-region core --topology {}", place.path("none"));
    for line in [
        init.as_str(),
        "init --fabric acme.example --top-region core",
        "init --fabric acme.example",
        "retire",
        "rotate-issuer --region nowhere",
        "add-region --region aws",
        "add-region --region a.b",
        "issue --role minion --id x --region nowhere --to /nonexistent/x",
        "issue --role king --id x --region aws --to /nonexistent/x",
        "issue --role minion --id a/b --region aws --to /nonexistent/x",
    ] {
        assert_eq!(place.ca_line(line), 3, "{line}");
    }
    assert_eq!(relayctl(&format!("ca status --dir {}", place.path("elsewhere"))), 3);
    let issue = format!("issue --role operator --id ann --region core --to {}", place.path("ann"));
    assert_eq!((place.ca_line(&issue), place.ca_line(&issue)), (0, 3), "nothing is replaced");
}

#[test]
fn what_ends_soon_is_told() {
    let place = Place::new();
    let (authority, now) = (place.open(), relay_runtime::trust::now());
    let needs = |days| super::status::needs(&authority, now + days * DAY).join("\n");
    assert_eq!(needs(300), "");
    assert!(needs(340).contains("rotate-issuer --region aws"), "{}", needs(340));
    assert!(needs(380).contains("ca extend"));
    assert!(needs(3_640).contains("rotate-root introduce"));
}
