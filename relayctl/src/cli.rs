//! The words on the command line: the global options and the tree of commands. Each command's own options stand in its
//! own file.

use clap::{Parser, Subcommand};

use crate::{
    approvals::ApprovalsCommand, audit::AuditCommand, ca::CaCommand, completions::CompletionsArgs,
    context::ContextCommand, dev::DevCommand, fabric::FabricCommand, jobs::JobsCommand, keys::KeysCommand,
    login::LoginArgs, man::ManArgs, minions::MinionsCommand, output::Format, passwd::PasswdArgs,
    policy::PolicyCommand, run::RunArgs, schedule::ScheduleCommand, store::StoreCommand, token::TokenCommand,
    topology::TopologyCommand,
};

/// Orders jobs on a relay fabric and shows what became of them.
#[derive(Debug, Parser)]
#[command(name = "relayctl", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Which fabric: the name of a context (see "relayctl context list"). Default: the current one
    #[arg(long, global = true, env = "RELAY_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// How to print: for people, or for programs
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub out: Format,
    /// With --out tsv: without the line of names
    #[arg(long, global = true)]
    pub no_header: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a function on minions and show what each of them says
    Run(RunArgs),
    /// Jobs: list, show, watch, approve, cancel, run again
    #[command(after_help = crate::jobs::EXAMPLES)]
    Jobs {
        /// What to do with jobs.
        #[command(subcommand)]
        command: JobsCommand,
    },
    /// Schedules: jobs that the top master runs at times
    #[command(after_help = crate::schedule::EXAMPLES)]
    Schedule {
        /// What to do with schedules.
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Minions: list those that the top master knows
    #[command(after_help = crate::minions::EXAMPLES)]
    Minions {
        /// What to do with minions.
        #[command(subcommand)]
        command: MinionsCommand,
    },
    /// The fabric: top master, syndics, regions
    #[command(after_help = crate::fabric::EXAMPLES)]
    Fabric {
        /// What to ask of the fabric.
        #[command(subcommand)]
        command: FabricCommand,
    },
    /// Contexts: which fabric relayctl talks to, and as whom
    #[command(after_help = crate::context::EXAMPLES)]
    Context {
        /// What to do with contexts.
        #[command(subcommand)]
        command: ContextCommand,
    },
    /// Log in to a context's fabric with a password
    Login(LoginArgs),
    /// End the login to a context's fabric
    #[command(after_help = crate::login::LOGOUT)]
    Logout,
    /// Show who you are to a context's fabric
    #[command(after_help = crate::login::WHOAMI)]
    Whoami,
    /// Set the password of a user in a top master's password file
    Passwd(PasswdArgs),
    /// The topology as code: check, plan, apply, compare with what is there
    #[command(after_help = crate::topology::EXAMPLES)]
    Topology {
        /// What to do with topologies.
        #[command(subcommand)]
        command: TopologyCommand,
    },
    /// The certificate authority: root, issuers, certificates by hand
    #[command(after_help = crate::ca::EXAMPLES)]
    Ca {
        /// What to do with an authority.
        #[command(subcommand)]
        command: CaCommand,
    },
    /// Who has asked to join the fabric: list, accept by fingerprint, reject, delete
    #[command(after_help = crate::keys::EXAMPLES)]
    Keys {
        /// What to do with keys.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Join tokens: let newcomers in without a decision about each
    #[command(after_help = crate::token::EXAMPLES)]
    Token {
        /// What to do with join tokens.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Who may do what: check a policy, explain a decision, show what holds
    #[command(after_help = crate::policy::EXAMPLES)]
    Policy {
        /// What to do with policies.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Jobs that wait for a second person: list, show, approve, reject
    #[command(after_help = crate::approvals::EXAMPLES)]
    Approvals {
        /// What to do with approvals.
        #[command(subcommand)]
        command: ApprovalsCommand,
    },
    /// The record of every decision: show, export, verify
    #[command(after_help = crate::audit::EXAMPLES)]
    Audit {
        /// What to do with the audit log.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// A top master's store: check, migrate, export, import
    #[command(after_help = crate::store::EXAMPLES)]
    Store {
        /// What to do with a store.
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// A trial fabric of real processes on this machine
    #[command(after_help = crate::dev::EXAMPLES)]
    Dev {
        /// What to do with it.
        #[command(subcommand)]
        command: DevCommand,
    },
    /// Print what a shell needs to complete these words
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl dev up                      start a fabric on this machine
  relayctl run '*' test.ping           ask every minion
  relayctl run 'G@os:Ubuntu and web*' cmd.run uptime
  relayctl run 'web*' cmd.run /opt/update --batch canary:1,10%,100% --plan
  relayctl jobs list                   what ran lately
  relayctl dev down                    stop it again

EXIT CODES:
  0  done; of a job: every target is ok
  1  something failed
  2  nothing failed, but something is unknown, not started or refused; of a topology: something changes, or differs
  3  not accepted: wrong usage, no match, refused, no connection
  4  accepted and still running
  (\"relayctl run --help\" says exactly)";

#[cfg(test)]
mod tests;
