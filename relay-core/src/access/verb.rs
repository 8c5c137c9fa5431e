//! What can be asked for besides jobs: verbs, in the areas that rules give as a whole (`@jobs`, `@runner`, `@wheel`).

use std::fmt;

/// What rules give as a whole, named as Salt names its interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// What becomes of jobs.
    Jobs,
    /// Looking at the fabric, and schedules.
    Runner,
    /// Changing the fabric: who is in it, its topology, its records.
    Wheel,
    /// What concerns the caller alone: everybody who is logged in may.
    Own,
}

impl Area {
    /// Those that rules can name.
    pub const NAMED: [Area; 3] = [Area::Jobs, Area::Runner, Area::Wheel];

    /// As rules write it.
    pub fn word(self) -> &'static str {
        match self {
            Area::Jobs => "@jobs",
            Area::Runner => "@runner",
            Area::Wheel => "@wheel",
            Area::Own => "@own",
        }
    }

    /// The verbs in it.
    pub fn verbs(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| verb.area() == self)
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $area:ident $word:literal $($own:ident)?;)*) => {
        /// One thing that can be asked for, other than a job.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verb {
            $($(#[$doc])* $name,)*
        }

        impl Verb {
            /// All of them.
            pub const ALL: [Verb; [$(Verb::$name),*].len()] = [$(Verb::$name),*];

            /// As rules, logs and the audit write it.
            pub fn word(self) -> &'static str {
                match self { $(Verb::$name => $word,)* }
            }

            /// The area it is in.
            pub fn area(self) -> Area {
                match self { $(Verb::$name => Area::$area,)* }
            }

            /// Whether a caller with any right at all may do it to what he made himself, unless a rule denies it.
            pub fn for_own(self) -> bool {
                match self { $(Verb::$name => verbs!(@own $($own)?),)* }
            }
        }
    };
    (@own own) => { true };
    (@own) => { false };
}

verbs! {
    /// To see the list of jobs.
    JobsList = Jobs "jobs.list" own;
    /// To follow a job, see its returns, and who is outstanding.
    JobsShow = Jobs "jobs.show" own;
    /// To see figures over all jobs.
    JobsStats = Jobs "jobs.stats";
    /// To cancel a job.
    JobsCancel = Jobs "jobs.cancel" own;
    /// To let a job go on that waits between two stages of a canary batch.
    JobsContinue = Jobs "jobs.continue" own;
    /// To see the jobs that wait for a second person.
    ApprovalsList = Jobs "approvals.list" own;
    /// To be the second person of a job: besides, the caller must be allowed the job itself. (To take back what one asked for is own.)
    ApprovalsDecide = Jobs "approvals.decide" own;

    /// To see minions and their grains.
    MinionsList = Runner "minions.list";
    /// To see top masters, syndics, regions and counts.
    FabricStatus = Runner "fabric.status";
    /// To see schedules.
    SchedulesList = Runner "schedules.list";
    /// To make a schedule (its job is asked for besides), also in the place of another.
    SchedulesPut = Runner "schedules.put";
    /// To remove a schedule.
    SchedulesRemove = Runner "schedules.remove" own;
    /// To pause a schedule, or let it go on.
    SchedulesPause = Runner "schedules.pause" own;
    /// To run a schedule's job now (the job is asked for besides).
    SchedulesRun = Runner "schedules.run" own;
    /// To see the topology, its history and its drift.
    TopologyShow = Runner "topology.show";

    /// To change the topology.
    TopologyApply = Wheel "topology.apply";
    /// To forget closed jobs before their time.
    JobsPrune = Wheel "jobs.prune";
    /// To see who is enrolled, waits, was rejected or is in quarantine.
    KeysList = Wheel "keys.list";
    /// To accept somebody who waits to be enrolled.
    KeysAccept = Wheel "keys.accept";
    /// To reject somebody.
    KeysReject = Wheel "keys.reject";
    /// To end an enrolment.
    KeysDelete = Wheel "keys.delete";
    /// To let somebody out of quarantine.
    KeysRelease = Wheel "keys.release";
    /// To see join tokens.
    TokensList = Wheel "tokens.list";
    /// To make a join token.
    TokensCreate = Wheel "tokens.create";
    /// To end a join token.
    TokensRevoke = Wheel "tokens.revoke";
    /// To see whose logins there are.
    LoginsList = Wheel "logins.list";
    /// To end the login of somebody else, or make a token for a program.
    LoginsChange = Wheel "logins.change";
    /// To see issuers, signing keys and the deny list.
    TrustShow = Wheel "trust.show";
    /// To change them: rotate issuers and roots, revoke.
    TrustChange = Wheel "trust.change";
    /// To read the audit.
    AuditRead = Wheel "audit.read";
    /// To see the policy, and ask which rule decides.
    PolicyShow = Wheel "policy.show";

    /// To hear who one is to the fabric.
    WhoAmI = Own "whoami";
    /// To end one's own login.
    Logout = Own "logout";
}

impl Verb {
    /// Whether it changes something: then it is written down also that it was allowed. (What is the caller's own login is written down where
    /// it is done.)
    pub fn changes(self) -> bool {
        let looks = ["list", "show", "stats", "status", "read"];
        let word = self.word().rsplit('.').next().unwrap_or_default();
        self.area() != Area::Own && !looks.contains(&word)
    }

    /// The verb with this word.
    pub fn from_word(word: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|verb| verb.word() == word)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_changes_nothing() {
        let looks: Vec<_> = Verb::ALL.into_iter().filter(|v| !v.changes()).map(Verb::word).collect();
        let known = [
            "jobs.list",
            "jobs.show",
            "jobs.stats",
            "approvals.list",
            "minions.list",
            "fabric.status",
            "schedules.list",
            "topology.show",
            "keys.list",
            "tokens.list",
            "logins.list",
            "trust.show",
            "audit.read",
            "policy.show",
            "whoami",
            "logout",
        ];
        assert_eq!(looks, known);
    }

    #[test]
    fn every_verb_has_a_word_of_its_own_and_an_area() {
        for verb in Verb::ALL {
            assert_eq!(Verb::from_word(verb.word()), Some(verb));
            assert!(verb.area().verbs().any(|v| v == verb));
        }
        let areas: usize = Area::NAMED.into_iter().chain([Area::Own]).map(|a| a.verbs().count()).sum();
        assert_eq!(areas, Verb::ALL.len());
    }
}
