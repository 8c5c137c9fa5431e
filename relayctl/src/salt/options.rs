//! A command line as Python's optparse reads it, which Salt's commands use: options stand anywhere, long ones may be cut
//! short while they are unambiguous, short ones may be run together (`-vb50`), `--` ends them.
//!
//! Owns the reading alone. Which options a command has is a table of [`Flag`]s in the command's own file.

/// One option of a command.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// What it is called here; the same for all of its spellings.
    pub key: &'static str,
    /// One letter each, without the dash.
    pub short: &'static [char],
    /// Without the two dashes.
    pub long: &'static [&'static str],
    /// The word for its value in the help; nothing if it has none.
    pub value: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

/// An option without a value.
pub const fn switch(
    key: &'static str,
    short: &'static [char],
    long: &'static [&'static str],
    help: &'static str,
) -> Flag {
    Flag { key, short, long, value: None, help }
}

/// An option with a value.
pub const fn with_value(
    key: &'static str,
    short: &'static [char],
    long: &'static [&'static str],
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { key, short, long, value: Some(value), help }
}

/// Why a command line cannot be read, in optparse's words and with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No option is spelled so.
    #[error("no such option: {0} (write \"--\" before arguments that begin with a dash)")]
    Unknown(String),
    /// Several options begin so.
    #[error("ambiguous option: {given} ({candidates}?)")]
    Ambiguous {
        /// As written.
        given: String,
        /// What it may mean.
        candidates: String,
    },
    /// Its value is missing.
    #[error("{0} option requires 1 argument")]
    NoValue(String),
    /// It has a value and takes none.
    #[error("{0} option does not take a value")]
    Value(String),
    /// Its value is of another kind.
    #[error("option {option}: {wanted}, not {found:?}")]
    Kind {
        /// As written in the help.
        option: String,
        /// What would be right.
        wanted: &'static str,
        /// As written.
        found: String,
    },
}

/// A command line that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    given: Vec<(&'static str, Option<String>)>,
    /// What is no option, in order.
    pub words: Vec<String>,
}

impl Parsed {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    /// An option that is not in the table, or one with a value too many or too few.
    pub fn read(line: &[String], table: &[Flag]) -> Result<Parsed, OptionError> {
        let mut read = Parsed::default();
        let mut rest = line.iter();
        while let Some(word) = rest.next() {
            match word.strip_prefix('-') {
                Some("-") => {
                    read.words.extend(rest.cloned());
                    break;
                }
                Some(long) if long.starts_with('-') => read.long(word, &long[1..], &mut rest, table)?,
                Some(short) if !short.is_empty() => read.short(short, &mut rest, table)?,
                _ => read.words.push(word.clone()),
            }
        }
        Ok(read)
    }

    fn long<'a>(
        &mut self,
        word: &str,
        long: &str,
        rest: &mut impl Iterator<Item = &'a String>,
        table: &[Flag],
    ) -> Result<(), OptionError> {
        let (name, joined) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let (flag, name) = find_long(word, name, table)?;
        let shown = || format!("--{name}");
        let value = match (flag.value, joined) {
            (None, None) => None,
            (None, Some(_)) => return Err(OptionError::Value(shown())),
            (Some(_), Some(value)) => Some(value),
            (Some(_), None) => Some(rest.next().cloned().ok_or_else(|| OptionError::NoValue(shown()))?),
        };
        self.given.push((flag.key, value));
        Ok(())
    }

    fn short<'a>(
        &mut self,
        letters: &str,
        rest: &mut impl Iterator<Item = &'a String>,
        table: &[Flag],
    ) -> Result<(), OptionError> {
        for (at, letter) in letters.char_indices() {
            let shown = || format!("-{letter}");
            let flag = table.iter().find(|f| f.short.contains(&letter));
            let flag = flag.ok_or_else(|| OptionError::Unknown(shown()))?;
            if flag.value.is_none() {
                self.given.push((flag.key, None));
                continue;
            }
            // The rest of the word is its value, or else the next word.
            let joined = &letters[at + letter.len_utf8()..];
            let value = match joined.is_empty() {
                false => joined.to_owned(),
                true => rest.next().cloned().ok_or_else(|| OptionError::NoValue(shown()))?,
            };
            self.given.push((flag.key, Some(value)));
            break;
        }
        Ok(())
    }

    /// Whether an option is there.
    pub fn has(&self, key: &str) -> bool {
        self.given.iter().any(|(k, _)| *k == key)
    }

    /// The value of an option; of several, the last one's.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.given.iter().rev().find(|(k, _)| *k == key).and_then(|(_, value)| value.as_deref())
    }

    /// Of these options the one given last.
    pub fn last_of(&self, keys: &[&'static str]) -> Option<&'static str> {
        self.given.iter().rev().map(|(k, _)| *k).find(|k| keys.contains(k))
    }

    /// The value of an option that is a number.
    ///
    /// # Errors
    /// It is none, or less than `least`.
    pub fn number<N: std::str::FromStr + PartialOrd>(
        &self,
        key: &'static str,
        least: N,
        wanted: &'static str,
    ) -> Result<Option<N>, OptionError> {
        let Some(text) = self.value(key) else { return Ok(None) };
        let number = text.trim().parse::<N>().ok().filter(|n| *n >= least);
        let wrong = || OptionError::Kind { option: format!("--{key}"), wanted, found: text.to_owned() };
        number.map(Some).ok_or_else(wrong)
    }
}

/// A long option by its name, or by a beginning that only one has.
fn find_long<'t>(word: &str, name: &str, table: &'t [Flag]) -> Result<(&'t Flag, &'static str), OptionError> {
    let all = || table.iter().flat_map(|f| f.long.iter().map(move |long| (f, *long)));
    if let Some(exact) = all().find(|(_, long)| *long == name) {
        return Ok(exact);
    }
    let begun: Vec<_> = all().filter(|(_, long)| !name.is_empty() && long.starts_with(name)).collect();
    match begun.as_slice() {
        [] => Err(OptionError::Unknown(word.split('=').next().unwrap_or(word).to_owned())),
        [first, others @ ..] if others.iter().all(|(f, _)| f.key == first.0.key) => Ok(*first),
        several => {
            let names: Vec<String> = several.iter().map(|(_, long)| format!("--{long}")).collect();
            let given = word.split('=').next().unwrap_or(word).to_owned();
            Err(OptionError::Ambiguous { given, candidates: names.join(", ") })
        }
    }
}

