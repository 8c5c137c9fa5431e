//! `relayctl topology follow`: the git repository that the top master follows, and what it found there.

use clap::Args;
use relay_proto::operator::Following;
use serde_json::{Value, json};

use super::api::Topologies;
use crate::{
    exit::Exit,
    output::{Output, Paint, clean},
    when,
};

/// Whether to do something.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct FollowArgs {
    /// Have the top master look at the repository now, and not at its next time
    #[arg(long)]
    now: bool,
    /// Have it apply what is pending: for the policy "manual"
    #[arg(long)]
    apply: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology follow
  relayctl topology follow --now
  relayctl topology follow --apply

Which repository is followed, how often and with which policy stands in the top master's configuration (follow). With the policy
auto what is pending is applied at the next look; with manual it waits for --apply. A file that is bad, or a repository that
cannot be read, changes nothing: the active revision stays, and the error is shown here.

EXIT CODES:
  0  the active topology is the repository's; or what was pending is applied, or being applied
  2  the repository has something else, which is pending
  3  no repository is followed, the last look failed, or the fabric does not answer";

/// Runs it.
pub async fn run(args: &FollowArgs, fabric: &mut impl Topologies, out: &Output) -> anyhow::Result<Exit> {
    let following = match args.now || args.apply {
        true => Some(fabric.look(args.apply).await?),
        false => fabric.standing().await?.following,
    };
    let Some(following) = following else {
        out.show(&json!({ "following": false }), |_| {
            "no git repository is followed (key \"follow\" of the top master's configuration)".into()
        })?;
        return Ok(Exit::NotAccepted);
    };
    let now = when::now_micros();
    out.show(&data(&following), |paint| text(&following, now, paint))?;
    Ok(exit(&following, args.apply))
}

fn exit(following: &Following, applied: bool) -> Exit {
    match (following.last_error.is_empty(), following.pending && !applied) {
        (false, _) => Exit::NotAccepted,
        (true, true) => Exit::Changes,
        (true, false) => Exit::Ok,
    }
}

fn data(following: &Following) -> Value {
    let Following {
        repository,
        branch,
        file,
        policy,
        looked,
        commit,
        author,
        subject,
        pending,
        changes,
        last_error,
    } = following;
    json!({
        "following": true, "repository": repository, "branch": branch, "file": file, "policy": policy,
        "looked_at": when::moment(*looked), "commit": commit, "author": author, "subject": subject,
        "pending": pending, "changes": changes, "last_error": last_error,
    })
}

fn text(following: &Following, now: u64, paint: &Paint) -> String {
    let Following { repository, branch, file, policy, looked, commit, author, subject, .. } = following;
    let looked = match looked {
        0 => "never".to_owned(),
        at => format!("{} ago", when::ago(*at, now)),
    };
    let mut lines = vec![
        format!("{file} of {repository}, branch {branch}, policy {policy}"),
        format!("  looked  {looked}"),
    ];
    if !commit.is_empty() {
        lines.push(format!("  commit  {commit} {author}: {subject}"));
    }
    let mut out = clean(&(lines.join("\n") + "\n"));
    let last = match (following.last_error.as_str(), following.pending) {
        ("", false) => paint.green("the active topology is the repository's"),
        ("", true) => pending(following, paint),
        (error, _) => paint.red(clean(&format!("the last look failed, the active revision stays: {error}"))),
    };
    out.push_str(&last);
    out
}

fn pending(following: &Following, paint: &Paint) -> String {
    let changes: String = following.changes.iter().map(|change| clean(&format!("    {change}\n"))).collect();
    let then = match following.policy.as_str() {
        "auto" => "it is applied at the next look",
        _ => "apply it: relayctl topology follow --apply",
    };
    format!("{}\n{changes}{then}", paint.yellow("pending:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_what_failed_and_what_is_well() {
        let well = Following {
            repository: "/srv/fabric.git".into(),
            branch: "main".into(),
            file: "topology.yaml".into(),
            policy: "manual".into(),
            looked: 1,
            commit: "8c1f0e2".into(),
            author: "Ada".into(),
            subject: "Three syndics".into(),
            ..Following::default()
        };
        let pending =
            Following { pending: true, changes: vec!["+ syndic e3 of east".into()], ..well.clone() };
        let failed =
            Following { last_error: "topology.yaml:7:15: \"awz\" is not known".into(), ..pending.clone() };
        let table = [(&well, 0, 0), (&pending, 2, 0), (&failed, 3, 3)];
        for (following, shown, applied) in table {
            let codes = (exit(following, false).code(), exit(following, true).code());
            assert_eq!(codes, (shown, applied), "{following:?}");
        }
        let text = |following| text(following, 61_000_001, &Paint::PLAIN);
        assert_eq!(
            text(&well),
            "topology.yaml of /srv/fabric.git, branch main, policy manual\n  looked  1m 1s ago\n  commit  8c1f0e2 Ada: \
             Three syndics\nthe active topology is the repository's"
        );
        assert!(
            text(&pending)
                .ends_with("pending:\n    + syndic e3 of east\napply it: relayctl topology follow --apply")
        );
        assert!(
            text(&failed).ends_with("the active revision stays: topology.yaml:7:15: \"awz\" is not known")
        );
        assert_eq!(data(&pending)["changes"], json!(["+ syndic e3 of east"]));
    }
}
