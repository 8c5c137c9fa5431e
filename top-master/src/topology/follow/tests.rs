//! Repositories on this machine's disk, followed by a whole top master without network. Every look is asked for: the interval
//! is an hour.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{
    daemon::testing::{Bench, Setting},
    operator::Defaults,
    topology::tests::{file, told},
};

/// A repository with a work tree, to commit in.
struct Origin(TempDir);

impl Origin {
    fn new() -> Origin {
        let origin = Origin(tempfile::tempdir().unwrap());
        origin.git(&["init", "--quiet", "--initial-branch=main", "."]);
        origin
    }

    fn git(&self, arguments: &[&str]) -> String {
        let out = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@test.example", "-c", "commit.gpgSign=false"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(self.0.path())
            .output()
            .expect("git is installed");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Commits a file, and tells the commit.
    fn commit(&self, text: &str, subject: &str) -> String {
        fs::write(self.path().join("topology.yaml"), text).unwrap();
        self.git(&["add", "topology.yaml"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn config(&self, policy: FollowPolicy) -> FollowConfig {
        FollowConfig {
            repository: self.path().to_str().unwrap().into(),
            branch: "main".into(),
            file: "topology.yaml".into(),
            every: Duration::from_secs(3_600),
            policy,
        }
    }

    /// A top master with the revision 1 that follows it.
    async fn followed(&self, policy: FollowPolicy) -> Bench {
        follower(self.config(policy)).await
    }
}

async fn follower(follow: FollowConfig) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let topology = directory.path().join("first.yaml");
    fs::write(&topology, file(&["aws-1"], 1, "*")).unwrap();
    let setting = Setting { follow: Some(follow), topology: Some(topology), ..Setting::default() };
    Bench::with(directory, &["aws-a"], Defaults::default(), setting).await
}

async fn look(bench: &Bench) -> proto::Following {
    bench.service.topology.follow_now(None).await.unwrap()
}

/// Waits until this revision is active.
async fn until_active(bench: &Bench, number: u64) -> proto::TopologyRevision {
    bench.service.topology.0.active.subscribe().wait_for(|active| *active == number).await.unwrap();
    bench.service.topology.get(0).await.unwrap()
}

#[tokio::test]
async fn a_change_waits_for_an_operator_and_keeps_its_commit() {
    let origin = Origin::new();
    origin.commit(&format!("# a comment\n{}", file(&["aws-1"], 1, "*")), "first");
    let bench = origin.followed(FollowPolicy::Manual).await;
    let same = look(&bench).await;
    assert_eq!((same.pending, same.last_error.as_str(), same.policy.as_str()), (false, "", "manual"));
    let commit = origin.commit(&file(&["aws-1"], 7, "aws-*"), "seven at once");
    let pending = look(&bench).await;
    assert!(pending.pending && pending.looked > 0);
    assert_eq!((pending.commit.as_str(), pending.subject.as_str()), (commit.as_str(), "seven at once"));
    assert_eq!(pending.author, "Ada <ada@test.example>");
    let batch =
        pending.changes.iter().any(|line| line.starts_with("region aws: batch") && line.ends_with("1 -> 7"));
    assert!(batch && pending.changes.len() == 2, "{:?}", pending.changes);
    assert_eq!(bench.service.topology.status().await.unwrap().following, Some(pending));
    let applied = bench.service.topology.follow_now(Some("alice".into())).await.unwrap();
    assert!(!applied.pending && applied.changes.is_empty());
    let active = until_active(&bench, 2).await;
    assert_eq!((active.caller.as_str(), active.commit.as_str()), ("alice", commit.as_str()));
    assert_eq!(
        (active.author.as_str(), active.message.as_str()),
        ("Ada <ada@test.example>", "seven at once")
    );
    assert!(!look(&bench).await.pending);
}

#[tokio::test]
async fn by_policy_each_commit_is_applied_once() {
    let origin = Origin::new();
    let first = origin.commit(&file(&["aws-1"], 7, "*"), "seven");
    let bench = origin.followed(FollowPolicy::Auto).await;
    let active = until_active(&bench, 2).await;
    assert_eq!((active.caller.as_str(), active.commit), ("git", first));
    // An operator takes the first one up again: the repository does not fight with him.
    let back = proto::ApplyTopologyRequest {
        text: file(&["aws-1"], 1, "*"),
        planned_on: 2,
        rollback_of: 1,
        ..Default::default()
    };
    bench.service.topology.apply_as("alice".into(), back).await.unwrap();
    until_active(&bench, 3).await;
    let held = look(&bench).await;
    assert!(held.pending && held.last_error.contains("was applied before, as revision 2"), "{held:?}");
    origin.commit(&file(&["aws-1"], 8, "*"), "eight");
    look(&bench).await;
    assert_eq!(until_active(&bench, 4).await.message, "eight");
    assert_eq!(look(&bench).await.last_error, "");
}

#[tokio::test]
async fn what_is_wrong_out_there_is_shown_and_changes_nothing() {
    let origin = Origin::new();
    origin.commit("versoin: 1\n", "a slip");
    let bench = origin.followed(FollowPolicy::Auto).await;
    let wrong = look(&bench).await;
    assert!(
        wrong.last_error.contains("is not applied") && wrong.last_error.contains("did you mean \"version\"")
    );
    assert!(!wrong.pending && wrong.subject == "a slip");
    let refused = bench.service.topology.follow_now(Some("alice".into())).await.unwrap();
    assert!(!refused.last_error.is_empty());
    origin.git(&["rm", "--quiet", "topology.yaml"]);
    origin.git(&["commit", "--quiet", "-m", "gone"]);
    let gone = look(&bench).await.last_error;
    assert!(gone.contains("topology.yaml at ") && gone.contains("can't be read"), "{gone}");
    origin.git(&["branch", "-m", "main", "other"]);
    let nowhere = look(&bench).await.last_error;
    assert!(nowhere.contains("branch main of ") && nowhere.contains("can't be fetched"), "{nowhere}");
    // A history that was written anew is followed, too.
    origin.git(&["checkout", "--quiet", "--orphan", "main"]);
    origin.commit(&file(&["aws-1"], 3, "*"), "all new");
    assert_eq!(look(&bench).await.last_error, "");
    assert_eq!(until_active(&bench, 2).await.message, "all new");
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_named_without_its_password() {
    let follow = FollowConfig {
        repository: "https://ada:secret@127.0.0.1:1/fabric.git".into(),
        ..Origin::new().config(FollowPolicy::Manual)
    };
    let bench = follower(follow).await;
    let gone = look(&bench).await;
    assert_eq!(gone.repository, "https://127.0.0.1:1/fabric.git");
    assert!(
        gone.last_error.contains("can't be fetched") && !format!("{gone:?}").contains("secret"),
        "{gone:?}"
    );
    assert_eq!(told(bench.service.topology.get(9).await).0, Some(Code::NotFound), "it serves on");
}

#[tokio::test]
async fn hooks_of_the_clone_do_not_run_and_a_large_file_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let origin = Origin::new();
    origin.commit(&file(&["aws-1"], 1, "*"), "first");
    let bench = origin.followed(FollowPolicy::Manual).await;
    look(&bench).await;
    let hooks = bench.directory.path().join("follow/hooks");
    fs::create_dir_all(&hooks).unwrap();
    let (hook, trace) = (hooks.join("reference-transaction"), bench.directory.path().join("trace"));
    fs::write(&hook, format!("#!/bin/sh\ntouch '{}'\n", trace.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    origin.commit(&format!("# {}\n", "x".repeat(MAX_CONFIG as usize)), "too much");
    let large = look(&bench).await.last_error;
    assert!(large.contains("larger than"), "{large}");
    assert!(!trace.exists(), "a hook ran");
}

const MAX_CONFIG: u64 = relay_runtime::config::MAX_CONFIG_BYTES;
