//! The language as tables, and parse . print = identity as a property.

use proptest::prelude::*;

use super::*;

/// The expression with every grouping shown.
fn shape(expr: &Expr) -> String {
    let all = |word: &str, parts: &[Expr]| {
        format!("{word}({})", parts.iter().map(shape).collect::<Vec<_>>().join(" "))
    };
    match expr {
        Expr::Glob(g) => g.as_str().into(),
        Expr::List(ids) => format!("L{ids:?}"),
        Expr::Regex(r) => format!("E[{}]", r.as_str()),
        Expr::Range(r) => format!("range[{}]", r.as_str()),
        Expr::Grain(g) => format!("G{}[{}]", g.delimiter(), g.as_str()),
        Expr::GrainRegex(g) => format!("P{}[{}]", g.pattern().delimiter(), g.pattern().as_str()),
        Expr::Subnet(s) => format!("S[{s}]"),
        Expr::Region(g) => format!("region[{}]", g.as_str()),
        Expr::Syndic(g) => format!("syndic[{}]", g.as_str()),
        Expr::Pillar(g) => format!("I{}[{}]", g.delimiter(), g.as_str()),
        Expr::PillarRegex(g) => format!("J{}[{}]", g.pattern().delimiter(), g.pattern().as_str()),
        Expr::NodeGroup(name) => format!("N[{name}]"),
        Expr::Not(e) => format!("not({})", shape(e)),
        Expr::And(parts) => all("and", parts),
        Expr::Or(parts) => all("or", parts),
    }
}

