//! The operating system's grains: which distribution, which release, which kernel, which init.

use serde_json::{Map, Value};

use super::sources::{Sources, field};

/// os-release `ID` -> Salt's `os` and `os_family`. What is not here goes by `ID_LIKE`, then by its own name.
const KNOWN: &[(&str, &str, &str)] = &[
    ("debian", "Debian", "Debian"),
    ("ubuntu", "Ubuntu", "Debian"),
    ("raspbian", "Raspbian", "Debian"),
    ("linuxmint", "Mint", "Debian"),
    ("kali", "Kali", "Debian"),
    ("rhel", "RedHat", "RedHat"),
    ("centos", "CentOS", "RedHat"),
    ("rocky", "Rocky", "RedHat"),
    ("almalinux", "AlmaLinux", "RedHat"),
    ("fedora", "Fedora", "RedHat"),
    ("ol", "OEL", "RedHat"),
    ("amzn", "Amazon", "RedHat"),
    ("sles", "SUSE", "Suse"),
    ("opensuse-leap", "openSUSE", "Suse"),
    ("opensuse-tumbleweed", "openSUSE", "Suse"),
    ("suse", "SUSE", "Suse"),
    ("arch", "Arch", "Arch"),
    ("gentoo", "Gentoo", "Gentoo"),
    ("alpine", "Alpine", "Alpine"),
];

pub(super) fn add(grains: &mut Map<String, Value>, sources: &Sources) {
    add_kernel(grains, sources);
    add_distribution(grains, sources);
    let init = init(sources);
    grains.insert("init".into(), init.into());
}

fn add_kernel(grains: &mut Map<String, Value>, sources: &Sources) {
    for (grain, file) in [("kernel", "ostype"), ("kernelrelease", "osrelease"), ("kernelversion", "version")]
    {
        if let Some(text) = sources.line(&format!("/proc/sys/kernel/{file}")) {
            grains.insert(grain.into(), text.into());
        }
    }
}

fn add_distribution(grains: &mut Map<String, Value>, sources: &Sources) {
    let mut text = sources.text("/etc/os-release");
    if text.is_empty() {
        text = sources.text("/usr/lib/os-release");
    }
    let get = |key| field(&text, key, '=').map(unquoted).filter(|v| !v.is_empty());
    let id = get("ID").unwrap_or_else(|| "linux".into());
    let name = get("NAME").unwrap_or_else(|| "Linux".into());
    let (os, family) = os_and_family(&id, &get("ID_LIKE").unwrap_or_default(), &name);
    let release = release(&id, get("VERSION_ID"), sources);
    let major = release.split('.').next().unwrap_or_default().to_string();
    // Salt's fingerprint has the full release where minor releases differ (Ubuntu), the major one elsewhere.
    let finger = if os == "Ubuntu" { release.as_str() } else { major.as_str() };
    let finger = if finger.is_empty() { name.clone() } else { format!("{name}-{finger}") };
    grains.insert("os".into(), os.into());
    grains.insert("os_family".into(), family.into());
    grains.insert("osfullname".into(), name.into());
    grains.insert("osrelease".into(), release.clone().into());
    grains.insert(
        "osrelease_info".into(),
        release.split('.').filter(|p| !p.is_empty()).map(number_or_text).collect(),
    );
    grains.insert("osmajorrelease".into(), number_or_text(&major));
    grains.insert("oscodename".into(), codename(get("VERSION_CODENAME"), get("VERSION")).into());
    grains.insert("osfinger".into(), finger.into());
    grains.insert("osarch".into(), osarch(&grains["os_family"], std::env::consts::ARCH).into());
}

fn os_and_family(id: &str, like: &str, name: &str) -> (String, String) {
    let known = |id: &str| KNOWN.iter().find(|(known, ..)| *known == id);
    if let Some((_, os, family)) = known(id) {
        return (os.to_string(), family.to_string());
    }
    let family = like.split(' ').find_map(known).map_or(name, |(.., family)| family);
    (name.to_string(), family.to_string())
}

