//! A plan for people.

use std::time::Duration;

use relay_core::compact::compact;
use relay_proto::operator::{Batch, PlanReply, PlanStage, batch::Size, share::Kind};

use crate::{
    output::{Paint, clean, table},
    run::words,
    when,
};

/// Most minions that are named; JSON has all of them.
const MAX_NAMED: usize = 20;
/// Most stages that are listed, the last among them. A canary has at most 32.
const MAX_STAGES: usize = 32;

/// All of it. `asked` is the batch that the operator gave.
pub fn text(plan: &PlanReply, asked: Option<&Batch>, command: &str, paint: &Paint) -> String {
    let call = words::call(&plan.function, &plan.args);
    let mut out = clean(&format!("{call} on {}: {}\n\n", plan.target, words::targets(plan.targets)));
    let rows = plan.syndics.iter().map(|s| {
        [s.region.clone(), s.syndic.clone(), s.targets.to_string(), s.up.to_string(), s.down.to_string()]
    });
    out.push_str(&table(["REGION", "SYNDIC", "TARGETS", "UP", "DOWN"], rows));
    out.push_str(&format!("\nforecast  {}\n", forecast(plan, paint)));
    out.push_str(&batch(&plan.stages, plan.targets, whose(asked)));
    if let Some(most) = asked.and_then(max_failures) {
        out.push_str(&format!("stops     {most}\n"));
    }
    out.push_str(&format!("duration  {}\n", duration(plan)));
    if !plan.needs_approval.is_empty() {
        out.push_str(&format!(
            "approval  {}\n",
            paint.yellow(clean(&format!("a second person has to agree: {}", plan.needs_approval)))
        ));
    }
    let until = when::moment(plan.expires).map_or_else(String::new, |at| format!(", until {at}"));
    out.push_str(&format!("\nto run exactly this, on exactly these targets{until}:\n  {command}"));
    out
}

fn forecast(plan: &PlanReply, paint: &Paint) -> String {
    let down = plan.down.len() as u64;
    let up = plan.targets.saturating_sub(down);
    if down == 0 {
        return paint.green(if up == 1 { "it is up".into() } else { format!("all {up} are up") });
    }
    let named = compact(plan.down.iter().take(MAX_NAMED).map(String::as_str));
    let more = plan.down.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more (--out json names all)") } else { String::new() };
    let is = |n: u64| if n == 1 { "is" } else { "are" };
    let line = format!(
        "{up} {} up; {down} {} down and will be not_started unless they return in time:",
        is(up),
        is(down)
    );
    format!("{}\n          {}{more}", paint.yellow(line), clean(&named))
}

/// Whose numbers those of the batch are, if they are not the operator's own.
fn whose(asked: Option<&Batch>) -> &'static str {
    match asked.and_then(|batch| batch.size.as_ref()) {
        None | Some(Size::Regions(_)) => " (the regions' defaults: no --batch was given)",
        Some(_) => "",
    }
}

fn max_failures(asked: &Batch) -> Option<String> {
    Some(match asked.max_failures.as_ref()?.kind? {
        Kind::Count(1) => "nothing more is started after the first failure".into(),
        Kind::Count(n) => format!("nothing more is started after {n} failures"),
        Kind::Percent(n) => format!("nothing more is started once {n}% of the targets have failed"),
    })
}

fn batch(stages: &[PlanStage], targets: u64, whose: &str) -> String {
    let at_once = |stage: &PlanStage| match stage.at_once {
        n if n == 0 || n >= targets => "all at once".to_owned(),
        n => format!("at most {n} at once"),
    };
    if let [only] = stages {
        return format!("batch     {}{whose}\n", at_once(only));
    }
    let mut before = 0;
    let lines = stages.iter().take(MAX_STAGES).enumerate().map(|(i, stage)| {
        let these = stage.upto.saturating_sub(before);
        before = stage.upto;
        let then = if stage.approve { ", then an operator's approval" } else { "" };
        format!(
            "  {}. {}, {} of {targets} in all, {}{then}\n",
            i + 1,
            words::minions(these),
            stage.upto,
            at_once(stage)
        )
    });
    format!("batch     {} stages\n{}", stages.len(), lines.collect::<String>())
}

