//! Lines out of operators' Salt documents, run by a shell as they are written, against a real fabric: what is printed has
//! the shape of what Salt 3008 prints, and the exit codes are those of docs/migrating-from-salt.md.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use fabric_tests::{
    Fabric, TOP,
    pki::{FABRIC, who},
    process::binary,
    until,
};
use relay_core::identity::Role;
use serde_json::Value;

/// Minions below each of the two syndics: forty together.
const EACH: usize = 20;

/// A shell whose path has Salt's names, and whose context is a fabric.
struct Shell {
    path: String,
    contexts: String,
}

struct Ran {
    out: String,
    err: String,
    code: i32,
}

impl Shell {
    fn of(fabric: &Fabric) -> Shell {
        let links = fabric.dir().join("bin");
        fs::create_dir(&links).unwrap();
        let installed = Command::new(binary("salt")).arg("--install-links").arg(&links).output().unwrap();
        assert!(installed.status.success(), "{installed:?}");
        let contexts = fabric.dir().join("contexts.yaml");
        fs::write(&contexts, context(fabric)).unwrap();
        let path = format!("{}:{}", links.display(), std::env::var("PATH").unwrap_or_default());
        Shell { path, contexts: contexts.display().to_string() }
    }

    fn run(&self, line: &str) -> Ran {
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).env("PATH", &self.path).env("RELAY_CONFIG", &self.contexts);
        for variable in ["RELAY_CONTEXT", "RELAY_SALT_MISSING_EXIT", "RELAY_SALT_RUN_TIMEOUT"] {
            shell.env_remove(variable);
        }
        let Output { stdout, stderr, status } = shell.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { out: text(stdout), err: text(stderr), code: status.code().unwrap_or(-1) }
    }

    /// Runs a line that has to end well and to say nothing on standard error.
    fn good(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}\n{}", ran.out);
        ran.out
    }
}

fn context(fabric: &Fabric) -> String {
    let tls = fabric.pki().issue("tester", Role::Operator, "core");
    let show = |path: &Path| path.display().to_string();
    format!(
        "version: 1\ncurrent: test\ncontexts:\n- name: test\n  fabric: {FABRIC}\n  addresses:\n  - address: {:?}\n    \
         server_name: {:?}\n  ca: {:?}\n  cert: {:?}\n  key: {:?}\n",
        fabric.operator().address(),
        who(TOP, Role::TopMaster, "core").to_dns(),
        show(&tls.ca),
        show(&tls.cert),
        show(&tls.key),
    )
}

async fn forty() -> (Fabric, Shell, Vec<String>) {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("azure-1", "azure");
    let fabric = builder.minions("aws-1", EACH).minions("azure-1", EACH).start().await;
    let ids = [fabric.ids("aws-1-m"), fabric.ids("azure-1-m")].concat();
    let shell = Shell::of(&fabric);
    (fabric, shell, ids)
}

/// Everything that is different each time, made the same: jids.
fn shape(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        out.push_str(if digits.len() == 20 { "JID" } else { &digits });
        digits.clear();
        out.extend(Some(c).filter(|c| *c != '\0'));
    }
    out
}

/// The texts under each id, sorted: minions answer in any order.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        match blocks.last_mut() {
            Some(block) if line.starts_with(' ') => block.push_str(&format!("{line}\n")),
            _ => blocks.push(format!("{line}\n")),
        }
    }
    blocks.sort();
    blocks
}

fn each(ids: &[String], below: &str) -> Vec<String> {
    ids.iter().map(|id| format!("{id}:\n{below}")).collect()
}

/// What a batch prints: the ids that it says it ran on, and the shapes of all that stands between.
fn batch(text: &str) -> (BTreeSet<String>, Vec<String>) {
    let is_head = |line: &&str| line.starts_with("Executing run on [");
    let listed = text.lines().filter(is_head).flat_map(|line| {
        let inner = line.trim_start_matches("Executing run on [").trim_end_matches(']');
        inner.split(", ").map(|id| id.trim_matches('\'').to_owned()).collect::<Vec<_>>()
    });
    let rest: Vec<&str> = text.lines().filter(|line| !is_head(line) && !line.is_empty()).collect();
    (listed.collect(), blocks(&shape(&rest.join("\n"))))
}

