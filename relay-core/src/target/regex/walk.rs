//! One regular expression on very many ids in order: neighbours begin alike, and a table of states, made for this one
//! walk, takes up where two neighbours part. So most ids cost one or two steps instead of a whole search.

use regex_automata::{
    Anchored,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start, syntax},
};

/// Largest table, and most memory to make it, in bytes: it is made for each walk anew. Past it there is no walk.
const MAX_TABLE: usize = 256 << 10;

/// A regular expression on its way through ids in ascending order.
#[derive(Debug)]
pub struct Walk {
    table: dense::DFA<Vec<u32>>,
    /// The state before the first byte of the last text, after it, after the second, and so on. A match is never left.
    states: Vec<StateID>,
}

impl Walk {
    /// Ids are ASCII, and so is the table: a tenth of the states. `None` if that is too large, or the expression asks
    /// for what only Unicode has.
    pub(super) fn new(regex: &str, folded: bool) -> Option<Walk> {
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(MAX_TABLE))
            .determinize_size_limit(Some(MAX_TABLE));
        let table = dense::Builder::new()
            .configure(config)
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_TABLE)))
            .syntax(syntax::Config::new().case_insensitive(folded).unicode(false).utf8(false))
            .build(regex)
            .ok()?;
        let first = table.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Walk { table, states: vec![first] })
    }

    /// Whether the expression matches at the beginning of an ASCII text, of which the first `shared` bytes are those of
    /// the text before.
    pub fn matches(&mut self, text: &str, shared: usize) -> bool {
        self.states.truncate(shared + 1);
        let Some(mut state) = self.states.last().copied() else { return false };
        for byte in &text.as_bytes()[self.states.len() - 1..] {
            if !self.table.is_match_state(state) {
                state = self.table.next_state(state, *byte);
            }
            self.states.push(state);
        }
        // The table says one byte late that there was a match.
        self.table.is_match_state(state) || self.table.is_match_state(self.table.next_eoi_state(state))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Regex;
    use proptest::prelude::*;

    #[test]
    fn what_only_unicode_has_and_what_is_large_has_no_walk() {
        for (regex, walks) in
            [("web.*", true), (r"\bweb\b", true), (r"(?u:\bé)", false), (".*a.{20}", false), ("é|a", true)]
        {
            assert_eq!(Regex::new(regex).expect(regex).walk().is_some(), walks, "{regex}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// In any order, with any number of bytes at most that two neighbours do share.
        #[test]
        fn finds_what_a_search_finds(
            regex in "(\\(\\?i\\)|\\^|\\\\b)?([ab.]|[ab][*+?]|\\\\d|\\[\\^a\\]|a\\|b|\\$|\\(ab\\|b\\)|é){1,5}",
            mut texts in proptest::collection::vec(("[ab1A.-]{0,6}", 0..7usize), 1..10),
        ) {
            texts.sort();
            let Ok(regex) = Regex::new(&regex) else { return Ok(()) };
            let Some(mut walk) = regex.walk() else { return Ok(()) };
            let mut before = "";
            for (text, most) in &texts {
                let shared = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
                prop_assert_eq!(walk.matches(text, shared.min(*most)), regex.matches(text), "{:?} on {}", regex, text);
                before = text;
            }
        }
    }
}
