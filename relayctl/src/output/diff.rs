//! `--diff`: what an answer has that the majority's has not, as a unified diff of the texts that people are shown.

use similar::TextDiff;

use super::paint::Paint;

/// Lines that stay around a change.
const CONTEXT: usize = 3;
/// Largest text that is compared, in bytes.
const MAX_TEXT: usize = 256 * 1024;
/// Most work in one job, in pairs of lines: comparing two texts that have nothing in common costs their lines multiplied.
/// Some 4,000 answers of 100 lines against a majority of 100; about a second at worst.
const MAX_WORK: usize = 40_000_000;

/// Compares answers with the majority's, as long as it costs little.
pub struct Differ<'m> {
    majority: &'m str,
    left: usize,
}

impl<'m> Differ<'m> {
    /// With the majority's text.
    pub fn new(majority: &'m str) -> Differ<'m> {
        Differ { majority, left: MAX_WORK }
    }

    /// The difference, each line indented. Nothing if it would cost too much: the answer is then shown whole.
    pub fn against(&mut self, text: &str, indent: usize, paint: &Paint) -> Option<String> {
        let work = self.majority.lines().count().saturating_mul(text.lines().count());
        if self.majority.len() > MAX_TEXT || text.len() > MAX_TEXT || work > self.left {
            return None;
        }
        self.left -= work;
        Some(unified(self.majority, text, indent, paint))
    }
}

fn unified(before: &str, after: &str, indent: usize, paint: &Paint) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut out = String::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).missing_newline_hint(false).iter_hunks() {
        for line in hunk.to_string().lines() {
            let line = match line.as_bytes().first() {
                Some(b'+') => paint.green(line),
                Some(b'-') => paint.red(line),
                Some(b'@') => paint.cyan(line),
                _ => line.to_owned(),
            };
            out.push_str(format!("{:indent$}{line}", "").trim_end());
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_differs_is_shown_with_what_is_around_it() {
        let majority = "0\na\nb\nc\nd\ne\nf\n";
        let expected = "  @@ -2,6 +2,6 @@\n   a\n   b\n   c\n  -d\n  +D\n   e\n   f\n";
        assert_eq!(
            Differ::new(majority).against("0\na\nb\nc\nD\ne\nf\n", 2, &Paint::PLAIN).unwrap(),
            expected
        );
        let painted = Differ::new("a\n").against("b\n", 0, &Paint::ON).unwrap();
        assert!(painted.contains("\x1b[31m-a\x1b[0m\n\x1b[32m+b\x1b[0m\n"), "{painted:?}");
        assert_eq!(Differ::new(majority).against(majority, 2, &Paint::PLAIN).unwrap(), "");
    }

    #[test]
    fn what_would_cost_too_much_is_not_compared() {
        let long = "x\n".repeat(MAX_TEXT / 2 + 1);
        assert_eq!(Differ::new("a\n").against(&long, 0, &Paint::PLAIN), None);
        assert_eq!(Differ::new(&long).against("a\n", 0, &Paint::PLAIN), None);
        let some = "x\n".repeat(5000);
        let mut differ = Differ::new(&some);
        assert!(differ.against(&some, 0, &Paint::PLAIN).is_some(), "25 million");
        assert!(differ.against(&some, 0, &Paint::PLAIN).is_none(), "and 25 more");
        assert!(differ.against("y\n", 0, &Paint::PLAIN).is_some(), "a short one still fits");
    }
}
