//! The inventory against tables, against a naive evaluator on random fleets (`naive`), and against what it must forget.

use proptest::prelude::*;

use super::*;
use crate::target::Target;

mod naive;

fn id(text: &str) -> MinionId {
    text.parse().expect("an id")
}

fn add(inventory: &mut Inventory, name: &str, grains: &str) -> Upsert {
    put(inventory, name, "aws", "aws-1", 1, Some(grains), true, 0)
}

fn put(
    inventory: &mut Inventory,
    name: &str,
    region: &str,
    syndic: &str,
    incarnation: u64,
    grains: Option<&str>,
    up: bool,
    wall: WallMicros,
) -> Upsert {
    let (region, syndic) = (region.parse().expect("a region"), syndic.parse().expect("a syndic"));
    inventory.upsert(&id(name), &region, &syndic, Incarnation(incarnation), grains, up, wall)
}

fn ids(inventory: &Inventory, members: &Members) -> Vec<String> {
    members.iter().filter_map(|no| inventory.get(no)).map(|m| m.id.to_string()).collect()
}

fn find(inventory: &Inventory, target: &str) -> String {
    ids(inventory, &inventory.evaluate(&Target::parse(target).expect(target))).join(" ")
}

fn fleet() -> Inventory {
    let mut inventory = Inventory::new();
    add(
        &mut inventory,
        "web01",
        r#"{"os":"Ubuntu","roles":["web","cache"],"num_cpus":4,"virtual":true,"a":{"b":{"c":"Deep"}},"ipv4":["127.0.0.1","10.1.0.1","192.168.7.7"],"ipv6":["fd00::1"]}"#,
    );
    add(
        &mut inventory,
        "web02",
        r#"{"os":"Debian","roles":["web"],"num_cpus":16,"virtual":false,"hw":{"eth0":"aa:bb:cc"}}"#,
    );
    add(
        &mut inventory,
        "db1",
        r#"{"os":"Ubuntu","roles":[],"load":1.5,"none":null,"disks":[{"name":"sda"},{"name":"sdb"}],"ipv4":"10.1.0.2","ipv6":["eth0"]}"#,
    );
    add(&mut inventory, "bare.x", "{}");
    inventory
}

#[test]
fn finds_what_salt_finds() {
    let inventory = fleet();
    for (target, expected) in [
        ("*", "web01 web02 db1 bare.x"),
        ("web*", "web01 web02"),
        ("web01", "web01"),
        ("Web01", ""),
        ("*1", "web01 db1"),
        ("bare.*", "bare.x"),
        ("w[!x]b0?", "web01 web02"),
        ("L@db1,nobody,web02", "web02 db1"),
        ("L@web*", ""),
        ("G@os:Ubuntu", "web01 db1"),
        ("G@os:ubuntu", "web01 db1"),
        ("G@os:*", "web01 web02 db1"),
        ("G@OS:*", ""),
        ("G@roles:web", "web01 web02"),
        ("G@roles:c*", "web01"),
        ("G@roles:*", "web01 web02"),
        ("G@num_cpus:4", "web01"),
        ("G@num_cpus:?", "web01"),
        ("G@load:1.5", "db1"),
        ("G@virtual:True", "web01"),
        ("G@virtual:true", "web01"),
        ("G@virtual:False", "web02"),
        ("G@none:None", "db1"),
        ("G@a:b:c:d*", "web01"),
        ("G@a:b:c", "web01"),
        ("G@a:b", "web01"),
        ("G@a:*", "web01"),
        ("G@a:*:c:deep", "web01"),
        ("G@a:b:deep", ""),
        ("G@hw:eth0:aa:bb:*", "web02"),
        ("G|@hw|eth0|aa:bb:cc", "web02"),
        ("G@disks:name:sdb", "db1"),
        ("G@nothing:*", ""),
        ("not G@os:Ubuntu", "web02 bare.x"),
        ("G@os:Ubuntu and not web*", "db1"),
        ("not web* or web01", "web01 db1 bare.x"),
        ("not ( web* or db* )", "bare.x"),
        ("nobody and *", ""),
        (r"E@web\d+$", "web01 web02"),
        ("E@eb01", ""),
        ("E@1|b|.*2", "web02 bare.x"),
        ("E@WEB", ""),
        ("web[01-20]", "web01 web02"),
        ("web[02,10]", "web02"),
        ("web[001-020]", ""),
        ("[01-20]", ""),
        ("bare.x,web[1-2]", "bare.x"),
        ("db[1-20],web[01-02]", "web01 web02 db1"),
        ("I@role:db", ""),
        ("J@role:.*", ""),
        ("N@web", ""),
        ("web* or N@web", "web01 web02"),
        ("P@os:ubun", "web01 db1"),
        ("P@os:(UB|fed)", "web01 db1"),
        ("P@os:buntu", ""),
        ("P@os:.*n$", "web02"),
        ("P@roles:(c|d)", "web01"),
        (r"P@num_cpus:\d\d", "web02"),
        ("P@a:b:c:de+p", "web01"),
        ("P@a:B", "web01"),
        ("P@a:*:c:(?:deep|x)", "web01"),
        ("P@hw:eth0:aa:.*c$", "web02"),
        ("P@hw:eth[0-3]$", "web02"),
        ("P|@hw|eth0|aa:bb", "web02"),
        ("P@disks:name:sd[b-z]", "db1"),
        ("P@OS:.*", ""),
        ("S@10.0.0.0/8", "web01 db1"),
        ("S@10.1.0.2", "db1"),
        ("S@10.1.0.0/16 and not S@192.168.0.0/16", "db1"),
        ("S@FD00::0001", "web01"),
        ("S@fd00::/8", "web01"),
        ("S@0.0.0.0/0", "web01 db1"),
        ("S@::/0", "web01"),
        ("region:aws", "web01 web02 db1 bare.x"),
        ("region:a*s and db1", "db1"),
        ("region:gcp or syndic:gcp-*", ""),
        ("syndic:aws-[1-3] and not syndic:aws-2", "web01 web02 db1 bare.x"),
    ] {
        assert_eq!(find(&inventory, target), expected, "{target}");
    }
}

