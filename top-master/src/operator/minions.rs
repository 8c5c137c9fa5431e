//! The minions that the top master knows.

use relay_core::{inventory::Minion, owner::Owner};
use relay_proto::operator as wire;

use super::{OperatorService, Reply, Streamed, paged};

/// Minions in one message of a list.
const PER_PAGE: usize = 500;

impl OperatorService {
    pub(super) async fn minion_list(
        &self,
        request: wire::ListMinionsRequest,
    ) -> Reply<Streamed<wire::MinionsPage>> {
        let wire::ListMinionsRequest { down, target, grains } = request;
        let target = match target.as_str() {
            "" => None,
            text => Some(self.target(text)?),
        };
        let look = move |owner: &Owner| {
            let inventory = owner.inventory();
            let mut members = target.map_or_else(|| inventory.all().clone(), |t| inventory.evaluate(&t));
            if down {
                members -= inventory.up();
            }
            members.iter().filter_map(|no| inventory.get(no)).map(|m| minion(m, grains)).collect::<Vec<_>>()
        };
        let mut minions = self.look(look).await?;
        minions.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(paged(minions, PER_PAGE, |minions| wire::MinionsPage { minions }))
    }
}

fn minion(m: &Minion, grains: bool) -> wire::Minion {
    wire::Minion {
        id: m.id.to_string(),
        region: m.region.to_string(),
        syndic: m.syndic.to_string(),
        up: m.up,
        since: m.since,
        grains: if grains { m.grains.to_string() } else { String::new() },
    }
}
