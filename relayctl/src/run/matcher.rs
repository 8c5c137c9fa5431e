//! Options that say how a target is written: Salt's flags, besides the one plain expression.

use clap::Args;
use relay_core::target::{Target, TargetError};

/// Which matcher a target is for.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Kinds of targets")]
pub struct MatcherArgs {
    /// TARGET is a regular expression on ids: 'web[0-9]+'
    #[arg(long, visible_alias = "pcre", short = 'E', group = "matcher")]
    pub regex: bool,
    /// TARGET is a list of ids: web01,web02
    #[arg(long, short = 'L', group = "matcher")]
    pub list: bool,
    /// TARGET is a grain and a glob on its value: os:Ubuntu
    #[arg(long, short = 'G', group = "matcher")]
    pub grain: bool,
    /// TARGET is a grain and a regular expression on its value: 'os:(Ubuntu|Debian)'
    #[arg(long, visible_alias = "grain-pcre", short = 'P', group = "matcher")]
    pub grain_regex: bool,
    /// TARGET is a pillar key and a glob on its value (nobody has pillar yet)
    #[arg(long, short = 'I', group = "matcher")]
    pub pillar: bool,
    /// TARGET is a pillar key and a regular expression on its value (nobody has pillar yet)
    #[arg(long, visible_alias = "pillar-pcre", short = 'J', group = "matcher")]
    pub pillar_regex: bool,
    /// TARGET is an address or a network: 10.0.0.0/8
    #[arg(long, visible_alias = "ipcidr", short = 'S', group = "matcher")]
    pub subnet: bool,
    /// TARGET is a node group of the topology
    #[arg(long, short = 'N', group = "matcher")]
    pub nodegroup: bool,
    /// TARGET is an expression with "and", "or", "not": the default
    #[arg(long, short = 'C', group = "matcher")]
    pub compound: bool,
    /// What stands between the keys of a grain or pillar: one character
    #[arg(long, value_name = "CHAR", default_value_t = ':', value_parser = one)]
    pub delimiter: char,
}

impl MatcherArgs {
    /// The target that a text is.
    ///
    /// # Errors
    /// The text is no such target: where, and what was expected.
    pub fn target(&self, text: &str) -> Result<Target, TargetError> {
        let delimiter = if self.delimiter == char::default() { ':' } else { self.delimiter };
        match self {
            Self { regex: true, .. } => Target::regex(text),
            Self { list: true, .. } => Target::list([text]),
            Self { grain: true, .. } => Target::grain(text, delimiter),
            Self { grain_regex: true, .. } => Target::grain_regex(text, delimiter),
            Self { pillar: true, .. } => Target::pillar(text, delimiter),
            Self { pillar_regex: true, .. } => Target::pillar_regex(text, delimiter),
            Self { subnet: true, .. } => Target::subnet(text),
            Self { nodegroup: true, .. } => Target::node_group(text),
            Self { compound: true, .. } => Target::compound(text),
            _ => Target::parse(text),
        }
    }
}

fn one(text: &str) -> Result<char, String> {
    text.parse().map_err(|_| "a delimiter is one character, as : or |".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_character() {
        assert_eq!((one("|"), one("é")), (Ok('|'), Ok('é')));
        for wrong in ["", "::"] {
            assert!(one(wrong).unwrap_err().contains("one character"), "{wrong:?}");
        }
    }
}
