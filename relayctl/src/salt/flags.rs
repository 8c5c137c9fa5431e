//! Which options Salt's four commands have, as tables.
//!
//! What is here is read; what it means is told by the command that reads it, and option by option in
//! docs/migrating-from-salt.md. [`refused`] says which options are known and not there, and why.

use super::options::{Flag, Parsed, switch, with_value};

/// Of every command. Configuration and log options are taken and mean nothing: the fabric is named by a context.
const COMMON: &[Flag] = &[
    switch("version", &[], &["version"], "show the version and end"),
    switch("versions-report", &['V'], &["versions-report"], "the same, with the parts"),
    switch("help", &['h'], &["help"], "show this help and end"),
    with_value("context", &[], &["context"], "NAME", "which fabric (see \"relayctl context list\")"),
    with_value("config-dir", &['c'], &["config-dir"], "DIR", "taken and not used: contexts name the fabric"),
    with_value("saltfile", &[], &["saltfile"], "FILE", "taken and not used"),
    with_value("log-level", &['l'], &["log-level"], "LEVEL", "taken and not used: nothing is logged"),
    with_value("log-file", &[], &["log-file"], "FILE", "taken and not used"),
    with_value("log-file-level", &[], &["log-file-level"], "LEVEL", "taken and not used"),
    switch("hard-crash", &[], &["hard-crash"], "taken and not used"),
    switch("skip-autoruns", &[], &["skip-autoruns"], "taken and not used"),
];

const OUTPUT: &[Flag] = &[
    with_value(
        "out",
        &[],
        &["out", "output"],
        "FORM",
        "nested, json, yaml, txt, raw, quiet, newline_values_only …",
    ),
    with_value(
        "out-indent",
        &[],
        &["out-indent", "output-indent"],
        "N",
        "spaces per level of JSON; -1: one line",
    ),
    with_value("out-file", &[], &["out-file", "output-file"], "FILE", "print into a file"),
    switch("out-file-append", &[], &["out-file-append", "output-file-append"], "… at its end"),
    switch("no-color", &[], &["no-color", "no-colour"], "no colours"),
    switch("force-color", &[], &["force-color", "force-colour"], "colours, whatever reads them"),
    with_value(
        "state-output",
        &[],
        &["state-output", "state_output"],
        "HOW",
        "taken; without states, of no effect",
    ),
    with_value("state-verbose", &[], &["state-verbose", "state_verbose"], "BOOL", "taken; as state-output"),
    switch("output-diff", &[], &["output-diff"], "taken; as state-output"),
];

const TARGET: &[Flag] = &[
    switch("pcre", &['E'], &["pcre"], "the target is a regular expression on ids"),
    switch("list", &['L'], &["list"], "the target is a list of ids: a,b,c"),
    switch("grain", &['G'], &["grain"], "the target is a grain and a glob: os:Debian"),
    switch("grain-pcre", &['P'], &["grain-pcre"], "the target is a grain and a regular expression"),
    switch("compound", &['C'], &["compound"], "the target is an expression with and, or, not, G@, E@ …"),
    switch("pillar", &['I'], &["pillar"], "the target is a pillar value"),
    switch("pillar-pcre", &['J'], &["pillar-pcre"], "the target is a pillar value, by regular expression"),
    switch("ipcidr", &['S'], &["ipcidr"], "the target is an address or a subnet"),
    switch("nodegroup", &['N'], &["nodegroup"], "the target is a node group of the topology"),
    switch("range", &['R'], &["range"], "not there"),
    switch("hosts", &['H'], &["hosts"], "not there"),
    with_value("delimiter", &[], &["delimiter"], "C", "what stands between the keys of a grain; default :"),
];

const AUTH: &[Flag] = &[
    with_value("auth", &['a'], &["auth", "eauth", "external-auth"], "HOW", "log in first: pam, ldap or file"),
    switch("make-token", &['T'], &["make-token"], "with -a: stay logged in, as \"relayctl login\" does"),
    with_value("username", &[], &["username"], "NAME", "with -a: as whom; default: $USER"),
    with_value("password", &[], &["password"], "WORD", "not there"),
];

