//! `salt-key`: who has asked to join the fabric, in the states that Salt has for it.
//!
//! What waits is `minions_pre`, members are `minions`, who was turned away is `minions_rejected`; of whom another key has asked
//! for the name, or a copy was seen, are `minions_denied`. A minion whose certificate was issued by hand is a member, too. One
//! thing is not as in Salt: nobody is let in by a glob unseen. Accepting shows the fingerprints and asks; without somebody to
//! ask it is refused, and `relayctl keys accept` takes the fingerprints.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use relay_core::{enrol::State, target::Glob};
use relay_proto::{
    operator::ListMinionsRequest,
    trust::{Key, ListKeysRequest, Named},
};
use serde_json::{Map, Value, json};

use super::{
    code::Code,
    fabric, flags,
    options::Parsed,
    printer::{Form, Printer, complain},
};
use crate::{
    connect::Fabric,
    keys::{self, Decision},
    output::salt::Kind,
    run::terminal::{Ask, Terminal},
};

/// How it is written.
pub const USAGE: &str = "salt-key [options]";

const ELSEWHERE: &str = "keys are made by the minions themselves, and belong to nobody else; the fabric's own are handled by \
                         \"relayctl ca\"";
const NO_PRINTS: &str = "the fabric keeps fingerprints and no public keys: see -f and -F";
const UNSEEN: &str = "nobody is let in unseen. Compare the fingerprints with what the machines log, and then: relayctl keys \
                      accept ID --fingerprint SHA256, or --file with many";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Action<'a> {
    /// List the keys in these states.
    List(Vec<&'static str>),
    /// Decide about some: what, the pattern, and whether all were meant.
    Decide(Decision, &'a str, bool),
    /// Show fingerprints of some.
    Finger(&'a str),
}

/// The states, as Salt names them in data.
const STATES: [&str; 4] = [PENDING, REJECTED, ACCEPTED, DENIED];
const PENDING: &str = "minions_pre";
const REJECTED: &str = "minions_rejected";
const ACCEPTED: &str = "minions";
const DENIED: &str = "minions_denied";

impl Action<'_> {
    fn read(read: &Parsed) -> anyhow::Result<Action<'_>> {
        if let Some(option) =
            ["gen-keys", "gen-signature", "rotate-aes-key"].into_iter().find(|key| read.has(key))
        {
            bail!("--{option}: {ELSEWHERE}");
        }
        if let Some(word) = read.words.first() {
            bail!("{word:?} is too much: {USAGE}");
        }
        let pattern = |one, all| match read.value(one) {
            Some(pattern) => Some((pattern, false)),
            None => read.has(all).then_some(("*", true)),
        };
        for (decision, one, all) in [
            (Decision::Accept, "accept", "accept-all"),
            (Decision::Reject, "reject", "reject-all"),
            (Decision::Delete, "delete", "delete-all"),
        ] {
            if let Some((glob, everybody)) = pattern(one, all) {
                return Ok(Action::Decide(decision, glob, everybody));
            }
        }
        if let Some((glob, _)) = pattern("finger", "finger-all") {
            return Ok(Action::Finger(glob));
        }
        if pattern("print", "print-all").is_some() {
            bail!(NO_PRINTS);
        }
        Ok(Action::List(states(read.value("list").unwrap_or("all"))?))
    }
}

fn states(word: &str) -> anyhow::Result<Vec<&'static str>> {
    Ok(match word {
        "pre" | "un" | "unaccepted" => vec![PENDING],
        "rej" | "rejected" => vec![REJECTED],
        "acc" | "accepted" => vec![ACCEPTED],
        "den" | "denied" => vec![DENIED],
        "all" => STATES.to_vec(),
        _ => bail!("--list {word}: write acc, pre, rej, den or all"),
    })
}

/// Minions that have asked, and those that the fabric knows otherwise.
struct Known {
    keys: Vec<Key>,
    /// Members by a certificate that was issued by hand.
    others: BTreeSet<String>,
}

impl Known {
    async fn of(fabric: &mut Fabric) -> anyhow::Result<Known> {
        let request = ListKeysRequest { role: "minion".into(), ..ListKeysRequest::default() };
        let keys = keys::all(fabric, request).await?;
        let minions = fabric.minions(ListMinionsRequest::default()).await?;
        let asked: BTreeSet<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let others = minions.into_iter().map(|m| m.id).filter(|id| !asked.contains(id.as_str())).collect();
        Ok(Known { keys, others })
    }

    /// The ids in one of Salt's states, each with its fingerprint.
    fn within(&self, state: &str) -> BTreeMap<&str, &str> {
        let keys = self.keys.iter().filter(|key| salts(key).contains(&state));
        let mut found: BTreeMap<&str, &str> =
            keys.map(|key| (key.id.as_str(), key.fingerprint.as_str())).collect();
        if state == ACCEPTED {
            found.extend(self.others.iter().map(|id| (id.as_str(), "")));
        }
        found
    }
}

