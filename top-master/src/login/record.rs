//! A login as the store keeps it: under the digest of its token, never the token.

use std::sync::Arc;

use bytes::Bytes;
use relay_core::access::{Caller, How};
use relay_runtime::store::{Area, Expect, PutRecord};
use serde::{Deserialize, Serialize};

use super::{sessions::Login, token::Digest};

/// The form of a value; one with another number is of a newer version, and opens nothing here.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    user: String,
    how: String,
    groups: Vec<String>,
    stamp: Vec<u8>,
    since: u64,
    until: u64,
    used: u64,
}

/// A new login.
pub fn put(digest: Digest, login: &Login) -> PutRecord {
    PutRecord { expect: Expect::Absent, ..put_again(digest, login) }
}

/// One that is kept already.
pub fn put_again(digest: Digest, login: &Login) -> PutRecord {
    let Login { caller, stamp, since, until, used } = login;
    let kept = Kept {
        format: FORMAT,
        user: caller.name().into(),
        how: caller.how().word().into(),
        groups: caller.groups().map(str::to_owned).collect(),
        stamp: stamp.to_vec(),
        since: *since,
        until: *until,
        used: *used,
    };
    // Numbers and texts: this does not fail. If it did, what is kept would open nothing.
    let value = serde_json::to_vec(&kept).unwrap_or_default().into();
    PutRecord { area: Area::Login, key: digest.key(), expect: Expect::Any, value: Some(value) }
}

/// Reads what was kept; nothing if it can't be understood, which is no login then.
pub fn read(key: &Bytes, value: &Bytes) -> Option<(Digest, Login)> {
    let digest = Digest(key[..].try_into().ok()?);
    let kept: Kept = serde_json::from_slice(value).ok().filter(|kept: &Kept| kept.format == FORMAT)?;
    let caller = Caller::new(&kept.user, kept.groups, How::from_word(&kept.how)?).ok()?;
    let Kept { since, until, used, .. } = kept;
    let stamp = kept.stamp.try_into().ok()?;
    Some((digest, Login { caller: Arc::new(caller), stamp, since, until, used }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else_is() {
        let caller = Caller::new("alice", ["dba".into(), "web".into()], How::Ldap).unwrap();
        let login = Login { caller: Arc::new(caller), stamp: [3; 32], since: 1, until: 9, used: 5 };
        let put = put(Digest([7; 32]), &login);
        let value = put.value.unwrap();
        assert_eq!(read(&put.key, &value), Some((Digest([7; 32]), login)));
        let newer = String::from_utf8(value.to_vec()).unwrap().replace("\"format\":1", "\"format\":2");
        for (key, value) in [
            (put.key.slice(1..), value.clone()),
            (put.key.clone(), newer.into()),
            (put.key, value.slice(1..)),
        ] {
            assert_eq!(read(&key, &value), None);
        }
    }
}
