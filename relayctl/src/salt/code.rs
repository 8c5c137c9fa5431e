//! Exit codes of Salt's commands.

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u8);

impl Code {
    /// All is well.
    pub const OK: Code = Code(0);
    /// Some minion returned a non-zero retcode; a runner that is not there.
    pub const ERRORS: Code = Code(1);
    /// Nobody matched.
    pub const NOBODY: Code = Code(2);
    /// Nothing was done: wrong usage, refused, no connection. (Salt: 64 for usage, 2 for the rest.)
    pub const NOT_ACCEPTED: Code = Code(3);
    /// Accepted, and not waited for to the end: Ctrl-C, or the connection stayed away.
    pub const NOT_WAITED: Code = Code(4);
    /// No minion failed, and some did not return. (Salt: 0 up to 3007, 1 since.)
    pub const MISSING: Code = Code(5);
}

/// For the help.
pub const HELP: &str = "  \
  0  all is well
  1  a minion returned a non-zero retcode (with --batch: the highest one)
  2  no minion matched, no job was sent
  3  not accepted: wrong usage, refused, cannot connect; nothing was done
  4  accepted, and not waited for to the end; the job goes on
  5  no minion failed, and some did not return (--missing-exit or $RELAY_SALT_MISSING_EXIT: another code, as 0 or 1)
";
