//! Grains of the minion itself: under whom and in which surroundings it runs.

use std::env;

use nix::unistd::{Gid, Group, Uid, User};
use relay_core::ids::MinionId;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::sources::Sources;

pub(super) fn add(grains: &mut Map<String, Value>, sources: &Sources, id: &MinionId) {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let user = User::from_uid(uid).ok().flatten().map(|u| u.name);
    let group = Group::from_gid(gid).ok().flatten().map(|g| g.name);
    let machine = sources.line("/etc/machine-id").or_else(|| sources.line("/var/lib/dbus/machine-id"));
    grains.insert("machine_id".into(), machine.unwrap_or_default().into());
    grains.insert("server_id".into(), server_id(id).into());
    grains.insert("uid".into(), uid.as_raw().into());
    grains.insert("gid".into(), gid.as_raw().into());
    grains.insert("username".into(), user.unwrap_or_default().into());
    grains.insert("groupname".into(), group.unwrap_or_default().into());
    grains.insert("path".into(), env::var("PATH").unwrap_or_default().into());
    grains.insert("shell".into(), env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into()).into());
    grains.insert("timezone".into(), timezone(sources).into());
    grains.insert("locale_info".into(), locale());
    grains.insert("relayversion".into(), env!("CARGO_PKG_VERSION").into());
}

/// The grains that change with the process: its id, and where it stands. Not part of what is reported upwards, since
/// every restart of a minion would then change its roster entry.
pub fn volatile() -> Vec<(String, Value)> {
    let cwd = env::current_dir().map(|d| d.to_string_lossy().into_owned()).unwrap_or_default();
    vec![("pid".into(), std::process::id().into()), ("cwd".into(), cwd.into())]
}

/// Salt's: the id's SHA-256 as a number, modulo 2^31.
fn server_id(id: &MinionId) -> u32 {
    let hash = Sha256::digest(id.as_str());
    hash[28..].iter().fold(0, |n, byte| n << 8 | u32::from(*byte)) & 0x7fff_ffff
}

fn timezone(sources: &Sources) -> String {
    let linked = sources.link("/etc/localtime").and_then(|target| {
        let target = target.to_string_lossy().into_owned();
        target.split_once("zoneinfo/").map(|(_, zone)| zone.to_string())
    });
    linked.or_else(|| sources.line("/etc/timezone")).unwrap_or_else(|| "UTC".into())
}

/// `de_DE.UTF-8` as language and encoding, from the environment.
fn locale() -> Value {
    let set =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|v| env::var(v).ok().filter(|t| !t.is_empty()));
    let set = set.unwrap_or_else(|| "C".into());
    let (language, encoding) = set.split_once('.').unwrap_or((&set, "unknown"));
    json!({"defaultlanguage": language, "defaultencoding": encoding, "timezone": env::var("TZ").unwrap_or_default()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_id_is_salts() {
        // python3 -c "import hashlib; print(int(hashlib.sha256(b'web01').hexdigest(), 16) % 2**31)"
        assert_eq!(server_id(&"web01".parse().unwrap()), SERVER_ID_OF_WEB01);
    }

    const SERVER_ID_OF_WEB01: u32 = 291040525;

    #[test]
    fn the_time_zone_is_where_localtime_points() {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources::below(dir.path());
        assert_eq!(timezone(&sources), "UTC");
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Europe/Berlin", dir.path().join("etc/localtime"))
            .unwrap();
        assert_eq!(timezone(&sources), "Europe/Berlin");
    }
}
