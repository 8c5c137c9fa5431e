//! The machine's own users as a way to log in, by PAM. Compiled with the feature `pam` alone: it links libpam, which not every
//! machine that builds this has.
//!
//! The one place of the top master that calls C. What PAM asks is answered from memory; nothing is shown to anybody. A service that
//! reads /etc/shadow needs a top master that may (the group `shadow`); one that asks another daemon (sssd, winbind) does not.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
    sync::Arc,
    time::Duration,
};

use nix::{
    libc,
    unistd::{Group, User, getgrouplist},
};
use relay_runtime::{
    passwords::{Account, MAX_PASSWORD_BYTES, check_name},
    secret::Secret,
};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use super::{
    account::{Standing, Verdict},
    apart::apart,
};

/// How long PAM may take. Modules wait some seconds after a wrong password.
const TIME: Duration = Duration::from_secs(20);
/// Accounts that are asked about at once: whoever asks goes through them one by one, so a second is asked about only while PAM does
/// not answer for a first. A PAM that never answers holds so many threads, and no more each minute.
const MAX_STANDINGS: usize = 2;
/// Most questions of one round (PAM_MAX_NUM_MSG).
const MAX_MESSAGES: c_int = 32;

// _pam_types.h of Linux-PAM.
const SUCCESS: c_int = 0;
const BUF_ERR: c_int = 5;
const PERM_DENIED: c_int = 6;
const AUTH_ERR: c_int = 7;
const USER_UNKNOWN: c_int = 10;
const MAXTRIES: c_int = 11;
const NEW_AUTHTOK_REQD: c_int = 12;
const ACCT_EXPIRED: c_int = 13;
const CONV_ERR: c_int = 19;
const SILENT: c_int = 0x8000;
const DISALLOW_NULL_AUTHTOK: c_int = 0x0001;
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const ERROR_MSG: c_int = 3;
const TEXT_INFO: c_int = 4;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    retcode: c_int,
}

#[repr(C)]
struct Conversation {
    converse: unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        handle: *mut *mut c_void,
    ) -> c_int;
    fn pam_authenticate(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_end(handle: *mut c_void, status: c_int) -> c_int;
    fn pam_strerror(handle: *mut c_void, code: c_int) -> *const c_char;
}

/// What PAM is told when it asks.
struct Answers {
    user: CString,
    password: CString,
}

impl Drop for Answers {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        let password = std::mem::take(&mut self.password);
        password.into_bytes().zeroize();
    }
}

/// A service of PAM.
#[derive(Clone)]
pub struct Pam {
    service: CString,
    standings: Arc<Semaphore>,
}

/// What PAM said.
enum Said {
    Yes,
    No,
    Unable(String),
}

impl Pam {
    /// By the service of this name, which the configuration has checked; nothing if it can't be one.
    pub fn new(service: &str) -> Option<Pam> {
        let standings = Arc::new(Semaphore::new(MAX_STANDINGS));
        Some(Pam { service: CString::new(service).ok()?, standings })
    }

    /// Whether this is the user's password, and he may log in.
    pub async fn check(&self, user: &str, password: &Secret, turn: OwnedSemaphorePermit) -> Verdict {
        let (user, password) = (user.to_owned(), password.clone());
        let checked = self.within(turn, move |pam| pam.checked(&user, &password)).await;
        checked.unwrap_or_else(Verdict::Unable)
    }

    /// How a user's account stands.
    pub async fn standing(&self, user: &str) -> Standing {
        let Ok(turn) = self.standings.clone().try_acquire_owned() else {
            warn!("PAM still does not answer about others who are logged in: {user} is not asked about");
            return Standing::Unknown;
        };
        let user = user.to_owned();
        let standing = self.within(turn, move |pam| pam.stands(&user)).await;
        standing.unwrap_or(Standing::Unknown)
    }

