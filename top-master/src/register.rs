//! What a top master has in the registry: itself, and the syndics attached to it, under one lease.

use std::collections::BTreeMap;

use bytes::Bytes;
use relay_core::ids::TierId;
use relay_runtime::registry::{Key, LeaseId, Registry, RegistryError};
use serde::{Deserialize, Serialize};

/// The attached syndics and what is registered of each.
pub type Syndics = BTreeMap<TierId, Bytes>;

/// What a top master says of itself. Unknown fields are a newer one's, and left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Where syndics dial it.
    pub listen: String,
    /// Where operators reach it.
    pub operators: String,
    /// Its software.
    pub version: String,
    /// It is stopping: what it leads may be taken at once.
    #[serde(default)]
    pub leaving: bool,
}

impl Presence {
    /// Reads what a top master registered.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn parse(value: &[u8]) -> Result<Presence, serde_json::Error> {
        serde_json::from_slice(value)
    }

    fn value(&self, own: &TierId) -> Result<Bytes, RegistryError> {
        let bad = |e: serde_json::Error| RegistryError::Value {
            key: Key::TopMaster(own.clone()),
            why: e.to_string(),
        };
        Ok(Bytes::from(serde_json::to_vec(self).map_err(bad)?))
    }
}

/// What lies in the registry under a lease.
#[derive(Debug)]
pub struct Registered {
    /// The lease.
    pub lease: LeaseId,
    presence: Option<Presence>,
    syndics: Syndics,
}

impl Registered {
    /// Nothing yet, under a new lease.
    pub fn under(lease: LeaseId) -> Registered {
        Registered { lease, presence: None, syndics: Syndics::new() }
    }

    /// Makes the registry say this and no more. What was done before an error stays done, and the next call does the rest.
    ///
    /// # Errors
    /// The lease has ended, or the registry can't be reached.
    pub async fn say(
        &mut self,
        registry: &dyn Registry,
        own: &TierId,
        presence: &Presence,
        wanted: &Syndics,
    ) -> Result<(), RegistryError> {
        if self.presence.as_ref() != Some(presence) {
            registry.put(Key::TopMaster(own.clone()), presence.value(own)?, Some(self.lease)).await?;
            self.presence = Some(presence.clone());
        }
        let key = |syndic: &TierId| Key::Syndic { top_master: own.clone(), syndic: syndic.clone() };
        for (syndic, value) in wanted {
            if self.syndics.get(syndic) != Some(value) {
                registry.put(key(syndic), value.clone(), Some(self.lease)).await?;
                self.syndics.insert(syndic.clone(), value.clone());
            }
        }
        let gone: Vec<TierId> = self.syndics.keys().filter(|id| !wanted.contains_key(id)).cloned().collect();
        for syndic in gone {
            let listing = registry.list(key(&syndic).area()).await?;
            if let Some(entry) = listing.entries.into_iter().find(|e| e.key == key(&syndic)) {
                registry.remove(entry.key, entry.revision).await?;
            }
            self.syndics.remove(&syndic);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_runtime::registry::{Area, Embedded};

    use super::*;

    fn presence(leaving: bool) -> Presence {
        Presence { listen: "a:1".into(), operators: "a:2".into(), version: "relay/1".into(), leaving }
    }

    #[tokio::test]
    async fn syndics_come_and_go_with_the_lease() {
        let registry = Embedded::new(Arc::new(|| 0));
        let own: TierId = "top-1".parse().unwrap();
        let syndics =
            |ids: &[&str]| ids.iter().map(|id| (id.parse().unwrap(), Bytes::new())).collect::<Syndics>();
        let mut there = Registered::under(registry.grant(1_000).await.unwrap());
        there.say(&registry, &own, &presence(false), &syndics(&["aws-1", "aws-2"])).await.unwrap();
        assert_eq!(registry.list(Area::All).await.unwrap().entries.len(), 3);
        there.say(&registry, &own, &presence(true), &syndics(&["aws-2"])).await.unwrap();
        assert_eq!(registry.list(Area::Syndics).await.unwrap().entries.len(), 1);
        let top = registry.list(Area::TopMasters).await.unwrap().entries.remove(0);
        assert_eq!(Presence::parse(&top.value).unwrap(), presence(true));
        registry.revoke(there.lease).await.unwrap();
        assert!(registry.list(Area::All).await.unwrap().entries.is_empty());
        let ended = there.say(&registry, &own, &presence(false), &syndics(&["aws-2"])).await;
        assert!(matches!(ended, Err(RegistryError::LeaseEnded(_))));
    }

    #[test]
    fn a_newer_top_master_may_say_more() {
        let text = br#"{"listen":"a:1","operators":"a:2","version":"relay/9","colour":"blue"}"#;
        assert_eq!(Presence::parse(text).unwrap().listen, "a:1");
        assert!(Presence::parse(b"127.0.0.1:4510").is_err());
    }
}
