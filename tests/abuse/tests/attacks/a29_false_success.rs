//! a29: whatever goes wrong ends in an exit code other than 0, and nowhere in "ok" (CVE-2024-37088 and its kind).

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use abuse_tests::{
    console::Console,
    region::{SYNDIC, serves_on},
};
use fabric_tests::{Fabric, TOP, until};
use relay_core::identity::Role;

/// Ends with one of these codes, and says nothing of success.
fn ends(console: &Console, arguments: &[&str], codes: &[i32]) {
    let ran = console.run(arguments);
    assert!(
        codes.contains(&ran.code),
        "{arguments:?} ended with {} and not with one of {codes:?}: {}",
        ran.code,
        ran.said
    );
    assert!(!ran.said.contains(" ok in "), "{arguments:?} says that all is well: {}", ran.said);
    assert!(!ran.said.trim().is_empty(), "{arguments:?} says nothing");
}

#[tokio::test]
async fn nothing_that_failed_is_told_as_a_success() {
    let builder = Fabric::builder().syndic(SYNDIC, "aws").minion(SYNDIC, "solo").minion(SYNDIC, "other");
    let mut fabric = builder.start().await;
    let console = Console::of(&fabric, "console");
    assert_eq!(console.run(&["run", "*", "test.ping"]).code, 0, "the same command, where nothing is wrong");
    // On the minion.
    for (arguments, codes) in [
        (&["cmd.run", "exit 3"][..], &[1][..]),
        (&["cmd.run", "kill -9 $$"], &[1]),
        (&["cmd.run", "sleep 60", "timeout=1"], &[1]),
        (&["cmd.run", "true", "cwd=/nowhere/at/all"], &[1, 2]),
        (&["cmd.run", "true", "runas=nobody-of-that-name"], &[1, 2]),
        (&["cmd.run", "true", "no_such_option=1"], &[1, 2, 3]),
        (&["cmd.retcode", "false"], &[1]),
        (&["no.such_function"], &[1, 2, 3]),
        (&["test.ping", "what", "is", "this"], &[1, 2, 3]),
        (&["test.exception", "on purpose"], &[1, 2]),
    ] {
        ends(&console, &[&["run", "*"], arguments].concat(), codes);
        // One of two is not all either.
        ends(&console, &[&["run", "solo"], arguments].concat(), codes);
    }
    ends(&console, &["run", "*", "cmd.run", "[ $RANDOM_NAME ] || [ -e /proc/$PPID/nothing ]"], &[1]);
    ends(&console, &["run", "*", "cmd.run", "sleep 60", "--timeout", "1s"], &[1, 3]);
    // At the top master.
    for arguments in [
        &["run", "nobody-of-that-name", "test.ping"][..],
        &["run", "G@os:[", "test.ping"],
        &["run", "", "test.ping"],
        &["run", "*", ""],
        &["jobs", "show", "20200101000000000000"],
        &["jobs", "watch", "20200101000000000000"],
        &["jobs", "cancel", "20200101000000000000"],
        &["jobs", "approve", "20200101000000000000"],
        &["jobs", "show", "../../etc/passwd"],
        &["schedule", "remove", "nothing-of-that-name"],
        &["topology", "apply", "/nowhere/topology.yaml"],
        &["store", "check", "--sqlite", "/nowhere/store.sqlite"],
        &["context", "use", "no-such-context"],
        &["--context", "no-such-context", "run", "*", "test.ping"],
    ] {
        let ran = console.run(arguments);
        assert_ne!(ran.code, 0, "{arguments:?}: {}", ran.said);
    }
    // What was found out cannot be written down.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&["run", "*", "test.ping"][..], &["minions", "list"], &["jobs", "list"]] {
        let told = console
            .command(arguments)
            .stdout(full.try_clone().unwrap())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_ne!(told.code(), Some(0), "{arguments:?} into a full device");
    }
    // Who has no right, or no certificate of this fabric.
    for (name, id, role) in [("as-minion", "solo", Role::Minion), ("as-syndic", SYNDIC, Role::Syndic)] {
        let stranger = Console::with(&fabric, name, &fabric.pki().issue(id, role, "aws"));
        ends(&stranger, &["run", "*", "test.ping"], &[3]);
        assert_ne!(stranger.run(&["fabric", "status"]).code, 0);
    }
    // A minion dies, a region goes, the top master goes.
    fabric.kill9("solo");
    fabric.minion_is("solo", false).await;
    ends(&console, &["run", "*", "test.ping"], &[2]);
    fabric.restart("solo").await;
    fabric.all_up().await;
    fabric.kill9(SYNDIC);
    fabric.syndic_is(SYNDIC, false).await;
    ends(&console, &["run", "*", "test.ping"], &[2]);
    fabric.restart(SYNDIC).await;
    fabric.all_up().await;
    fabric.kill9(TOP);
    ends(&console, &["run", "*", "test.ping"], &[3]);
    ends(&console, &["jobs", "list"], &[3]);
    fabric.restart(TOP).await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn a_command_whose_top_master_dies_does_not_end_well() {
    let mut fabric = Fabric::builder().syndic(SYNDIC, "aws").minion(SYNDIC, "solo").start().await;
    let console = Console::of(&fabric, "console");
    let said = fabric.dir().join("said");
    let file = File::create(&said).unwrap();
    let body = fabric.witness().command();
    let mut command = console.command(&["run", "*", "cmd.run", &body]);
    let mut running = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    fabric.started_in_all(1).await;
    fabric.kill9(TOP);
    // Until it is told to give up, it waits for the top master; and then it does not say that all is well.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.id() as i32), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    let status = until("relayctl to end", async || running.try_wait().unwrap()).await;
    assert_ne!(status.code(), Some(0), "{}", fs::read_to_string(&said).unwrap());
    fabric.witness().open_all();
    fabric.restart(TOP).await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn a_store_or_a_spool_that_was_damaged_is_told() {
    let mut fabric = Fabric::builder().syndic(SYNDIC, "aws").minion(SYNDIC, "solo").start().await;
    let console = Console::of(&fabric, "console");
    assert_eq!(console.run(&["run", "*", "test.ping"]).code, 0);
    fabric.daemon(TOP).terminate().await;
    let store = fabric.dir().join(TOP).join("state/store.sqlite");
    let shown = store.display().to_string();
    let check = console.run(&["store", "check", "--sqlite", &shown]);
    assert_eq!(check.code, 0, "a store that is whole: {}", check.said);
    let copy = fabric.dir().join("damaged.sqlite");
    let mut bytes = fs::read(&store).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(&copy, bytes).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    let check = console.run(&["store", "check", "--sqlite", &copy.display().to_string()]);
    assert!(check.code != 0 && !check.said.trim().is_empty(), "a damaged store: {check:?}");
    fabric.daemon(TOP).start();
    fabric.daemon(TOP).ready().await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}
