//! What is printed: text for people, one JSON or YAML document for programs. Colour only for people on terminals.

mod columns;
mod diff;
mod nested;
mod paint;
mod progress;
mod rate;
mod report;
pub mod salt;
mod similar;
mod table;
mod text;
mod tsv;
mod view;

pub use paint::{Paint, clean};
pub use progress::Live;
pub use report::Report;
pub use table::table;
pub use text::text as report_text;
pub use view::{View, ViewArgs};

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use crate::{job::JobResult, run::Document};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// JSON, a line for each item; of a job that is waited for, each event as it comes
    Jsonl,
    /// One YAML document
    Yaml,
    /// Rows for awk: a line of names, then columns separated by tabs, the fields of the JSON
    Tsv,
}

/// Where and how a command prints its answer.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    header: bool,
    /// Colours for the text form.
    pub paint: Paint,
}

impl Output {
    /// Standard output.
    pub fn to_stdout(format: Format) -> Output {
        Output { format, header: true, paint: Paint::for_stream(io::stdout().is_terminal()) }
    }

    /// With or without the line of names above the rows of [`Format::Tsv`].
    pub fn with_header(self, header: bool) -> Output {
        Output { header, ..self }
    }

    /// Whether people read it.
    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Whether a job's events are printed as they come, one JSON object per line.
    pub fn is_stream(&self) -> bool {
        self.format == Format::Jsonl
    }

    /// Whether rows are printed: of an answer with several lists, the one that says most.
    pub fn is_rows(&self) -> bool {
        self.format == Format::Tsv
    }

    /// Prints an answer: as data, or as the text that `text` makes of it.
    pub fn show<T: Serialize>(&self, data: &T, text: impl FnOnce(&Paint) -> String) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Text => text(&self.paint),
            Format::Json => serde_json::to_string(data).context("cannot write the answer as JSON")?,
            Format::Yaml => serde_saphyr::to_string(data).context("cannot write the answer as YAML")?,
            Format::Jsonl => return rows(&items(&as_value(data)?)),
            Format::Tsv => return rows(&tsv::rows(&as_value(data)?, self.header)),
        };
        print(&text)
    }

    /// Prints a job as far as it is known.
    pub fn show_job(&self, result: &JobResult, view: impl Into<View>) -> anyhow::Result<()> {
        let view = view.into();
        match self.format {
            Format::Tsv => rows(&tsv::job(result, self.header)),
            _ => self.show(&Document::new(result, view), |paint| report_text(result, view, paint)),
        }
    }

    /// Prints a line for people; nothing where a program reads.
    pub fn say(&self, line: &str) -> anyhow::Result<()> {
        if self.is_text() { print(line) } else { Ok(()) }
    }
}

fn as_value(data: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_value(data).context("cannot write the answer as JSON")
}

/// Each item of a list on a line; what is no list is one.
fn items(data: &Value) -> String {
    let items = data.as_array().map_or(std::slice::from_ref(data), Vec::as_slice);
    items.iter().map(|item| format!("{item}\n")).collect()
}

/// Prints rows; of none, not even a line end.
fn rows(text: &str) -> anyhow::Result<()> {
    if text.is_empty() { Ok(()) } else { print(text) }
}

/// Writes a text and a line end. A reader that went away (`| head`) has seen what it wanted.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| out.write_all(b"\n"));
    match written.and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// A value below a heading, as Salt's "nested" outputter prints it.
pub fn value(value: &Value, paint: &Paint) -> String {
    nested::nested(value, nested::STEP, paint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_item() {
        assert_eq!(items(&json!([{"a": 1}, "x\n"])), "{\"a\":1}\n\"x\\n\"\n");
        assert_eq!(items(&json!({"a": [1, 2]})), "{\"a\":[1,2]}\n");
        assert_eq!(items(&json!([])), "");
    }
}
