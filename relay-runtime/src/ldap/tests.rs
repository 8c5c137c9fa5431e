//! The client against answers that a test writes; against a real server it is tested where logins are.

use tokio::io::DuplexStream;

use super::*;

fn directory() -> (Directory, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let at = "127.0.0.1:389".parse().unwrap();
    let end = Instant::now() + WHOLE;
    (Directory { at, stream: Box::pin(ours), read: Vec::new(), message: 0, end }, theirs)
}

fn message(id: u32, tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    several(SEQUENCE, &[number(INTEGER, id), several(tag, parts)])
}

fn done(id: u32, tag: u8, code: u32) -> Vec<u8> {
    message(id, tag, &[number(ENUMERATED, code), text(""), text("words")])
}

fn found(id: u32, dn: &str, name: &str, values: &[&str]) -> Vec<u8> {
    let values: Vec<Vec<u8>> = values.iter().map(|value| text(value)).collect();
    let attribute = several(SEQUENCE, &[text(name), several(0x31, &values)]);
    message(id, 0x64, &[text(dn), several(SEQUENCE, &[attribute])])
}

async fn bind(answer: Vec<u8>) -> Result<bool, LdapError> {
    let (mut directory, mut theirs) = directory();
    theirs.write_all(&answer).await.unwrap();
    drop(theirs.shutdown().await);
    directory.bind("cn=a", &Secret::new("hush".into())).await
}

#[tokio::test]
async fn a_bind_is_a_yes_a_no_or_an_error() {
    assert!(bind(done(1, 0x61, SUCCESS)).await.unwrap());
    assert!(!bind(done(1, 0x61, INVALID_CREDENTIALS)).await.unwrap());
    assert!(!bind(done(1, 0x61, NO_SUCH_OBJECT)).await.unwrap());
    let no = bind(done(1, 0x61, 53)).await.unwrap_err();
    assert_eq!(no.to_string(), "the LDAP server refuses a bind: code 53 \"words\"");
    for answer in
        [done(2, 0x61, SUCCESS), done(0, 0x78, 52), done(1, 0x65, SUCCESS), vec![], vec![0x30, 3, 2]]
    {
        bind(answer).await.expect_err("no answer to this");
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_password() {
    let (mut directory, theirs) = directory();
    assert!(!directory.bind("cn=a", &Secret::new(String::new())).await.unwrap());
    assert!(!directory.bind("", &Secret::new("hush".into())).await.unwrap());
    drop(theirs);
    assert_eq!(directory.message, 0, "the server is not even asked");
}

#[tokio::test]
async fn a_search_brings_what_there_is_up_to_its_bounds() {
    let (mut directory, mut theirs) = directory();
    let answer = [
        found(1, "cn=a", "CN", &["a", "b"]),
        message(1, 0x73, &[text("ldap://elsewhere")]),
        found(1, "cn=c", "cn", &[]),
        done(1, 0x65, SUCCESS),
    ];
    theirs.write_all(&answer.concat()).await.unwrap();
    let entries = directory.search("dc=x", &[("cn", "a*)(uid=*")], &["cn"], 2).await.unwrap();
    assert_eq!(entries.iter().map(|e| &*e.dn).collect::<Vec<_>>(), ["cn=a", "cn=c"]);
    assert_eq!(entries[0].values["cn"], ["a", "b"]);
    // What was asked has the value as it is, in an assertion of equality: no text of it is a filter.
    let mut asked = vec![0; 512];
    let read = theirs.read(&mut asked).await.unwrap();
    let value = several(0xa3, &[text("cn"), text("a*)(uid=*")]);
    assert!(asked[..read].windows(value.len()).any(|window| window == value));

    for more in [vec![found(2, "cn=a", "cn", &["a"]); 2].concat(), found(2, "cn=a", "cn", &["v"; MAX_VALUES])]
    {
        let (mut directory, mut theirs) = self::directory();
        directory.message = 1;
        theirs.write_all(&more).await.unwrap();
        let refused = directory.search("dc=x", &[("cn", "a")], &["cn"], 1).await.unwrap_err();
        assert!(matches!(refused, LdapError::TooMuch(_)), "{refused}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_not_waited_for() {
    let (mut directory, mut theirs) = directory();
    theirs.write_all(&[SEQUENCE, 0x83, 0x7f, 0xff, 0xff]).await.unwrap();
    let refused = directory.bind("cn=a", &Secret::new("hush".into())).await.unwrap_err();
    assert!(matches!(refused, LdapError::TooMuch(_)), "{refused}");
}

/// The clock is the test's: it goes on when everybody waits.
#[tokio::test(start_paused = true)]
async fn a_directory_that_never_ends_an_answer_is_waited_for_only_so_long() {
    let (mut directory, mut theirs) = directory();
    let begun = Instant::now();
    let trickle = async {
        loop {
            tokio::time::sleep(TIME - Duration::from_secs(1)).await;
            theirs.write_all(&message(1, 0x73, &[text("ldap://elsewhere")])).await.unwrap();
        }
    };
    let late = tokio::select! {
        found = directory.search("dc=x", &[("cn", "a")], &["cn"], 2) => found.unwrap_err(),
        () = trickle => unreachable!(),
    };
    assert!(matches!(late, LdapError::Late(_)), "{late}");
    assert_eq!(begun.elapsed(), WHOLE);
    // Nor is anything else begun on it.
    let late = directory.bind("cn=a", &Secret::new("hush".into())).await.unwrap_err();
    assert!(matches!(late, LdapError::Late(_)), "{late}");
}
