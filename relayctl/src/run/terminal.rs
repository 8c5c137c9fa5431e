//! Asking the operator something, where there is one.

use std::io::{self, BufRead, IsTerminal};

use tokio::sync::mpsc;

/// Lines typed ahead that are kept. A question takes one; more is somebody's elbow.
const TYPED_AHEAD: usize = 4;

/// Somebody who may answer.
pub trait Ask {
    /// Whether anybody is there.
    fn is_there(&self) -> bool;
    /// Puts a question. What was typed before it does not answer it.
    fn question(&mut self, text: &str);
    /// The answer to the last question, trimmed; nothing at the end of input. May be dropped and asked for again.
    async fn answer(&mut self) -> Option<String>;
}

/// Whether an answer is a yes. Nothing typed is a no.
pub fn is_yes(answer: &str) -> bool {
    matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")
}

/// The terminal that standard input and standard error are.
pub struct Terminal {
    there: bool,
    lines: Option<mpsc::Receiver<String>>,
}

impl Terminal {
    /// Somebody is there if both are terminals.
    pub fn new() -> Terminal {
        Terminal { there: io::stdin().is_terminal() && io::stderr().is_terminal(), lines: None }
    }
}

impl Ask for Terminal {
    fn is_there(&self) -> bool {
        self.there
    }

    fn question(&mut self, text: &str) {
        let lines = self.lines.get_or_insert_with(reading);
        while lines.try_recv().is_ok() {}
        eprint!("{text}");
    }

    async fn answer(&mut self) -> Option<String> {
        self.lines.as_mut()?.recv().await
    }
}

/// Reads lines on a thread of its own: a read from a terminal cannot be taken back, and one on the runtime's threads would
/// keep the program from ending.
fn reading() -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel(TYPED_AHEAD);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if to.blocking_send(line.trim().to_owned()).is_err() {
                break;
            }
        }
    });
    lines
}

/// Asks for a yes, once. Without anybody there it is a no.
pub async fn confirm(ask: &mut impl Ask, text: &str) -> bool {
    if !ask.is_there() {
        return false;
    }
    ask.question(text);
    ask.answer().await.is_some_and(|answer| is_yes(&answer))
}

#[cfg(test)]
pub mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Answers from a script; without answers, nobody is there.
    #[derive(Default)]
    pub struct Answers {
        /// What is said to each question.
        pub answers: VecDeque<&'static str>,
        /// What was asked.
        pub asked: Vec<String>,
        /// Somebody is there even without answers.
        pub silent: bool,
        open: bool,
    }

    impl Answers {
        /// Somebody who says this.
        pub fn of<const N: usize>(answers: [&'static str; N]) -> Answers {
            Answers { answers: answers.into(), silent: true, ..Answers::default() }
        }
    }

    impl Ask for Answers {
        fn is_there(&self) -> bool {
            self.silent
        }
        fn question(&mut self, text: &str) {
            self.asked.push(text.to_owned());
            self.open = true;
        }
        async fn answer(&mut self) -> Option<String> {
            if !self.open || self.answers.is_empty() {
                return std::future::pending().await;
            }
            self.open = false;
            self.answers.pop_front().map(str::to_owned)
        }
    }

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y") && is_yes("YES"));
        assert!(!is_yes("") && !is_yes("n") && !is_yes("yep") && !is_yes("no"));
    }

    #[tokio::test]
    async fn nobody_confirms_nothing() {
        assert!(!confirm(&mut Answers::default(), "?").await);
        assert!(confirm(&mut Answers::of(["y"]), "?").await);
        assert!(!confirm(&mut Answers::of([""]), "?").await);
    }
}
