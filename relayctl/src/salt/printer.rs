//! Where the text of Salt's commands goes, and in which form: `--out` and its relatives.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, Write},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::options::Parsed;
use crate::output::{
    Paint,
    salt::{Kind, Look, render_value},
};

/// The form in which values are printed.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The outputter.
    pub kind: Kind,
    /// Its colours and indentation.
    pub look: Look,
}

impl Form {
    /// What a command line asks for, or else `default`.
    ///
    /// # Errors
    /// No outputter has that name.
    pub fn of(read: &Parsed, default: Kind) -> anyhow::Result<Form> {
        let kind = read.value("out").map_or(Ok(default), outputter)?;
        let wanted = "write the spaces per level, or -1 for one line";
        let indent = read.number("out-indent", i32::MIN, wanted)?.unwrap_or(Look::default().indent);
        let paint = match () {
            () if read.has("force-color") => Paint::ON,
            () if read.has("no-color") || read.has("out-file") => Paint::PLAIN,
            () => Paint::for_stream(io::stdout().is_terminal()),
        };
        Ok(Form { kind, look: Look { paint, indent, ..Look::default() } })
    }

    /// A value's text.
    pub fn text(&self, value: &Value, failed: bool) -> String {
        render_value(self.kind, value, &Look { failed, ..self.look })
    }

    /// Whether a program reads it, which no other line may disturb.
    pub fn is_data(&self) -> bool {
        matches!(self.kind, Kind::Json | Kind::Yaml | Kind::Raw)
    }
}

/// Names that Salt has for what other outputters print here.
fn outputter(word: &str) -> anyhow::Result<Kind> {
    match word {
        "pprint" => Ok(Kind::Raw),
        // Until there are states, whatever there is to print is a text or a map.
        "highstate" => Ok(Kind::Nested),
        _ => match Kind::from_word(word) {
            Some(kind) => Ok(kind),
            None => bail!(
                "--out {word}: write nested, json, yaml, txt, raw, pprint, quiet, newline_values_only, key, no_return or highstate"
            ),
        },
    }
}

/// Where it is printed.
pub struct Printer {
    to: Box<dyn Write>,
    gone: bool,
}

impl Printer {
    /// Standard output, or the file of `--out-file`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn of(read: &Parsed) -> anyhow::Result<Printer> {
        let to: Box<dyn Write> = match read.value("out-file") {
            Some(path) => {
                let append = read.has("out-file-append");
                let file =
                    OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(path);
                Box::new(file.with_context(|| format!("--out-file {path}"))?)
            }
            None => Box::new(io::stdout()),
        };
        Ok(Printer { to, gone: false })
    }

    /// Standard output, whatever the options say: for what is no value.
    pub fn stdout() -> Printer {
        Printer { to: Box::new(io::stdout()), gone: false }
    }

    /// Prints a text as it is. A reader that went away (`| head`) has seen what it wanted.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print(&mut self, text: &str) -> anyhow::Result<()> {
        if self.gone || text.is_empty() {
            return Ok(());
        }
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.gone = true,
            written => written.context("cannot write what is to be printed")?,
        }
        Ok(())
    }
}

/// Writes to standard error. Where nobody reads that any more (`2>&1 | head`) there is nobody to tell.
pub fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salt::flags;

    fn read(words: &[&str]) -> Parsed {
        Parsed::read(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), &flags::salt()).unwrap()
    }

    #[test]
    fn the_form_is_what_is_asked_for() {
        let form = |words: &[&str]| Form::of(&read(words), Kind::Nested).unwrap();
        assert_eq!(form(&[]).kind, Kind::Nested);
        assert_eq!(form(&["--out", "json", "--out-indent=-1"]).look.indent, -1);
        assert_eq!(form(&["--out=pprint"]).kind, Kind::Raw);
        assert_eq!(form(&["--output", "txt", "--force-color"]).look.paint, Paint::ON);
        assert!(Form::of(&read(&["--out", "xml"]), Kind::Nested).is_err());
        assert!(Form::of(&read(&["--out-indent", "two"]), Kind::Nested).is_err());
    }

    /// A pipe whose reader has gone away.
    struct Closed(u32);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            assert_eq!(self.0, 0, "written to again");
            self.0 += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let mut printer = Printer { to: Box::new(Closed(0)), gone: false };
        assert!(printer.print("a").is_ok() && printer.print("b").is_ok());
    }

    #[test]
    fn a_file_is_replaced_or_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out").display().to_string();
        for (more, expected) in [(None, "a"), (Some("--out-file-append"), "aa"), (None, "a")] {
            let mut words = vec!["--out-file", &path];
            words.extend(more);
            Printer::of(&read(&words)).unwrap().print("a").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
    }
}
