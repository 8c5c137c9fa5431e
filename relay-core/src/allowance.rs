//! What a machine's own file lets jobs do there, whoever sends them: its functions, and a blackout as Salt's
//! `minion_blackout`.
//!
//! Owns what the file says and what follows from it. Reading the file, and reading it again, is the minion's.

use crate::{
    document::{Fields, Node, Sink, read},
    outcome::Reason,
    target::Glob,
};

/// Most patterns of one list. More are no rule that a person still understands.
const MAX_PATTERNS: usize = 1_024;

/// What is allowed. By default, everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Only functions that one of these matches. Nothing: all.
    functions: Option<Vec<Glob>>,
    /// Only functions of the whitelist.
    blackout: bool,
    whitelist: Vec<Glob>,
}

impl Allowance {
    /// Reads a file:
    ///
    /// ```yaml
    /// functions: ['test.*', state.apply]       # all, without this line
    /// minion_blackout: true
    /// minion_blackout_whitelist: [test.ping, 'saltutil.*']
    /// ```
    pub fn read(node: &Node, sink: &Sink) -> Option<Allowance> {
        let mut f = Fields::open(node, "a minion's policy", sink)?;
        let functions = f.may("functions", globs);
        let blackout = f.or("minion_blackout", false, read::flag);
        let whitelist = f.or("minion_blackout_whitelist", Vec::new(), globs);
        f.close();
        Some(Allowance { functions: functions?, blackout: blackout?, whitelist: whitelist? })
    }

    /// Why a function may not run, if it may not.
    pub fn objection(&self, function: &str) -> Option<Reason> {
        let named = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(function));
        if self.blackout && !named(&self.whitelist) {
            return Some(Reason::Blackout);
        }
        let allowed = self.functions.as_deref().is_none_or(named);
        (!allowed).then_some(Reason::NotAllowed)
    }
}

fn globs(node: &Node, sink: &Sink) -> Option<Vec<Glob>> {
    let globs = read::list(pattern)(node, sink)?;
    if globs.len() > MAX_PATTERNS {
        let what = format!("{} patterns, and at most {MAX_PATTERNS} are read", globs.len());
        return sink.refuse(node.at, what, "write fewer with `*` in them");
    }
    Some(globs)
}

/// `test.ping`, `state.*`: what matches no function of any name is a mistake.
fn pattern(node: &Node, sink: &Sink) -> Option<Glob> {
    let text = read::text(node, sink)?;
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "._*?[]!-".contains(c));
    match text.chars().find(|c| odd(*c)) {
        Some(c) => sink.refuse(
            node.at,
            format!("{text:?}: no function has a {c:?} in its name"),
            "write `module.function`, with `*` for any",
        ),
        None => Some(Glob::new(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{At, Kind, Position};

    const AT: Position = Position { line: 1, column: 1 };

    fn scalar(text: &str) -> Node {
        Node { at: AT, kind: Kind::Scalar { text: text.into(), quoted: false } }
    }

    fn list(texts: &[&str]) -> Node {
        Node { at: AT, kind: Kind::List(texts.iter().map(|text| scalar(text)).collect()) }
    }

    fn read(entries: Vec<(&str, Node)>) -> Result<Allowance, Vec<String>> {
        let entries =
            entries.into_iter().map(|(key, node)| (At { value: key.to_owned(), at: AT }, node)).collect();
        let sink = Sink::default();
        let allowance = Allowance::read(&Node { at: AT, kind: Kind::Map(entries) }, &sink);
        let told = sink.conclude(allowance).map(|(allowance, _)| allowance);
        told.map_err(|problems| problems.into_iter().map(|problem| problem.what).collect())
    }

    #[test]
    fn functions_and_blackout_say_why_not() {
        let none = Allowance::default();
        let some = read(vec![("functions", list(&["test.*", "state.apply"]))]).unwrap();
        let nothing = read(vec![("functions", list(&[]))]).unwrap();
        let dark = read(vec![
            ("functions", list(&["test.*", "state.*"])),
            ("minion_blackout", scalar("true")),
            ("minion_blackout_whitelist", list(&["test.ping", "cmd.run"])),
        ])
        .unwrap();
        let light = read(vec![("minion_blackout", scalar("false"))]).unwrap();
        let (allowed, blackout) = (Some(Reason::NotAllowed), Some(Reason::Blackout));
        for (function, expected) in [
            ("test.ping", [None, None, allowed, None, None]),
            ("state.apply", [None, None, allowed, blackout, None]),
            ("state.applyx", [None, allowed, allowed, blackout, None]),
            // Also a whitelist allows no more than the functions.
            ("cmd.run", [None, allowed, allowed, allowed, None]),
        ] {
            let told = [&none, &some, &nothing, &dark, &light].map(|allowance| allowance.objection(function));
            assert_eq!(told, expected, "{function}");
        }
    }

    #[test]
    fn what_nobody_can_have_meant_is_refused() {
        assert!(
            read(vec![("function", list(&["test.*"]))]).is_err(),
            "a mistyped key would allow everything"
        );
        assert!(read(vec![("functions", scalar("test.*"))]).is_err());
        assert!(read(vec![("functions", list(&["test.ping, state.apply"]))]).is_err());
        assert!(read(vec![("minion_blackout", scalar("perhaps"))]).is_err());
        assert!(read(vec![("functions", list(&vec!["a.b"; MAX_PATTERNS + 1]))]).is_err());
    }
}
