//! Known minions: those of a list in a file (an id per line, with its region if that is known), or those that a top master
//! knows.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, bail};
use relay_core::{
    ids::{MinionId, RegionName},
    topology::{Topology, plan::Fleet},
};
use relay_proto::operator::Minion;

/// Largest list read, in bytes: some 500,000 minions with everything that "minions list" says of them.
const MAX_BYTES: u64 = 64 << 20;

/// Minions with their regions where the list names them.
#[derive(Debug, Default)]
pub struct Known {
    placed: Vec<(MinionId, RegionName)>,
    alone: Vec<MinionId>,
}

impl Known {
    /// Reads a list. Columns are separated by blanks or tabs; the first is the id, the second (if there is one) the region,
    /// the others are left. Empty lines and those that begin with `#` are left out.
    pub fn read(path: &Path) -> anyhow::Result<Known> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut text = String::new();
        let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
        let bytes = read.with_context(|| format!("cannot read {}", path.display()))?;
        if bytes as u64 > MAX_BYTES {
            bail!("{} has more than {MAX_BYTES} bytes; is this the right file?", path.display());
        }
        Known::parse(&text, &path.display().to_string())
    }

    /// Those that a top master knows, in the regions of their certificates.
    ///
    /// # Errors
    /// A name that this program cannot read.
    pub fn of(minions: &[Minion]) -> anyhow::Result<Known> {
        let placed = |minion: &Minion| {
            let at = || format!("minion {:?} of region {:?}", minion.id, minion.region);
            Ok((minion.id.parse().with_context(at)?, minion.region.parse().with_context(at)?))
        };
        let placed = minions.iter().map(placed).collect::<anyhow::Result<_>>()?;
        Ok(Known { placed, alone: Vec::new() })
    }

    fn parse(text: &str, file: &str) -> anyhow::Result<Known> {
        let mut known = Known::default();
        for (number, line) in text.lines().enumerate() {
            let mut columns = line.split_whitespace();
            let Some(id) = columns.next().filter(|first| !first.starts_with('#')) else { continue };
            let at = || format!("{file}:{}", number + 1);
            let id = id.parse::<MinionId>().with_context(at)?;
            match columns.next() {
                Some(region) => known.placed.push((id, region.parse::<RegionName>().with_context(at)?)),
                None => known.alone.push(id),
            }
        }
        Ok(known)
    }

    /// The minions as a topology has them; and how many belong to no region of it.
    pub fn fleet(&self, topology: &Topology) -> (Fleet, usize) {
        let (alone, strangers) = Fleet::of_ids(topology, self.alone.iter().cloned());
        let (placed, foreign): (Vec<_>, Vec<_>) =
            self.placed.iter().cloned().partition(|(_, region)| topology.region(region).is_some());
        let alone = alone.iter().map(|(id, region)| (id.clone(), region.clone()));
        (Fleet::known(alone.chain(placed)), strangers.len() + foreign.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_regions_from_lines() {
        let known = Known::parse("# all\n\nweb-1\nweb-2\taws\tsyndic-1\tup\n", "list").unwrap();
        assert_eq!((known.alone.len(), known.placed.len()), (1, 1));
        assert_eq!(known.placed[0].1.as_str(), "aws");
        let error = Known::parse("a\nb c\n../d", "list").unwrap_err();
        assert!(format!("{error:#}").starts_with("list:3: "), "{error:#}");
    }
}
