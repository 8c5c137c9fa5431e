//! What is read, whom an id means, and what is shown.

use relay_proto::trust::{Key, Rival};

use super::{decide::name, file::parse, view};

fn key(id: &str, role: &str, region: &str, digit: char) -> Key {
    Key {
        id: id.into(),
        role: role.into(),
        region: region.into(),
        state: "pending".into(),
        fingerprint: digit.to_string().repeat(64),
        asked: 1_795_246_616_000_000,
        from: "192.0.2.1".into(),
        ..Key::default()
    }
}

#[test]
fn a_file_is_read_whole_or_all_that_is_wrong_with_it_is_told() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let good = parse(&format!("# new machines\nweb01 {a}\n\n  web02   sha256:{b}  # rack 2\n"), "f").unwrap();
    let good: Vec<_> = good.iter().map(|(id, print)| (id.as_str(), print.to_string())).collect();
    assert_eq!(good, [("web01", a.clone()), ("web02", b)]);
    let wrong =
        parse(&format!("web01 {a}\nweb01 {a}\nweb02\nweb03 {}\n", &a[1..]), "f").unwrap_err().to_string();
    let lines: Vec<&str> = wrong.lines().map(|line| &line[..4]).collect();
    assert_eq!(lines, ["f:2:", "f:3:", "f:4:"], "{wrong}");
    assert!(parse("# nobody\n", "f").is_err());
}

#[test]
fn an_id_means_one_or_the_one_that_has_the_key() {
    let rivalled = Key {
        rivals: vec![Rival { fingerprint: "c".repeat(64), ..Rival::default() }],
        ..key("web01", "minion", "azure", 'b')
    };
    let known = [key("web01", "minion", "aws", 'a'), rivalled, key("db01", "minion", "aws", 'd')];
    let print = |digit: &str| Some(digit.repeat(64).parse().unwrap());
    let place = |id, print| name(id, print, &known).map(|named| named.region);
    assert_eq!(place("db01", None).unwrap(), "aws");
    assert_eq!(place("db01", print("9")).unwrap(), "aws", "the top master says that it is another one");
    assert_eq!(
        (place("web01", print("b")).unwrap(), place("web01", print("c")).unwrap()),
        ("azure".into(), "azure".into())
    );
    assert!(place("web01", None).unwrap_err().to_string().contains("--role minion --region azure"));
    assert!(place("web0*", None).is_err(), "no globs");
}

#[test]
fn for_people_and_for_programs() {
    let quarantined = Key {
        state: "quarantined".into(),
        uid: 0xabc,
        generation: 4,
        why: "clone detected".into(),
        decided: 1_795_246_617_000_000,
        until: 1_795_250_216_000_000,
        via: "aws-1".into(),
        ..key("web01", "minion", "aws", 'a')
    };
    let text = view::text(&quarantined);
    for part in [
        "web01 (minion of region aws): quarantined",
        "clone detected",
        "by way of aws-1",
        "number 4 of enrolment 0000000000000abc",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let data = view::data(&quarantined);
    assert_eq!((&data["uid"], &data["state"]), (&"0000000000000abc".into(), &"quarantined".into()));
    assert!(view::data(&key("x", "minion", "aws", 'a'))["uid"].is_null());
}
