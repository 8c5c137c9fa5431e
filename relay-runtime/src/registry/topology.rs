//! Which topology is active: one key, changed by compare-and-set, so that two who apply at once do not both win.

use bytes::Bytes;

use super::{Key, Registry, RegistryError, Revision, Swap};

/// The active topology, as the registry names it. The text itself lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveTopology {
    /// Its number in the history; the first is 1.
    pub number: u64,
    /// SHA-256 of its text, in hexadecimal.
    pub digest: String,
}

/// The active topology with what [`activate`] must be given to replace it; `None` before the first was activated.
///
/// # Errors
/// The registry can't be reached, or the value is not ours.
pub async fn active(registry: &dyn Registry) -> Result<Option<(ActiveTopology, Revision)>, RegistryError> {
    let listing = registry.list(Key::Topology.area()).await?;
    let entry = listing.entries.into_iter().find(|e| e.key == Key::Topology);
    entry.map(|e| Ok((parse(&e.value)?, e.revision))).transpose()
}

/// Makes a topology the active one, if nobody has since `planned_on` was read (`None`: there was none). False: somebody
/// has; plan again.
///
/// # Errors
/// The registry can't be reached.
pub async fn activate(
    registry: &dyn Registry,
    planned_on: Option<Revision>,
    next: &ActiveTopology,
) -> Result<bool, RegistryError> {
    let value = serde_json::to_vec(next).map_err(not_ours)?;
    let swapped = registry.swap(Key::Topology, planned_on, Bytes::from(value), None).await?;
    Ok(matches!(swapped, Swap::Done(_)))
}

/// Reads the value of [`Key::Topology`], as a watch brings it.
///
/// # Errors
/// It is not what [`activate`] writes.
pub fn parse(value: &[u8]) -> Result<ActiveTopology, RegistryError> {
    serde_json::from_slice(value).map_err(not_ours)
}

fn not_ours(error: serde_json::Error) -> RegistryError {
    RegistryError::Value { key: Key::Topology, why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_values_are_named_with_their_key() {
        let error = parse(b"{\"number\":1}").unwrap_err().to_string();
        assert!(error.contains("/topology/active") && error.contains("digest"), "{error}");
    }
}