const SALT: &[Flag] = &[
    with_value(
        "timeout",
        &['t'],
        &["timeout"],
        "SECONDS",
        "how long a minion has to take the job; it may run longer",
    ),
    with_value(
        "run-timeout",
        &[],
        &["run-timeout"],
        "SECONDS",
        "how long it may run (3600 if not said); not in Salt",
    ),
    switch("async", &[], &["async"], "print the job's id and do not wait"),
    with_value("subset", &[], &["subset"], "N", "only so many of the targets, by chance"),
    switch("show-jid", &[], &["show-jid"], "print the job's id first"),
    switch("verbose", &['v'], &["verbose"], "the same, and who is missing in the summary"),
    switch("static", &['s'], &["static"], "print all at the end, as one document"),
    switch("progress", &['p'], &["progress"], "show on a terminal how far it is"),
    switch("summary", &[], &["summary"], "count at the end"),
    switch("hide-timeout", &[], &["hide-timeout"], "do not print minions that did not return"),
    switch("show-timeout", &[], &["show-timeout"], "print them also with --static"),
    with_value("batch", &['b'], &["batch", "batch-size"], "N or N%", "so many minions at once"),
    with_value("batch-wait", &[], &["batch-wait"], "SECONDS", "how long a freed place stays empty"),
    with_value(
        "batch-safe-limit",
        &[],
        &["batch-safe-limit"],
        "N",
        "with at least N targets, run in batches",
    ),
    with_value("batch-safe-size", &[], &["batch-safe-size"], "N", "… of so many (8)"),
    switch("failhard", &[], &["failhard"], "start no more after the first failure"),
    switch("preview-target", &[], &["preview-target"], "print which minions match, and run nothing"),
    switch("doc", &['d'], &["doc", "documentation"], "print what functions do"),
    switch("retcode-passthrough", &[], &["retcode-passthrough"], "exit with the highest retcode"),
    with_value(
        "missing-exit",
        &[],
        &["missing-exit"],
        "CODE",
        "exit code if only answers are missing (5); not in Salt",
    ),
    with_value(
        "request-id",
        &[],
        &["request-id"],
        "HEX",
        "the same request again, not a second job; not in Salt",
    ),
    with_value("args-separator", &[], &["args-separator"], "TEXT", "for several functions: not there"),
    switch("args-stdin", &[], &["args-stdin"], "read more arguments from standard input, one a line"),
    with_value("no-parse", &[], &["no-parse"], "NAMES", "arguments with these names stay text"),
    with_value("return", &[], &["return"], "RETURNER", "not there"),
    with_value("return-config", &[], &["return_config", "return-config"], "NAME", "not there"),
    with_value("return-kwargs", &[], &["return_kwargs", "return-kwargs"], "MAP", "not there"),
    with_value("metadata", &[], &["metadata"], "MAP", "not there"),
    with_value("module-executors", &[], &["module-executors"], "LIST", "not there"),
    with_value("executor-opts", &[], &["executor-opts"], "MAP", "not there"),
    switch("config-dump", &[], &["config-dump"], "not there"),
];

const RUN: &[Flag] = &[
    with_value("timeout", &['t'], &["timeout"], "SECONDS", "taken and not used: no runner waits for minions"),
    switch("async", &[], &["async"], "not there: every runner answers at once"),
    switch("quiet", &[], &["quiet"], "taken and not used"),
    switch("skip-grains", &[], &["skip-grains"], "taken and not used"),
    switch("doc", &['d'], &["doc", "documentation"], "list the runners"),
    with_value("jid", &[], &["jid"], "JID", "taken and not used: runners are no jobs"),
    switch("config-dump", &[], &["config-dump"], "not there"),
];

const KEY: &[Flag] = &[
    with_value("list", &['l'], &["list"], "WHICH", "pre, un, acc, rej, den, all: list those keys"),
    switch("list-all", &['L'], &["list-all"], "list all keys"),
    with_value("accept", &['a'], &["accept"], "GLOB", "accept pending keys"),
    switch("accept-all", &['A'], &["accept-all"], "accept all pending keys"),
    with_value("reject", &['r'], &["reject"], "GLOB", "reject pending keys"),
    switch("reject-all", &['R'], &["reject-all"], "reject all pending keys"),
    with_value("delete", &['d'], &["delete"], "GLOB", "delete keys"),
    switch("delete-all", &['D'], &["delete-all"], "delete all keys"),
    with_value("finger", &['f'], &["finger"], "GLOB", "show fingerprints"),
    switch("finger-all", &['F'], &["finger-all"], "show all fingerprints"),
    with_value("print", &['p'], &["print"], "GLOB", "show public keys"),
    switch("print-all", &['P'], &["print-all"], "show all public keys"),
    switch("include-all", &[], &["include-all"], "also keys that are not pending"),
    switch("include-accepted", &[], &["include-accepted"], "also accepted keys"),
    switch("include-rejected", &[], &["include-rejected"], "also rejected keys"),
    switch("include-denied", &[], &["include-denied"], "also denied keys"),
    switch("preserve-minions", &[], &["preserve-minions"], "taken and not used"),
    switch("yes", &['y'], &["yes"], "do not ask"),
    switch("quiet", &['q'], &["quiet"], "taken and not used"),
    with_value("user", &['u'], &["user"], "NAME", "taken and not used"),
    with_value("gen-keys", &[], &["gen-keys"], "NAME", "not there"),
    with_value("gen-keys-dir", &[], &["gen-keys-dir"], "DIR", "not there"),
    switch("gen-signature", &[], &["gen-signature"], "not there"),
    switch("rotate-aes-key", &[], &["rotate-aes-key"], "not there"),
];