    /// Waits for so long; PAM itself is not ended by that, and keeps its turn.
    async fn within<T: Send + 'static>(
        &self,
        turn: OwnedSemaphorePermit,
        ask: impl FnOnce(Pam) -> T + Send + 'static,
    ) -> Result<T, String> {
        let pam = self.clone();
        let asked = tokio::time::timeout(TIME, apart(turn, move || ask(pam))).await;
        asked.map_err(|_| format!("no answer within {TIME:?}"))?
    }

    fn checked(&self, user: &str, password: &Secret) -> Verdict {
        let text = password.expose();
        if check_name("user", user).is_err() || text.is_empty() || text.len() > MAX_PASSWORD_BYTES {
            return Verdict::Wrong;
        }
        match self.ask(user, Some(text)) {
            Said::Yes => account(user).map_or(Verdict::Wrong, Verdict::Right),
            Said::No => Verdict::Wrong,
            Said::Unable(why) => Verdict::Unable(why),
        }
    }

    fn stands(&self, user: &str) -> Standing {
        match self.ask(user, None) {
            Said::Yes => account(user).map_or(Standing::Gone, Standing::Good),
            Said::No => Standing::Gone,
            Said::Unable(why) => {
                warn!(why, "PAM can't be asked about who is logged in");
                Standing::Unknown
            }
        }
    }

    /// Authenticates with a password, and asks of the account in any case.
    fn ask(&self, user: &str, password: Option<&str>) -> Said {
        let (Ok(user), Ok(password)) = (CString::new(user), CString::new(password.unwrap_or_default()))
        else {
            return Said::No;
        };
        let authenticate = !password.is_empty();
        let answers = Answers { user, password };
        let conversation = Conversation { converse, data: ptr::from_ref(&answers).cast_mut().cast() };
        let mut handle = ptr::null_mut();
        // SAFETY: all texts end with a zero byte and, as the conversation, outlive the handle, which is ended below; PAM keeps
        // none of them beyond that.
        unsafe {
            let begun = pam_start(self.service.as_ptr(), answers.user.as_ptr(), &conversation, &mut handle);
            if begun != SUCCESS || handle.is_null() {
                return Said::Unable(format!("PAM cannot be started (code {begun})"));
            }
            let mut code = SUCCESS;
            if authenticate {
                code = pam_authenticate(handle, SILENT | DISALLOW_NULL_AUTHTOK);
            }
            if code == SUCCESS {
                code = pam_acct_mgmt(handle, SILENT | DISALLOW_NULL_AUTHTOK);
            }
            let said = match code {
                SUCCESS => Said::Yes,
                AUTH_ERR | USER_UNKNOWN | MAXTRIES | PERM_DENIED | ACCT_EXPIRED | NEW_AUTHTOK_REQD => {
                    Said::No
                }
                code => Said::Unable(words(handle, code)),
            };
            pam_end(handle, code);
            said
        }
    }
}

/// What a code means.
///
/// # Safety
/// The handle is one of PAM's that has not ended.
unsafe fn words(handle: *mut c_void, code: c_int) -> String {
    // SAFETY: by the caller's promise; what comes back is a text of the library's own, or nothing.
    unsafe {
        let text = pam_strerror(handle, code);
        let text = if text.is_null() { "unknown".into() } else { CStr::from_ptr(text).to_string_lossy() };
        format!("PAM: {text} (code {code})")
    }
}

/// Answers PAM's questions: the password where it is not to be seen, the name where it is.
///
/// # Safety
/// Called by PAM, with `count` messages, room for the answers' address, and the [`Answers`] of the conversation.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let Some(wanted) = usize::try_from(count).ok().filter(|_| (1..=MAX_MESSAGES).contains(&count)) else {
        return CONV_ERR;
    };
    if messages.is_null() || responses.is_null() || data.is_null() {
        return CONV_ERR;
    }
    // SAFETY: PAM gives `count` pointers to messages; the responses are allocated here as PAM frees them, each with as much as is
    // written; the data are those that `ask` gave, which is still there.
    unsafe {
        let answers = &*data.cast::<Answers>();
        let out: *mut Response = libc::calloc(wanted, size_of::<Response>()).cast();
        if out.is_null() {
            return BUF_ERR;
        }
        for at in 0..wanted {
            let message = *messages.add(at);
            let text = match if message.is_null() { 0 } else { (*message).style } {
                PROMPT_ECHO_OFF => &answers.password,
                PROMPT_ECHO_ON => &answers.user,
                ERROR_MSG | TEXT_INFO => continue,
                _ => {
                    forget(out, wanted);
                    return CONV_ERR;
                }
            };
            (*out.add(at)).text = libc::strdup(text.as_ptr());
            if (*out.add(at)).text.is_null() {
                forget(out, wanted);
                return BUF_ERR;
            }
        }
        *responses = out;
    }
    SUCCESS
}

/// Frees answers that PAM does not get.
///
/// # Safety
/// They were allocated by [`converse`], as many as `count`.
unsafe fn forget(responses: *mut Response, count: usize) {
    // SAFETY: by the caller's promise; a text is null or came from `strdup`.
    unsafe {
        for at in 0..count {
            let text = (*responses.add(at)).text;
            if !text.is_null() {
                libc::memset(text.cast(), 0, libc::strlen(text));
                libc::free(text.cast());
            }
        }
        libc::free(responses.cast());
    }
}

