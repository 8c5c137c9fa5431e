//! Files as people write them, good and broken, and what they are told. Certificates come from [`DevAuthority`].

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use relay_core::identity::{FabricName, Identity, Role, check_region};

use super::*;
use crate::authority::DevAuthority;

mod audit;
mod login;
mod policy;
mod registry;
mod store;

fn fabric() -> FabricName {
    "acme.example".parse().unwrap()
}

fn who(id: &str, role: Role, region: &str) -> Identity {
    Identity::new(id, role, check_region(region).unwrap(), fabric()).unwrap()
}

/// A directory with an authority and certificates for some.
fn place(identities: &[Identity]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let authority = DevAuthority::create(dir.path(), fabric()).unwrap();
    identities.iter().for_each(|i| drop(authority.issue(i, dir.path()).unwrap()));
    fs::write(dir.path().join("policy.yaml"), POLICY).unwrap();
    dir
}

fn write(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("config.yaml");
    fs::write(&path, text).unwrap();
    path
}

/// What a person is told, without the directory.
fn told<T: fmt::Debug>(dir: &Path, result: Result<T, ConfigErrors>) -> Vec<String> {
    let text = result.expect_err("a broken file was accepted").to_string();
    text.replace(&format!("{}/", dir.display()), "").lines().map(str::to_owned).collect()
}

const POLICY: &str = "{version: 1, allow: {any: {ops: ['*', '@jobs']}}}\n";

