//! `relayctl man`: the manual pages, made from the same text as `--help`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::Man;

use crate::{exit::Exit, output::Output};

/// Where the pages go.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// The directory for relayctl.1, relayctl-run.1 and so on; it is made if it is not there
    dir: PathBuf,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl man /usr/local/share/man/man1
  relayctl man ./pages                       then: man ./pages/relayctl-run.1";

/// Writes a page for each command and says which.
pub fn run(args: &ManArgs, definition: Command, out: &Output) -> anyhow::Result<Exit> {
    let pages = pages(definition);
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("cannot make the directory {}", args.dir.display()))?;
    for (name, text) in &pages {
        write(&args.dir.join(name), text)?;
    }
    let names: Vec<&String> = pages.iter().map(|(name, _)| name).collect();
    out.show(&names, |_| format!("{} pages in {}", names.len(), args.dir.display()))?;
    Ok(Exit::Ok)
}

fn write(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// File names and pages.
fn pages(definition: Command) -> Vec<(String, Vec<u8>)> {
    let mut definition = definition.disable_help_subcommand(true);
    definition.build();
    let mut pages = Vec::new();
    page(definition, &mut pages);
    pages
}

fn page(command: Command, pages: &mut Vec<(String, Vec<u8>)>) {
    command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .for_each(|inner| page(inner.clone(), pages));
    let man = Man::new(command).manual("relayctl");
    let mut text = Vec::new();
    // Writing to memory does not fail.
    if man.render(&mut text).is_ok() {
        pages.push((man.get_filename(), text));
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_with_its_help() {
        let pages = pages(Cli::command());
        let page = |wanted: &str| {
            let found = pages.iter().find(|(name, _)| name == wanted).unwrap_or_else(|| panic!("{wanted}"));
            String::from_utf8(found.1.clone()).unwrap()
        };
        assert!(page("relayctl.1").contains("relayctl\\-run"));
        let run = page("relayctl-run.1");
        assert!(run.contains("test.ping") && run.contains("delivery\\-timeout"), "{run}");
        page("relayctl-jobs-watch.1");
    }

    #[test]
    fn pages_are_written_where_they_were_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (args, out) =
            (ManArgs { dir: dir.path().join("man1") }, Output::to_stdout(crate::output::Format::Json));
        run(&args, Cli::command(), &out).unwrap();
        assert!(dir.path().join("man1/relayctl.1").is_file());
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = run(&ManArgs { dir: dir.path().join("file") }, Cli::command(), &out).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
