use clap::{Command as Definition, CommandFactory};

use super::*;

fn each_command(at: &mut Definition, path: &str, see: &mut impl FnMut(&str, &mut Definition)) {
    see(path, at);
    for inner in at.get_subcommands_mut().filter(|c| c.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name());
        each_command(inner, &path, see);
    }
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_and_every_example_is_one() {
    // A fingerprint is longer than what is left of a line.
    let mut all = Cli::command().term_width(0);
    all.build();
    each_command(&mut all, "relayctl", &mut |path, command| {
        let help = command.render_long_help().to_string();
        let (_, examples) = help.split_once("EXAMPLES:").unwrap_or_else(|| panic!("{path}: no examples"));
        let lines: Vec<&str> =
            examples.lines().map(str::trim).filter(|l| l.starts_with("relayctl ")).collect();
        assert!(lines.iter().any(|l| l.starts_with(path)), "{path}: {lines:?}");
        for line in lines {
            // What explains an example stands to the right of it, behind several spaces.
            let line = line.split("   ").next().unwrap_or(line);
            // Where its output goes is for the shell.
            let line = line.split(" > ").next().unwrap_or(line);
            let line = line.split(" | ").next().unwrap_or(line);
            Cli::try_parse_from(words(line)).unwrap_or_else(|e| panic!("{path}: {line}\n{e}"));
        }
    });
}

/// A line as a shell splits it: spaces, and single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

#[test]
fn wrong_usage_is_not_accepted_and_help_is_fine() {
    let code = |line: &str| crate::main(words(line).into_iter().map(Into::into));
    for line in [
        "relayctl",
        "relayctl run",
        "relayctl jobs show 12",
        "relayctl nonsense",
        "relayctl run x y --timeout 0",
        "relayctl run x y --batch 0",
        "relayctl run x y --until 101%",
        "relayctl run x y --seed 1",
        "relayctl run x y --batch canary:10,5",
        "relayctl run x y --progress",
        "relayctl run --plan-id 12",
        "relayctl jobs watch 20261121073656123456 --after 0",
        "relayctl jobs kill 20261121073656123456 --signal nonsense",
        "relayctl jobs rerun 20261121073656123456 --only ok",
        "relayctl jobs list --since yesterday",
        "relayctl jobs prune",
        "relayctl schedule add x -- x y",
    ] {
        assert_eq!(code(line), 3, "{line}");
    }
    assert_eq!(code("relayctl --help"), 0);
    assert_eq!(code("relayctl dev up --help"), 0);
    assert_eq!(code("relayctl --version"), 0);
}

#[test]
fn options_of_a_job_may_stand_behind_its_arguments() {
    let cli =
        Cli::try_parse_from(words("relayctl run web* cmd.run uptime --timeout 5 --out json --context x"))
            .unwrap();
    let Command::Run(run) = cli.command else { panic!("not run") };
    assert_eq!(
        (run.order.args, cli.out, cli.context.as_deref()),
        (vec!["uptime".to_owned()], Format::Json, Some("x"))
    );
}

/// What stands in an example file is what this program takes.
#[test]
fn the_examples_of_a_topology_in_git_are_commands() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/topology-in-git");
    let mut seen = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for command in commands(line) {
                let parsed = Cli::try_parse_from(words(&command));
                parsed.unwrap_or_else(|e| panic!("{}:{}: {command}\n{e}", path.display(), number + 1));
                seen += 1;
            }
        }
    }
    assert!(seen >= 12, "only {seen} commands found");
}

/// The command in a line of a script, of YAML, or of Markdown: from its name to where the shell takes over. What the shell puts
/// in is a number here.
fn commands(line: &str) -> Vec<String> {
    let from_name = line.match_indices("relayctl topology ").map(|(at, _)| &line[at..]);
    let one = |text: &str| {
        let end = ["`", " || ", " && ", " > ", " | ", ", or "].iter().filter_map(|end| text.find(end)).min();
        text[..end.unwrap_or(text.len())].replace("\"$(jq .planned_on plan.json)\"", "4")
    };
    // The hook of the tool pre-commit has the file's name put behind it.
    let whole = |command: String| match command.as_str() {
        "relayctl topology validate" => format!("{command} topology.yaml"),
        _ => command,
    };
    from_name.map(one).map(whole).collect()
}
