//! From the list of scenarios to a command line, and from a command line to a [`Run`].

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::{
    machine::Limits,
    part::PARTS,
    scenario::{ALL, Number, Run, Scenario},
    swarm::Shape,
};

const ABOUT: &str = "Load tests of the fabric: real processes on loopback, a throw-away authority, figures with their budgets";
const AFTER: &str = "\
EXAMPLES:
  loadtests fanout --minions 5000 --syndics 8 --rounds 20 --json
  loadtests fanout --tiny          any build, seconds; only what does not depend on speed is judged

The binaries top-master, syndic and minion are taken from RELAY_BIN_DIR, or from beside this one.
Exit code: 0 all musts kept, 1 one missed or a target unaccounted for, 3 wrong usage or too large for this machine.";

/// Most minions, and rounds, that can be asked for: a typing error is told as one.
const MOST: u64 = 10_000_000;
/// The same for syndics.
const MOST_SYNDICS: u64 = 64;

/// The whole command line.
pub fn command() -> Command {
    let scenarios = ALL.iter().map(|scenario| one(scenario));
    let parts = PARTS.iter().map(|part| {
        Command::new(part.name)
            .about(format!("{} (a scenario starts this, people do not)", part.about))
            .hide(true)
    });
    Command::new("loadtests")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(scenarios)
        .subcommands(parts)
}

fn one(scenario: &'static Scenario) -> Command {
    let Scenario { name, about, usual, least, .. } = *scenario;
    let range = |low: u64, high: u64| value_parser!(u64).range(low..=high);
    let number = |name: &'static str, about: String| Arg::new(name).long(name).value_name("N").help(about);
    let sized = |what: &str, n: u32| format!("{what} [default: {n}; in a tiny run fewer]");
    let own = scenario.options.iter().map(|n: &Number| {
        number(n.name, format!("{} [default: {}]", n.about, n.usual))
            .value_parser(range(n.range.0, n.range.1))
    });
    Command::new(name)
        .about(about)
        .arg(
            number("minions", sized("Minions in all", usual.minions)).value_parser(range(least.into(), MOST)),
        )
        .arg(
            number("syndics", sized("Syndics between them and the top master", usual.syndics))
                .value_parser(range(1, MOST_SYNDICS)),
        )
        .arg(number("rounds", sized("Measured rounds", usual.rounds)).value_parser(range(1, MOST)))
        .arg(
            number(
                "daemon-threads",
                "Runtime threads of each daemon [default: what it chooses itself]".into(),
            )
            .value_parser(range(1, MOST_SYNDICS)),
        )
        .arg(
            number("seed", "Seed of what the bench itself draws [default: drawn and shown]".into())
                .value_parser(value_parser!(u64)),
        )
        .args(own)
        .arg(
            Arg::new("journals")
                .long("journals")
                .action(ArgAction::SetTrue)
                .help("Simulated minions keep their journals on disk, with fsync [default: in memory]"),
        )
        .arg(
            Arg::new("each-alone")
                .long("each-alone")
                .action(ArgAction::SetTrue)
                .help("Each simulated minion verifies every signature itself [default: once in a process, as minion --count does]"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON object on standard output instead of a table"),
        )
        .arg(
            Arg::new("tiny").long("tiny").action(ArgAction::SetTrue).help(
                "The smallest size, with any build: figures of time and memory are shown but not judged",
            ),
        )
}

/// What a command line asks of a scenario.
pub fn run(scenario: &'static Scenario, matches: &ArgMatches, limits: Limits) -> Run {
    let tiny = matches.get_flag("tiny");
    let size = if tiny { scenario.tiny } else { scenario.usual };
    let said = |name: &str| matches.get_one::<u64>(name).copied();
    // Every range above ends far below u32::MAX.
    let small = |name: &str| said(name).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let own = |n: &Number| said(n.name).unwrap_or(if tiny { n.tiny } else { n.usual });
    Run {
        scenario: scenario.name,
        minions: small("minions").unwrap_or(size.minions),
        syndics: small("syndics").unwrap_or(size.syndics),
        rounds: small("rounds").unwrap_or(size.rounds),
        seed: said("seed").unwrap_or_else(|| rand::random_range(0..1 << 32)),
        tiny,
        threads: small("daemon-threads"),
        shape: Shape {
            journals: matches.get_flag("journals"),
            each_alone: matches.get_flag("each-alone"),
            ..Shape::default()
        },
        limits,
        numbers: scenario.options.iter().map(|n| (n.name, own(n))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::named;

    fn asked(line: &str) -> Result<Run, clap::Error> {
        let matches = command().try_get_matches_from(line.split(' '))?;
        let (name, matches) = matches.subcommand().unwrap();
        let limits = Limits { descriptors: 1, memory_kib: 1, ports: 1 };
        Ok(run(named(name).unwrap(), matches, limits))
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn sizes_are_usual_or_tiny_unless_they_are_said() {
        let (usual, tiny) = (asked("x fanout").unwrap(), asked("x fanout --tiny --minions 50").unwrap());
        assert_eq!((usual.minions, usual.syndics, usual.tiny), (5_000, 8, false));
        assert_eq!((tiny.minions, tiny.syndics, tiny.tiny), (50, 2, true));
        let batch = asked("x batch --window 7 --seed 3 --daemon-threads 2").unwrap();
        assert_eq!((batch.number("window"), batch.seed, batch.threads), (7, 3, Some(2)));
        assert_eq!(asked("x batch --tiny").unwrap().number("sleep-ms"), 200);
        let told = asked("x batch --window 7 --daemon-threads 2 --each-alone --journals")
            .unwrap()
            .arguments()
            .join(" ");
        assert_eq!(told, "--sleep-ms 1000 --window 7 --daemon-threads 2 --journals --each-alone");
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["x", "x nothing", "x fanout --minions 0", "x targets --minions 5", "x fanout --window 3"]
        {
            assert!(asked(line).is_err(), "{line}");
        }
    }
}
