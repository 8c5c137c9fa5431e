//! `relayctl audit`: the record of every decision, to read, to keep, and to check without trust in whoever kept it.

mod export;
mod records;
mod tail;
#[cfg(test)]
mod tests;
mod verify;

use clap::Subcommand;

use crate::{connect::Fabric, exit::Exit, output::Output};

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the newest records, and those that come
    Tail(tail::TailArgs),
    /// Copy the log to a file that can be verified
    Export(export::ExportArgs),
    /// Print the newest signed checkpoint, to be kept elsewhere
    #[command(after_help = export::CHECKPOINT)]
    Checkpoint,
    /// Check a copy of the log: every record and every signature
    Verify(verify::VerifyArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl audit tail -f
  relayctl audit export audit.jsonl
  relayctl audit checkpoint > /mnt/other-site/2026-11-21.checkpoint
  relayctl audit verify audit.jsonl --key top-1.vkey --key top-2.vkey

A top master has the public half of its key in audit/key.vkey below its state_dir: copy it once, by hand.";

/// Runs one of the commands.
pub async fn run(command: AuditCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    match command {
        AuditCommand::Tail(args) => tail::run(&args, &mut Fabric::wanted(wanted)?, out).await,
        AuditCommand::Export(args) => export::run(&args, &mut Fabric::wanted(wanted)?, out).await,
        AuditCommand::Checkpoint => export::checkpoint(&mut Fabric::wanted(wanted)?, out).await,
        AuditCommand::Verify(args) => verify::run(&args, out),
    }
}