#[test]
fn reads_what_salt_reads() {
    for (text, expected) in [
        ("*", "*"),
        (" web01 ", "web01"),
        ("L@a,b,c", r#"L["a", "b", "c"]"#),
        ("L@a,,b,", r#"L["a", "b"]"#),
        ("G@os:Ubuntu", "G:[os:Ubuntu]"),
        ("G@a:b:c*", "G:[a:b:c*]"),
        ("G|@a|b:c", "G|[a|b:c]"),
        ("G@os_family:Debian and not web*", "and(G:[os_family:Debian] not(web*))"),
        ("G@os_family:Debian not web*", "and(G:[os_family:Debian] not(web*))"),
        ("a or b and c", "or(a and(b c))"),
        ("a and b or c", "or(and(a b) c)"),
        ("not a and b", "and(not(a) b)"),
        ("not not a", "not(not(a))"),
        ("not ( a or b ) and c", "and(not(or(a b)) c)"),
        ("not(a or b)and(c)", "and(not(or(a b)) c)"),
        ("(a or b) and c", "and(or(a b) c)"),
        ("((a))", "a"),
        ("(G@os:Foo(bar) or b)", "or(G:[os:Foo(bar)] b)"),
        (r#"G@"os_full:Red \"Hat\" \\ 8" and (b)"#, r#"and(G:[os_full:Red "Hat" \ 8] b)"#),
        (r#""and" or "G@x:y""#, "or(and G@x:y)"),
        ("android or order or nothing", "or(android order nothing)"),
        (r"E@web\d+(a|b)$ and x", r"and(E[web\d+(a|b)$] x)"),
        (r#"E@"web (a|b) \\d""#, r"E[web (a|b) \d]"),
        ("P@os:(Ub|Deb).*", "P:[os:(Ub|Deb).*]"),
        ("P@a:*:(?:x|y)", "P:[a:*:(?:x|y)]"),
        ("P|@a|b:c+", "P|[a|b:c+]"),
        ("S@10.0.0.0/8 or S@10.0.0.0/255.0.0.0", "or(S[10.0.0.0/8] S[10.0.0.0/8])"),
        ("not S@fd00::1", "not(S[fd00::1])"),
        ("web[001-120,200]", "range[web[001-120,200]]"),
        ("(web[01-20].x or db[0-4])", "or(range[web[01-20].x] db[0-4])"),
        (r#""web[01-20]""#, "web[01-20]"),
        ("db3,web[8-11] or a,b", "or(range[db3,web[8-11]] range[a,b])"),
        (r#""a,b" and [a,b]"#, "and(a,b [a,b])"),
        ("region:aws and not syndic:aws-*", "and(region[aws] not(syndic[aws-*]))"),
        (r#""region:aws""#, "region:aws"),
        ("I@role:db and J|@a|(x|y)", "and(I:[role:db] J|[a|(x|y)])"),
        ("N@web-eu.1 and not(N@db)", "and(N[web-eu.1] not(N[db]))"),
    ] {
        let shown = Target::parse(text).map_or_else(|_| "error".into(), |t| shape(t.expr()));
        assert_eq!(shown, expected, "{text}");
    }
}

#[test]
fn errors_point_at_the_column() {
    for (text, column, part) in [
        ("", 1, "nothing is there"),
        ("   ", 4, "nothing is there"),
        ("and a", 1, "'and'; expected a glob"),
        ("a and", 6, "the text ends"),
        ("a b", 3, "double quotes"),
        ("a b", 3, "another term, \"b\"; expected"),
        ("a or or b", 6, "'or'"),
        ("( a or b", 9, "expected 'and', 'or' or ')'"),
        ("a )", 3, "')'"),
        ("()", 2, "')'; expected a glob"),
        ("a(b or c", 2, "not closed"),
        ("I@a", 1, "expected key:glob, such as a:*"),
        ("a or J@k:b[", 11, "unclosed character class"),
        ("N@", 1, "without a name"),
        ("N@web!", 6, "'!' in the name of a node group"),
        ("N|@web", 1, "no delimiter"),
        ("n@web", 1, "N@"),
        ("R@%web", 1, "a range set such as"),
        ("g@os:x", 1, "G@"),
        ("T@os:x", 1, "no matcher T@"),
        ("L|@a|b", 1, "no delimiter"),
        ("L@", 1, "without an id"),
        ("L@,", 1, "without an id"),
        ("G@os", 1, "os:*"),
        ("G@:x", 1, "the key has no name"),
        ("é and R@web", 7, "range server"),
        ("region:", 1, "without a name"),
        ("a and syndic:", 7, "without a name"),
        ("a and e@web", 7, "E@"),
        ("E|@web", 1, "no delimiter"),
        ("S|@10.0.0.1", 1, "no delimiter"),
        ("E@", 1, "an empty regular expression"),
        ("é and E@web[", 12, "unclosed character class"),
        ("E@ab(?=c)", 5, "look-around"),
        (r#"E@"\\d \"[""#, 10, "unclosed character class"),
        (r#"a or E@"\\w{999}""#, 6, "too large when compiled"),
        ("P@os", 1, "expected key:regex, such as os:.*"),
        ("P@os:", 1, "an empty regular expression"),
        ("P@os:*", 6, "repetition"),
        ("P|@os|a[", 8, "unclosed character class"),
        ("P@a:*:b[", 8, "unclosed character class"),
        ("a or S@10.1.2.3/8", 6, "the network 10.0.0.0/8 or the address 10.1.2.3"),
        ("S@web01", 1, "no address and no network"),
        ("a or web[20-01]", 6, "expected 01-20"),
        ("web[01-20]*", 1, "wildcards"),
        ("a or web*,db*", 6, "join globs by 'or'"),
        ("web1,", 1, "between two commas"),
        (r#""web"#, 5, "inside of quotes"),
        (r#""we\b""#, 4, "lone"),
        (r#""a"b"#, 4, "closing quote"),
        (r#""""#, 1, "empty glob"),
    ] {
        let error = Target::parse(text).expect_err(text);
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn an_error_shows_the_line_and_a_caret() {
    let error = Target::parse("web* and\tR@x").expect_err("R@ is refused");
    let shown = error.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[1..], ["  web* and?R@x", "           ^"]);
    assert!(
        lines[0].starts_with("target, column 10: R@ asks a range server, and there is none here; expected")
    );
}

#[test]
fn the_caret_stays_under_its_place_in_a_long_line() {
    let text = format!("{} E@x {}", "a or ".repeat(100).trim_end_matches(" or "), "b".repeat(200));
    let error = Target::parse(&text).expect_err("an operator is missing");
    let shown = error.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[1].len() < 120 && lines[1][lines[2].len() - 1..].starts_with("E@x"), "{shown}");
}

#[test]
fn bounds_hold_and_what_is_within_them_passes() {
    let nested = |n| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(Target::parse(&nested(MAX_TARGET_DEPTH)).is_ok());
    assert!(Target::parse(&nested(MAX_TARGET_DEPTH + 1)).is_err());
    assert!(Target::parse(&format!("{}a", "not ".repeat(MAX_TARGET_DEPTH + 1))).is_err());

    let terms = |n: usize| vec!["a"; n].join(" or ");
    assert!(Target::parse(&terms(MAX_TARGET_NODES - 1)).is_ok());
    assert!(Target::parse(&terms(MAX_TARGET_NODES)).is_err());

    assert!(Target::parse(&"a".repeat(MAX_TARGET_BYTES)).is_ok());
    let error = Target::parse(&"é".repeat(MAX_TARGET_BYTES)).expect_err("too long");
    assert!(error.to_string().contains("8192 bytes"), "{error}");
    assert!(Target::glob(&"a".repeat(MAX_TARGET_BYTES + 1)).is_err());
    assert!(Target::list(vec!["web01"; 1000]).is_err());
}

#[test]
fn regular_expressions_are_bounded_in_length_and_number() {
    let error = Target::parse(&format!("a or E@{}", "[".repeat(MAX_REGEX_BYTES + 1))).expect_err("too long");
    assert!(error.column == 6 && error.found.contains("1025 bytes"), "{error}");

    let terms = |n: usize| vec!["E@a"; n].join(" or ");
    assert!(Target::parse(&terms(MAX_TARGET_REGEXES)).is_ok());
    let error = Target::parse(&terms(MAX_TARGET_REGEXES + 1)).expect_err("too many");
    assert_eq!(error.column, 1 + MAX_TARGET_REGEXES * "E@a or ".len(), "{error}");

    // However many delimiters it holds, its keys end no deeper than grains nest.
    let deep = format!("P@k:{}", "a:".repeat(100));
    assert!(Target::parse(&[deep.as_str(); 4].join(" or ")).is_ok());
    assert!(Target::parse(&[deep.as_str(); 5].join(" or ")).is_err());
}

#[test]
fn the_flags_of_salt_make_the_same_targets() {
    let parsed = |text| Target::parse(text).expect("parses");
    assert_eq!(Target::glob("web*").ok(), Some(parsed("web*")));
    assert_eq!(Target::list(["a", "b, c", ""]).ok(), Some(parsed("L@a,b,c")));
    assert_eq!(Target::grain("os:Ubuntu", ':').ok(), Some(parsed("G@os:Ubuntu")));
    assert_eq!(Target::grain("a|b:c", '|').ok(), Some(parsed("G|@a|b:c")));
    assert_eq!(Target::glob("G@a:b and c").map(|t| t.to_string()).ok(), Some("\"G@a:b and c\"".into()));
    assert_eq!(Target::regex("web.*").ok(), Some(parsed("E@web.*")));
    assert_eq!(Target::grain_regex("a|b:c", '|').ok(), Some(parsed("P|@a|b:c")));
    assert_eq!(Target::pillar("role:db", ':').ok(), Some(parsed("I@role:db")));
    assert_eq!(Target::pillar("a|b:c", '|').ok(), Some(parsed("I|@a|b:c")));
    assert_eq!(Target::pillar_regex("a|b+", '|').ok(), Some(parsed("J|@a|b+")));
    assert_eq!(Target::node_group("web-eu").ok(), Some(parsed("N@web-eu")));
    assert_eq!(Target::compound("web* and not N@db").ok(), Some(parsed("web* and not N@db")));
    assert_eq!(Target::subnet("10.0.0.0/8").ok(), Some(parsed("S@10.0.0.0/8")));
    for text in ["web[01-20]", "region:aws", "web01,web02"] {
        assert_eq!(Target::glob(text).map(|t| t.to_string()).ok(), Some(format!("\"{text}\"")));
    }
    assert_eq!(Target::grain_regex("os:a[", ':').map_err(|e| e.column), Err(5));
    assert!(Target::pillar("role", ':').is_err() && Target::pillar_regex("role:[", ':').is_err());
    assert!(Target::node_group("").is_err() && Target::node_group("a b").is_err());
    assert!(Target::regex("").is_err() && Target::subnet("x").is_err());
    assert!(Target::list([" ", ","]).is_err() && Target::glob("").is_err());
    assert!(Target::grain("os", ':').is_err() && Target::grain("axb", 'x').is_err());
}

fn expr() -> impl Strategy<Value = Expr> {
    let text = prop_oneof![
        "[a-c*?. \"\\\\@:(){}]{1,6}",
        "and|or|not|L@a|G@b:c|region:x|web\\(1\\)|w\\[01-20\\]",
        "\\PC{1,4}"
    ];
    let place = "[a-c*?:-]{1,6}";
    let term = prop_oneof![
        text.clone().prop_map(|t| Expr::Glob(Glob::new(&t))),
        proptest::collection::vec("[a-c(\" ]{0,2}[a-c\\\\)]", 1..4)
            .prop_map(|ids| { Expr::List(ids.iter().map(|id| id.trim().to_owned()).collect()) }),
        (text, prop_oneof![Just(':'), Just('|'), Just('\\')]).prop_map(|(t, d)| {
            let g = GrainMatch::new(&format!("k{d}{t}"), d).expect("has a key");
            Expr::Grain(g)
        }),
        regex().prop_map(|t| Expr::Regex(Regex::new(&t).expect("compiles"))),
        (regex(), prop_oneof![Just(':'), Just('|'), Just('/')]).prop_map(|(t, d)| {
            let g = GrainRegex::new(&format!("k{d}{t}"), d).expect("has a key and compiles");
            Expr::GrainRegex(g)
        }),
        "w?\\[(0[1-5]-[1-9][0-9]|[1-9]00,20)\\](\\.x|\\[07,08\\])?|[ab]\\[[0-4]-[5-9][0-9]?\\],[ab]|[ab],[ab]"
            .prop_map(|t| Expr::Range(RangeSet::read(&t).expect("is a range").expect("is right"))),
        (any::<u32>(), 0..=32u8).prop_map(|(a, n)| subnet(std::net::Ipv4Addr::from(a).into(), n)),
        (any::<u128>(), 0..=128u8).prop_map(|(a, n)| subnet(std::net::Ipv6Addr::from(a).into(), n)),
        "[a-c]{1,3}([-_.][0-9])?".prop_map(|t| Expr::NodeGroup(GroupName::new(&t).expect("a name"))),
        (regex(), prop_oneof![Just(':'), Just('|')], any::<bool>()).prop_map(|(t, d, folded)| {
            let text = format!("k{d}{t}");
            match folded {
                true => Expr::PillarRegex(GrainRegex::new(&text, d).expect("has a key and compiles")),
                false => Expr::Pillar(GrainMatch::new(&text, d).expect("has a key")),
            }
        }),
        place.prop_map(|t| Expr::Region(Glob::new(&t))),
        place.prop_map(|t| Expr::Syndic(Glob::new(&t))),
    ];
    term.prop_recursive(4, 30, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|e| Expr::Not(Box::new(e))),
            parts.clone().prop_map(Expr::And),
            parts.prop_map(Expr::Or),
        ]
    })
}

/// Regular expressions with all that makes quotes necessary, or nearly.
fn regex() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-c. :@\"|]|\\\\[dSw.()\\\\]|\\((\\?:)?a\\|b ?\\)|[a-c][*+?]", 1..5)
        .prop_map(|parts| parts.concat())
}

fn subnet(address: std::net::IpAddr, prefix: u8) -> Expr {
    let net = ipnet::IpNet::new(address, prefix).expect("a prefix").trunc();
    Expr::Subnet(Subnet::new(&net.to_string()).expect("a network"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_printed_parses_to_the_same(expr in expr()) {
        let printed = expr.to_string();
        let parsed = Target::parse(&printed);
        prop_assert_eq!(parsed.as_ref().map(Target::expr), Ok(&expr), "{}", printed);
        prop_assert_eq!(parsed.map(|t| t.to_string()), Ok(printed));
    }

    #[test]
    fn any_text_parses_or_errs_within_its_line(text in "[a-c()@GLEPS:,\"\\\\ é]{0,30}|([a-c@EPSIJN:*/,]|\\[|\\]|0[1-3]|-){0,20}|\\PC{0,20}|(a|not|and|or|\\(|\\)| ){0,20}") {
        match Target::parse(&text) {
            Ok(target) => prop_assert_eq!(Target::parse(target.as_str()), Ok(target)),
            Err(error) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column));
                prop_assert!(!error.expected.is_empty() && !error.found.is_empty());
            }
        }
    }
}
