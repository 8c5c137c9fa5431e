//! Salt's target options: which matcher the first word is for.

use relay_core::target::{Target, TargetError};

use super::options::{OptionError, Parsed};

/// Options that name a matcher. Of several the last one counts, as in Salt.
pub const MATCHERS: [&str; 9] =
    ["pcre", "list", "grain", "grain-pcre", "compound", "pillar", "pillar-pcre", "ipcidr", "nodegroup"];

/// What stands between the keys of a grain unless `--delimiter` says otherwise.
const DELIMITER: char = ':';

/// The target that a word is under a command line's options.
///
/// # Errors
/// The word is no such target; the delimiter is no single character.
pub fn target(word: &str, read: &Parsed) -> anyhow::Result<Target> {
    let delimiter = delimiter(read)?;
    Ok(by_kind(read.last_of(&MATCHERS), word, delimiter)?)
}

/// The same by Salt's words for `tgt_type`, as runners take it.
///
/// # Errors
/// As [`target`]; there is no such type.
pub fn of_type(word: &str, kind: &str) -> anyhow::Result<Target> {
    let kind = match kind {
        "glob" => None,
        "grain_pcre" => Some("grain-pcre"),
        "pillar_pcre" => Some("pillar-pcre"),
        known => match MATCHERS.iter().find(|m| **m == known) {
            Some(matcher) => Some(*matcher),
            None => anyhow::bail!("tgt_type={known}: write glob, {}", MATCHERS.join(", ").replace('-', "_")),
        },
    };
    Ok(by_kind(kind, word, DELIMITER)?)
}

fn by_kind(kind: Option<&str>, word: &str, delimiter: char) -> Result<Target, TargetError> {
    match kind {
        Some("pcre") => Target::regex(word),
        Some("list") => Target::list([word]),
        Some("grain") => Target::grain(word, delimiter),
        Some("grain-pcre") => Target::grain_regex(word, delimiter),
        Some("pillar") => Target::pillar(word, delimiter),
        Some("pillar-pcre") => Target::pillar_regex(word, delimiter),
        Some("ipcidr") => Target::subnet(word),
        Some("nodegroup") => Target::node_group(word),
        Some("compound") => Target::compound(word),
        _ => Target::glob(word),
    }
}

fn delimiter(read: &Parsed) -> Result<char, OptionError> {
    let Some(text) = read.value("delimiter") else { return Ok(DELIMITER) };
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(OptionError::Kind {
            option: "--delimiter".into(),
            wanted: "write one character",
            found: text.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salt::flags;

    fn of(line: &[&str]) -> anyhow::Result<String> {
        let line: Vec<String> = line.iter().map(|w| (*w).to_owned()).collect();
        let read = Parsed::read(&line, &flags::salt())?;
        Ok(target(&read.words[0], &read)?.to_string())
    }

    #[test]
    fn each_option_is_a_matcher() {
        for (line, expected) in [
            (&["web*"][..], "web*"),
            (&["-E", "web[0-9]+"], "E@web[0-9]+"),
            (&["-L", "a, b,c"], "L@a,b,c"),
            (&["a,b", "-L"], "L@a,b"),
            (&["-G", "os:Debian"], "G@os:Debian"),
            (&["-G", "a|b|c", "--delimiter", "|"], "G|@a|b|c"),
            (&["-P", "os:Deb.*"], "P@os:Deb.*"),
            (&["-C", "G@os:Debian and not web*"], "G@os:Debian and not web*"),
            (&["-I", "role:db"], "I@role:db"),
            (&["-J", "role:d."], "J@role:d."),
            (&["-S", "10.0.0.0/8"], "S@10.0.0.0/8"),
            (&["-N", "web"], "N@web"),
            (&["-E", "-L", "a"], "L@a"),
        ] {
            assert_eq!(of(line).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn wrong_ones_are_told() {
        for line in [
            &["-C", "a and"][..],
            &["-E", "("],
            &["-G", "os"],
            &["-S", "x"],
            &["-L", ","],
            &["-G", "a:b", "--delimiter=::"],
        ] {
            assert!(of(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn types_are_as_in_salt() {
        assert_eq!(of_type("a,b", "list").unwrap().to_string(), "L@a,b");
        assert_eq!(of_type("a*", "glob").unwrap().to_string(), "a*");
        assert_eq!(of_type("os:D.*", "grain_pcre").unwrap().to_string(), "P@os:D.*");
        assert!(of_type("a", "range").unwrap_err().to_string().contains("glob, pcre, list"));
    }
}
