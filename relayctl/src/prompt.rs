//! Passwords from people: asked for on the terminal without showing them, or read from standard input for programs. Never from
//! the command line, which everybody on the machine can read.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
};

use anyhow::{Context as _, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use relay_runtime::secret::Secret;
use zeroize::Zeroizing;

/// Longest password that is read, in bytes; more than any that is taken.
const MAX_BYTES: usize = 4 << 10;

/// A password: the first line of standard input, or typed by the person at the terminal, `question` first.
///
/// # Errors
/// There is neither, or the person has ended it.
pub fn password(question: &str) -> anyhow::Result<Secret> {
    let stdin = io::stdin();
    match stdin.is_terminal() {
        true => typed(question),
        false => line(stdin.lock()).context("the password on standard input"),
    }
}

/// A new password: typed twice, if it is typed.
///
/// # Errors
/// As [`password`]; or the two differ.
pub fn new_password(question: &str) -> anyhow::Result<Secret> {
    let first = password(question)?;
    if io::stdin().is_terminal() && typed("The same again: ")?.expose() != first.expose() {
        bail!("the two are not the same: nothing was changed");
    }
    Ok(first)
}

/// Up to the end of the line.
fn line(mut from: impl Read) -> anyhow::Result<Secret> {
    let (mut bytes, mut byte) = (Zeroizing::new(Vec::new()), [0]);
    while from.read(&mut byte)? == 1 && byte != *b"\n" {
        if bytes.len() == MAX_BYTES {
            bail!("has more than {MAX_BYTES} bytes");
        }
        bytes.push(byte[0]);
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    text(bytes)
}

fn text(mut bytes: Zeroizing<Vec<u8>>) -> anyhow::Result<Secret> {
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| anyhow::anyhow!("is not UTF-8"))?;
    Ok(Secret::new(text))
}

/// Typed at the terminal of this process, wherever standard input and output go.
fn typed(question: &str) -> anyhow::Result<Secret> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let terminal = terminal.context("there is no terminal: give the password on standard input")?;
    // Before it is asked: an answer that is quick would be shown.
    let quiet = Quiet::begin(&terminal)?;
    write!(&terminal, "{question}")?;
    let typed = keys(&terminal);
    drop(quiet);
    writeln!(&terminal)?;
    typed
}

/// A terminal that shows nothing and hands over each key; as it was before at the end, also of one that was interrupted by key.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Quiet<'_> {
    fn begin(terminal: &File) -> nix::Result<Quiet<'_>> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Quiet { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Nothing is left to be done about a terminal that does not take it.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

/// Keys up to Enter; Backspace takes one back, Ctrl-U all, Ctrl-C and Ctrl-D end it.
fn keys(mut from: impl Read) -> anyhow::Result<Secret> {
    let (mut bytes, mut byte) = (Zeroizing::new(Vec::new()), [0]);
    loop {
        if from.read(&mut byte)? == 0 {
            bail!("the terminal is gone");
        }
        match byte[0] {
            b'\r' | b'\n' => return text(bytes),
            0x03 | 0x04 => bail!("ended: nothing was changed"),
            0x15 => bytes.clear(),
            0x08 | 0x7f => {
                // The whole character.
                while bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            _ if bytes.len() == MAX_BYTES => bail!("has more than {MAX_BYTES} bytes"),
            other => bytes.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_without_its_end() {
        for (given, expected) in [("hush\nmore", "hush"), ("hush", "hush"), ("hush\r\n", "hush"), ("", "")] {
            assert_eq!(line(given.as_bytes()).unwrap().expose(), expected);
        }
        assert!(line(&b"\xff\n"[..]).is_err());
        assert!(line("x".repeat(MAX_BYTES + 1).as_bytes()).is_err());
    }

    #[test]
    fn keys_are_taken_back_and_end_it() {
        for (given, expected) in [("ab\x7fc\r", "ac"), ("\x7fä\x08b\n", "b"), ("wrong\x15right\n", "right")]
        {
            assert_eq!(keys(given.as_bytes()).unwrap().expose(), expected);
        }
        for ended in ["ab\x03\n", "ab\x04", "ab"] {
            assert!(keys(ended.as_bytes()).is_err());
        }
    }
}
