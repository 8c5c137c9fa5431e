//! Which terms of a target rest on what minions say of themselves, and how far such a target could reach if they lie.
//!
//! Grains come from the minion, and which of a region's syndics it attaches to is its own choice. So they may narrow what a
//! rule allows and never make it: the reach of a rule is bounded by ids, regions and node groups.

use crate::target::{Expr, Glob};

/// Whether a term is said by the minion itself.
fn is_said(term: &Expr) -> bool {
    matches!(
        term,
        Expr::Grain(_)
            | Expr::GrainRegex(_)
            | Expr::Pillar(_)
            | Expr::PillarRegex(_)
            | Expr::Subnet(_)
            | Expr::Syndic(_)
    )
}

/// The first term of an expression that minions say of themselves.
pub(super) fn first_said(expr: &Expr) -> Option<&Expr> {
    let mut first = None;
    expr.each_term(&mut |term| {
        if first.is_none() && is_said(term) {
            first = Some(term);
        }
    });
    first
}

/// The same expression as it is if minions say whatever makes it match most (`most`), or least.
pub(super) fn bound(expr: &Expr, most: bool) -> Expr {
    let all = |parts: &[Expr]| parts.iter().map(|part| bound(part, most)).collect();
    match expr {
        Expr::Not(inner) => Expr::Not(Box::new(bound(inner, !most))),
        Expr::And(parts) => Expr::And(all(parts)),
        Expr::Or(parts) => Expr::Or(all(parts)),
        term if is_said(term) && most => everybody(),
        term if is_said(term) => Expr::Not(Box::new(everybody())),
        term => term.clone(),
    }
}

/// Whether minions can talk themselves into an expression without bounds: with what they say taken away, it is everybody.
pub(super) fn rests_on_said(expr: &Expr) -> bool {
    first_said(expr).is_some() && is_everybody(&bound(expr, true))
}

fn everybody() -> Expr {
    Expr::Glob(Glob::new("*"))
}

/// As far as the form shows: an expression that happens to match everybody is not seen.
fn is_everybody(expr: &Expr) -> bool {
    match expr {
        Expr::Glob(glob) | Expr::Region(glob) => glob.is_everything(),
        Expr::Not(inner) => is_nobody(inner),
        Expr::And(parts) => parts.iter().all(is_everybody),
        Expr::Or(parts) => parts.iter().any(is_everybody),
        _ => false,
    }
}

fn is_nobody(expr: &Expr) -> bool {
    match expr {
        Expr::Not(inner) => is_everybody(inner),
        Expr::And(parts) => parts.iter().any(is_nobody),
        Expr::Or(parts) => parts.iter().all(is_nobody),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn what_minions_say_only_narrows() {
        for (target, rests) in [
            ("*", false),
            ("web*", false),
            ("region:aws", false),
            ("region:aws and G@os:Debian", false),
            ("web* and not G@env:prod", false),
            ("N@web and S@10.0.0.0/8", false),
            ("region:aws or (region:gcp and P@os:Deb.*)", false),
            ("region:aws and syndic:aws-1", false),
            ("not (web* or G@os:Debian)", false),
            ("G@os:Debian", true),
            ("syndic:aws-*", true),
            ("S@10.0.0.0/8", true),
            ("I@role:db", true),
            ("not G@env:prod", true),
            ("* and G@os:Debian", true),
            ("region:* and G@os:Debian", true),
            ("region:aws or G@os:Debian", true),
            ("not (web* and G@os:Debian)", true),
            ("(G@a:b or web*) and (G@c:d or *)", true),
        ] {
            assert_eq!(rests_on_said(Target::parse(target).expect(target).expr()), rests, "{target}");
        }
    }
}
