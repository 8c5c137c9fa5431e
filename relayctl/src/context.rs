//! `relayctl context`: which fabric relayctl talks to.

use clap::Subcommand;
use serde::Serialize;

use crate::{
    contexts::{Context, ContextFile, Contexts},
    exit::Exit,
    output::{Output, table},
};

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List all contexts; a star marks the one in use
    #[command(after_help = LIST)]
    List,
    /// Make a context the current one
    #[command(after_help = USE)]
    Use {
        /// Its name
        name: String,
    },
    /// Show the context in use, with all its paths
    #[command(after_help = SHOW)]
    Show,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl context list
  relayctl context use production
  relayctl --context production fabric status

The contexts are in ~/.config/relay/contexts.yaml ($XDG_CONFIG_HOME is honoured; $RELAY_CONFIG names another file).";
const LIST: &str = "EXAMPLES:\n  relayctl context list\n  relayctl context list --out json";
const USE: &str = "EXAMPLES:\n  relayctl context use dev";
const SHOW: &str =
    "EXAMPLES:\n  relayctl context show\n  relayctl context show --context production --out yaml";

#[derive(Serialize)]
struct Listed<'a> {
    current: bool,
    #[serde(flatten)]
    context: &'a Context,
}

/// Runs one of the commands.
pub fn run(command: ContextCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let file = ContextFile::of_user()?;
    match command {
        ContextCommand::List => list(&file.read()?, wanted, out)?,
        ContextCommand::Use { name } => {
            file.change(|all| {
                all.choose(Some(&name))?;
                all.current = Some(name.clone());
                Ok(())
            })?;
            out.say(&format!("context {name:?} is the current one"))?;
        }
        ContextCommand::Show => {
            let contexts = file.read()?;
            let context = contexts.choose(wanted)?;
            out.show(context, |_| shown(context, &file))?;
        }
    }
    Ok(Exit::Ok)
}

fn list<'a>(contexts: &'a Contexts, wanted: Option<&str>, out: &Output) -> anyhow::Result<()> {
    let used = wanted.or(contexts.current.as_deref());
    let listed = |context: &'a Context| Listed { current: Some(context.name.as_str()) == used, context };
    let all: Vec<Listed<'_>> = contexts.contexts.iter().map(listed).collect();
    out.show(&all, |_| {
        let rows = all.iter().map(|Listed { current, context }| {
            let mark = if *current { "*" } else { "" };
            let addresses: Vec<&str> = context.addresses.iter().map(|a| a.address.as_str()).collect();
            [mark.into(), context.name.clone(), context.fabric.clone(), addresses.join(", ")]
        });
        match table(["", "NAME", "FABRIC", "ADDRESSES"], rows) {
            none if none.is_empty() => "no contexts: \"relayctl dev up\" makes one".into(),
            some => some,
        }
    })
}

fn shown(context: &Context, file: &ContextFile) -> String {
    let mut out =
        format!("context {:?} of {}\n  fabric   {}\n", context.name, file.path().display(), context.fabric);
    for at in &context.addresses {
        out.push_str(&format!("  address  {} (as {})\n", at.address, at.server_name));
    }
    for (word, path) in [("ca", &context.ca), ("cert", &context.cert), ("key", &context.key)] {
        out.push_str(&format!("  {word:<8} {}\n", path.display()));
    }
    out
}
