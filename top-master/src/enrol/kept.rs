//! How records of enrolment and tokens stand in the store: JSON with a format number, under `<role>/<region>/<id>`, and under the
//! hash of a token's key.

use std::fmt;

use bytes::Bytes;
use relay_core::{
    enrol::{
        Enrolled, Fingerprint, Rival, State,
        token::{MAX_CIDRS, Token},
    },
    identity::{FabricName, Identity, Role, check_region},
};
use relay_runtime::store::Record;
use serde::{Deserialize, Serialize};

/// The version that this build writes and reads.
const FORMAT: u32 = 1;

/// Who a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Identity);

impl Name {
    /// A minion or a syndic.
    ///
    /// # Errors
    /// Nobody else enrols.
    pub fn new(who: Identity) -> Result<Name, String> {
        match who.role() {
            Role::Minion | Role::Syndic => Ok(Name(who)),
            role => Err(format!("no {role} enrols: minions and syndics do")),
        }
    }

    /// From its parts, as a request has them.
    ///
    /// # Errors
    /// They name nobody who enrols.
    pub fn of(id: &str, role: &str, region: &str, fabric: &FabricName) -> Result<Name, String> {
        let role: Role = role.parse().map_err(|e: relay_core::identity::IdentityError| e.to_string())?;
        let region = check_region(region).map_err(|e| e.to_string())?;
        Name::new(Identity::new(id, role, region, fabric.clone()).map_err(|e| e.to_string())?)
    }

    /// The key of its record.
    pub fn key(&self) -> Bytes {
        let Name(who) = self;
        format!("{}/{}/{}", who.role(), who.region(), who.id()).into()
    }

    /// The name of a record's key.
    ///
    /// # Errors
    /// Nobody's.
    pub fn read(key: &[u8], fabric: &FabricName) -> Result<Name, String> {
        let text = String::from_utf8_lossy(key).into_owned();
        let parts: Vec<&str> = text.splitn(3, '/').collect();
        match parts[..] {
            [role, region, id] => Name::of(id, role, region, fabric),
            _ => Err(format!("the record of enrolment {text:?} is nobody's")),
        }
    }

    /// Who.
    pub fn who(&self) -> &Identity {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name(who) = self;
        write!(f, "{}.{}.{}", who.id(), who.role(), who.region())
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stood {
    /// What it says.
    pub record: Enrolled,
    /// Which one it is.
    pub revision: u64,
}

impl Stood {
    /// Reads it.
    ///
    /// # Errors
    /// It is damaged, or of a newer version.
    pub fn read(record: &Record) -> Result<Stood, String> {
        let written: Written = parse(record)?;
        let read = written.into_record().ok_or_else(|| damaged(record))?;
        Ok(Stood { record: read, revision: record.revision })
    }
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    state: String,
    fingerprint: String,
    former: Option<String>,
    uid: u64,
    generation: u32,
    until: u64,
    asked: u64,
    decided: u64,
    by: String,
    from: String,
    via: String,
    software: String,
    why: String,
    rivals: Vec<WrittenRival>,
}

#[derive(Serialize, Deserialize)]
struct WrittenRival {
    fingerprint: String,
    from: String,
    asked: u64,
}

impl Written {
    fn into_record(self) -> Option<Enrolled> {
        let rival = |rival: WrittenRival| {
            let WrittenRival { fingerprint, from, asked } = rival;
            Some(Rival { fingerprint: fingerprint.parse().ok()?, from, asked })
        };
        Some(Enrolled {
            state: State::of(&self.state).filter(|state| *state != State::Conflict)?,
            fingerprint: self.fingerprint.parse().ok()?,
            former: self.former.map(|text| text.parse()).transpose().ok()?,
            uid: self.uid,
            generation: self.generation,
            until: self.until,
            asked: self.asked,
            decided: self.decided,
            by: self.by,
            from: self.from,
            via: self.via,
            software: self.software,
            why: self.why,
            rivals: self.rivals.into_iter().map(rival).collect::<Option<_>>()?,
        })
    }
}

/// A record as it is written.
pub fn write(record: &Enrolled) -> Bytes {
    let Enrolled { state, fingerprint, former, uid, generation, until, asked, decided, .. } = record;
    let rival = |rival: &Rival| WrittenRival {
        fingerprint: rival.fingerprint.to_string(),
        from: rival.from.clone(),
        asked: rival.asked,
    };
    json(&Written {
        format: FORMAT,
        state: state.word().into(),
        fingerprint: fingerprint.to_string(),
        former: former.map(|former| former.to_string()),
        uid: *uid,
        generation: *generation,
        until: *until,
        asked: *asked,
        decided: *decided,
        by: record.by.clone(),
        from: record.from.clone(),
        via: record.via.clone(),
        software: record.software.clone(),
        why: record.why.clone(),
        rivals: record.rivals.iter().map(rival).collect(),
    })
}

#[derive(Serialize, Deserialize)]
struct WrittenToken {
    format: u32,
    role: String,
    region: String,
    id: String,
    uses: u32,
    used: u32,
    expires: u64,
    cidrs: Vec<String>,
    created: u64,
    by: String,
}

/// The key of a token's record.
pub fn token_key(hash: &Fingerprint) -> Bytes {
    hash.to_string().into()
}

/// The hash in the key of a token's record.
pub fn token_hash(record: &Record) -> Result<Fingerprint, String> {
    String::from_utf8_lossy(&record.key).parse().map_err(|_| damaged(record))
}

/// A token as it is written.
pub fn write_token(token: &Token) -> Bytes {
    json(&WrittenToken {
        format: FORMAT,
        role: token.role.word().into(),
        region: token.region.to_string(),
        id: token.id.clone(),
        uses: token.uses,
        used: token.used,
        expires: token.expires,
        cidrs: token.cidrs.iter().map(ToString::to_string).collect(),
        created: token.created,
        by: token.by.clone(),
    })
}

/// Reads a token.
///
/// # Errors
/// It is damaged, or of a newer version.
pub fn read_token(record: &Record) -> Result<Token, String> {
    let written: WrittenToken = parse(record)?;
    written.into_token().ok_or_else(|| damaged(record))
}

impl WrittenToken {
    fn into_token(self) -> Option<Token> {
        let cidrs = self.cidrs.iter().take(MAX_CIDRS).map(|text| text.parse().ok());
        Some(Token {
            role: self.role.parse().ok()?,
            region: check_region(&self.region).ok()?,
            id: self.id,
            uses: self.uses,
            used: self.used,
            expires: self.expires,
            cidrs: cidrs.collect::<Option<_>>()?,
            created: self.created,
            by: self.by,
        })
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Numbers and texts only: there is nothing in it that JSON cannot hold.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn parse<T: for<'a> Deserialize<'a>>(record: &Record) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(&record.value).map_err(|_| damaged(record))?;
    if head.format > FORMAT {
        let name = String::from_utf8_lossy(&record.key).into_owned();
        return Err(format!(
            "{name} was written by a newer version (format {}): upgrade this one",
            head.format
        ));
    }
    serde_json::from_slice(&record.value).map_err(|_| damaged(record))
}

fn damaged(record: &Record) -> String {
    let name = String::from_utf8_lossy(&record.key).into_owned();
    format!(
        "the record of {name} in the store is damaged: restore the store from a backup, or remove that record"
    )
}
