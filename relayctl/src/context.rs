//! `relayctl context`: which fabric relayctl talks to.

mod add;

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
    /// Add the context of a fabric
    Add(Box<add::AddArgs>),
    /// Remove a context; the fabric and the files it names stay
    #[command(after_help = REMOVE)]
    Remove {
        /// Its name
        name: String,
    },
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
  relayctl context add prod --fabric acme.example --top-master top-1@aws=10.0.0.5:4511 --ca ca.crt --use
  relayctl context list
  relayctl context use production
  relayctl --context production fabric status

The contexts are in ~/.config/relay/contexts.yaml ($XDG_CONFIG_HOME is honoured; $RELAY_CONFIG names another file).";
const REMOVE: &str = "EXAMPLES:\n  relayctl context remove dev";
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
        ContextCommand::Add(args) => {
            let context = args.context()?;
            file.change(|all| {
                all.put(context);
                if args.current || all.contexts.len() == 1 {
                    all.current = Some(args.name.clone());
                }
                Ok(())
            })?;
            out.say(&format!("context {:?} is in {}", args.name, file.path().display()))?;
        }
        ContextCommand::Remove { name } => {
            file.change(|all| {
                all.choose(Some(&name))?;
                all.remove(&name);
                Ok(())
            })?;
            out.say(&format!("context {name:?} is removed"))?;
        }
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
            none if none.is_empty() => {
                "no contexts: \"relayctl context add\" or \"relayctl dev up\" makes one".into()
            }
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
    let own = [("cert", &context.cert), ("key", &context.key)];
    let own = own.into_iter().filter_map(|(word, path)| Some((word, path.as_ref()?)));
    for (word, path) in [("ca", &context.ca)].into_iter().chain(own) {
        out.push_str(&format!("  {word:<8} {}\n", path.display()));
    }
    if let Some(root) = &context.root {
        out.push_str(&format!("  root     {root}\n"));
    }
    if context.cert.is_none() {
        out.push_str(
            "  no certificate: log in with \"relayctl login\" (\"relayctl whoami\" says who you are)\n",
        );
    }
    out
}
