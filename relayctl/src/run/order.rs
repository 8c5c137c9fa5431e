//! What a job is ordered with, from the command line to the wire. Shared by `run`, its plans and schedules.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, Command};
use relay_core::{ids::RequestId, target::TargetError};
use relay_proto::operator::SubmitRequest;

use super::{
    batch::BatchArgs,
    matcher::MatcherArgs,
    span::{millis, span},
};
use crate::arguments::Arguments;

/// Where, what, and within which limits.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct OrderArgs {
    /// Which minions: a glob on their ids (or web[001-120]), or terms with "and", "or", "not", L@ (list), E@ (regex),
    /// G@ P@ (grain), S@ (subnet), N@ (node group), region:, syndic:
    pub target: Option<String>,
    /// The function, as test.ping or cmd.run
    pub function: Option<String>,
    /// Its arguments: YAML values; key=value is a named one. Write "--" before one that begins with a dash
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub args: Vec<String>,
    /// How long a minion may run it: 30s, 5m, 1h or seconds. Default: the top master's (60 s unless configured)
    #[arg(long, short = 't', value_name = "TIME", value_parser = span)]
    pub timeout: Option<Duration>,
    /// How long a minion has to receive it; later it is not_started. Default: the top master's (10 s)
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub delivery_timeout: Option<Duration>,
    #[command(flatten)]
    pub matcher: MatcherArgs,
    #[command(flatten)]
    pub batch: BatchArgs,
}

impl OrderArgs {
    /// What is sent. A subset's seed is a part of the request id if the operator gives none, so that a repeated command
    /// with the same id is the same request.
    ///
    /// # Errors
    /// The target is none, or options do not go together.
    pub fn request(&self, id: RequestId) -> anyhow::Result<SubmitRequest> {
        let (Some(text), Some(function)) = (&self.target, &self.function) else {
            bail!("write which minions and which function, as in: relayctl run '*' test.ping");
        };
        let target = self.matcher.target(text).map_err(|error| anyhow!("{}", wrong_target(text, &error)))?;
        Ok(SubmitRequest {
            request_id: id.0.to_be_bytes().to_vec(),
            target: target.to_string(),
            function: function.clone(),
            args: Arguments::read(&self.args).to_json(),
            delivery_timeout_ms: millis(self.delivery_timeout),
            run_timeout_ms: millis(self.timeout),
            batch: self.batch.batch()?,
            subset: self.batch.subset(id.0 as u64)?,
            ..SubmitRequest::default()
        })
    }

    /// Whether nothing at all is ordered.
    pub fn is_empty(&self) -> bool {
        let nothing = OrderArgs { matcher: self.matcher.clone(), ..OrderArgs::default() };
        *self == nothing
    }
}

/// Warns of arguments that look like options of the command `C`: behind "--" they go to the function.
pub fn warn_swallowed<C: Args>(args: &[String]) {
    for word in swallowed(args, &C::augment_args(Command::new("command"))) {
        eprintln!(
            "{word} stands behind \"--\", so it is an argument of the function; if it is meant as an option, write it before"
        );
    }
}

/// The words that are spelled like an option.
fn swallowed<'a>(args: &'a [String], command: &Command) -> Vec<&'a str> {
    let mut long: Vec<&str> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
    long.extend(command.get_arguments().filter_map(|arg| arg.get_all_aliases()).flatten());
    let spelled = |word: &&str| {
        word.strip_prefix("--").is_some_and(|rest| long.contains(&rest.split('=').next().unwrap_or(rest)))
    };
    args.iter().map(String::as_str).filter(spelled).collect()
}

/// Which target, then where in it: an error with a place begins with the word as well.
fn wrong_target(text: &str, error: &TargetError) -> String {
    let told = error.to_string();
    match told.strip_prefix("target, ") {
        Some(place) => format!("the target {text:?}, {place}"),
        None => format!("the target {text:?}: {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_once() {
        let order = |text: &str| OrderArgs {
            target: Some(text.into()),
            function: Some("f".into()),
            matcher: MatcherArgs { delimiter: ':', ..MatcherArgs::default() },
            ..OrderArgs::default()
        };
        let error = order("a and (b").request(RequestId(1)).unwrap_err().to_string();
        assert!(error.starts_with("the target \"a and (b\", column "), "{error}");
    }

    #[test]
    fn options_behind_two_dashes_are_seen() {
        let words = ["-x", "--batch", "--timeout=5", "--pcre", "--nothing", "batch", "--"].map(str::to_owned);
        let command = OrderArgs::augment_args(Command::new("run"));
        assert_eq!(swallowed(&words, &command), ["--batch", "--timeout=5", "--pcre"]);
    }
}
