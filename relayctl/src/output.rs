//! What is printed: text for people, one JSON or YAML document for programs. Colour only for people on terminals.

mod nested;
mod paint;
mod progress;
mod report;
mod table;

pub use paint::{Paint, clean};
pub use progress::Live;
pub use report::{Report, text as report_text};
pub use table::table;

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// Where and how a command prints its answer.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    /// Colours for the text form.
    pub paint: Paint,
}

impl Output {
    /// Standard output.
    pub fn to_stdout(format: Format) -> Output {
        Output { format, paint: Paint::for_stream(io::stdout().is_terminal()) }
    }

    /// Whether people read it.
    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Prints an answer: as data, or as the text that `text` makes of it.
    pub fn show<T: Serialize>(&self, data: &T, text: impl FnOnce(&Paint) -> String) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Text => text(&self.paint),
            Format::Json => serde_json::to_string(data).context("cannot write the answer as JSON")?,
            Format::Yaml => serde_saphyr::to_string(data).context("cannot write the answer as YAML")?,
        };
        print(&text)
    }

    /// Prints a line for people; nothing where a program reads.
    pub fn say(&self, line: &str) -> anyhow::Result<()> {
        if self.is_text() { print(line) } else { Ok(()) }
    }
}

/// Writes a text and a line end. A reader that went away (`| head`) has seen what it wanted.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| out.write_all(b"\n"));
    match written.and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// A value below a heading, as Salt's "nested" outputter prints it.
pub fn value(value: &serde_json::Value, paint: &Paint) -> String {
    nested::nested(value, nested::STEP, paint)
}