#[tokio::test]
async fn salt_lines_of_the_documents_run_as_they_are_written() {
    let (_fabric, shell, ids) = forty().await;
    let family = shell.good("salt-call --local grains.get os_family --out newline_values_only");

    assert_eq!(blocks(&shell.good("salt '*' test.ping")), each(&ids, "    True\n"));

    let (listed, found) = batch(&shell.good("salt -b 100 '*' test.ping"));
    assert_eq!(listed, ids.iter().cloned().collect());
    let around = ["jid:\n    JID\n".to_owned(), "retcode:\n    0\n".to_owned()];
    let mut expected = each(&ids, "    True\n");
    expected.extend(std::iter::repeat_n(around, ids.len()).flatten());
    expected.sort();
    assert_eq!(found, expected);

    let line =
        "salt -C 'G@os_family:Debian and not web*' -b 50 cmd.run 'uptime'".replace("Debian", family.trim());
    let (listed, found) = batch(&shell.good(&line));
    assert_eq!(listed.len(), 40);
    assert_eq!(found.iter().filter(|block| block.contains("load average")).count(), 40, "{found:?}");

    let out = shell.good("salt -b $(( $(salt '*' test.ping | wc -l) / 50 )) '*' cmd.run 'uptime'");
    assert_eq!(batch(&out).0.len(), 40);

    let refused = shell.run("salt -C 'G@os_family:RedHat' -b 50 '*' test.ping");
    assert_eq!((refused.out.as_str(), refused.code), ("", 3));
    let meant = "probably meant: salt -C G@os_family:RedHat -b 50 test.ping\n";
    assert!(refused.err.ends_with(meant) && refused.err.lines().count() == 1, "{}", refused.err);
    assert_eq!(shell.run("salt -b 0 '*' test.ping").code, 3);
}

#[tokio::test]
async fn salt_lines_about_jobs() {
    let (_fabric, shell, ids) = forty().await;
    // As the documents have it; then again with the jid told, to look at the job at its end.
    let line = "JOB_ID=$(salt '*' test.sleep 5 async=True | grep -o 'jid: [0-9]*' | cut -d' ' -f2); \
                salt-run jobs.lookup_jid $JOB_ID; echo \"job $JOB_ID\"";
    let ran = shell.run(line);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let jid = ran.out.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    assert_eq!(shape(&jid), "JID", "{}", ran.out);

    let looked = until("all forty to have returned", async || {
        let ran = shell.run(&format!("salt-run jobs.lookup_jid {jid}"));
        (blocks(&ran.out).len() == 40).then_some(ran.out)
    })
    .await;
    assert_eq!(blocks(&looked), each(&ids, "    True\n"));

    let killed = shell.good("salt '*' cmd.run 'sleep 600' --async");
    let killed = jid_of(&killed);
    until("the sleepers to run", async || {
        let found = shell.run(&format!("salt '*' saltutil.find_job {killed} --out txt"));
        (found.out.matches("cmd.run").count() == 40).then_some(())
    })
    .await;
    let active = shell.good("salt-run jobs.active --out json");
    assert_eq!(serde_json::from_str::<Value>(&active).unwrap()[&killed]["Function"], "cmd.run", "{active}");
    let running = shell.good("salt '*' saltutil.running");
    assert!(blocks(&running).iter().any(|block| block.contains(&killed)), "{running}");
    let signalled = shell.good(&format!("salt '*' saltutil.kill_job {killed}"));
    assert_eq!(blocks(&signalled).len(), 40, "{signalled}");
    until("the killed job to be over", async || {
        (!shell.good("salt-run jobs.active").contains(&killed)).then_some(())
    })
    .await;

    let printed = shell.good(&format!("salt-run jobs.print_job {jid}"));
    let head = "JID:\n    ----------\n    Arguments:\n        - 5\n    Function:\n        test.sleep\n    Minions:\n";
    assert!(shape(&printed).starts_with(head), "{printed}");
    let below = "        azure-1-m-19:\n            ----------\n            retcode:\n                0\n            \
                 return:\n                True\n            success:\n                True\n    StartTime:\n";
    assert!(printed.contains(below), "{printed}");
    assert!(
        printed
            .ends_with("    Target:\n        *\n    Target-type:\n        glob\n    User:\n        tester\n"),
        "{printed}"
    );
    let listed = shell.good("salt-run jobs.list_jobs search_function=test.sleep");
    assert_eq!(listed.lines().filter(|line| !line.starts_with(' ')).map(shape).collect::<Vec<_>>(), ["JID:"]);

    for (line, code, told) in [
        ("salt-run jobs.actvie", 1, "did you mean jobs.active?"),
        ("salt-run jobs.lookup_jid 20200101000000000000", 3, "20200101000000000000"),
        ("salt-run jobs.lookup_jid 12", 3, "12"),
    ] {
        let ran = shell.run(line);
        assert_eq!((ran.out.as_str(), ran.code), ("", code), "{line}");
        assert!(ran.err.contains(told), "{line}: {}", ran.err);
    }
}

