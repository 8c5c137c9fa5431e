//! Who may log in: the ways that the configuration names, asked alike.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use relay_core::{access::How, time::Millis};
use relay_runtime::{config::LoginConfig, passwords::Account, secret::Secret};
use tokio::sync::OwnedSemaphorePermit;

#[cfg(feature = "pam")]
use super::pam::Pam;
use super::{directory::Ldap, file::File, token::Digest};

/// How often an account is asked for anew where that costs a question to somebody else.
const ASK_EVERY: Millis = 60_000;
/// So long an account counts as it was found last, while whoever knows better does not answer.
const TRUSTED: Millis = 10 * 60_000;

/// What became of a password.
#[derive(Debug)]
pub enum Verdict {
    /// It is the user's.
    Right(Account),
    /// It is not, or there is no such user, or he is locked out.
    Wrong,
    /// Nobody could tell: why, for the log.
    Unable(String),
}

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its user may log in.
    Good(Account),
    /// He may not (any more).
    Gone,
    /// Nobody can tell.
    Unknown,
}

/// One way of logging in.
pub enum Way {
    /// The fabric's own file.
    File(File),
    /// The machine's own users.
    #[cfg(feature = "pam")]
    Pam(Pam),
    /// A directory.
    Ldap(Box<Ldap>),
}

/// What a configuration asks for and this build has not: what to do. Nothing, if all is there.
pub fn missing(config: &LoginConfig) -> Option<&'static str> {
    let missing = config.pam_service.is_some() && cfg!(not(feature = "pam"));
    missing.then_some(
        "login: pam_service: this top-master was built without PAM; build it with --features pam (needs libpam0g-dev)",
    )
}

impl Way {
    fn how(&self) -> How {
        match self {
            Way::File(_) => How::File,
            #[cfg(feature = "pam")]
            Way::Pam(_) => How::Pam,
            Way::Ldap(_) => How::Ldap,
        }
    }

    async fn standing(&self, user: &str) -> Standing {
        match self {
            Way::File(file) => file.standing(user),
            #[cfg(feature = "pam")]
            Way::Pam(pam) => pam.standing(user).await,
            Way::Ldap(ldap) => ldap.standing(user).await,
        }
    }
}

/// The accounts of all ways.
pub struct Accounts {
    ways: Vec<Way>,
    /// When accounts were asked for, and when they were last found good.
    asked: Mutex<HashMap<(String, How), (Millis, Millis)>>,
}

impl Accounts {
    /// Those that a configuration names, in the order in which they are tried: file, PAM, LDAP.
    pub fn new(config: &LoginConfig) -> Accounts {
        let file = config.password_file.iter().map(|path| Way::File(File::new(path.clone())));
        let ldap = config.ldap.iter().map(|ldap| Way::Ldap(Box::new(Ldap::new(ldap.clone()))));
        let ways = file;
        #[cfg(feature = "pam")]
        let ways =
            ways.chain(config.pam_service.iter().filter_map(|service| Pam::new(service).map(Way::Pam)));
        Accounts { ways: ways.chain(ldap).collect(), asked: Mutex::default() }
    }

    fn find(&self, how: How) -> Option<&Way> {
        self.ways.iter().find(|way| way.how() == how)
    }

    /// Whether there is such a way.
    pub fn has(&self, how: How) -> bool {
        self.find(how).is_some()
    }

    /// The way of a word; of no word, the first one.
    ///
    /// # Errors
    /// There is none: what to do.
    pub fn way(&self, word: &str) -> Result<How, String> {
        let ways: Vec<&str> = self.ways.iter().map(|way| way.how().word()).collect();
        match (self.ways.first(), word) {
            (None, _) => {
                Err("nobody logs in here with a password: show an operator's certificate (the top master's \
                              configuration has no \"login\")"
                    .into())
            }
            (Some(first), "") => Ok(first.how()),
            (Some(_), word) => How::from_word(word).filter(|how| self.has(*how)).ok_or_else(|| {
                format!(
                    "nobody logs in here by {:?}: there is {}",
                    relay_core::document::read::clip(word),
                    ways.join(", ")
                )
            }),
        }
    }

    /// Whether this is the user's password. The turn is kept until nothing works on that any more, whether or not anybody waits.
    pub async fn check(&self, how: How, user: &str, password: Secret, turn: OwnedSemaphorePermit) -> Verdict {
        match self.find(how) {
            Some(Way::File(file)) => file.check(user.to_owned(), password, turn).await,
            #[cfg(feature = "pam")]
            Some(Way::Pam(pam)) => pam.check(user, &password, turn).await,
            Some(Way::Ldap(ldap)) => {
                // No thread works on this one: it ends with who waits for it.
                let _turn = turn;
                ldap.check(user, &password).await
            }
            None => Verdict::Unable("there is no such way to log in".into()),
        }
    }

    /// Whether looking at an account costs nobody anything.
    pub fn is_cheap(how: How) -> bool {
        how == How::File
    }

    /// How the account of somebody stands who is logged in, if there is anything new to say of it. `ask`: whoever knows is to be
    /// asked; else it is as if he had not answered.
    pub async fn standing(&self, how: How, user: &str, now: Millis, ask: bool) -> Option<Standing> {
        let way = self.find(how)?;
        if Self::is_cheap(how) {
            return Some(way.standing(user).await);
        }
        let key = (user.to_owned(), how);
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        // Who has logged in just now, or was logged in when this term began, counts as found good.
        let (at, good) = asked.unwrap_or((now, now));
        if asked.is_some() && now.saturating_sub(at) < ASK_EVERY {
            return None;
        }
        let standing = match ask && asked.is_some() {
            true => way.standing(user).await,
            false => Standing::Unknown,
        };
        let good = if matches!(standing, Standing::Good(_)) { now } else { good };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (now, good));
        // A directory that is restarted ends nobody's work; one that is away for long lets nobody go on.
        let patient = now.saturating_sub(good) < TRUSTED;
        (standing != Standing::Unknown || !patient).then_some(standing)
    }

    /// Only these are logged in now.
    pub fn forget_others(&self, users: &HashMap<(String, How), Vec<Digest>>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| users.contains_key(key));
    }
}
