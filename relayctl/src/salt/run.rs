//! `salt-run`: questions about minions and jobs, answered by the top master without asking any minion.

mod jobs;
mod manage;
mod times;

use anyhow::bail;
use relay_core::target::Glob;
use serde_json::{Map, Value};

use super::{
    code::Code,
    fabric, flags,
    options::Parsed,
    printer::{Form, Printer, complain},
    words::nearest,
};
use crate::{arguments::Arguments, output::salt::Kind};

/// How it is written.
pub const USAGE: &str = "salt-run [options] <function> [arguments]";

/// The runners, and what each tells.
const RUNNERS: &[(&str, &str)] = &[
    ("manage.status", "Minions that are up and that are down."),
    ("manage.up", "Minions that are up."),
    ("manage.down", "Minions that are down."),
    ("manage.present", "As manage.up: whoever is attached to a syndic is present."),
    ("manage.not_present", "As manage.down."),
    ("manage.alived", "As manage.up."),
    ("manage.not_alived", "As manage.down."),
    ("manage.joined", "As manage.up."),
    ("manage.not_joined", "As manage.down."),
    ("manage.allowed", "As manage.up."),
    ("manage.not_allowed", "As manage.down."),
    ("manage.list_state", "As manage.up."),
    ("manage.list_not_state", "As manage.down."),
    ("manage.versions", "Minions by version, compared with the top master's."),
    ("jobs.active", "Jobs that are not over, with who has returned and who has not."),
    (
        "jobs.list_jobs",
        "All jobs that are kept. search_function=GLOB search_target=GLOB start_time= end_time=",
    ),
    ("jobs.list_jobs_filter", "The newest jobs: how many."),
    ("jobs.list_job", "One job with its returns."),
    ("jobs.print_job", "The same, below its jid."),
    ("jobs.lookup_jid", "What minions returned to a job. missing=True: also those that did not."),
    ("jobs.exit_success", "Which minions ran a job without an error."),
    ("jobs.last_run", "The newest job with its returns. function=GLOB target=GLOB"),
    ("jobs.master", "Jobs that run on the top master itself: none ever do."),
];

/// What a runner is called with. Arguments that nobody took are refused, not ignored.
pub struct Call {
    name: &'static str,
    args: std::collections::VecDeque<Value>,
    kwargs: Map<String, Value>,
}

impl Call {
    /// Arguments that mean something to Salt alone, since nobody is asked here and nothing is waited for.
    const IGNORED: [&str; 6] =
        ["timeout", "gather_job_timeout", "ext_source", "outputter", "display_progress", "jid"];

    fn new(name: &'static str, words: &[String]) -> Call {
        let Arguments { args, kwargs } = Arguments::read(words);
        Call { name, args: args.into(), kwargs }
    }

    /// An argument by its name, or the next by position.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.kwargs.shift_remove(name).or_else(|| self.args.pop_front())
    }

    /// An argument by its name.
    fn named(&mut self, name: &str) -> Option<Value> {
        self.kwargs.shift_remove(name)
    }

    fn text(value: Value) -> String {
        if let Value::String(text) = value { text } else { value.to_string() }
    }

    /// That nothing is left.
    fn done(&self) -> anyhow::Result<()> {
        let named = self.kwargs.keys().find(|name| !Call::IGNORED.contains(&name.as_str()));
        match (self.args.front(), named) {
            (Some(value), _) => bail!("{} takes no argument {value} (salt-run -d)", self.name),
            (_, Some(name)) => bail!("{} takes no argument {name} (salt-run -d)", self.name),
            _ => Ok(()),
        }
    }
}

