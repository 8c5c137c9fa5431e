//! `salt-key`: what there is of keys.
//!
//! A minion that the fabric knows has proven itself with a certificate, and so is an accepted key. Certificates are issued
//! outside the fabric as yet: nothing is ever pending, denied or rejected, and what would change that says so.

use anyhow::bail;
use relay_core::target::Glob;
use relay_proto::operator::ListMinionsRequest;
use serde_json::{Value, json};

use super::{
    code::Code,
    fabric, flags,
    options::Parsed,
    printer::{Form, Printer, complain},
};
use crate::output::salt::Kind;

/// How it is written.
pub const USAGE: &str = "salt-key [options]";

const NO_ENROLMENT: &str = "keys are not handled by the fabric yet: a minion is let in by its certificate, which is \
                            issued and withdrawn outside";
const NO_PRINTS: &str = "the fabric does not tell its minions' keys yet; on the minion: openssl x509 -noout \
                         -fingerprint -sha256 -in CERT";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Action<'a> {
    /// List the keys in these states.
    List(Vec<&'static str>),
    /// Change pending ones: the pattern, and whether all were meant.
    Pending(&'a str, bool),
    /// Delete some.
    Delete(&'a str),
    /// Show fingerprints or keys of some.
    Show(&'a str),
}

/// The states, as Salt names them in data.
const STATES: [&str; 4] = ["minions_pre", "minions_rejected", "minions", "minions_denied"];
/// Where those that the fabric knows are.
const ACCEPTED: &str = "minions";

impl Action<'_> {
    fn read(read: &Parsed) -> anyhow::Result<Action<'_>> {
        if let Some(option) =
            ["gen-keys", "gen-signature", "rotate-aes-key"].into_iter().find(|key| read.has(key))
        {
            bail!("--{option}: {NO_ENROLMENT}");
        }
        if let Some(word) = read.words.first() {
            bail!("{word:?} is too much: {USAGE}");
        }
        for (one, all) in [("accept", "accept-all"), ("reject", "reject-all")] {
            if let Some(pattern) = read.value(one) {
                return Ok(Action::Pending(pattern, false));
            }
            if read.has(all) {
                return Ok(Action::Pending("*", true));
            }
        }
        let pattern = |one, all| read.value(one).or_else(|| read.has(all).then_some("*"));
        if let Some(pattern) = pattern("delete", "delete-all") {
            return Ok(Action::Delete(pattern));
        }
        if let Some(pattern) = pattern("finger", "finger-all").or_else(|| pattern("print", "print-all")) {
            return Ok(Action::Show(pattern));
        }
        Ok(Action::List(states(read.value("list").unwrap_or("all"))?))
    }
}

fn states(word: &str) -> anyhow::Result<Vec<&'static str>> {
    Ok(match word {
        "pre" | "un" | "unaccepted" => vec![STATES[0]],
        "rej" | "rejected" => vec![STATES[1]],
        "acc" | "accepted" => vec![ACCEPTED],
        "den" | "denied" => vec![STATES[3]],
        "all" => STATES.to_vec(),
        _ => bail!("--list {word}: write acc, pre, rej, den or all"),
    })
}

/// Runs it.
pub async fn key(read: &Parsed) -> anyhow::Result<Code> {
    if let Some(why) = flags::refused(read, &[]) {
        bail!(why);
    }
    let action = Action::read(read)?;
    if let Action::Pending(pattern, all) = action {
        return pending(pattern, all);
    }
    let form = Form::of(read, Kind::Key)?;
    let minions = fabric(read)?.minions(ListMinionsRequest::default()).await?;
    let mut ids: Vec<String> = minions.into_iter().map(|m| m.id).collect();
    ids.sort();
    match action {
        Action::List(states) => Printer::of(read)?.print(&form.text(&listed(&states, &ids), false))?,
        Action::Delete(pattern) if matching(pattern, &ids) => bail!(NO_ENROLMENT),
        Action::Show(pattern) if matching(pattern, &ids) => bail!(NO_PRINTS),
        Action::Delete(pattern) | Action::Show(pattern) => {
            let text = "does not match any accepted, unaccepted or rejected keys.";
            Printer::stdout().print(&format!("The key glob '{pattern}' {text}\n"))?;
            return Ok(Code::ERRORS);
        }
        Action::Pending(..) => {}
    }
    Ok(Code::OK)
}

/// Nothing is ever pending: to accept all of it is done, to accept one of it is not.
fn pending(pattern: &str, all: bool) -> anyhow::Result<Code> {
    Printer::stdout().print(&format!("The key glob '{pattern}' does not match any unaccepted keys.\n"))?;
    if all {
        return Ok(Code::OK);
    }
    complain(&format!("salt-key: {NO_ENROLMENT}\n"));
    Ok(Code::ERRORS)
}

fn matching(pattern: &str, ids: &[String]) -> bool {
    let glob = Glob::new(pattern);
    ids.iter().any(|id| glob.matches(id))
}

fn listed(states: &[&'static str], ids: &[String]) -> Value {
    let held = |state: &str| if state == ACCEPTED { json!(ids) } else { json!([]) };
    states.iter().map(|state| ((*state).to_owned(), held(state))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::salt::{Look, render_value};

    fn read(line: &str) -> Parsed {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Parsed::read(&words, &flags::salt_key()).unwrap()
    }

    #[test]
    fn actions() {
        for (line, expected) in [
            ("-L", Action::List(STATES.to_vec())),
            ("", Action::List(STATES.to_vec())),
            ("-l acc", Action::List(vec!["minions"])),
            ("-l pre -y", Action::List(vec!["minions_pre"])),
            ("-a web*", Action::Pending("web*", false)),
            ("-A -y", Action::Pending("*", true)),
            ("-R", Action::Pending("*", true)),
            ("-d web*", Action::Delete("web*")),
            ("-D", Action::Delete("*")),
            ("-f web01", Action::Show("web01")),
            ("-F", Action::Show("*")),
            ("-P", Action::Show("*")),
        ] {
            assert_eq!(Action::read(&read(line)).unwrap(), expected, "{line}");
        }
        for wrong in ["-l some", "--gen-keys x", "web01"] {
            assert!(Action::read(&read(wrong)).is_err(), "{wrong}");
        }
        assert!(flags::refused(&read("--eauth pam -L"), &[]).is_some());
    }

    #[test]
    fn lists_as_in_salt() {
        let ids = ["m000".to_owned(), "m001".to_owned()];
        let all = listed(&STATES, &ids);
        let shown = render_value(Kind::Key, &all, &Look::default());
        assert_eq!(shown, "Accepted Keys:\nm000\nm001\nDenied Keys:\nUnaccepted Keys:\nRejected Keys:\n");
        assert_eq!(
            all,
            json!({"minions_pre": [], "minions_rejected": [], "minions": ["m000", "m001"], "minions_denied": []})
        );
        assert_eq!(listed(&["minions"], &ids), json!({"minions": ["m000", "m001"]}));
    }
}
