//! The machine's grains: processors, memory, and whether it is a machine at all.

use serde_json::{Map, Value};

use super::sources::{Sources, field};

pub(super) fn add(grains: &mut Map<String, Value>, sources: &Sources) {
    let cpuinfo = sources.text("/proc/cpuinfo");
    let cpus = cpuinfo.lines().filter(|l| l.starts_with("processor")).count().max(1);
    grains.insert("cpuarch".into(), std::env::consts::ARCH.into());
    grains.insert("num_cpus".into(), cpus.into());
    grains.insert("cpu_model".into(), cpu_model(&cpuinfo).into());
    let meminfo = sources.text("/proc/meminfo");
    grains.insert("mem_total".into(), mebibytes(&meminfo, "MemTotal").into());
    grains.insert("swap_total".into(), mebibytes(&meminfo, "SwapTotal").into());
    let (kind, subtype) = virtuality(sources, &cpuinfo);
    grains.insert("virtual".into(), kind.into());
    if let Some(subtype) = subtype {
        grains.insert("virtual_subtype".into(), subtype.into());
    }
    for (grain, file) in [("manufacturer", "sys_vendor"), ("productname", "product_name")] {
        if let Some(text) = sources.line(&format!("/sys/class/dmi/id/{file}")) {
            grains.insert(grain.into(), text.into());
        }
    }
}

fn cpu_model(cpuinfo: &str) -> &str {
    ["model name", "Model", "Processor"]
        .into_iter()
        .find_map(|key| field(cpuinfo, key, ':'))
        .unwrap_or("Unknown")
}

/// /proc/meminfo counts in KiB; Salt in MiB.
fn mebibytes(meminfo: &str, key: &str) -> u64 {
    let kib = field(meminfo, key, ':').and_then(|v| v.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Maker or product in the machine's own description -> Salt's `virtual`.
const HYPERVISORS: &[(&str, &str)] = &[
    ("VMware", "VMware"),
    ("VirtualBox", "VirtualBox"),
    ("innotek", "VirtualBox"),
    ("Microsoft Corporation Virtual", "VirtualPC"),
    ("Parallels", "Parallels"),
    ("Xen", "xen"),
    ("Amazon EC2", "kvm"),
    ("Google", "kvm"),
    ("OpenStack", "kvm"),
    ("KVM", "kvm"),
    ("QEMU", "kvm"),
];

/// Salt's `virtual` and `virtual_subtype`.
fn virtuality(sources: &Sources, cpuinfo: &str) -> (&'static str, Option<&'static str>) {
    if let Some(subtype) = container(sources) {
        return ("container", Some(subtype));
    }
    if sources.line("/sys/hypervisor/type").as_deref() == Some("xen") {
        return ("xen", None);
    }
    let dmi = ["sys_vendor", "product_name"]
        .map(|f| sources.line(&format!("/sys/class/dmi/id/{f}")).unwrap_or_default());
    let dmi = dmi.join(" ");
    if let Some((_, kind)) = HYPERVISORS.iter().find(|(mark, _)| dmi.contains(mark)) {
        return (kind, None);
    }
    let flags = field(cpuinfo, "flags", ':').unwrap_or_default();
    match flags.split(' ').any(|f| f == "hypervisor") {
        true => ("kvm", None), // a hypervisor that does not name itself: mostly a small KVM monitor
        false => ("physical", None),
    }
}

fn container(sources: &Sources) -> Option<&'static str> {
    if sources.has("/.dockerenv") {
        return Some("Docker");
    }
    if sources.has("/run/.containerenv") {
        return Some("Podman");
    }
    let named = sources.line("/run/systemd/container").unwrap_or_default();
    let groups = sources.text("/proc/1/cgroup");
    [("docker", "Docker"), ("kubepods", "Kubernetes"), ("lxc", "LXC"), ("systemd-nspawn", "systemd-nspawn")]
        .into_iter()
        .find(|(mark, _)| named == *mark || groups.lines().any(|l| l.split('/').any(|p| p.starts_with(mark))))
        .map(|(_, subtype)| subtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_from_guests_and_containers() {
        for (path, text, kind, subtype) in [
            ("nothing", "", "physical", None),
            ("sys/class/dmi/id/sys_vendor", "VMware, Inc.\n", "VMware", None),
            ("sys/class/dmi/id/product_name", "Standard PC (Q35) QEMU", "kvm", None),
            ("sys/hypervisor/type", "xen\n", "xen", None),
            ("proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor sse\n", "kvm", None),
            (".dockerenv", "", "container", Some("Docker")),
            ("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n", "container", Some("Kubernetes")),
            ("run/systemd/container", "lxc\n", "container", Some("LXC")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            let sources = Sources::below(dir.path());
            assert_eq!(virtuality(&sources, &sources.text("/proc/cpuinfo")), (kind, subtype), "{path:?}");
        }
    }

    #[test]
    fn memory_is_in_mebibytes() {
        let text = "MemTotal:        2048000 kB\nSwapTotal: garbage kB\n";
        assert_eq!(
            (mebibytes(text, "MemTotal"), mebibytes(text, "SwapTotal"), mebibytes("", "x")),
            (2000, 0, 0)
        );
    }
}
