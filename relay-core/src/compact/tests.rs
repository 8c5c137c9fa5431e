//! Tables for what people see, and round trips on names nobody would choose.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::target::{Expr, Target};

#[test]
fn writes_ranges_as_people_do() {
    for (ids, expected) in [
        (vec![], ""),
        (vec!["web1"], "web1"),
        (vec!["web2", "web1", "web3"], "web[1-3]"),
        (vec!["web1", "web1"], "web1"),
        (vec!["web1", "web3"], "web[1,3]"),
        (vec!["web08", "web09", "web10", "web11"], "web[08-11]"),
        (vec!["web8", "web9", "web10", "web11"], "web[8-9],web[10-11]"),
        (vec!["web8", "web9", "web10", "web11", "x"], "web[8-11],x"),
        (vec!["web98", "web099", "web100"], "web[98,099-100]"),
        (vec!["web01", "web1", "web2"], "web[1-2],web01"),
        (vec!["a1.b2", "a1.b3", "a2.b2"], "a1.b[2-3],a2.b2"),
        (vec!["web1.prod", "web2.prod", "web2.test"], "web[1-2].prod,web2.test"),
        (vec!["db3", "web200", "web001", "web002"], "db3,web[001-002,200]"),
        (vec!["b", "a10", "a9x", "a"], "a,a9x,a10,b"),
        (vec!["7", "8"], "[7-8]"),
        (vec!["", "x"], "[],x"),
        (vec!["a[1]", "a,b", "a\\"], "a\\,b,a\\[1\\],a\\\\"),
        (vec!["n1234567890123456789", "n1234567890123456790"], "n1234567890123456789,n1234567890123456790"),
    ] {
        assert_eq!(compact(ids.clone()), expected, "{ids:?}");
    }
}

#[test]
fn five_thousand_ids_are_one_short_line() {
    let ids: Vec<String> = (1..=5000).map(|n| format!("web{n:04}")).collect();
    assert_eq!(compact(ids.iter().map(String::as_str)), "web[0001-5000]");
    assert_eq!(expand("web[0001-5000]"), Ok(ids));
}

#[test]
fn refuses_what_is_not_compact_form() {
    for (text, column) in [
        ("a,", 3),
        (",a", 1),
        ("a,,b", 3),
        ("a]", 2),
        ("a[", 3),
        ("a[1", 4),
        ("a[1-", 5),
        ("a[1-x]", 5),
        ("a[1][2]", 5),
        ("a\\", 3),
        ("é\\b", 3),
        ("a[1234567890123456789]", 3),
        ("a[2-1]", 7),
    ] {
        match expand(text) {
            Err(ExpandError::Syntax { column: found, .. }) => assert_eq!(found, column, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn refuses_more_than_the_bounds_before_making_them() {
    assert_eq!(expand("a[0-999999]").map(|ids| ids.len()), Ok(MAX_EXPANDED_IDS));
    assert_eq!(expand("a[0-999999],b"), Err(ExpandError::TooMany));
    assert_eq!(expand("a[0-999999999999999999]"), Err(ExpandError::TooMany));
    assert_eq!(expand(&format!("{}[0-99999]", "x".repeat(4096))), Err(ExpandError::TooMany));
}

fn named() -> impl Strategy<Value = String> {
    "(web|db-)?[0-9]{1,3}|(a1\\.)?b[0-9]{1,2}(\\.x|-y)?|[a-c]{1,2}"
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "(web|db|a1\\.b)?0{0,2}[0-9]{1,2}(\\.x)?",
        "[0-9]{0,20}",
        "[\\[\\],\\\\a0-9-]{0,6}",
        "\\PC{0,5}[0-9]?\\PC{0,2}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_lost(ids in proptest::collection::vec(hostile(), 0..40)) {
        let text = compact(ids.iter().map(String::as_str));
        let back = expand(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let (set, count): (BTreeSet<&String>, usize) = (back.iter().collect(), back.len());
        prop_assert_eq!(set.len(), count, "{} names one twice", text);
        prop_assert_eq!(set, ids.iter().collect());
    }

    #[test]
    fn as_a_target_it_means_these_ids_and_no_other(
        ids in proptest::collection::btree_set(named(), 1..12),
        others in proptest::collection::btree_set(named(), 0..40),
    ) {
        let text = compact(ids.iter().map(String::as_str));
        let target = Target::parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        for id in ids.iter().chain(&others) {
            let named = match target.expr() {
                Expr::Range(set) => set.matches(id),
                Expr::Glob(glob) => glob.matches(id),
                other => return Err(TestCaseError::fail(format!("{text} is {other:?}"))),
            };
            prop_assert_eq!(named, ids.contains(id), "{} on {}", text, id);
        }
    }

    #[test]
    fn order_does_not_matter(mut ids in proptest::collection::vec(hostile(), 0..20)) {
        let text = compact(ids.iter().map(String::as_str));
        ids.reverse();
        prop_assert_eq!(compact(ids.iter().map(String::as_str)), text);
    }

    #[test]
    fn any_text_expands_or_errs(text in "[a\\[\\],\\\\0-9é-]{0,20}") {
        if let Ok(ids) = expand(&text) {
            prop_assert!(ids.len() <= MAX_EXPANDED_IDS);
        }
    }
}