/// Debian's own file knows the point release (`12.8`), os-release only the major one.
fn release(id: &str, version: Option<String>, sources: &Sources) -> String {
    let point = sources
        .line("/etc/debian_version")
        .filter(|v| id == "debian" && v.starts_with(|c: char| c.is_ascii_digit()));
    point.or(version).unwrap_or_default()
}

/// `bookworm`; else what stands in brackets in the version; else nothing.
fn codename(codename: Option<String>, version: Option<String>) -> String {
    let in_brackets = || version?.split_once('(')?.1.split_once(')').map(|(name, _)| name.to_string());
    codename.or_else(in_brackets).unwrap_or_default()
}

fn number_or_text(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), Value::from)
}

/// The architecture under the name that the distribution's packages give it.
fn osarch(family: &Value, cpu: &str) -> String {
    match (family.as_str(), cpu) {
        (Some("Debian"), "x86_64") => "amd64",
        (Some("Debian"), "aarch64") => "arm64",
        (Some("Debian"), "x86") => "i386",
        _ => cpu,
    }
    .into()
}

/// os-release is a shell fragment: values may stand in quotes, with backslashes before some characters.
fn unquoted(value: &str) -> String {
    let inner = match value.as_bytes() {
        [q @ (b'"' | b'\''), .., last] if q == last => &value[1..value.len() - 1],
        _ => value,
    };
    let mut chars = inner.chars();
    std::iter::from_fn(|| chars.next().and_then(|c| if c == '\\' { chars.next() } else { Some(c) })).collect()
}

fn init(sources: &Sources) -> String {
    if sources.has("/run/systemd/system") {
        return "systemd".into();
    }
    match sources.line("/proc/1/comm").as_deref() {
        Some("systemd") => "systemd".into(),
        Some("init") if sources.has("/sbin/openrc") => "openrc".into(),
        Some("init") => "sysvinit".into(),
        Some(other) => other.into(),
        None => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(files: &[(&str, &str)]) -> Value {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut grains = Map::new();
        add(&mut grains, &Sources::below(dir.path()));
        grains.into()
    }

    #[test]
    fn distributions_have_the_names_that_salt_gives_them() {
        let debian = "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nID=debian\n";
        let ubuntu =
            "NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=jammy\n";
        let rocky = "NAME=\"Rocky Linux\"\nVERSION=\"9.3 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n";
        let unknown = "NAME='My\\'OS'\nID=myos\nID_LIKE='nothing ubuntu'\n";
        for (text, version, wanted) in [
            (debian, "12.8", json!(["Debian", "Debian", "12.8", 12, "bookworm", "Debian GNU/Linux-12"])),
            (debian, "trixie/sid", json!(["Debian", "Debian", "12", 12, "bookworm", "Debian GNU/Linux-12"])),
            (ubuntu, "bookworm/sid", json!(["Ubuntu", "Debian", "22.04", 22, "jammy", "Ubuntu-22.04"])),
            (rocky, "", json!(["Rocky", "RedHat", "9.3", 9, "Blue Onyx", "Rocky Linux-9"])),
            (unknown, "", json!(["My'OS", "Debian", "", "", "", "My'OS"])),
            ("garbage \0 = =\n", "", json!(["Linux", "Linux", "", "", "", "Linux"])),
        ] {
            let g = of(&[("etc/os-release", text), ("etc/debian_version", version)]);
            let names = ["os", "os_family", "osrelease", "osmajorrelease", "oscodename", "osfinger"];
            assert_eq!(names.iter().map(|n| g[n].clone()).collect::<Value>(), wanted, "{text}");
        }
    }

    #[test]
    fn init_is_what_runs_first() {
        for (comm, init) in [("systemd\n", "systemd"), ("init\n", "sysvinit"), ("tini\n", "tini")] {
            assert_eq!(of(&[("proc/1/comm", comm)])["init"], init);
        }
    }
}