/// The help of a table, two columns.
pub fn help(table: &[Flag]) -> String {
    let mut out = String::new();
    for flag in table {
        let value = flag.value.map(|v| format!(" {v}")).unwrap_or_default();
        let short = flag.short.iter().map(|c| format!("-{c}{value}"));
        let joined = value.replacen(' ', "=", 1);
        let names: Vec<String> = short.chain(flag.long.iter().map(|l| format!("--{l}{joined}"))).collect();
        out.push_str(&format!("  {}\n        {}\n", names.join(", "), flag.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[
        switch("verbose", &['v'], &["verbose"], "say more"),
        switch("version", &[], &["version"], "say which"),
        switch("static", &['s'], &["static"], "all at once"),
        with_value("batch", &['b'], &["batch", "batch-size"], "N", "so many"),
        with_value("timeout", &['t'], &["timeout"], "S", "so long"),
    ];

    fn read(line: &str) -> Result<Parsed, OptionError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Parsed::read(&words, TABLE)
    }

    #[test]
    fn options_stand_anywhere_and_in_each_spelling() {
        for line in [
            "-b 50 * test.ping",
            "* -b50 test.ping",
            "* test.ping --batch 50",
            "* test.ping --batch=50",
            "* test.ping --batch-size=50",
            "* test.ping --batch-s 50",
            "* test.ping --bat 50",
            "* -b 7 test.ping -b 50",
        ] {
            let read = read(line).unwrap();
            assert_eq!(read.words, ["*", "test.ping"], "{line}");
            assert_eq!(read.value("batch"), Some("50"), "{line}");
        }
    }

    #[test]
    fn short_options_run_together() {
        let read = read("-svb50% x - -t -3").unwrap();
        assert!(read.has("static") && read.has("verbose") && !read.has("version"));
        assert_eq!((read.value("batch"), read.value("timeout")), (Some("50%"), Some("-3")));
        assert_eq!(read.words, ["x", "-"]);
    }

    #[test]
    fn two_dashes_end_the_options() {
        let read = read("-v x -- -b 50 -- --nothing").unwrap();
        assert_eq!(read.words, ["x", "-b", "50", "--", "--nothing"]);
        assert_eq!(read.value("batch"), None);
    }

    #[test]
    fn wrong_lines_are_refused() {
        for (line, told) in [
            (
                "--nothing=1",
                "no such option: --nothing (write \"--\" before arguments that begin with a dash)",
            ),
            ("-vz", "no such option: -z (write \"--\" before arguments that begin with a dash)"),
            ("-5", "no such option: -5 (write \"--\" before arguments that begin with a dash)"),
            ("--ver", "ambiguous option: --ver (--verbose, --version?)"),
            ("-b", "-b option requires 1 argument"),
            ("x --batch", "--batch option requires 1 argument"),
            ("--verbose=1", "--verbose option does not take a value"),
        ] {
            assert_eq!(read(line).unwrap_err().to_string(), told, "{line}");
        }
    }

    #[test]
    fn numbers() {
        let number = |line: &str| read(line).unwrap().number::<u64>("timeout", 1, "write seconds");
        assert_eq!(number("x"), Ok(None));
        assert_eq!(number("-t 5"), Ok(Some(5)));
        for wrong in ["-t 0", "-t x", "-t -1"] {
            let told = number(wrong).unwrap_err().to_string();
            assert!(told.starts_with("option --timeout: write seconds, not "), "{told}");
        }
    }
}
