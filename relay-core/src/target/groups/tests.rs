//! Expansion as tables, every problem of a definition, and growth that must be refused before it is built.

use proptest::prelude::*;

use super::*;

fn groups(pairs: &[(&str, &str)]) -> Result<NodeGroups, Vec<String>> {
    let texts = pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    NodeGroups::new(&texts).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn good() -> NodeGroups {
    groups(&[
        ("web", "web* and not N@old"),
        ("old", "G@os_release:18.*"),
        ("db", "L@db1,db2"),
        ("all", "N@web or N@db"),
        ("none", "I@role:none"),
    ])
    .expect("good groups")
}

fn expanded(text: &str) -> String {
    let target = Target::parse(text).expect(text);
    good().expand(&target).map_or_else(|e| e.to_string(), |t| t.expr().to_string())
}

#[test]
fn a_name_becomes_what_it_stands_for() {
    for (text, expression) in [
        ("web*", "web*"),
        ("N@db", "L@db1,db2"),
        ("N@web", "web* and not G@os_release:18.*"),
        ("N@all and region:aws", "( ( web* and not G@os_release:18.* ) or L@db1,db2 ) and region:aws"),
        ("not N@web", "not ( web* and not G@os_release:18.* )"),
        ("N@db or N@db", "L@db1,db2 or L@db1,db2"),
    ] {
        let expression = Target::parse(expression).expect("parses").expr().clone();
        let asked = Target::parse(text).expect(text);
        let found = good().expand(&asked).expect(text);
        assert_eq!(found.expr(), &expression, "{text}");
        assert!(!found.has_node_groups() && found.as_str() == asked.as_str());
    }
    assert!(good().expand(&Target::parse("N@none").expect("parses")).is_ok_and(|t| t.asks_pillar()));
    assert_eq!(good().get("db").map(Target::as_str), Some("L@db1,db2"));
    assert_eq!(good().iter().map(|(name, _)| name).collect::<Vec<_>>(), ["all", "db", "none", "old", "web"]);
}

#[test]
fn an_unknown_name_is_shown_with_its_place_and_the_nearest() {
    // In the text as it is printed: that is what is stored and shown from here on.
    let shown = expanded("é and ( not N@wbe )");
    assert!(shown.starts_with("target, column 11: there is no node group wbe; expected"), "{shown}");
    assert!(shown.contains("such as web, db, all"), "{shown}");
    let none = NodeGroups::default().expand(&Target::node_group("web").expect("a name"));
    assert!(none.is_err_and(|e| e.expected.contains("has none")) && NodeGroups::default().is_empty());
}

#[test]
fn all_problems_come_at_once_and_one_for_each() {
    let errors = groups(&[
        ("a", "N@b"),
        ("b", "N@c and x"),
        ("c", "N@a or N@b"),
        ("below", "N@a"),
        ("broken", "web and"),
        ("far", "N@broken"),
        ("self", "not N@self"),
        ("typo", "x or N@blow"),
        ("two words", "x"),
    ])
    .expect_err("bad groups");
    let starts = [
        "node group a: it stands for itself: a -> b -> c -> a; take one",
        "node group broken: target, column 8: the text ends",
        "node group self: it stands for itself: self -> self",
        "node group two words: target, column 4: ' ' in the name of a node group",
        "node group typo: target, column 6: there is no node group blow; expected one of the topology's \
         node_groups, such as below,",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn growth_is_refused_before_it_is_built() {
    // Each doubles the one before: the last would have 2^40 terms.
    let texts: Vec<(String, String)> = (0..40)
        .map(|n| {
            (format!("g{n:02}"), if n == 0 { "x".into() } else { format!("N@g{0:02} or N@g{0:02}", n - 1) })
        })
        .collect();
    let pairs: Vec<(&str, &str)> = texts.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let errors = groups(&pairs).expect_err("too large");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with("node group g08: with the groups that it names it has 511 terms"),
        "{errors:?}"
    );

    let fits = groups(&pairs[..8]).expect("255 terms and operators");
    assert!(fits.expand(&Target::parse("N@g07").expect("parses")).is_ok());
    let error = fits.expand(&Target::parse("N@g07 and web*").expect("parses")).expect_err("257");
    assert!(error.found.contains("257 terms and operators (at most 256)"), "{error}");
}

#[test]
fn every_bound_of_a_target_holds_after_expansion() {
    let regexes = vec!["E@a"; super::super::MAX_TARGET_REGEXES].join(" or ");
    let deep = format!("{}a", "not ".repeat(super::super::MAX_TARGET_DEPTH));
    let long = format!("L@{}", "a".repeat(4000));
    let groups = groups(&[("regexes", &regexes), ("deep", &deep), ("long", &long)]).expect("each fits");
    let expand = |text: &str| groups.expand(&Target::parse(text).expect(text));
    assert!(expand("N@regexes and x").is_ok() && expand("N@long or N@long").is_ok());
    for (text, part) in [
        ("N@regexes and E@a".to_owned(), "33 regular expressions"),
        ("N@deep".into(), "33 levels"),
        (vec!["N@long"; 17].join(" or "), "68034 bytes"),
    ] {
        let error = expand(&text).expect_err("too large");
        assert!(error.found.contains(part), "{error}");
    }
}

#[test]
fn names_and_numbers_of_groups_are_bounded() {
    let long = "a".repeat(MAX_GROUP_NAME_BYTES);
    assert!(groups(&[(&long, "x")]).is_ok());
    assert!(groups(&[(&format!("{long}a"), "x")]).is_err_and(|e| e[0].contains("65 bytes")));
    assert!(groups(&[("", "x")]).is_err_and(|e| e[0].contains("without a name")));
    let many = |n: usize| (0..n).map(|n| (n.to_string(), "x".to_string())).collect();
    assert!(NodeGroups::new(&many(MAX_NODE_GROUPS)).is_ok());
    assert_eq!(NodeGroups::new(&many(MAX_NODE_GROUPS + 1)).map_err(|e| e.len()), Err(1));
}

fn definition() -> impl Strategy<Value = String> {
    let word = "N@[a-e]|x[0-9]|not N@[a-e]|E@x+";
    proptest::collection::vec((word, "and|or"), 1..4)
        .prop_map(|words| words.iter().map(|(w, o)| format!("{w} {o} ")).collect::<String>() + "y")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Either there is a problem that names a group of these, or nothing is left to expand and the bounds hold.
    #[test]
    fn any_definitions_expand_wholly_or_are_refused(texts in proptest::collection::btree_map("[a-e]", definition(), 0..5)) {
        match NodeGroups::new(&texts) {
            Ok(groups) => for name in texts.keys() {
                let target = groups.expand(&Target::node_group(name).expect("a name")).expect("expands");
                prop_assert!(!target.has_node_groups());
                prop_assert!(target.expr().to_string().len() <= super::super::MAX_EXPANDED_TARGET_BYTES);
            },
            Err(errors) => prop_assert!(!errors.is_empty() && errors.iter().all(|e| texts.contains_key(&e.group))),
        }
    }
}
