//! a22, a27: what is private stays so under any file mode mask, what is not makes a process refuse to start, and top master and
//! syndic need no privilege. A binary of its own: the mask is of the whole process.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use abuse_tests::{
    proc,
    region::{SYNDIC, files, serves_on},
};
use fabric_tests::{
    Fabric, TOP,
    process::{self, MARK, binary},
};
use nix::{
    sys::{
        prctl,
        signal::Signal,
        stat::{Mode, umask},
    },
    unistd::Pid,
};

/// Anything for group or others.
const FOREIGN: u32 = 0o077;
/// `nobody`, who has no rights and is everywhere.
const NOBODY: u32 = 65_534;

/// Every file of a state directory is its owner's alone.
fn all_private(fabric: &Fabric, mask: &str) {
    let mut seen = 0;
    for daemon in fabric.daemons() {
        let state = daemon.dir().join("state");
        assert_eq!(fs::metadata(&state).unwrap().mode() & FOREIGN, 0, "umask {mask}: {}", state.display());
        for path in files(&state) {
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            let mode = about.mode();
            assert_eq!(mode & FOREIGN, 0, "umask {mask}: {} has {:04o}", path.display(), mode & 0o7777);
            seen += 1;
        }
    }
    assert!(seen >= 4, "umask {mask}: only {seen} files were found");
    let keys = files(&fabric.dir().join("pki"))
        .filter(|p| p.extension().is_some_and(|e| e == "key" || e == "secret"));
    for key in keys {
        assert_eq!(fs::metadata(&key).unwrap().mode() & FOREIGN, 0, "umask {mask}: {}", key.display());
    }
}

async fn fabric() -> Fabric {
    Fabric::builder().syndic(SYNDIC, "aws").minion(SYNDIC, "solo").start().await
}

/// Whoever starts this binary's tests has its mask; they run one after the other, so that each has its own.
#[tokio::test]
async fn what_is_private_stays_so() {
    for mask in [0o000, 0o077] {
        umask(Mode::from_bits_truncate(mask));
        let mut fabric = fabric().await;
        let shown = format!("{mask:03o}");
        let mut job = fabric.run("*", "cmd.run", &["echo done; umask"]).await;
        // A minion's commands have the mask that the minion was started with.
        assert!(job.value("solo").to_string().contains(&format!("0{shown}")), "{:?}", job.slots());
        let mut grain = fabric.run("*", "grains.setval", &["abuse", "yes"]).await;
        fabric.check(&mut [&mut job, &mut grain]).await;
        let running = fabric.witnessed("*").await;
        fabric.started(&running, 1).await;
        all_private(&fabric, &shown);
        fabric.witness().open_all();
        serves_on(&mut fabric).await;
        if mask == 0o000 {
            refuses_what_others_can_read(&mut fabric).await;
            needs_no_privilege(&mut fabric).await;
        }
        drop(fabric);
    }
}

async fn refuses_what_others_can_read(fabric: &mut Fabric) {
    for (name, binary, role, id) in [
        (TOP, "top-master", "top-master", TOP),
        (SYNDIC, "syndic", "syndic", SYNDIC),
        ("solo", "minion", "minion", "solo"),
    ] {
        fabric.kill9(name);
        let dir = fabric.daemon(name).dir().to_owned();
        let config = dir.join("config.yaml").display().to_string();
        let key = fabric.dir().join("pki").join(role).join(format!("{id}.key"));
        let state = match name {
            "solo" => dir.join("state/solo"),
            _ => dir.join("state"),
        };
        for (path, mode, good) in
            [(&key, 0o640, 0o600), (&key, 0o604, 0o600), (&state, 0o755, 0o700), (&state, 0o750, 0o700)]
        {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let (code, said) = process::run(binary, &["serve", "--config", &config]);
            assert!(code.is_some_and(|code| code != 0), "{name} starts with {} {mode:04o}", path.display());
            assert!(said.contains(&path.display().to_string()), "{name}: {said}");
            assert!(said.contains(&format!("{mode:04o}")) && said.contains("chmod"), "{name}: {said}");
            fs::set_permissions(path, fs::Permissions::from_mode(good)).unwrap();
        }
        fabric.restart(name).await;
    }
    fabric.all_up().await;
}

/// Gives a tree to nobody.
fn give(dir: &Path) {
    let all: Vec<_> = files(dir).collect();
    for path in &all {
        for above in path.ancestors().take_while(|a| a.starts_with(dir)) {
            chown(above, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

fn as_nobody(fabric: &Fabric, program: &str, name: &str) -> Child {
    let dir = fabric.dir().join(name);
    let log = fs::OpenOptions::new().append(true).open(dir.join("log")).unwrap();
    let mut command = Command::new("setpriv");
    let nobody = NOBODY.to_string();
    command.args([
        "--reuid",
        &nobody,
        "--regid",
        &nobody,
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]);
    command.args(["--no-new-privs", "--"]).arg(binary(program));
    command.args(["serve", "--config"]).arg(dir.join("config.yaml"));
    command.env(MARK, fabric.dir()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from));
    }
    command.spawn().expect("setpriv")
}

async fn needs_no_privilege(fabric: &mut Fabric) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!(
            "SKIPPED: only root can start a process as somebody else, so nothing of privileges is tested"
        );
        return;
    }
    fabric.kill9(TOP);
    fabric.kill9(SYNDIC);
    fs::set_permissions(fabric.dir(), fs::Permissions::from_mode(0o711)).unwrap();
    for name in [TOP, SYNDIC, "pki/top-master", "pki/syndic", "pki/ca"] {
        give(&fabric.dir().join(name));
    }
    let mut children = [as_nobody(fabric, "top-master", TOP), as_nobody(fabric, "syndic", SYNDIC)];
    fabric.all_up().await;
    let mut job = fabric.run("*", "cmd.run", &["id -u"]).await;
    assert_eq!(job.counts(), [("ok", 1)].into());
    fabric.check(&mut [&mut job]).await;
    for child in &mut children {
        let pid = Pid::from_raw(child.id() as i32);
        for (line, value) in [
            ("Uid", "65534\t65534\t65534\t65534"),
            ("Gid", "65534\t65534\t65534\t65534"),
            ("Groups", ""),
            ("CapEff", "0000000000000000"),
            ("CapPrm", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "1"),
        ] {
            assert_eq!(proc::status(pid, line), value, "{line}");
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// What the units say, so that the test above is about how they start it.
#[test]
fn the_units_take_every_privilege_away() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    for unit in ["top-master", "syndic"] {
        let text = fs::read_to_string(dir.join(format!("{unit}.service"))).unwrap();
        for line in [
            "User=relay",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "AmbientCapabilities=",
            "ProtectSystem=strict",
            "ProtectHome=yes",
            "PrivateTmp=yes",
            "StateDirectoryMode=0700",
            "UMask=0077",
            "LimitCORE=0",
            "RestrictSUIDSGID=yes",
            "SystemCallFilter=~@privileged",
        ] {
            assert!(text.lines().any(|found| found == line), "{unit}.service does not say {line}");
        }
    }
    // A minion's commands need what they need; but its own state is its own.
    let minion = fs::read_to_string(dir.join("minion.service")).unwrap();
    assert!(minion.lines().any(|line| line == "StateDirectoryMode=0700"));
}
