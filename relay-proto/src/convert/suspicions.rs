//! What was refused as forged, on the wire: kinds, ids and numbers, and no word that its sender chose.

use relay_core::{
    ids::Jid,
    suspicion::{Forgery, MAX_TOLD, Suspicion, Witness},
};

use super::{few, members_in, members_out};
use crate::{error::WireError, link};

pub(super) fn suspicions_out(list: &[Suspicion]) -> link::Suspicions {
    link::Suspicions { entries: list.iter().map(entry_out).collect() }
}

pub(super) fn suspicions_in(list: link::Suspicions) -> Result<Vec<Suspicion>, WireError> {
    if list.entries.len() > MAX_TOLD {
        let why = format!("{}, at most {MAX_TOLD}", list.entries.len());
        return Err(WireError::field("suspicions", why));
    }
    let list: Vec<Suspicion> = list.entries.into_iter().map(entry_in).collect::<Result<_, _>>()?;
    let witnesses = list.iter().filter_map(|suspicion| match &suspicion.witness {
        Witness::Minions(members) => Some(members),
        _ => None,
    });
    few("suspicions", witnesses)?;
    Ok(list)
}

fn entry_out(suspicion: &Suspicion) -> link::Suspicion {
    let (members, by_syndic, syndic) = match &suspicion.witness {
        Witness::Minions(members) => (members_out(members), false, String::new()),
        Witness::Sender => (Vec::new(), true, String::new()),
        Witness::Below(id) => (Vec::new(), true, id.to_string()),
    };
    link::Suspicion {
        kind: kind_out(suspicion.kind).into(),
        jid: suspicion.jid.map_or(0, Jid::micros),
        parent: suspicion.parent.to_string(),
        at: suspicion.at,
        count: suspicion.count,
        members,
        by_syndic,
        syndic,
    }
}

fn entry_in(entry: link::Suspicion) -> Result<Suspicion, WireError> {
    let kind = link::Forgery::try_from(entry.kind).map_or(Forgery::Other, kind_in);
    let witness = match (entry.by_syndic, entry.syndic.as_str()) {
        (false, _) => Witness::Minions(members_in(&entry.members)?),
        (true, "") => Witness::Sender,
        (true, id) => Witness::Below(id.parse().map_err(|e| WireError::field("syndic", e))?),
    };
    let jid = (entry.jid != 0).then(|| Jid::from_micros(entry.jid));
    let parent = entry.parent.parse().map_err(|e| WireError::field("parent", e))?;
    Ok(Suspicion { kind, jid, parent, at: entry.at, count: entry.count, witness })
}

fn kind_out(kind: Forgery) -> link::Forgery {
    match kind {
        Forgery::Unsigned => link::Forgery::Unsigned,
        Forgery::UnknownKey => link::Forgery::UnknownKey,
        Forgery::BadSignature => link::Forgery::BadSignature,
        Forgery::WrongFabric => link::Forgery::WrongFabric,
        Forgery::DigestMismatch => link::Forgery::DigestMismatch,
        Forgery::StaleEpoch => link::Forgery::StaleEpoch,
        Forgery::NotTarget => link::Forgery::NotTarget,
        Forgery::Outdated => link::Forgery::Outdated,
        Forgery::Version => link::Forgery::Version,
        Forgery::Trust => link::Forgery::Trust,
        Forgery::Cancel => link::Forgery::Cancel,
        Forgery::Other => link::Forgery::Other,
    }
}

fn kind_in(kind: link::Forgery) -> Forgery {
    match kind {
        link::Forgery::Unsigned => Forgery::Unsigned,
        link::Forgery::UnknownKey => Forgery::UnknownKey,
        link::Forgery::BadSignature => Forgery::BadSignature,
        link::Forgery::WrongFabric => Forgery::WrongFabric,
        link::Forgery::DigestMismatch => Forgery::DigestMismatch,
        link::Forgery::StaleEpoch => Forgery::StaleEpoch,
        link::Forgery::NotTarget => Forgery::NotTarget,
        link::Forgery::Outdated => Forgery::Outdated,
        link::Forgery::Version => Forgery::Version,
        link::Forgery::Trust => Forgery::Trust,
        link::Forgery::Cancel => Forgery::Cancel,
        link::Forgery::Other => Forgery::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn witness() -> impl Strategy<Value = Witness> {
        let members = prop::collection::btree_set(0u32..200_000, 1..20);
        prop_oneof![
            members.prop_map(|members| Witness::Minions(members.into_iter().collect())),
            Just(Witness::Sender),
            "[a-z0-9-]{1,20}".prop_map(|id| Witness::Below(id.parse().unwrap())),
        ]
    }

    prop_compose! {
        fn suspicion()(
            kind in prop::sample::select(&Forgery::ALL[..]),
            jid in prop::option::of(1u64..1 << 50),
            parent in "[a-z0-9-]{1,20}",
            at in any::<u64>(),
            count in any::<u64>(),
            witness in witness(),
        ) -> Suspicion {
            let (jid, parent) = (jid.map(Jid::from_micros), parent.parse().unwrap());
            Suspicion { kind, jid, parent, at, count, witness }
        }
    }

    proptest! {
        #[test]
        fn they_come_back(list in prop::collection::vec(suspicion(), 0..20)) {
            let bytes = suspicions_out(&list).encode_to_vec();
            prop_assert_eq!(suspicions_in(link::Suspicions::decode(&*bytes).unwrap()).unwrap(), list);
        }
    }

    fn good() -> link::Suspicion {
        link::Suspicion { kind: 3, parent: "aws-1".into(), count: 1, ..Default::default() }
    }

    fn told(entries: Vec<link::Suspicion>) -> Result<Vec<Suspicion>, WireError> {
        suspicions_in(link::Suspicions { entries })
    }

    #[test]
    fn names_that_are_none_and_too_many_are_refused() {
        assert!(told(vec![good(); MAX_TOLD]).is_ok());
        assert!(told(vec![good(); MAX_TOLD + 1]).is_err());
        for parent in ["", "../x", "a b", "a\nb"] {
            assert!(told(vec![link::Suspicion { parent: parent.into(), ..good() }]).is_err(), "{parent:?}");
        }
        let named = link::Suspicion { by_syndic: true, syndic: "a/b".into(), ..good() };
        assert!(told(vec![named]).is_err());
        assert!(told(vec![link::Suspicion { members: vec![1, 2, 3], ..good() }]).is_err());
    }

    #[test]
    fn a_kind_of_a_newer_version_is_another_one() {
        let newer = told(vec![link::Suspicion { kind: 4_711, ..good() }]).unwrap();
        assert_eq!(newer[0].kind, Forgery::Other);
    }
}