/// Salt's states of a key: a member of whom another key has asked for the name is in two.
fn salts(key: &Key) -> Vec<&'static str> {
    let mut states = match State::of(&key.state) {
        Some(State::Pending) => vec![PENDING],
        Some(State::Rejected) => vec![REJECTED],
        Some(State::Accepted) => vec![ACCEPTED],
        Some(State::Conflict | State::Quarantined) => vec![DENIED],
        Some(State::Retired) | None => vec![],
    };
    if !key.rivals.is_empty() && states == [ACCEPTED] {
        states.push(DENIED);
    }
    states
}

/// Runs it.
pub async fn key(read: &Parsed) -> anyhow::Result<Code> {
    if let Some(why) = flags::refused(read, &[]) {
        bail!(why);
    }
    let action = Action::read(read)?;
    let form = Form::of(read, Kind::Key)?;
    let mut fabric = fabric(read).await?;
    let known = Known::of(&mut fabric).await?;
    match action {
        Action::List(states) => {
            Printer::of(read)?.print(&form.text(&listed(&states, &known), false))?;
            Ok(Code::OK)
        }
        Action::Finger(pattern) => match fingers(pattern, &known) {
            Value::Object(none) if none.is_empty() => no_match(pattern, "accepted, unaccepted or rejected"),
            found => {
                Printer::of(read)?.print(&form.text(&found, false))?;
                Ok(Code::OK)
            }
        },
        Action::Decide(what, pattern, all) => {
            let chosen = chosen(what, pattern, &known);
            if chosen.is_empty() {
                let states =
                    if what == Decision::Delete { "accepted, unaccepted or rejected" } else { "unaccepted" };
                let code = no_match(pattern, states)?;
                return Ok(if all { Code::OK } else { code });
            }
            decide(what, chosen, read, &mut fabric).await
        }
    }
}

fn no_match(pattern: &str, states: &str) -> anyhow::Result<Code> {
    Printer::stdout().print(&format!("The key glob '{pattern}' does not match any {states} keys.\n"))?;
    Ok(Code::ERRORS)
}

/// Whom a decision is about: what waits; to delete, whatever has asked.
fn chosen<'a>(what: Decision, pattern: &str, known: &'a Known) -> Vec<&'a Key> {
    let glob = Glob::new(pattern);
    let open = |key: &&Key| match what {
        Decision::Delete => key.state != State::Retired.word(),
        _ => key.state == State::Pending.word(),
    };
    known.keys.iter().filter(|key| glob.matches(&key.id)).filter(open).collect()
}

/// Shows whom it is about, asks, and does it.
async fn decide(
    what: Decision,
    chosen: Vec<&Key>,
    read: &Parsed,
    fabric: &mut Fabric,
) -> anyhow::Result<Code> {
    let (doing, done) = match what {
        Decision::Accept => ("accepted", "accepted"),
        Decision::Reject => ("rejected", "rejected"),
        Decision::Delete | Decision::Release => ("deleted", "deleted"),
    };
    let list: String = chosen.iter().map(|key| format!("{}  {}\n", key.id, key.fingerprint)).collect();
    let mut terminal = Terminal::new();
    // A yes in advance is one to keys that nobody has looked at.
    let asks = what == Decision::Accept || !read.has("yes");
    if asks && !terminal.is_there() {
        complain(&list);
        match what {
            Decision::Accept => bail!(UNSEEN),
            _ => bail!("nobody can be asked here: add -y"),
        }
    }
    if asks
        && !agreed(
            &mut terminal,
            &format!("The following keys are going to be {doing}:\n{list}Proceed? [y/N] "),
        )
        .await
    {
        return Ok(Code::OK);
    }
    let named = |key: &&Key| Named {
        id: key.id.clone(),
        role: key.role.clone(),
        region: key.region.clone(),
        // Exactly what was shown.
        fingerprint: key.fingerprint.clone(),
    };
    let decided = keys::decide(fabric, what, chosen.iter().map(named).collect()).await?;
    let mut code = Code::OK;
    for decided in decided {
        let id = decided.key.map(|key| key.id).unwrap_or_default();
        match decided.done {
            true => Printer::stdout().print(&format!("Key for minion {id} {done}.\n"))?,
            false => {
                complain(&format!("salt-key: {id}: {}\n", decided.why));
                code = Code::ERRORS;
            }
        }
    }
    Ok(code)
}

async fn agreed(ask: &mut impl Ask, text: &str) -> bool {
    crate::run::terminal::confirm(ask, text).await
}

