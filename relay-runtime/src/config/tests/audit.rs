//! The key `audit` of a top master, good and broken.

use super::*;

fn load(dir: &Path, audit: &str) -> Result<AuditConfig, ConfigErrors> {
    load_top_master(&write(dir, &format!("{TOP}{audit}\n"))).map(|config| config.audit)
}

#[test]
fn outputs_are_none_or_those_that_are_named() {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    let path = dir.path().join("audit.jsonl");
    let file = AuditFile { path: path.clone(), rotate_bytes: 256 << 20, keep: 16 };
    let small = AuditFile { rotate_bytes: 1 << 20, keep: 2, ..file.clone() };
    let udp = Syslog::Udp("192.0.2.1:514".parse().unwrap());
    let table = [
        ("", None, None),
        ("audit: {file: audit.jsonl}", Some(file.clone()), None),
        ("audit: {file: audit.jsonl, rotate_mb: 1, keep: 2}", Some(small), None),
        ("audit: {syslog: 'unix:/dev/log'}", None, Some(Syslog::Unix("/dev/log".into()))),
        ("audit: {file: audit.jsonl, syslog: 'udp:192.0.2.1:514'}", Some(file), Some(udp)),
    ];
    for (text, file, syslog) in table {
        assert_eq!(load(dir.path(), text).unwrap(), AuditConfig { file, syslog }, "{text}");
    }
}

#[test]
fn what_is_no_output_is_told_with_its_place() {
    let dir = place(&[who("top-1", Role::TopMaster, "aws")]);
    let line = TOP.lines().count() + 1;
    let table = [
        ("audit: {syslog: '/dev/log'}", "unix:/dev/log"),
        ("audit: {syslog: 'unix:dev/log'}", "unix:/dev/log"),
        ("audit: {syslog: 'udp:log.example:514'}", "is no address with a port"),
        ("audit: {file: a, keep: 0}", "0 is out of range"),
        ("audit: {fil: a}", "did you mean \"file\"?"),
    ];
    for (text, word) in table {
        let told = told(dir.path(), load(dir.path(), text));
        let placed =
            |problem: &String| problem.starts_with(&format!("config.yaml:{line}:")) && problem.contains(word);
        assert!(told.iter().any(placed), "{text}: {told:?}");
    }
}
