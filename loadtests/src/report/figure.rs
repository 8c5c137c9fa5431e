//! One number with its budget, and one curve.

use std::borrow::Cow;

use serde::Serialize;

/// What kind of thing a figure measures: it decides whether a tiny run with any build can judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Time, or a ratio of times: needs a quiet machine, an optimised build and the full size.
    Time,
    /// Memory: needs an optimised build, and per minion the full size.
    Memory,
    /// Counts and bytes that are the same on every machine and in every size.
    Count,
    /// Counts and bytes that mean something in the full size only.
    Size,
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// One number, with what it must keep and what is aimed for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Lower case, words joined by `_`, its unit at the end unless it is a ratio.
    pub name: Cow<'static, str>,
    /// What was measured.
    pub value: f64,
    /// Of the value.
    pub unit: &'static str,
    /// What is demanded of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must: Option<f64>,
    /// What is aimed for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aim: Option<f64>,
    /// Which way is good.
    pub better: Better,
    /// Whether `must` decides over the exit code here.
    pub judged: bool,
    #[serde(skip)]
    kind: Kind,
}

impl Figure {
    /// A figure without a budget; lower is better.
    pub fn new(name: impl Into<Cow<'static, str>>, value: f64, unit: &'static str, kind: Kind) -> Figure {
        // Three places: a thousandth of a millisecond or a ratio says no more than the noise.
        let value = (value * 1000.0).round() / 1000.0;
        let (must, aim, better) = (None, None, Better::Lower);
        Figure { name: name.into(), value, unit, must, aim, better, judged: false, kind }
    }

    /// The same with a budget: it must not exceed one value, and is aimed at the other.
    pub fn at_most(self, must: f64, aim: impl Into<Option<f64>>) -> Figure {
        Figure { must: Some(must), aim: aim.into(), better: Better::Lower, judged: true, ..self }
    }

    /// The same with a budget from below: more is better.
    pub fn at_least(self, must: f64, aim: impl Into<Option<f64>>) -> Figure {
        Figure { must: Some(must), aim: aim.into(), better: Better::Higher, judged: true, ..self }
    }

    /// More is better, and there is no budget.
    pub fn higher(self) -> Figure {
        Figure { better: Better::Higher, ..self }
    }

    /// Shown, with its budget, and not judged: the note says why.
    pub fn unjudged(self) -> Figure {
        Figure { judged: false, ..self }
    }

    pub(super) fn judge_counts_only(&mut self) {
        self.judged &= self.kind == Kind::Count;
    }

    fn keeps(&self, bound: f64) -> bool {
        match self.better {
            Better::Lower => self.value <= bound,
            Better::Higher => self.value >= bound,
        }
    }

    /// Whether the must is missed. What is no number keeps nothing.
    pub fn missed(&self) -> bool {
        self.judged && self.must.is_some_and(|must| !self.keeps(must))
    }

    /// In a word or two.
    pub fn verdict(&self) -> &'static str {
        match (self.must, self.aim) {
            (None, _) => "",
            (Some(_), _) if !self.judged => "not judged",
            (Some(_), _) if self.missed() => "MISSED",
            (_, Some(aim)) if self.keeps(aim) => "aim reached",
            _ => "kept",
        }
    }

    pub(super) fn complaint(&self) -> Option<String> {
        let Figure { name, value, unit, must, better, .. } = self;
        let most = if *better == Better::Lower { "most" } else { "least" };
        self.missed()
            .then(|| format!("{name} is {value} {unit}, and must be at {most} {}", must.unwrap_or_default()))
    }
}

/// A curve: how one thing grows with another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Curves of one plot share its name.
    pub plot: &'static str,
    /// The curve's own.
    pub name: Cow<'static, str>,
    /// What `x` is, and its unit.
    pub x: &'static str,
    /// What `y` is, and its unit.
    pub y: &'static str,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_look_the_right_way() {
        let lower = |value| Figure::new("x", value, "ms", Kind::Time).at_most(3.0, 2.0);
        let higher = |value| Figure::new("x", value, "ratio", Kind::Time).at_least(30.0, 100.0);
        let table = [
            (lower(2.0), "aim reached"),
            (lower(2.5), "kept"),
            (lower(3.5), "MISSED"),
            (lower(f64::NAN), "MISSED"),
            (higher(100.0), "aim reached"),
            (higher(30.0), "kept"),
            (higher(29.0), "MISSED"),
            (higher(29.0).unjudged(), "not judged"),
            (Figure::new("x", 1.0, "ms", Kind::Time).higher(), ""),
        ];
        for (figure, verdict) in table {
            assert_eq!(figure.verdict(), verdict, "{figure:?}");
        }
        assert_eq!(higher(29.0).complaint().unwrap(), "x is 29 ratio, and must be at least 30");
    }
}