fn listed(states: &[&'static str], known: &Known) -> Value {
    let ids = |state: &str| known.within(state).into_keys().collect::<Vec<_>>();
    states.iter().map(|state| ((*state).to_owned(), json!(ids(state)))).collect()
}

/// Fingerprints by state; those of who was never told to the fabric are not there.
fn fingers(pattern: &str, known: &Known) -> Value {
    let glob = Glob::new(pattern);
    let mut found = Map::new();
    for state in STATES {
        let of_state = known.within(state);
        let prints = of_state.into_iter().filter(|(id, print)| glob.matches(id) && !print.is_empty());
        let prints: Map<String, Value> = prints.map(|(id, print)| (id.to_owned(), json!(print))).collect();
        if !prints.is_empty() {
            found.insert(state.to_owned(), Value::Object(prints));
        }
    }
    Value::Object(found)
}

#[cfg(test)]
mod tests {
    use relay_proto::trust::Rival;

    use super::*;
    use crate::output::salt::{Look, render_value};

    fn read(line: &str) -> Parsed {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Parsed::read(&words, &flags::salt_key()).unwrap()
    }

    fn known(keys: &[(&str, State, bool)], others: &[&str]) -> Known {
        let key = |(id, state, rivalled): &(&str, State, bool)| Key {
            id: (*id).into(),
            role: "minion".into(),
            state: state.word().into(),
            fingerprint: format!("{id:0>64}"),
            rivals: if *rivalled { vec![Rival::default()] } else { vec![] },
            ..Key::default()
        };
        let others = others.iter().map(|id| (*id).to_owned()).collect();
        Known { keys: keys.iter().map(key).collect(), others }
    }

    #[test]
    fn actions() {
        use Decision::*;
        for (line, expected) in [
            ("-L", Action::List(STATES.to_vec())),
            ("", Action::List(STATES.to_vec())),
            ("-l acc", Action::List(vec!["minions"])),
            ("-l pre -y", Action::List(vec!["minions_pre"])),
            ("-a web*", Action::Decide(Accept, "web*", false)),
            ("-A -y", Action::Decide(Accept, "*", true)),
            ("-R", Action::Decide(Reject, "*", true)),
            ("-d web*", Action::Decide(Delete, "web*", false)),
            ("-D", Action::Decide(Delete, "*", true)),
            ("-f web01", Action::Finger("web01")),
            ("-F", Action::Finger("*")),
        ] {
            assert_eq!(Action::read(&read(line)).unwrap(), expected, "{line}");
        }
        for wrong in ["-l some", "--gen-keys x", "web01", "-P", "-p web01"] {
            assert!(Action::read(&read(wrong)).is_err(), "{wrong}");
        }
        assert!(flags::refused(&read("--password x -L"), &[]).is_some());
    }

    #[test]
    fn lists_as_in_salt() {
        let known = known(&[], &["m000", "m001"]);
        let all = listed(&STATES, &known);
        let shown = render_value(Kind::Key, &all, &Look::default());
        assert_eq!(shown, "Accepted Keys:\nm000\nm001\nDenied Keys:\nUnaccepted Keys:\nRejected Keys:\n");
        assert_eq!(
            all,
            json!({"minions_pre": [], "minions_rejected": [], "minions": ["m000", "m001"], "minions_denied": []})
        );
        assert_eq!(listed(&["minions"], &known), json!({"minions": ["m000", "m001"]}));
    }

    #[test]
    fn each_state_has_its_place_and_a_decision_its_own_ones() {
        let known = known(
            &[
                ("acc", State::Accepted, false),
                ("both", State::Accepted, true),
                ("con", State::Conflict, true),
                ("old", State::Retired, false),
                ("pre", State::Pending, false),
                ("qua", State::Quarantined, false),
                ("rej", State::Rejected, false),
            ],
            &["hand"],
        );
        assert_eq!(
            listed(&STATES, &known),
            json!({"minions_pre": ["pre"], "minions_rejected": ["rej"], "minions": ["acc", "both", "hand"],
                   "minions_denied": ["both", "con", "qua"]})
        );
        let ids = |what, pattern| {
            chosen(what, pattern, &known).iter().map(|key| key.id.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(ids(Decision::Accept, "*"), ["pre"], "of two keys nobody is chosen by a glob");
        assert_eq!(ids(Decision::Reject, "r*"), [""; 0]);
        assert_eq!(ids(Decision::Delete, "*"), ["acc", "both", "con", "pre", "qua", "rej"]);
        let prints = fingers("*", &known);
        assert_eq!(prints["minions_pre"]["pre"], format!("{:0>64}", "pre"));
        assert!(prints["minions"].get("hand").is_none());
        assert_eq!(fingers("x*", &known), json!({}));
    }
}
