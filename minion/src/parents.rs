//! Whom a minion dials, and in which order: the list that it was told, then the parents of its configuration.
//!
//! Owns that list on disk ([`file`]), the dialler's order, and looking whether a parent answers. When to move is the core's
//! seat's ([`relay_core::seat::Home`]).

mod file;

use std::path::{Path, PathBuf};

use relay_core::{
    identity::{FabricName, Role},
    ids::TierId,
    message::PlacedSyndic,
    seat::Home,
};
use relay_runtime::{
    config::Parent,
    link::{Channel, channel, dial::Order},
    telemetry,
    tls::ClientTls,
};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

pub use file::ListError;

/// Answers of primaries waiting for the minion's loop: it looks for one at a time.
const ANSWERS: usize = 4;

/// Whether a syndic that was looked for answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whom.
    pub syndic: TierId,
    /// It took a connection and proved who it is.
    pub answers: bool,
}

/// The parents of one minion that goes where it is told.
pub struct Parents {
    fabric: FabricName,
    tls: ClientTls,
    configured: Vec<Parent>,
    order: watch::Sender<Order>,
    kept: watch::Sender<Option<Home>>,
    answers: mpsc::Sender<Answer>,
}

/// What the loop of such a minion needs.
pub struct Following {
    /// Its parents.
    pub parents: Parents,
    /// What it was told in an earlier life.
    pub home: Option<Home>,
    /// Who was looked for, and answers or not.
    pub answers: mpsc::Receiver<Answer>,
}

/// What comes of [`Parents::open`].
pub struct Opened {
    /// For the minion's loop.
    pub following: Following,
    /// For the dialler.
    pub order: watch::Receiver<Order>,
    /// Writes the list down whenever it changes. Ends with the parents.
    pub writer: Writer,
}

/// Whether somebody there proves to be this.
async fn reach(address: &str, name: &str, tls: &ClientTls) -> Result<Channel, String> {
    let tls = tls.config().map_err(|e| e.to_string())?;
    channel(address, name, tls).await.map_err(|e| e.to_string())
}

impl Parents {
    /// The parents of a minion with this state directory and configuration.
    ///
    /// # Errors
    /// The list there is of a newer version, or cannot be read.
    pub fn open(
        state_dir: &Path,
        fabric: FabricName,
        tls: ClientTls,
        configured: Vec<Parent>,
    ) -> Result<Opened, ListError> {
        let path = state_dir.join(file::NAME);
        let home = file::load(&path)?;
        let parents = home.as_ref().map_or_else(|| configured.clone(), |home| joined(home, &configured));
        let (order, ordered) = watch::channel(Order { parents, moves: 0 });
        let (kept, news) = watch::channel(None);
        let (answers, answered) = mpsc::channel(ANSWERS);
        let parents = Parents { fabric, tls, configured, order, kept, answers };
        let following = Following { parents, home, answers: answered };
        Ok(Opened { following, order: ordered, writer: Writer { path, news } })
    }

    /// From the next dial on, these first.
    pub fn keep(&self, home: Home) {
        let parents = joined(&home, &self.configured);
        self.order.send_modify(|order| order.parents = parents);
        self.kept.send_replace(Some(home));
    }

    /// Looks whether one answers, beside the link that stands.
    pub fn seek(&self, syndic: &PlacedSyndic) {
        let (parent, tls, answers) = (parent(syndic), self.tls.clone(), self.answers.clone());
        let name = parent.identity(&self.fabric).map(|identity| identity.to_dns());
        tokio::spawn(async move {
            let reached = match name {
                Ok(name) => reach(&parent.address.to_string(), &name, &tls).await,
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &reached {
                metrics::counter!(telemetry::MOVES_TOTAL, "result" => "not_reached").increment(1);
                debug!(parent = %parent.id, error, "not reached");
            }
            // A loop that is gone needs no answer.
            let _ = answers.try_send(Answer { syndic: parent.id, answers: reached.is_ok() });
        });
    }

    /// Gives the link up for the first parent.
    pub fn leave(&self) {
        metrics::counter!(telemetry::MOVES_TOTAL, "result" => "left").increment(1);
        self.order.send_modify(|order| order.moves += 1);
    }
}

/// Writes down what a minion was told. Its own task, since the disk may be slow.
pub struct Writer {
    path: PathBuf,
    news: watch::Receiver<Option<Home>>,
}

impl Writer {
    /// Writes the newest list whenever there is one.
    pub async fn run(mut self) {
        while self.news.changed().await.is_ok() {
            let Some(home) = self.news.borrow_and_update().clone() else { continue };
            let path = self.path.clone();
            let written = tokio::task::spawn_blocking(move || file::save(&path, &home)).await;
            if let Ok(Err(error)) = written {
                let file = self.path.display();
                warn!(%file, %error, "the list of parents cannot be written: after a restart the minion is told again");
            }
        }
    }
}

fn parent(syndic: &PlacedSyndic) -> Parent {
    let PlacedSyndic { id, region, address } = syndic.clone();
    Parent { id, region, role: Role::Syndic, address }
}

/// Those told, then those of the configuration that are not among them.
fn joined(home: &Home, configured: &[Parent]) -> Vec<Parent> {
    let mut parents: Vec<Parent> = home.syndics.iter().map(parent).collect();
    for other in configured {
        if !parents.contains(other) {
            parents.push(other.clone());
        }
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(id: &str, port: u16) -> Parent {
        let address = format!("{id}.example:{port}").parse().unwrap();
        Parent { id: id.parse().unwrap(), region: "aws".parse().unwrap(), role: Role::Syndic, address }
    }

    #[test]
    fn those_told_come_first_and_those_configured_last() {
        let syndic = |id: &str| {
            let Parent { id, region, address, .. } = parent(id, 1);
            PlacedSyndic { id, region, address }
        };
        let home = Home { revision: 1, syndics: [syndic("b"), syndic("a")].into_iter().collect() };
        // The same syndic under another address is another way to it.
        let configured = [parent("a", 1), parent("b", 2), parent("c", 1)];
        let expected = [parent("b", 1), parent("a", 1), parent("b", 2), parent("c", 1)];
        assert_eq!(joined(&home, &configured), expected);
    }
}