#[test]
fn new_grains_replace_the_old_ones() {
    let mut inventory = fleet();
    let upsert = add(&mut inventory, "web01", r#"{"os":"Fedora"}"#);
    assert!(upsert.grains_changed && !upsert.created && !upsert.incarnation_changed);
    assert_eq!(find(&inventory, "G@os:Ubuntu"), "db1");
    assert_eq!(find(&inventory, "G@os:Fedora"), "web01");
    assert_eq!(find(&inventory, "G@a:*"), "");
    for name in ["web01", "web02", "db1"] {
        add(&mut inventory, name, "{}");
    }
    assert!(inventory.grains.is_empty());
}

#[test]
fn no_news_of_the_grains_leaves_them() {
    let mut inventory = fleet();
    let upsert = put(&mut inventory, "web01", "aws", "aws-1", 1, None, true, 0);
    assert!(!upsert.grains_changed);
    assert_eq!(find(&inventory, "G@os:Ubuntu"), "web01 db1");
}

#[test]
fn equal_grains_are_kept_once() {
    let mut inventory = Inventory::new();
    let text = r#"{"os":"Ubuntu"}"#;
    let (a, b) = (add(&mut inventory, "a", text).no, add(&mut inventory, "b", text).no);
    let grains = |no| &inventory.get(no).expect("known").grains;
    assert!(Arc::ptr_eq(grains(a), grains(b)));
}

#[test]
fn grains_out_of_bounds_are_refused_and_the_minion_is_not() {
    let deep = |n: usize| format!(r#"{{"k":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    let many = |n: usize| format!(r#"{{"k":{:?}}}"#, vec![1; n]);
    let long = |n: usize| format!(r#"{{"k":"{}"}}"#, "x".repeat(n));
    assert!(add(&mut Inventory::new(), "a", &deep(MAX_GRAIN_DEPTH - 1)).grains_refused.is_none());
    assert!(add(&mut Inventory::new(), "a", &many(MAX_GRAIN_LEAVES - 1)).grains_refused.is_none());
    let mut inventory = fleet();
    for bad in [
        deep(MAX_GRAIN_DEPTH),
        many(MAX_GRAIN_LEAVES),
        long(MAX_GRAINS_BYTES),
        "[1]".into(),
        "{".into(),
        deep(5000),
    ] {
        let upsert = add(&mut inventory, "web01", &bad);
        assert!(upsert.grains_refused.is_some() && !upsert.grains_changed, "{:.40}", bad);
        assert_eq!(find(&inventory, "G@roles:cache"), "web01");
        let upsert = add(&mut Inventory::new(), "new", &bad);
        assert!(upsert.created && upsert.grains_refused.is_some(), "{:.40}", bad);
    }
}

#[test]
fn a_long_value_is_found_by_its_presence_only() {
    let mut inventory = Inventory::new();
    for (name, n) in [("short", MAX_GRAIN_VALUE_BYTES), ("long", MAX_GRAIN_VALUE_BYTES + 1)] {
        add(&mut inventory, name, &format!(r#"{{"path":"{}"}}"#, "x".repeat(n)));
    }
    assert_eq!(find(&inventory, "G@path:*"), "short long");
    assert_eq!(find(&inventory, "G@path:x*"), "short");
}

#[test]
fn the_version_rises_with_each_change_and_with_nothing_else() {
    let mut inventory = Inventory::new();
    let first = put(&mut inventory, "a", "aws", "aws-1", 7, Some("{}"), true, 10);
    assert!(first.created && first.incarnation_changed && !first.grains_changed);
    let mut version = inventory.version();
    assert_eq!(inventory.get(first.no).map(|m| m.incarnation_seq), Some(version));
    put(&mut inventory, "a", "aws", "aws-1", 7, Some("{}"), true, 99);
    assert_eq!(inventory.version(), version);
    for (region, syndic, incarnation, grains, up) in [
        ("gcp", "aws-1", 7, "{}", true),
        ("gcp", "gcp-1", 7, "{}", true),
        ("gcp", "gcp-1", 8, "{}", true),
        ("gcp", "gcp-1", 8, "{\"a\":1}", true),
        ("gcp", "gcp-1", 8, "{\"a\":1}", false),
    ] {
        let upsert = put(&mut inventory, "a", region, syndic, incarnation, Some(grains), up, 20);
        assert!(inventory.version() > version && !upsert.created && upsert.no == first.no);
        version = inventory.version();
        if upsert.incarnation_changed {
            assert_eq!(inventory.get(first.no).map(|m| m.incarnation_seq), Some(version));
        }
    }
    let minion = inventory.get(first.no).expect("known");
    assert_eq!((minion.up, minion.since, minion.incarnation_seq), (false, 20, version - 2));
}

#[test]
fn up_and_down_are_noted_with_their_time() {
    let mut inventory = fleet();
    let (all, version) = (inventory.all().clone(), inventory.version());
    let web: Members = inventory.evaluate(&Target::parse("web*").expect("parses"));
    assert_eq!(inventory.set_up(&web, false, 50), web);
    assert_eq!(inventory.version(), version + 1);
    assert_eq!(inventory.set_up(&all, false, 60), &all - &web);
    assert_eq!(inventory.set_up(&all, false, 70), Members::new());
    assert_eq!(inventory.version(), version + 2);
    assert_eq!(
        inventory.iter().map(|(_, m)| (m.up, m.since)).collect::<Vec<_>>(),
        [(false, 50), (false, 50), (false, 60), (false, 60)]
    );
    let stranger = Members::from_iter([4711]);
    assert!(inventory.set_up(&stranger, true, 80).is_empty() && inventory.up().is_empty());
}

#[test]
fn a_minion_is_filed_under_one_region_and_one_syndic() {
    let mut inventory = fleet();
    put(&mut inventory, "web01", "gcp", "gcp-1", 1, None, true, 0);
    assert_eq!(find(&inventory, "region:gcp"), "web01");
    assert_eq!(find(&inventory, "syndic:aws-1"), "web02 db1 bare.x");
    let regions: Vec<_> =
        inventory.by_region().map(|(r, m)| format!("{r} {}", ids(&inventory, m).join(" "))).collect();
    assert_eq!(regions, ["aws web02 db1 bare.x", "gcp web01"]);
    for name in ["web02", "db1", "bare.x"] {
        put(&mut inventory, name, "gcp", "gcp-2", 1, None, true, 0);
    }
    let syndics: Vec<_> = inventory.by_syndic().map(|(s, m)| format!("{s} {}", m.len())).collect();
    assert_eq!(syndics, ["gcp-1 1", "gcp-2 3"]);
    assert_eq!(inventory.by_region().count(), 1);
}

#[test]
fn records_restore_the_same_inventory_and_numbers_go_on_from_there() {
    let mut inventory = fleet();
    put(&mut inventory, "web02", "gcp", "gcp-1", 9, None, false, 77);
    let mut restored = Inventory::new();
    for no in inventory.all().iter().filter(|no| *no != 1) {
        let record = inventory.record(no).expect("known");
        assert_eq!(restored.restore(record.clone()), Ok(None));
        assert_eq!(restored.record(no), Some(record));
    }
    assert_eq!(restored.restore(inventory.record(1).expect("known")), Ok(None));
    assert!(restored.version() >= inventory.version());
    assert_eq!(restored.up(), inventory.up());
    for target in ["*", "G@os:Ubuntu", "G@hw:*", "web*"] {
        assert_eq!(find(&restored, target), find(&inventory, target));
    }
    assert_eq!(add(&mut restored, "late", "{}").no, 4);
}

#[test]
fn the_first_number_after_a_gap_is_above_it() {
    let mut record = fleet().record(0).expect("known");
    record.no = 41;
    let mut inventory = Inventory::new();
    assert_eq!(inventory.restore(record), Ok(None));
    assert_eq!(add(&mut inventory, "next", "{}").no, 42);
}

#[test]
fn damaged_records_are_refused() {
    let mut inventory = fleet();
    let record = inventory.record(0).expect("known");
    let other = Record { id: id("other"), ..record.clone() };
    assert!(matches!(inventory.restore(other.clone()), Err(RestoreError::NumberTaken { .. })));
    assert!(matches!(inventory.restore(Record { no: 9, ..record }), Err(RestoreError::IdTwice { .. })));
    let high = Record { no: MAX_RESTORED_NO + 1, ..other.clone() };
    assert!(matches!(inventory.restore(high), Err(RestoreError::NumberTooHigh { .. })));
    let broken = Record { no: 9, grains: "{".into(), ..other };
    assert!(matches!(inventory.restore(broken), Ok(Some(GrainsError::Json(_)))));
    assert_eq!(find(&inventory, "other"), "other");
}

#[test]
fn a_raised_version_outlives_a_restart() {
    let mut inventory = Inventory::new();
    inventory.raise_version(100);
    inventory.raise_version(50);
    let no = add(&mut inventory, "a", "{}").no;
    assert_eq!(inventory.get(no).map(|m| m.incarnation_seq), Some(101));
}

#[test]
fn names_the_ids_that_nobody_has() {
    let inventory = fleet();
    let target =
        Target::parse("( web* or L@db1,db2 ) and not L@zzz,db2 and not web01,yyy,w[1-9]").expect("parses");
    assert_eq!(inventory.unknown_ids(&target), ["db2", "yyy", "zzz"]);
}

#[test]
fn suggests_ids_that_are_like_it_and_no_others() {
    let inventory = fleet();
    let nearest = |text| inventory.nearest(text, 2).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(nearest("wbe01"), ["web01"]);
    assert_eq!(nearest("wep0*"), ["web01", "web02"]);
    assert_eq!(nearest("WEB03"), ["web01", "web02"]);
    for unlike in ["", "*", "zzz", "dx*", "zzzzzzzzzzzz"] {
        assert!(nearest(unlike).is_empty(), "{unlike}");
    }
    assert!(Inventory::new().nearest("a", 3).is_empty());
}

#[test]
fn suggests_what_is_of_the_kind_that_failed() {
    let mut inventory = fleet();
    put(&mut inventory, "gw1", "azure", "azure-1", 1, None, true, 0);
    for (text, ids, terms) in [
        ("wep*", "web01 web02", ""),
        (r"E@wep\d+", "web01 web02", ""),
        ("wep[1-9]", "web01 web02", ""),
        ("region:awz", "", "region:aws"),
        ("region:asure*", "", "region:azure"),
        ("region:zzz", "", ""),
        ("syndic:aws-2", "", "syndic:aws-1"),
        ("G@os:Ubunto", "", "G@os:ubuntu"),
        ("G@os:Windows", "", ""),
        ("G|@os|Ubunto", "", "G|@os|ubuntu"),
        ("G@OS:Ubuntu", "", "G@os:Ubuntu"),
        ("G@rolse:web", "", "G@roles:web"),
        ("G@rolse:nothing", "", "G@roles:*"),
        ("G@hw:eth1:aa:bb:cc", "", "G@hw:eth0:aa:bb:cc"),
        ("G@hw:eth0:aa:bb:cd", "", "G@hw:eth0:aa:bb:cc"),
        ("G@zzzzzz:web", "", ""),
        ("web* and region:awz", "", "region:aws"),
        ("wep* and region:aws", "web01 web02", ""),
        ("wep* or region:awz", "", ""),
        ("not *", "", ""),
        ("I@role:db", "", ""),
    ] {
        let target = Target::parse(text).expect(text);
        let near = inventory.nearest_ids(&target, 2);
        assert_eq!(near.iter().map(MinionId::as_str).collect::<Vec<_>>().join(" "), ids, "{text}");
        assert_eq!(inventory.nearest_terms(&target, 2).join(" "), terms, "{text}");
    }
}

#[test]
fn dead_grain_texts_do_not_pile_up() {
    let mut inventory = Inventory::new();
    for n in 0..1000 {
        add(&mut inventory, "a", &format!(r#"{{"n":{n}}}"#));
    }
    assert!(inventory.interner.len() <= 128, "{} texts for one minion", inventory.interner.len());
}
