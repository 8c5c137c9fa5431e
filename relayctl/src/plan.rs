//! Plans: what a job would do, shown before it does it, under an id that runs exactly that.

mod text;

use relay_core::ids::RequestId;
use relay_proto::operator::{PlanReply, PlanStage, PlanSyndic, SubmitRequest};
use serde::Serialize;
use serde_json::Value;

use crate::{connect::Fabric, exit::Exit, output::Output, when};

/// Bytes of a plan's id.
pub const ID_BYTES: usize = 32;

/// A plan's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanId(pub [u8; ID_BYTES]);

impl std::str::FromStr for PlanId {
    type Err = String;
    fn from_str(text: &str) -> Result<PlanId, String> {
        let wrong = || {
            let digits = 2 * ID_BYTES;
            format!(
                "write the {digits} hexadecimal digits that \"relayctl run … --plan\" printed as the plan's id"
            )
        };
        if text.len() != 2 * ID_BYTES || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut id = [0; ID_BYTES];
        for (i, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
        }
        Ok(PlanId(id))
    }
}

impl PlanId {
    /// What runs the plan.
    pub fn request(&self, id: RequestId) -> SubmitRequest {
        let request_id = id.0.to_be_bytes().to_vec();
        SubmitRequest { request_id, plan_id: self.0.to_vec(), ..SubmitRequest::default() }
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize)]
struct Planned {
    plan_id: String,
    command: String,
    expires: Option<String>,
    /// Why a second person has to agree; empty if nobody has to.
    needs_approval: String,
    target: String,
    function: String,
    args: Value,
    targets: u64,
    up: u64,
    down: Vec<String>,
    syndics: Vec<Syndic>,
    stages: Vec<Stage>,
    estimated_ms: Option<u64>,
    estimated_from: u32,
    minions: Vec<String>,
}

#[derive(Serialize)]
struct Syndic {
    region: String,
    syndic: String,
    targets: u64,
    up: u64,
    down: u64,
}

#[derive(Serialize)]
struct Stage {
    upto: u64,
    at_once: u64,
    approve: bool,
}

impl Planned {
    fn new(plan: &PlanReply, context: Option<&str>) -> Planned {
        let syndic = |s: &PlanSyndic| Syndic {
            region: s.region.clone(),
            syndic: s.syndic.clone(),
            targets: s.targets,
            up: s.up,
            down: s.down,
        };
        let stage = |s: &PlanStage| Stage { upto: s.upto, at_once: s.at_once, approve: s.approve };
        Planned {
            plan_id: hex(&plan.plan_id),
            command: command(&plan.plan_id, context),
            expires: when::moment(plan.expires),
            needs_approval: plan.needs_approval.clone(),
            target: plan.target.clone(),
            function: plan.function.clone(),
            args: serde_json::from_slice(&plan.args).unwrap_or_default(),
            targets: plan.targets,
            up: plan.targets.saturating_sub(plan.down.len() as u64),
            down: plan.down.clone(),
            syndics: plan.syndics.iter().map(syndic).collect(),
            stages: plan.stages.iter().map(stage).collect(),
            estimated_ms: (plan.estimated_from > 0).then_some(plan.estimated_ms),
            estimated_from: plan.estimated_from,
            minions: plan.minions.clone(),
        }
    }
}

/// The line that runs a plan.
fn command(id: &[u8], context: Option<&str>) -> String {
    let context =
        context.map_or_else(String::new, |name| format!(" --context '{}'", name.replace('\'', r"'\''")));
    format!("relayctl run --plan-id {}{context}", hex(id))
}

/// Asks for a plan and prints it.
///
/// # Errors
/// The job cannot be planned, for the reasons for which it could not be run.
pub async fn show(
    fabric: &mut Fabric,
    request: SubmitRequest,
    context: Option<&str>,
    out: &Output,
) -> anyhow::Result<Exit> {
    let batch = request.batch.clone();
    let plan = fabric.plan(request).await?;
    out.show(&Planned::new(&plan, context), |paint| {
        text::text(&plan, batch.as_ref(), &command(&plan.plan_id, context), paint)
    })?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits() {
        let id = "00ff".repeat(16);
        let read: PlanId = id.parse().unwrap();
        assert_eq!(hex(&read.0), id);
        assert_eq!(id.to_uppercase().parse::<PlanId>(), Ok(read));
        for wrong in ["", "00ff", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            let error = wrong.parse::<PlanId>().unwrap_err();
            assert!(error.starts_with("write the 64 hexadecimal digits"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_plans_request_holds_nothing_else() {
        let found = PlanId([7; 32]).request(RequestId(5));
        let request_id = 5_u128.to_be_bytes().to_vec();
        assert_eq!(found, SubmitRequest { request_id, plan_id: vec![7; 32], ..SubmitRequest::default() });
    }

    #[test]
    fn the_json_is_complete() {
        let plan = PlanReply {
            plan_id: vec![1; 32],
            targets: 3,
            down: vec!["c".into()],
            minions: vec!["a".into(), "b".into(), "c".into()],
            estimated_ms: 5,
            stages: vec![PlanStage { upto: 3, at_once: 2, approve: false }],
            args: br#"{"args":[1],"kwargs":{}}"#.to_vec(),
            ..PlanReply::default()
        };
        let json = serde_json::to_value(Planned::new(&plan, Some("it's"))).unwrap();
        assert_eq!(json["up"], 2);
        assert_eq!(json["minions"], serde_json::json!(["a", "b", "c"]));
        assert_eq!(json["stages"][0], serde_json::json!({"upto": 3, "at_once": 2, "approve": false}));
        // No job was like it: that is not 5 ms.
        assert_eq!(json["estimated_ms"], Value::Null);
        let expected = format!(r"relayctl run --plan-id {} --context 'it'\''s'", "01".repeat(32));
        assert_eq!(json["command"], expected);
    }
}