const SYNDIC: &str = "\
id: s1
region: aws
fabric: acme.example
listen: 127.0.0.1:0
admin: 127.0.0.1:0
state_dir: state
tls: {ca: ca.crt, cert: s1.pem, key: s1.key}
parents:
  - {id: top-1, region: aws, address: \"top:4510\"}
";

const MINION: &str = "\
id: web-{n}
first_number: 98
region: aws
fabric: acme.example
state_dir: state
admin: 127.0.0.1:0
tls: {ca: ca.crt, cert: \"{id}.pem\", key: \"{id}.key\"}
parents: [{id: s1, region: aws, address: \"s:1\"}, {id: s2, region: aws, address: \"s:2\"}]
grains: {env: prod, rack: 7, text: \"7\", roles: [a, true], nothing: , deep: {x: 1.5}}
";

const TOP: &str = "\
id: top-1
region: aws
fabric: acme.example
listen: 127.0.0.1:0
operators: 127.0.0.1:0
admin: 127.0.0.1:0
state_dir: state
tls: {ca: ca.crt, cert: top-1.pem, key: top-1.key}
trust: {dir: trust}
policy: policy.yaml
";

#[test]
fn the_examples_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    let dir = place(&[
        who("top-1", Role::TopMaster, "aws"),
        who("syndic-aws-1", Role::Syndic, "aws"),
        who("aws-web-01", Role::Minion, "aws"),
    ]);
    let example = |name: &str| {
        let text = fs::read_to_string(root.join(name)).unwrap();
        // They name where an installed system keeps its certificates; here these lie beside the file.
        write(dir.path(), &text.replace("/etc/relay/", ""))
    };
    let allowance = load_allowance(&root.join("minion-policy.yaml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((allowance.objection("test.ping"), allowance.objection("cmd.run").is_some()), (None, true));
    let (_, policy) = load_policy(&root.join("policy.yaml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((policy.rules(), policy.warnings.as_slice()), ((11, 2), &[][..]));
    let top = load_top_master(&example("top-master.yaml")).unwrap();
    assert_eq!(
        (top.heartbeat, top.log, top.keep_jobs_hours),
        (HeartbeatConfig::default(), LogConfig::default(), 24)
    );
    let syndic = load_syndic(&example("syndic.yaml")).unwrap();
    assert_eq!((syndic.flush, syndic.heartbeat), (FlushConfig::default(), HeartbeatConfig::default()));
    assert_eq!(
        syndic.parents[1].identity(&fabric()).unwrap().to_dns(),
        "top-2.top-master.on-prem.acme.example"
    );
    let minion = load_minion(&example("minion.yaml")).unwrap();
    assert_eq!((minion.admin, minion.parents[0].role), (None, Role::Syndic));
    assert_eq!(minion.parents_order, ParentsOrder::Placed);
    assert_eq!(minion.grains["roles"], serde_json::json!(["web", "cache"]));
}

#[test]
fn the_shipped_topology_loads_without_a_warning() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topology.yaml");
    let topology = load_topology(&file).unwrap_or_else(|e| panic!("{e}"));
    let shape: Vec<(&str, usize, u32)> =
        topology.regions.iter().map(|r| (r.name.as_str(), r.syndics.len(), r.minions.count)).collect();
    assert_eq!(shape, [("aws", 3, 1500), ("azure", 2, 1200), ("gcp", 1, 800), ("on-prem", 2, 1500)]);
    assert_eq!((topology.top_masters.len(), topology.expected_minions()), (2, 5000));
    assert_eq!(topology.warnings, []);
}

#[test]
fn every_problem_of_a_file_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(
        dir.path(),
        "\
id: a/b
regoin: aws
fabric: acme.example
listen: 127.0.0.1:4510
listen: 127.0.0.1:4511
admin: 0.0.0.0:4512
state_dir: [x]
tls:
  ca: ca.crt
  crt: s1.pem
  key: s1.key
parents:
  - {id: top-1, region: aws, address: top}
spool_max_bytes: \"64\"
log: {level: inof}
",
    );
    assert_eq!(
        told(dir.path(), load_syndic(&file)),
        [
            "config.yaml:1:1: a syndic's configuration has no \"region\"; add a line \"region: ...\"",
            "config.yaml:1:5: \"a/b\": '/' may not be in an id (letters, digits, '-', '_' and '.' may); correct this value",
            "config.yaml:2:1: a syndic's configuration has no key \"regoin\"; did you mean \"region\"?",
            "config.yaml:5:1: a syndic's configuration: the key \"listen\" stands here a second time (first at 4:1); \
             remove one of the two",
            "config.yaml:6:8: 0.0.0.0:4512 can be reached from outside, and the admin address serves without login; \
             write 127.0.0.1 and the port",
            "config.yaml:7:12: a text is expected here, found a list; write one value",
            "config.yaml:9:3: tls has no \"cert\"; add a line \"cert: ...\"",
            "config.yaml:10:3: tls has no key \"crt\"; did you mean \"cert\"?",
            "config.yaml:13:39: the address \"top\" has no port (write host:port, for example top1.acme.example:4510); \
             correct this value",
            "config.yaml:14:18: a number is expected here, found \"64\"; write a whole number from 2097152 to \
             1099511627776, without quotes",
            "config.yaml:15:14: \"inof\" is not known here; did you mean \"info\"? (possible: error, warn, info, debug, \
             trace)",
        ]
    );
}

#[test]
fn a_file_that_is_no_document_is_told_too() {
    let dir = tempfile::tempdir().unwrap();
    let absent = told(dir.path(), load_syndic(&dir.path().join("none.yaml")));
    assert!(absent[0].starts_with("none.yaml: cannot be read: No such file"), "{absent:?}");
    for (text, start) in [
        ("", "config.yaml:1:1: the file is empty"),
        ("# nothing\n", "config.yaml:"),
        ("id: [a\n", "config.yaml:"),
        ("a: &x 1\nb: *x\n", "config.yaml:1:7: anchors"),
        ("a: !!str 1\n", "config.yaml:1:10: anchors"),
        ("a: 1\n---\nb: 2\n", "config.yaml:3:1: a second document"),
        ("? [a]\n: 1\n", "config.yaml:1:3: a key has to be a word"),
        ("- a\n", "config.yaml:1:1: a syndic's configuration is a map, found a list"),
        (&"[".repeat(40), "config.yaml:"),
        (&format!("{}{}", "[".repeat(40), "]".repeat(40)), "config.yaml:1:33: nested deeper"),
    ] {
        let told = told(dir.path(), load_syndic(&write(dir.path(), text)));
        assert!(told.len() == 1 && told[0].starts_with(start), "{text:?}: {told:#?}");
    }
}

#[test]
fn certificate_problems_stop_the_start() {
    let dir = place(&[
        who("s1", Role::Syndic, "aws"),
        who("m1", Role::Minion, "aws"),
        who("s2", Role::Syndic, "azure"),
    ]);
    let file = write(dir.path(), SYNDIC);
    load_syndic(&file).unwrap();
    fs::set_permissions(dir.path().join("s1.key"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(dir.path().join("ca.crt"), "nonsense").unwrap();
    let both = told(dir.path(), load_syndic(&file));
    assert_eq!(both.len(), 2, "{both:#?}");
    assert!(both[0].starts_with("config.yaml:7:6: ca.crt: holds no certificate"), "{}", both[0]);
    assert!(
        both[1].contains("s1.key: the key's mode is 0640") && both[1].contains("chmod 600"),
        "{}",
        both[1]
    );
    for (cert, key, said) in [
        ("none.pem", "s2.key", "none.pem: cannot be read"),
        (
            "m1.pem",
            "m1.key",
            "is the certificate of m1.minion.aws.acme.example, and the configuration says s1.syndic.aws",
        ),
        ("s2.pem", "s2.key", "is the certificate of s2.syndic.azure"),
        ("m1.pem", "s2.key", "s2.key: is not the key of the certificate m1.pem"),
        ("m1.key", "m1.key", "m1.key: holds no certificate"),
        ("m1.pem", "m1.pem", "m1.pem: the key's mode is 0644"),
        ("m1.pem", "none.key", "none.key: cannot be read"),
    ] {
        let text = SYNDIC.replace("s1.pem", cert).replace("s1.key", key);
        let told = told(dir.path(), load_syndic(&write(dir.path(), &text)));
        assert!(told.iter().any(|line| line.contains(said)), "{said:?} not in {told:#?}");
    }
}

#[test]
fn a_certificate_of_another_root_stops_the_start() {
    let (dir, other) = (place(&[who("s1", Role::Syndic, "aws")]), place(&[]));
    fs::copy(other.path().join("ca.crt"), dir.path().join("ca.crt")).unwrap();
    let told = told(dir.path(), load_syndic(&write(dir.path(), SYNDIC)));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("s1.pem: is not signed by a root in ca.crt"), "{told:#?}");
}

#[test]
fn one_file_stands_for_many_minions() {
    let dir = place(&["098", "099", "100"].map(|n| who(&format!("web-{n}"), Role::Minion, "aws")));
    let file = write(dir.path(), MINION);
    let minions = load_minions(&file, 3).unwrap();
    let ids: Vec<&str> = minions.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids, ["web-098", "web-099", "web-100"]);
    assert_eq!(minions[1].state_dir, dir.path().join("state/web-099"));
    assert_eq!(minions[1].tls.key, dir.path().join("web-099.key"));
    assert!(minions[0].admin.is_some() && minions[1].admin.is_none());
    let grains = serde_json::to_value(&minions[2].grains).unwrap();
    let expected = r#"{"env":"prod","rack":7,"text":"7","roles":["a",true],"nothing":null,"deep":{"x":1.5}}"#;
    assert_eq!(grains, serde_json::from_str::<serde_json::Value>(expected).unwrap());
}

#[test]
fn a_grains_file_is_read_and_its_problems_are_told() {
    let dir = place(&[who("web-98", Role::Minion, "aws")]);
    let file = write(dir.path(), &format!("{MINION}grains_file: more.yaml\n"));
    fs::write(dir.path().join("more.yaml"), "site: north\nsite: south\n").unwrap();
    let told = told(dir.path(), load_minion(&file));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("config.yaml:10:14: more.yaml:2:1: grains: the key \"site\""), "{told:#?}");
    fs::write(dir.path().join("more.yaml"), "site: north\nrow: 3\n").unwrap();
    let minion = load_minion(&file).unwrap();
    let grains = load_grains(minion.grains_file.as_deref().unwrap()).unwrap();
    assert_eq!(serde_json::to_value(grains).unwrap(), serde_json::json!({"site": "north", "row": 3}));
}

#[test]
fn numbers_are_put_at_the_end_and_padded() {
    let dir = tempfile::tempdir().unwrap();
    let template = |text: String| load_minion_template(&write(dir.path(), &text)).unwrap();
    let ids = |t: &MinionTemplate, n| -> Vec<String> {
        t.expand(n).unwrap().iter().map(|m| m.id.to_string()).collect()
    };
    let plain = template(MINION.replace("web-{n}", "web").replace("98", "0"));
    assert_eq!((ids(&plain, 1), ids(&plain, 2)), (vec!["web".into()], vec!["web0".into(), "web1".into()]));
    assert_eq!(plain.expand(1).unwrap()[0].state_dir, dir.path().join("state"));
    assert_eq!(ids(&plain, 1000)[7], "web007");
    let wide = template(format!("number_width: 5\n{MINION}"));
    assert_eq!(ids(&wide, 1), ["web-00098"]);
    assert!(plain.expand(0).is_err() && plain.expand(MAX_MINIONS_PER_PROCESS + 1).is_err());
    let long = template(MINION.replace("web-{n}", &"x".repeat(63)));
    assert!(long.expand(1).is_ok() && long.expand(2).is_err(), "the number makes the label too long");
}

#[test]
fn problems_of_many_minions_are_counted_and_not_all_shown() {
    let dir = place(&[]);
    let told = told(dir.path(), load_minions(&write(dir.path(), MINION), 100));
    assert_eq!(told.len(), 21, "{told:#?}");
    assert!(told.iter().any(|line| line.contains("180 more problems like these")), "{told:#?}");
}

#[test]
fn a_port_in_use_is_found_before_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let problems = check_ports_free(&[address, "127.0.0.1:0".parse().unwrap()]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.contains(&address.to_string()) && problems[0].hint.contains("another port"));
}

#[test]
fn one_port_is_not_given_twice() {
    let dir = place(&[who("s1", Role::Syndic, "aws")]);
    let text = SYNDIC
        .replace("listen: 127.0.0.1:0", "listen: 0.0.0.0:9")
        .replace("admin: 127.0.0.1:0", "admin: 127.0.0.1:9");
    let told = told(dir.path(), load_syndic(&write(dir.path(), &text)));
    assert_eq!(
        told,
        ["config.yaml:5:8: this port is already taken by the address at 4:9; choose another port"]
    );
}

#[test]
fn links_are_not_cut_by_one_lost_heartbeat_and_nobody_is_his_own_parent() {
    let dir = place(&[who("s1", Role::Syndic, "aws")]);
    let text = format!("{}heartbeat: {{interval_ms: 1000, dead_after_ms: 1999}}\n", SYNDIC);
    let told_heartbeat = told(dir.path(), load_syndic(&write(dir.path(), &text)));
    assert!(told_heartbeat[0].contains("make dead_after_ms at least twice"), "{told_heartbeat:?}");
    let text = SYNDIC.replace("{id: top-1", "{id: s1, role: syndic");
    let told_loop = told(dir.path(), load_syndic(&write(dir.path(), &text)));
    assert!(told_loop[0].contains("s1 is its own parent"), "{told_loop:?}");
}

/// The shipped topology without its second top master.
fn one_top_master() -> String {
    let shape = include_str!("../../../topology.yaml");
    let (from, to) = (shape.find("  - id: top-2").unwrap(), shape.find("# A region is").unwrap());
    format!("{}{}", &shape[..from], &shape[to..])
}

#[test]
fn several_top_masters_share_a_registry_and_a_store_or_do_not_start() {
    const ETCD: &str = "registry: {etcd: {endpoints: [\"http://localhost:2379\"]}}\n";
    const POSTGRES: &str = "store: {postgres: {host: /run/postgresql, database: relay, user: relay}}\n";
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    fs::write(dir.path().join("two.yaml"), include_str!("../../../topology.yaml")).unwrap();
    fs::write(dir.path().join("one.yaml"), one_top_master()).unwrap();
    let (one, two) = ("topology: one.yaml\n", "topology: two.yaml\n");
    /// Lines of the file, and what is told of them: where, and a word of it.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
    let table: &[Case<'_>] = &[
        (&[one], &[]),
        (&[one, POSTGRES], &[]),
        (&[one, ETCD, POSTGRES], &[]),
        (&[two, ETCD, POSTGRES], &[]),
        (&[two], &[("11:11", "embedded"), ("11:11", "sqlite")]),
        (&[two, "registry: embedded\n", "store: sqlite\n"], &[("12:11", "embedded"), ("13:8", "sqlite")]),
        (&[two, POSTGRES], &[("11:11", "registry is embedded")]),
        (&[two, ETCD], &[("12:11", "must be one that other top masters can reach")]),
        (&[one, ETCD, "store: sqlite\n"], &[("12:11", "must be one that other top masters can reach")]),
    ];
    for (lines, wanted) in table {
        let file = write(dir.path(), &format!("{TOP}{}", lines.concat()));
        let loaded = load_top_master(&file);
        if wanted.is_empty() {
            loaded.unwrap_or_else(|e| panic!("{lines:?}: {e}"));
            continue;
        }
        let wrong = told(dir.path(), loaded);
        assert_eq!(wrong.len(), wanted.len(), "{lines:?}: {wrong:#?}");
        for (at, what) in *wanted {
            let is = |line: &String| line.starts_with(&format!("config.yaml:{at}: ")) && line.contains(what);
            assert!(wrong.iter().any(is), "{lines:?}: {at} {what}: {wrong:#?}");
        }
        assert!(wrong.iter().all(|line| line.contains("write ")), "each says how to mend it: {wrong:#?}");
    }
}

#[test]
fn a_top_master_reads_its_topology() {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    assert_eq!(load_top_master(&write(dir.path(), TOP)).unwrap().topology, None);
    let file = write(dir.path(), &format!("{TOP}topology: shape.yaml\n"));
    let shape = one_top_master();
    fs::write(dir.path().join("shape.yaml"), &shape).unwrap();
    assert_eq!(load_top_master(&file).unwrap().topology, Some(parse_topology(&shape).unwrap()));

    fs::write(dir.path().join("shape.yaml"), "versoin: 1\nfabric: 7 a\n").unwrap();
    let wrong = told(dir.path(), load_top_master(&file));
    assert!(
        wrong.len() > 2 && wrong.iter().all(|l| l.starts_with("config.yaml:11:11: shape.yaml:")),
        "{wrong:#?}"
    );
    assert!(
        wrong.iter().any(|l| l.contains("shape.yaml:1:1: ") && l.contains("did you mean \"version\"")),
        "{wrong:#?}"
    );

    fs::write(dir.path().join("shape.yaml"), shape.replace("acme.example", "other.example")).unwrap();
    let foreign = told(dir.path(), load_top_master(&file));
    assert!(foreign[0].contains("shape.yaml is the topology of the fabric other.example"), "{foreign:#?}");
}

#[test]
fn a_followed_repository_is_a_path_or_a_url_and_never_an_option() {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    let load = |follow: &str| {
        let file = write(dir.path(), &format!("{TOP}follow: {follow}\n"));
        load_top_master(&file)
    };
    let follow = load("{repository: conf.git}").unwrap().follow.unwrap();
    let path = dir.path().join("conf.git").to_str().unwrap().to_owned();
    let usual = FollowConfig {
        repository: path,
        branch: "main".into(),
        file: "topology.yaml".into(),
        every: std::time::Duration::from_secs(60),
        policy: FollowPolicy::Manual,
    };
    assert_eq!(follow, usual);
    for url in ["https://git.acme.example/fabric.git", "git@git.acme.example:fabric.git"] {
        let text =
            format!("{{repository: \"{url}\", branch: prod/eu, file: a/b.yaml, policy: auto, every_s: 5}}");
        let follow = load(&text).unwrap().follow.unwrap();
        assert_eq!((follow.repository.as_str(), follow.policy), (url, FollowPolicy::Auto));
        assert_eq!((follow.branch.as_str(), follow.file.as_str()), ("prod/eu", "a/b.yaml"));
    }
    let wrong = [
        ("{}", "repository"),
        ("{repository: \"--upload-pack=touch x\"}", "no name of a repository"),
        ("{repository: \"ext::sh -c x\"}", "run programs"),
        ("{repository: r, branch: -x}", "no name of a branch"),
        ("{repository: r, branch: a..b}", "no branch's name"),
        ("{repository: r, file: /etc/passwd}", "no path from"),
        ("{repository: r, file: ../x}", "no path from"),
        ("{repository: r, every_s: 0}", "out of range"),
        ("{repository: r, policy: atuo}", "did you mean \"auto\""),
    ];
    for (text, why) in wrong {
        let told = told(dir.path(), load(text));
        assert!(told.iter().any(|line| line.contains(why)), "{text}: {told:?}");
    }
}

#[test]
fn a_site_may_order_the_parents_of_its_minions_by_itself() {
    let dir = place(&[who("web-98", Role::Minion, "aws")]);
    let load = |order: &str| load_minion(&write(dir.path(), &format!("{MINION}parents_order: {order}\n")));
    for (word, order) in [
        ("placed", ParentsOrder::Placed),
        ("failover", ParentsOrder::Failover),
        ("shuffle", ParentsOrder::Shuffle),
    ] {
        assert_eq!(load(word).unwrap().parents_order, order);
    }
    let told = told(dir.path(), load("failovr"));
    assert!(told[0].contains("did you mean \"failover\""), "{told:?}");
}
