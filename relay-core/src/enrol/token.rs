//! Join tokens: what lets newcomers in without an operator's decision about each.
//!
//! A token is 128 random bits. It stays with who made it and with who joins by it: the fabric knows the hash of a public key
//! that is made from it, and newcomers sign with that key. So neither who reads the store nor a syndic that passes requests on
//! learns anything to join with.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::Fingerprint;
use crate::{
    identity::{Identity, Role},
    ids::RegionName,
    target::Glob,
    time::WallMicros,
};

/// What every token's text begins with, so that one is recognised where it should not be.
pub const PREFIX: &str = "relay-join-";
/// Most uses of one token: as many as a fabric has minions.
pub const MAX_USES: u32 = 10_000;
/// Longest life of a token, in seconds: a month.
pub const MAX_TTL_S: u64 = 30 * 24 * 3_600;
/// Its life if nothing is said, in seconds: an hour, so that a lost one is soon worth nothing.
pub const DEFAULT_TTL_S: u64 = 3_600;
/// Most networks of one token.
pub const MAX_CIDRS: usize = 32;
/// Longest glob of ids, in bytes.
pub const MAX_GLOB_BYTES: usize = 256;
/// Digits of a token's name: the first of the hash of its public key. Ten thousand tokens clash by a chance of 1 in 5 million.
pub const NAME_DIGITS: usize = 12;

/// A token as its holder has it. Shows itself to nobody but who asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken([u8; 16]);

/// A text that is no token. It is not repeated: it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: one begins with {PREFIX} and has 32 hexadecimal digits after it")]
pub struct JoinTokenError;

impl JoinToken {
    /// The token of 128 random bits.
    pub fn of(random: [u8; 16]) -> JoinToken {
        JoinToken(random)
    }
    /// The bits.
    pub fn bits(&self) -> &[u8; 16] {
        &self.0
    }
    /// The text to give to newcomers.
    pub fn reveal(&self) -> String {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{digits}")
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;
    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let digits = text.strip_prefix(PREFIX).ok_or(JoinTokenError)?;
        let whole =
            digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        let bits = u128::from_str_radix(digits, 16).ok().filter(|_| whole).ok_or(JoinTokenError)?;
        Ok(JoinToken(bits.to_be_bytes()))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// For these.
    pub role: Role,
    /// In this region.
    pub region: RegionName,
    /// With ids that match this glob.
    pub id: String,
    /// So often.
    pub uses: u32,
    /// Of which so many are spent.
    pub used: u32,
    /// Not from this moment on.
    pub expires: WallMicros,
    /// From these networks; from any if there is none.
    pub cidrs: Vec<IpNet>,
    /// When it was made.
    pub created: WallMicros,
    /// Who made it.
    pub by: String,
}

/// Why a token lets nobody in. Told to the log and the audit; the newcomer is told only that it is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotGood {
    /// Nobody made it, or it was revoked.
    #[error("no token of this key is known")]
    Unknown,
    /// Its time is up.
    #[error("it has expired")]
    Expired,
    /// All uses are spent.
    #[error("it was used as often as it may be")]
    Spent,
    /// It is for another role or region.
    #[error("it is for {0}")]
    Elsewhere(String),
    /// The id does not match.
    #[error("it is for ids like {0}")]
    Id(String),
    /// It was used from outside its networks.
    #[error("it is not for newcomers at {0}")]
    Address(String),
}

impl Token {
    /// Whether it lets this one in, from this address, now.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn admits(&self, who: &Identity, from: Option<IpAddr>, at: WallMicros) -> Result<(), NotGood> {
        if at >= self.expires {
            return Err(NotGood::Expired);
        }
        if self.used >= self.uses {
            return Err(NotGood::Spent);
        }
        if who.role() != self.role || *who.region() != self.region {
            return Err(NotGood::Elsewhere(format!("each {} of region {}", self.role, self.region)));
        }
        if !Glob::new(&self.id).matches(who.id()) {
            return Err(NotGood::Id(self.id.clone()));
        }
        let from = from.map(|address| address.to_canonical());
        // An address that is not known is in no network.
        let near =
            self.cidrs.is_empty() || from.is_some_and(|at| self.cidrs.iter().any(|net| net.contains(&at)));
        if !near {
            return Err(NotGood::Address(from.map_or("an unknown address".into(), |at| at.to_string())));
        }
        Ok(())
    }
}

/// The name of a token: the first digits of the hash of its public key.
pub fn name(hash: &Fingerprint) -> String {
    hash.to_string().chars().take(NAME_DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::check_region;

    fn who(id: &str, role: Role, region: &str) -> Identity {
        Identity::new(id, role, check_region(region).unwrap(), "acme.example".parse().unwrap()).unwrap()
    }

    fn token() -> Token {
        Token {
            role: Role::Minion,
            region: check_region("aws").unwrap(),
            id: "web*".into(),
            uses: 2,
            used: 0,
            expires: 1_000,
            cidrs: vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            created: 0,
            by: "alice".into(),
        }
    }

    #[test]
    fn what_a_token_is_good_for() {
        let near: Option<IpAddr> = Some("10.1.2.3".parse().unwrap());
        let web = who("web01", Role::Minion, "aws");
        let spent = Token { used: 2, ..token() };
        let anywhere = Token { cidrs: vec![], ..token() };
        let cases = [
            (token(), &web, near, 999, "good"),
            (token(), &web, Some("::ffff:10.1.2.3".parse().unwrap()), 999, "good"),
            (token(), &web, Some("2001:db8::1".parse().unwrap()), 0, "good"),
            (anywhere, &web, None, 0, "good"),
            (token(), &web, near, 1_000, "it has expired"),
            (spent, &web, near, 0, "it was used as often as it may be"),
            (token(), &who("db01", Role::Minion, "aws"), near, 0, "it is for ids like web*"),
            (token(), &who("web01", Role::Syndic, "aws"), near, 0, "it is for each minion of region aws"),
            (token(), &who("web01", Role::Minion, "azure"), near, 0, "it is for each minion of region aws"),
            (token(), &web, Some("10.2.0.1".parse().unwrap()), 0, "it is not for newcomers at 10.2.0.1"),
            (token(), &web, None, 0, "it is not for newcomers at an unknown address"),
        ];
        for (token, who, from, at, expected) in cases {
            let found = token.admits(who, from, at).map_or_else(|why| why.to_string(), |()| "good".into());
            assert_eq!(found, expected, "{who} from {from:?} at {at}");
        }
    }

    #[test]
    fn a_token_is_written_one_way_and_hides_itself() {
        let token = JoinToken::of([0xab; 16]);
        assert_eq!(token.reveal(), "relay-join-abababababababababababababababab");
        assert_eq!(format!("{token:?}"), "***");
        let short = token.reveal().replace("ababab", "");
        for bad in [
            "",
            "relay-join-",
            &short,
            &token.reveal().to_uppercase(),
            &token.reveal().replace("-a", "-+"),
            "x",
        ] {
            let refused = bad.parse::<JoinToken>().unwrap_err().to_string();
            assert!(bad.is_empty() || bad == PREFIX || !refused.contains(bad) || bad == "x", "{refused}");
        }
    }

    proptest! {
        #[test]
        fn a_token_comes_back_whole(bits: [u8; 16]) {
            let token = JoinToken::of(bits);
            prop_assert_eq!(token.reveal().parse::<JoinToken>().unwrap(), token);
        }
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            if let Ok(token) = text.parse::<JoinToken>() {
                prop_assert_eq!(token.reveal(), text);
            }
        }
    }
}
