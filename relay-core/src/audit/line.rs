//! A log as a file: each line is a record, or a checkpoint of all records before it, in a JSON object of its own.

use serde_json::{Map, Value};

/// The key of a checkpoint's line. No record begins with it.
const CHECKPOINT: &str = "checkpoint";
/// Longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = super::entry::MAX_RECORD_BYTES;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'l> {
    /// What should be a record; nothing is looked at yet.
    Record(&'l [u8]),
    /// A checkpoint's text.
    Checkpoint(String),
}

impl<'l> Line<'l> {
    /// What a line is, without its end.
    pub fn of(line: &'l [u8]) -> Line<'l> {
        match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(mut object) if object.len() == 1 => match object.get_mut(CHECKPOINT).map(Value::take) {
                Some(Value::String(text)) => Line::Checkpoint(text),
                _ => Line::Record(line),
            },
            _ => Line::Record(line),
        }
    }
}

/// A checkpoint as a line, without its end.
pub fn checkpoint_line(text: &str) -> String {
    Value::Object([(CHECKPOINT.to_owned(), text.into())].into_iter().collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let text = "acme/audit\n1\nx\n\n— k y\n";
        let line = checkpoint_line(text);
        assert!(!line.contains('\n'));
        assert_eq!(Line::of(line.as_bytes()), Line::Checkpoint(text.into()));
        for record in
            ["", "{}", "{\"at\":1}", "{\"checkpoint\":1}", "{\"checkpoint\":\"\",\"at\":1}", "checkpoint"]
        {
            assert_eq!(Line::of(record.as_bytes()), Line::Record(record.as_bytes()));
        }
    }
}