/// Runs it.
pub async fn run(read: &Parsed) -> anyhow::Result<Code> {
    if let Some(why) = flags::refused(read, &[]) {
        bail!(why);
    }
    if read.has("async") {
        bail!("--async: every runner answers at once, there is nothing to wait for");
    }
    if read.has("doc") {
        let only = read.words.first().map(String::as_str);
        let text = docs(only);
        if let (true, Some(word)) = (text.is_empty(), only) {
            return Ok(unknown(word));
        }
        Printer::stdout().print(&text)?;
        return Ok(Code::OK);
    }
    let Some((word, rest)) = read.words.split_first() else { bail!("a function is needed: {USAGE}") };
    let Some((name, _)) = RUNNERS.iter().find(|(name, _)| name == word) else { return Ok(unknown(word)) };
    let form = Form::of(read, Kind::Nested)?;
    let mut printer = Printer::of(read)?;
    let mut fabric = fabric(read).await?;
    let call = Call::new(name, rest);
    let value = match name.split_once('.') {
        Some(("manage", function)) => manage::run(function, call, &mut fabric).await?,
        Some((_, function)) => jobs::run(function, call, &mut fabric).await?,
        None => Value::Null,
    };
    printer.print(&form.text(&value, false))?;
    Ok(Code::OK)
}

/// What runners do: all of them, or the one of that name, or those of that module.
fn docs(only: Option<&str>) -> String {
    let wanted = |name: &str| match only {
        None => true,
        Some(word) if word.contains('*') => Glob::new(word).matches(name),
        Some(word) => {
            let module = word.trim_end_matches('.');
            name == word || name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
        }
    };
    let found = RUNNERS.iter().filter(|(name, _)| wanted(name));
    found.map(|(name, doc)| format!("{name}:\n\n    {doc}\n\n")).collect()
}

fn unknown(word: &str) -> Code {
    complain(&format!("'{word}' is not available; {}\n", hint(word)));
    Code::ERRORS
}

/// What was probably meant.
fn hint(word: &str) -> String {
    match word.rsplit('.').next() {
        Some("kill" | "kill_job" | "term" | "term_job" | "cancel") if word.starts_with("job") => {
            return "to end a job: relayctl jobs cancel JID".into();
        }
        // Nearer to list_job by a letter, but a list is a list.
        Some("list" | "lists") if word.starts_with("job") => return "did you mean jobs.list_jobs?".into(),
        _ => {}
    }
    match nearest(word, RUNNERS.iter().map(|(name, _)| *name)) {
        Some(name) => format!("did you mean {name}?"),
        None => "\"salt-run -d\" lists what there is".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_of_the_documents_find_what_was_meant() {
        for (word, meant) in [
            ("jobs.actvie", Some("jobs.active")),
            ("job.active", Some("jobs.active")),
            ("jobs.activ", Some("jobs.active")),
            ("jobs.list", Some("jobs.list_jobs")),
            ("jobs.list_job_", Some("jobs.list_job")),
            ("jobs.lookup_job", Some("jobs.lookup_jid")),
            ("manage.stats", Some("manage.status")),
            ("manage.version", Some("manage.versions")),
            ("manage.alive", Some("manage.alived")),
            ("cache.grains", None),
        ] {
            let expected = meant.map_or("\"salt-run -d\" lists what there is".to_owned(), |name| {
                format!("did you mean {name}?")
            });
            assert_eq!(hint(word), expected, "{word}");
        }
        for word in ["jobs.kill", "jobs.kill_job", "jobs.cancel", "job.kill"] {
            assert!(hint(word).contains("relayctl jobs cancel JID"), "{word}");
        }
    }

    #[test]
    fn documentation_of_some() {
        let names = |only| {
            let text = docs(only);
            let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(' '));
            lines.map(|line| line.trim_end_matches(':').to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(None).len(), RUNNERS.len());
        let jobs = names(Some("jobs"));
        assert!(!jobs.is_empty() && jobs.iter().all(|name| name.starts_with("jobs.")), "{jobs:?}");
        assert_eq!(names(Some("jobs.")), jobs);
        assert_eq!(names(Some("jobs.active")), ["jobs.active"]);
        assert_eq!(names(Some("*.up")), ["manage.up"]);
        assert_eq!(names(Some("job")), [""; 0]);
    }

    #[test]
    fn arguments_that_nobody_takes_are_refused() {
        let words = ["*".to_owned(), "timeout=5".to_owned(), "color=red".to_owned()];
        let mut call = Call::new("manage.up", &words);
        assert_eq!(call.take("tgt"), Some("*".into()));
        assert!(call.done().unwrap_err().to_string().contains("takes no argument color"));
        assert_eq!(call.named("color"), Some("red".into()));
        assert!(call.done().is_ok());
    }
}
