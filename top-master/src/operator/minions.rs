//! The minions that the top master knows.

use relay_core::{
    inventory::{Minion, MinionNo},
    owner::Owner,
};
use relay_proto::operator as wire;

use super::{OperatorService, Reply, Streamed, submit};
use crate::streams::Outlet;

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
            text => Some(submit::target(text, &self.defaults())?),
        };
        let look = move |owner: &Owner| {
            let inventory = owner.inventory();
            let mut members = target.map_or_else(|| inventory.all().clone(), |t| inventory.evaluate(&t));
            if down {
                members -= inventory.up();
            }
            let named = |no| inventory.get(no).map(|minion| (minion.id.clone(), no));
            members.iter().filter_map(named).collect::<Vec<_>>()
        };
        let mut members = self.look(look).await?;
        members.sort_unstable();
        let members: Vec<MinionNo> = members.into_iter().map(|(_, no)| no).collect();
        let this = self.clone();
        self.streams.list(move |pages| async move { this.minion_pages(&members, down, grains, pages).await })
    }

    /// Each page is made when its turn comes: a list that is read slowly holds numbers, not grains. Who has gone or come up
    /// meanwhile is left out.
    async fn minion_pages(
        &self,
        members: &[MinionNo],
        down: bool,
        grains: bool,
        pages: Outlet<wire::MinionsPage>,
    ) {
        for part in members.chunks(PER_PAGE) {
            let part = part.to_vec();
            let look = move |owner: &Owner| {
                let fits = |m: &&Minion| !down || !m.up;
                let known = part.into_iter().filter_map(|no| owner.inventory().get(no)).filter(fits);
                wire::MinionsPage { minions: known.map(|m| minion(m, grains)).collect() }
            };
            let page = self.look(look).await;
            let failed = page.is_err();
            if pages.send(page).await.is_err() || failed {
                return;
            }
        }
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
