//! How large an expression is, by the measures that bound it: known before it is built, so that node groups that name
//! each other twice, twice, twice can not fill the memory.

use super::{
    Expr, GroupName, MAX_EXPANDED_TARGET_BYTES, MAX_TARGET_DEPTH, MAX_TARGET_NODES, MAX_TARGET_REGEXES,
    print::Grip,
};

/// The size of an expression, node groups included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Terms and operators.
    pub(super) nodes: usize,
    /// Compiled regular expressions.
    pub(super) regexes: usize,
    /// The text of all terms.
    pub(super) bytes: usize,
    /// Levels of parentheses and `not`. A node group counts as its expression in parentheses.
    pub(super) depth: usize,
}

impl Size {
    /// The size of an expression, with that of each node group by name.
    pub(super) fn of(expr: &Expr, group: &impl Fn(&GroupName) -> Size) -> Size {
        match expr {
            Expr::NodeGroup(name) => group(name).deeper(),
            Expr::Not(inner) => Size::inside(inner, Grip::Not, group).deeper().and_a_node(),
            Expr::And(parts) => Size::sum(parts, Grip::Not, group),
            Expr::Or(parts) => Size::sum(parts, Grip::And, group),
            term => Size { nodes: 1, regexes: regexes(term), bytes: term.to_string().len(), depth: 0 },
        }
    }

    fn sum(parts: &[Expr], asked: Grip, group: &impl Fn(&GroupName) -> Size) -> Size {
        let sizes = parts.iter().map(|part| Size::inside(part, asked, group));
        sizes.fold(Size::default(), Size::beside).and_a_node()
    }

    /// The size in a place that asks for parentheses around what holds less.
    fn inside(expr: &Expr, asked: Grip, group: &impl Fn(&GroupName) -> Size) -> Size {
        let own = Size::of(expr, group);
        if Grip::of(expr) < asked { own.deeper() } else { own }
    }

    fn beside(self, other: Size) -> Size {
        Size {
            nodes: self.nodes.saturating_add(other.nodes),
            regexes: self.regexes.saturating_add(other.regexes),
            bytes: self.bytes.saturating_add(other.bytes),
            depth: self.depth.max(other.depth),
        }
    }

    fn deeper(self) -> Size {
        Size { depth: self.depth.saturating_add(1), ..self }
    }

    fn and_a_node(self) -> Size {
        Size { nodes: self.nodes.saturating_add(1), ..self }
    }

    /// The bound that is passed, in words: `None` if all hold.
    pub(super) fn too_large(&self) -> Option<String> {
        let bounds = [
            (self.nodes, MAX_TARGET_NODES, "terms and operators"),
            (self.regexes, MAX_TARGET_REGEXES, "regular expressions"),
            (self.depth, MAX_TARGET_DEPTH, "levels of parentheses and 'not'"),
            (self.bytes, MAX_EXPANDED_TARGET_BYTES, "bytes of text"),
        ];
        let passed = bounds.iter().find(|(size, bound, _)| size > bound);
        passed.map(|(size, bound, what)| format!("{size} {what} (at most {bound})"))
    }
}

/// How many regular expressions a term is compiled to.
pub(super) fn regexes(term: &Expr) -> usize {
    match term {
        Expr::Regex(_) => 1,
        Expr::GrainRegex(pattern) | Expr::PillarRegex(pattern) => pattern.compiled(),
        _ => 0,
    }
}
