//! `relayctl completions`: what a shell needs to complete relayctl's words, made from the definition of the command line.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use crate::{exit::Exit, output::print};

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: For,
}

/// The shells that operators have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Bash,
    Zsh,
    Fish,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl completions bash    > /etc/bash_completion.d/relayctl
  relayctl completions zsh     > ~/.zfunc/_relayctl
  relayctl completions fish    > ~/.config/fish/completions/relayctl.fish";

/// Prints the script.
pub fn run(args: &CompletionsArgs, definition: clap::Command) -> anyhow::Result<Exit> {
    print(&script(args.shell, definition))?;
    Ok(Exit::Ok)
}

fn script(shell: For, mut definition: clap::Command) -> String {
    let shell = match shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let name = definition.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn each_script_knows_commands_and_options() {
        for shell in For::value_variants() {
            let script = script(*shell, Cli::command());
            for word in ["relayctl", "jobs", "watch", "delivery-timeout", "tsv"] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
        }
    }
}
