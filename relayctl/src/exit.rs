//! Exit codes, and how they follow from a job's outcomes.

use relay_core::outcome::Outcome;

/// How a command ended, as a script sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well; of a job: every target is `ok`.
    Ok,
    /// A job did something wrong somewhere: `failed`, `timed_out`, `interrupted` or `cancelled`.
    Failed,
    /// Nothing failed, but something is `unknown`, `not_started` or `refused`.
    Unsettled,
    /// A plan was asked for, and something would change.
    Changes,
    /// Nothing was done: wrong usage, no match, refused by the top master, no connection.
    NotAccepted,
    /// The job is accepted and nobody waited for its end.
    Running,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Unsettled | Exit::Changes => 2,
            Exit::NotAccepted => 3,
            Exit::Running => 4,
        }
    }

    /// What a job's outcomes mean. A failure is told before a doubt: it is certain, and somebody has to look at it;
    /// the counts of both are printed either way.
    pub fn of_job(outcomes: impl IntoIterator<Item = Outcome>, closed: bool) -> Exit {
        let mut worst = if closed { Exit::Ok } else { Exit::Running };
        for outcome in outcomes {
            match (of(outcome), worst) {
                (_, Exit::Running) => {}
                (Exit::Failed, _) => worst = Exit::Failed,
                (Exit::Unsettled, Exit::Ok) => worst = Exit::Unsettled,
                _ => {}
            }
        }
        worst
    }
}

fn of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Ok => Exit::Ok,
        Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted | Outcome::Cancelled => Exit::Failed,
        Outcome::Refused | Outcome::NotStarted | Outcome::Unknown => Exit::Unsettled,
    }
}

/// For the help of commands that wait for a job.
pub const HELP: &str = "\
EXIT CODES:
  0  every target is ok
  1  some target is failed, timed_out, interrupted or cancelled (whatever the others are)
  2  none of those, but some target is unknown, not_started or refused
  3  not accepted: wrong usage, nobody matches, refused by the top master, cannot connect
  4  accepted and not waited for: --async, Ctrl-C, or the connection stayed away";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_outcomes_and_its_code() {
        use Outcome::*;
        let table: &[(&[Outcome], bool, u8)] = &[
            (&[Ok, Ok], true, 0),
            (&[], true, 0),
            (&[Ok, Failed], true, 1),
            (&[TimedOut], true, 1),
            (&[Interrupted, Ok], true, 1),
            (&[Cancelled], true, 1),
            (&[Ok, Unknown], true, 2),
            (&[NotStarted], true, 2),
            (&[Ok, Refused], true, 2),
            (&[Unknown, Failed], true, 1),
            (&[Failed, NotStarted], true, 1),
            (&[Failed, Unknown], false, 4),
            (&[], false, 4),
        ];
        for (outcomes, closed, code) in table {
            assert_eq!(
                Exit::of_job(outcomes.iter().copied(), *closed).code(),
                *code,
                "{outcomes:?} {closed}"
            );
        }
    }

    #[test]
    fn only_ok_is_zero() {
        for outcome in Outcome::ALL {
            assert_eq!(Exit::of_job([outcome], true) == Exit::Ok, outcome == Outcome::Ok, "{outcome:?}");
        }
    }
}
