//! The revision that a fabric has.

use anyhow::bail;
use relay_core::topology::Topology;
use relay_proto::operator::TopologyRevision;
use relay_runtime::config::parse_topology;

use super::api::Topologies;

/// The active revision, and what it says. Number 0 and no topology: none was applied yet.
#[derive(Debug)]
pub struct Active {
    /// The revision, with its text.
    pub revision: TopologyRevision,
    /// What its text means.
    pub topology: Option<Topology>,
    /// The number of one that goes from region to region now.
    pub staging: Option<u64>,
}

impl Active {
    /// Asks for it.
    ///
    /// # Errors
    /// The fabric does not answer, or this program cannot read what it has.
    pub async fn of(fabric: &mut impl Topologies) -> anyhow::Result<Active> {
        let revision = fabric.revision(0).await?;
        let topology = (revision.number > 0).then(|| meaning(&revision)).transpose()?;
        let newest = fabric.history(1, 0).await?.into_iter().next();
        let staging = newest.filter(|newest| newest.state == "staging").map(|newest| newest.number);
        Ok(Active { revision, topology, staging })
    }

    /// That no other one is on its way.
    ///
    /// # Errors
    /// One is.
    pub fn settled(&self) -> anyhow::Result<()> {
        match self.staging {
            None => Ok(()),
            Some(n) => bail!("revision {n} is being applied: wait for its end (relayctl topology history)"),
        }
    }

    /// Its number; 0 if there is none.
    pub fn number(&self) -> u64 {
        self.revision.number
    }
}

/// What a revision's text means.
///
/// # Errors
/// This program is older than whoever applied it, or the fabric keeps no text of it.
pub fn meaning(revision: &TopologyRevision) -> anyhow::Result<Topology> {
    match parse_topology(&revision.text) {
        Ok(topology) => Ok(topology),
        Err(problems) => {
            let file = format!("revision {}", revision.number);
            let first =
                problems.first().map_or_else(|| file.clone(), |problem| problem.in_file(&file).to_string());
            bail!("this relayctl cannot read what the fabric has: {first}; upgrade relayctl")
        }
    }
}