fn jid_of(text: &str) -> String {
    assert_eq!(shape(text), "Executed command with job ID: JID\n");
    text.trim().rsplit(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn salt_lines_about_who_is_there() {
    let builder = Fabric::builder().syndic("aws-1", "aws");
    let mut fabric =
        builder.minion("aws-1", "m000").minion("aws-1", "m001").minion("aws-1", "m009").start().await;
    let shell = Shell::of(&fabric);
    assert_eq!(shell.good("salt-run manage.status"), "down:\nup:\n    - m000\n    - m001\n    - m009\n");
    let versions = shell.good("salt-run manage.versions");
    assert!(
        versions.starts_with("Master:\n    ")
            && versions.contains("\nUp to date:\n    ----------\n    m000:\n"),
        "{versions}"
    );
    let keys = "Accepted Keys:\nm000\nm001\nm009\nDenied Keys:\nUnaccepted Keys:\nRejected Keys:\n";
    assert_eq!(shell.good("salt-key -L"), keys);
    assert_eq!(shell.good("salt-call --local test.ping"), "local:\n    True\n");

    fabric.kill9("m009");
    until("m009 to be down", async || (!fabric.up().await.contains_key("m009")).then_some(())).await;
    assert_eq!(shell.good("salt-run manage.status"), "down:\n    - m009\nup:\n    - m000\n    - m001\n");
    assert_eq!(shell.good("salt-run manage.down"), "- m009\n");
    assert_eq!(shell.good("salt-run manage.up"), "- m000\n- m001\n");

    let ran = shell.run("salt -t 1 '*' test.ping");
    let found = blocks(&ran.out);
    assert_eq!(found[..2], each(&["m000".into(), "m001".into()], "    True\n"), "{}", ran.out);
    assert!(found[2].starts_with("m009:\n    Minion did not return. [Not connected]\n"), "{}", ran.out);
    assert_eq!((ran.err.as_str(), ran.code), ("ERROR: Minions returned with non-zero exit code\n", 5));
    assert_eq!(shell.run("RELAY_SALT_MISSING_EXIT=1 salt -t 1 '*' test.ping").code, 1);
    let ran = shell.run("salt -t 1 '*' test.ping --out json --static");
    assert_eq!(
        serde_json::from_str::<Value>(&ran.out).unwrap(),
        serde_json::json!({"m000": true, "m001": true})
    );
    assert_eq!((ran.err.as_str(), ran.code), ("ERROR: 1 minions did not return: m009\n", 5));

    let ran = shell.run("salt 'nothere*' test.ping");
    assert_eq!(ran.out, "No minions matched the target. No command was sent, no jid was assigned.\n");
    assert_eq!((ran.err.as_str(), ran.code), ("ERROR: No return received\n", 2));
    let ran = shell.run("salt -L m000,mzzz test.ping");
    assert!(
        shape(&ran.out).starts_with("m000:\n    True\nmzzz:\n    Minion did not return. [No"),
        "{}",
        ran.out
    );
    assert_eq!(ran.code, 5);
    let ran = shell.run("salt m000 cmd.run 'echo out; exit 3'");
    assert_eq!((ran.out.as_str(), ran.code), ("m000:\n    out\n", 1));
    assert_eq!(shell.run("salt m000 cmd.run 'exit 3' --retcode-passthrough").code, 3);
    let ran = shell.run("salt m000 nosuch.func");
    assert_eq!(ran.code, 1);
    assert!(ran.out.starts_with("m000:\n    'nosuch.func' is not available."), "{}", ran.out);
}

#[tokio::test]
async fn salt_does_not_wait_for_a_minion_that_went_away_with_its_job() {
    let builder = Fabric::builder().syndic("aws-1", "aws");
    let mut fabric = builder.minion("aws-1", "m000").minion("aws-1", "m001").start().await;
    let shell = Shell::of(&fabric);
    // m001 is never let go on: nothing but its being gone can end the waiting.
    fabric.witness().open("m000");
    let line = format!("salt '*' cmd.run '{}'", fabric.witness().command());
    let asking = tokio::task::spawn_blocking({
        let shell = Shell { path: shell.path.clone(), contexts: shell.contexts.clone() };
        move || shell.run(&line)
    });
    fabric.started_in_all(2).await;
    until("m000 to have returned", async || {
        let active: Value = serde_json::from_str(&shell.run("salt-run jobs.active --out json").out).ok()?;
        let job = active.as_object()?.values().next()?;
        (job["Returned"] == serde_json::json!(["m000"])).then_some(())
    })
    .await;
    fabric.kill9("m001");
    let ran = asking.await.unwrap();
    assert!(
        ran.out.starts_with("m000:\n    done by m000\nm001:\n    Minion did not return. [No response]\n"),
        "{}",
        ran.out
    );
    assert_eq!((ran.err.as_str(), ran.code), ("ERROR: Minions returned with non-zero exit code\n", 5));
}

#[tokio::test]
async fn a_salt_batch_ends_although_three_minions_are_stopped() {
    const STOPPED: [&str; 3] = ["s0", "s1", "s2"];
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 37);
    let mut fabric = STOPPED.iter().fold(builder, |all, id| all.minion("aws-1", id)).start().await;
    let shell = Shell::of(&fabric);
    STOPPED.iter().for_each(|id| fabric.stop(id));
    let ran = shell.run("salt -b 5 '*' test.sleep 2");
    let blocks = batch(&ran.out).1;
    let well = each(fabric.ids("aws-1-m"), "    True\n");
    assert!(well.iter().all(|block| blocks.contains(block)), "{}", ran.out);
    for id in STOPPED {
        let never = format!("Minion {id} did not respond. No job will be sent.\n");
        let unknown = format!("{id}:\n    Minion did not return. [No response]\n");
        assert!(ran.out.contains(&never) || ran.out.contains(&unknown), "{id}: {}", ran.out);
    }
    assert_eq!(ran.code, 5, "{}", ran.err);
    STOPPED.iter().for_each(|id| fabric.cont(id));
}