const CALL: &[Flag] = &[
    switch("local", &[], &["local"], "run without any master (as without it, and says nothing of it)"),
    switch("doc", &['d'], &["doc", "documentation"], "print what functions do"),
    switch("grains", &['g'], &["grains"], "print this machine's grains"),
    switch("retcode-passthrough", &[], &["retcode-passthrough"], "exit with the function's retcode"),
    with_value("minion-config", &[], &["minion-config"], "FILE", "the minion's configuration; not in Salt"),
    with_value("id", &[], &["id"], "ID", "the minion's id"),
    with_value("master", &[], &["master"], "HOST", "not there"),
    with_value("return", &[], &["return"], "RETURNER", "not there"),
    switch("no-return-event", &[], &["no-return-event"], "taken: nothing is returned"),
    with_value("timeout", &['t'], &["timeout"], "SECONDS", "taken and not used"),
    switch("metadata", &[], &["metadata"], "print outcome and retcode as well"),
    switch("set-metadata", &[], &["set-metadata"], "not there"),
    switch("skip-grains", &[], &["skip-grains"], "taken and not used"),
    switch("refresh-grains-cache", &[], &["refresh-grains-cache"], "taken and not used"),
    with_value("file-root", &[], &["file-root"], "DIR", "taken; without states, of no effect"),
    with_value("pillar-root", &[], &["pillar-root"], "DIR", "taken; without states, of no effect"),
    with_value("states-dir", &[], &["states-dir"], "DIR", "taken; without states, of no effect"),
    with_value("module-dirs", &['m'], &["module-dirs"], "DIR", "taken and not used"),
    with_value("user", &['u'], &["user"], "NAME", "taken and not used"),
    with_value("no-parse", &[], &["no-parse"], "NAMES", "arguments with these names stay text"),
];

/// The options of `salt`.
pub fn salt() -> Vec<Flag> {
    [COMMON, OUTPUT, TARGET, AUTH, SALT].concat()
}
/// The options of `salt-run`.
pub fn salt_run() -> Vec<Flag> {
    [COMMON, OUTPUT, AUTH, RUN].concat()
}
/// The options of `salt-key`. Letters that it uses for keys mean nothing else, as in Salt: `-a` accepts, `-l` lists.
pub fn salt_key() -> Vec<Flag> {
    let taken = |letter: &char| KEY.iter().any(|flag| flag.short.contains(letter));
    let short = |flag: &Flag| if flag.short.iter().any(taken) { &[] } else { flag.short };
    let others = [COMMON, OUTPUT, AUTH].concat();
    let others: Vec<Flag> = others.iter().map(|flag| Flag { short: short(flag), ..*flag }).collect();
    [&others, KEY].concat()
}
/// The options of `salt-call`.
pub fn salt_call() -> Vec<Flag> {
    [COMMON, OUTPUT, CALL].concat()
}

const READABLE: &str = "everybody on this machine can read a command line: the password is asked for, or taken from standard input";
const NO_RETURNER: &str = "there are no returners: the fabric keeps every return (salt-run jobs.lookup_jid)";
const NO_EXECUTOR: &str = "there are no executors: a function runs as it is";

/// Options that are known and not there.
const REFUSED: &[(&str, &str)] = &[
    ("password", READABLE),
    ("range", "there are no range servers: write a range set, as in 'web[001-120,200]'"),
    ("hosts", "there is no matcher for hosts: use -L for ids, -S for addresses"),
    ("return", NO_RETURNER),
    ("return-config", NO_RETURNER),
    ("return-kwargs", NO_RETURNER),
    ("metadata", "a job carries no metadata"),
    ("set-metadata", "a job carries no metadata"),
    ("module-executors", NO_EXECUTOR),
    ("executor-opts", NO_EXECUTOR),
    ("config-dump", "there is no configuration of Salt's here: see \"relayctl context show\""),
    ("master", "a call runs on this machine without any master: leave it out"),
];

/// What keeps a command line from being run: an option that is known and not there. `but` are options that this command
/// has nevertheless.
pub fn refused(read: &Parsed, but: &[&str]) -> Option<String> {
    let found = REFUSED.iter().find(|(key, _)| read.has(key) && !but.contains(key));
    found.map(|(key, why)| format!("--{key}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_spelling_has_two_meanings() {
        for table in [salt(), salt_run(), salt_key(), salt_call()] {
            let mut seen = BTreeSet::new();
            for flag in &table {
                for name in flag
                    .long
                    .iter()
                    .map(|l| format!("--{l}"))
                    .chain(flag.short.iter().map(|c| format!("-{c}")))
                {
                    assert!(seen.insert(name.clone()), "{name} twice");
                }
            }
        }
    }

    #[test]
    fn what_is_refused_is_an_option_of_some_command() {
        let all: BTreeSet<&str> =
            [salt(), salt_run(), salt_key(), salt_call()].concat().iter().map(|f| f.key).collect();
        assert!(REFUSED.iter().all(|(key, _)| all.contains(key)));
    }
}
