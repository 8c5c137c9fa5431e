//! How far a long copy is, for somebody who looks on.

use std::io::{self, IsTerminal as _, Write as _};

/// Rows so far, in one line of a terminal that is written over. Elsewhere nothing.
pub struct Rows {
    doing: &'static str,
    shown: bool,
    terminal: bool,
}

impl Rows {
    /// None yet.
    pub fn new(doing: &'static str) -> Rows {
        Rows { doing, shown: false, terminal: io::stderr().is_terminal() }
    }

    /// So many now.
    pub fn at(&mut self, rows: u64) {
        if self.terminal {
            self.shown = true;
            eprint!("\r{} {rows} rows", self.doing);
            // It is only for looking on.
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
