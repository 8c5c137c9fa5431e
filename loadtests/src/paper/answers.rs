//! What minions answer on paper: all the same, five kinds of it, or some of them something of their own.

use std::sync::Arc;

use bytes::Bytes;
use relay_core::outcome::{Answer, Outcome, Reason};

/// One minion of so many gives an answer of its own in [`Answers::SomeDistinct`].
const ONE_IN: u32 = 1_000;
/// The size of such an answer, in bytes.
const OWN_BYTES: usize = 256;
/// How many kinds there are in [`Answers::FiveKinds`].
const KINDS: u32 = 5;

/// Who answers what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// All `True`.
    Equal,
    /// One of five, one of which is a failure; neighbours differ.
    FiveKinds,
    /// Equal, but for one minion of a thousand.
    SomeDistinct,
}

/// All of them, each with the figure that its job becomes.
pub const ALL: [(Answers, &str); 3] = [
    (Answers::Equal, "equal_ms"),
    (Answers::FiveKinds, "five_kinds_ms"),
    (Answers::SomeDistinct, "some_distinct_ms"),
];

/// The answers of one job, made once: minions below one syndic share them as a syndic that interns bodies would.
#[derive(Debug)]
pub struct Book {
    answers: Answers,
    kinds: Vec<Arc<Answer>>,
}

impl Book {
    /// The answers of a job.
    pub fn new(answers: Answers) -> Book {
        let ok = |body: String| Answer { body: Bytes::from(body), ..Answer::bare(Outcome::Ok, Reason::None) };
        let mut kinds: Vec<Answer> = vec![ok("true".into())];
        kinds.extend((2..KINDS).map(|kind| ok(format!("\"kernel 6.1.{kind}\""))));
        kinds.push(Answer { retcode: 2, ..Answer::bare(Outcome::Failed, Reason::None) });
        Book { answers, kinds: kinds.into_iter().map(Arc::new).collect() }
    }

    /// What minion `n` answers.
    pub fn of(&self, n: u32) -> Arc<Answer> {
        match self.answers {
            Answers::FiveKinds => self.kinds[n as usize % self.kinds.len()].clone(),
            Answers::SomeDistinct if n.is_multiple_of(ONE_IN) => {
                let body = format!("\"{n:0width$}\"", width = OWN_BYTES).into();
                Arc::new(Answer { body, ..Answer::bare(Outcome::Ok, Reason::None) })
            }
            _ => self.kinds[0].clone(),
        }
    }

    /// How many of so many minions fail.
    pub fn failures(&self, minions: u32) -> u64 {
        match self.answers {
            Answers::FiveKinds => u64::from(minions / KINDS),
            _ => 0,
        }
    }

    /// How many different answers so many minions give.
    pub fn distinct(&self, minions: u32) -> u64 {
        let distinct = match self.answers {
            Answers::Equal => 1.min(minions),
            Answers::FiveKinds => KINDS.min(minions),
            Answers::SomeDistinct => minions.div_ceil(ONE_IN) + u32::from(minions > 1),
        };
        distinct.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_said_of_the_answers_is_so() {
        for (answers, name) in ALL {
            let book = Book::new(answers);
            for minions in [1, 2, 5, 5_000] {
                let given: Vec<Arc<Answer>> = (0..minions).map(|n| book.of(n)).collect();
                let failed = given.iter().filter(|a| a.outcome == Outcome::Failed).count() as u64;
                assert_eq!(failed, book.failures(minions), "{name} of {minions}");
                let distinct = given.into_iter().collect::<BTreeSet<_>>().len() as u64;
                assert_eq!(distinct, book.distinct(minions), "{name} of {minions}");
            }
        }
    }
}