fn duration(plan: &PlanReply) -> String {
    match plan.estimated_from {
        0 => "nobody knows: no job with this function is kept".into(),
        n => {
            let span = Duration::from_millis(plan.estimated_ms);
            let about = if span < Duration::from_secs(1) {
                "under 1s".into()
            } else {
                format!("about {}", when::span(span))
            };
            format!("{about}, by {n} earlier job{} with this function", if n == 1 { "" } else { "s" })
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::{PlanSyndic, Share};

    use super::*;

    fn plan() -> PlanReply {
        let syndic =
            PlanSyndic { region: "aws".into(), syndic: "aws-1".into(), targets: 30, up: 5, down: 25 };
        PlanReply {
            targets: 30,
            syndics: vec![syndic],
            stages: vec![
                PlanStage { upto: 1, at_once: 1, approve: true },
                PlanStage { upto: 30, at_once: 29, approve: false },
            ],
            estimated_ms: 95_000,
            estimated_from: 3,
            down: (1..=25).map(|n| format!("web{n:02}")).collect(),
            function: "test.ping".into(),
            args: b"{}".to_vec(),
            target: "web*".into(),
            expires: 1_795_246_616_000_000,
            ..PlanReply::default()
        }
    }

    #[test]
    fn all_of_a_plan() {
        let expected = "test.ping on web*: 30 targets

 REGION  SYNDIC  TARGETS  UP  DOWN
 aws     aws-1   30       5   25

forecast  5 are up; 25 are down and will be not_started unless they return in time:
          web[01-20] and 5 more (--out json names all)
batch     2 stages
  1. 1 minion, 1 of 30 in all, at most 1 at once, then an operator's approval
  2. 29 minions, 30 of 30 in all, at most 29 at once
duration  about 1m 35s, by 3 earlier jobs with this function

to run exactly this, on exactly these targets, until 2026-11-21T07:36:56Z:
  relayctl run --plan-id 00";
        let asked = Batch { size: Some(Size::Auto(true)), ..Batch::default() };
        assert_eq!(text(&plan(), Some(&asked), "relayctl run --plan-id 00", &Paint::PLAIN), expected);
    }

    #[test]
    fn whose_limits_they_are_is_said() {
        let stages = vec![PlanStage { upto: 30, at_once: 17, approve: false }];
        let plan = PlanReply { stages, ..plan() };
        let shown = |asked: Option<&Batch>| text(&plan, asked, "x", &Paint::PLAIN);
        let defaults = "batch     at most 17 at once (the regions' defaults";
        assert!(shown(None).contains(defaults), "{}", shown(None));
        let kind = Some(Kind::Count(5));
        let failures = Batch { max_failures: Some(Share { kind }), ..Batch::default() };
        let shown_with = shown(Some(&failures));
        assert!(shown_with.contains(defaults) && shown_with.contains("after 5 failures"), "{shown_with}");
        let window = Batch { size: Some(Size::Window(Share { kind })), ..Batch::default() };
        assert!(shown(Some(&window)).contains("at most 17 at once\n"));
    }

    #[test]
    fn what_nobody_knows_is_said() {
        let stages = vec![PlanStage { upto: 30, at_once: 30, approve: false }];
        let plan = PlanReply { estimated_from: 0, down: Vec::new(), stages, ..plan() };
        let shown = text(&plan, None, "x", &Paint::PLAIN);
        assert!(shown.contains("all 30 are up") && shown.contains("batch     all at once"), "{shown}");
        assert!(shown.contains("duration  nobody knows"), "{shown}");
    }
}