/// What the machine says of a user: his groups. Nothing: there is no such user here.
fn account(user: &str) -> Option<Account> {
    let known = User::from_name(user).ok().flatten()?;
    let name = CString::new(user).ok()?;
    let groups = getgrouplist(&name, known.gid).ok()?.into_iter();
    let groups = groups.filter_map(|gid| Some(Group::from_gid(gid).ok()??.name)).collect();
    let mut stamp = Sha256::new();
    stamp.update(user.as_bytes());
    stamp.update([0]);
    stamp.update(known.uid.as_raw().to_be_bytes());
    Some(Account { groups, stamp: stamp.finalize().into() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A service of this text; it goes with what is returned. Nothing without the right to write there.
    struct Service(String);

    impl Service {
        fn new(text: &str) -> Option<Service> {
            let name = format!("relay-test-{}-{:08x}", std::process::id(), rand::random::<u32>());
            fs::write(format!("/etc/pam.d/{name}"), text).ok()?;
            Some(Service(name))
        }
    }

    impl Drop for Service {
        fn drop(&mut self) {
            let _ = fs::remove_file(format!("/etc/pam.d/{}", self.0));
        }
    }

    fn turn() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    #[tokio::test]
    async fn a_pam_that_does_not_answer_holds_no_more_threads_than_it_may() {
        let pam = Pam::new("relay-no-such-service").unwrap();
        let (gate, shut) = std::sync::mpsc::channel::<()>();
        let shut = Arc::new(std::sync::Mutex::new(shut));
        for _ in 0..MAX_STANDINGS {
            let (turn, shut) = (pam.standings.clone().try_acquire_owned().unwrap(), shut.clone());
            let (begun, is_begun) = tokio::sync::oneshot::channel();
            let own = pam.clone();
            let asked = tokio::spawn(async move {
                own.within(turn, move |_| {
                    begun.send(()).unwrap();
                    let _ = shut.lock().map(|shut| shut.recv());
                })
                .await
            });
            is_begun.await.unwrap();
            asked.abort();
            assert!(asked.await.unwrap_err().is_cancelled());
        }
        assert_eq!(pam.standing("alice").await, Standing::Unknown);
        drop(gate);
        let _all = pam.standings.acquire_many(MAX_STANDINGS as u32).await.unwrap();
    }

    fn own_name() -> String {
        User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name
    }

    #[tokio::test]
    async fn what_pam_says_counts_and_what_it_asks_is_answered() {
        let table = [
            ("auth required pam_permit.so\naccount required pam_permit.so\n", Some(true)),
            ("auth required pam_deny.so\naccount required pam_permit.so\n", Some(false)),
            ("auth required pam_permit.so\naccount required pam_deny.so\n", Some(false)),
            ("auth required pam_no_such_module.so\naccount required pam_permit.so\n", None),
        ];
        let word = Secret::new("a word".into());
        for (text, expected) in table {
            // Only root makes services; who is not tests the rest.
            let Some(service) = Service::new(text) else { return };
            let pam = Pam::new(&service.0).unwrap();
            let verdict = pam.check(&own_name(), &word, turn()).await;
            match expected {
                Some(true) => {
                    assert!(matches!(&verdict, Verdict::Right(a) if !a.groups.is_empty()), "{verdict:?}")
                }
                Some(false) => assert!(matches!(verdict, Verdict::Wrong), "{text}: {verdict:?}"),
                None => assert!(!matches!(verdict, Verdict::Right(_)), "{text}: {verdict:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_password_is_asked_for_and_compared() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("check");
        // The password comes with a zero byte at its end.
        fs::write(&script, "[ \"$(tr -d '\\0')\" = right ]\n").unwrap();
        // pam_exec's own refusal is an error of the system; so what comes after it refuses.
        let text = format!(
            "auth [success=1 default=ignore] pam_exec.so expose_authtok quiet /bin/sh {}\nauth requisite pam_deny.so\n\
             auth required pam_permit.so\naccount required pam_permit.so\n",
            script.display()
        );
        let Some(service) = Service::new(&text) else { return };
        let pam = Pam::new(&service.0).unwrap();
        let user = own_name();
        let right = pam.check(&user, &Secret::new("right".into()), turn()).await;
        assert!(matches!(right, Verdict::Right(_)), "{right:?}");
        let wrong = pam.check(&user, &Secret::new("wrong".into()), turn()).await;
        assert!(matches!(wrong, Verdict::Wrong), "{wrong:?}");
        for (user, word) in [(&*user, ""), ("no name at all", "right"), ("nobody-of-this-name", "right")] {
            let refused = pam.check(user, &Secret::new(word.into()), turn()).await;
            assert!(!matches!(refused, Verdict::Right(_)), "{user}");
        }
        assert!(matches!(pam.standing(&user).await, Standing::Good(_)));
        assert_eq!(pam.standing("nobody-of-this-name").await, Standing::Gone);
    }
}
