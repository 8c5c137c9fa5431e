//! Checkpoints: how long the log is and what is in it, signed, in the text form of C2SP (`tlog-checkpoint`, `signed-note`).
//!
//! ```text
//! acme.example/audit
//! 1042
//! 9Yv3T5bXq0hZ0nJ8zqk4cH1r0dZr4oL0V9X4cXk3m1Q=
//!
//! — acme.example/audit/top-1 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//! ```
//!
//! Owns the text and what is signed of it; signing and checking ed25519 is the processes'.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};

use super::tree::Hash;

/// Longest text that is read, in bytes: some twenty signatures.
pub const MAX_CHECKPOINT_BYTES: usize = 4 << 10;
/// Ed25519, as C2SP numbers the kinds of keys.
const ED25519: u8 = 1;

/// How long a log is, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many records.
    pub size: u64,
    /// The tree's root over them.
    pub root: Hash,
}

/// Why a text is no checkpoint or no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Too long to be one.
    #[error("the checkpoint has {0} bytes, at most {MAX_CHECKPOINT_BYTES} are read")]
    TooLong(usize),
    /// The form is not that of a checkpoint.
    #[error("this is no signed checkpoint: {0}")]
    Form(&'static str),
    /// The form is not that of a key.
    #[error("this is no key of a checkpoint: {0}; it reads NAME+HASH+KEY, as the file audit/key.vkey has it")]
    Key(&'static str),
}

impl Checkpoint {
    /// What is signed.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// The whole text, with one signature of [`Checkpoint::body`].
    pub fn signed(&self, key: &VerifierKey, signature: &[u8; 64]) -> String {
        let mut bytes = key.hash().to_vec();
        bytes.extend_from_slice(signature);
        format!("{}\n— {} {}\n", self.body(), key.name, BASE64.encode(bytes))
    }

    fn parse(body: &str) -> Option<Checkpoint> {
        let mut lines = body.lines();
        let origin = lines.next().filter(|origin| !origin.is_empty())?;
        let size = lines.next()?;
        let root = BASE64.decode(lines.next()?).ok()?.try_into().ok()?;
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: size.parse().ok()?, root };
        // Further lines are extensions, which nobody has defined: what is signed must be all that is there.
        (checkpoint.body() == body).then_some(checkpoint)
    }
}

/// A checkpoint with its signatures, of which none is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    key: [u8; 4],
    bytes: Vec<u8>,
}

impl SignedCheckpoint {
    /// The signature that a key should have made; `None` if there is none of it.
    pub fn signature(&self, key: &VerifierKey) -> Option<[u8; 64]> {
        let ours = |s: &&Signature| s.name == key.name && s.key == key.hash();
        self.signatures.iter().find(ours).and_then(|s| s.bytes.as_slice().try_into().ok())
    }

    /// Who says that they have signed it.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| signature.name.as_str())
    }
}

impl FromStr for SignedCheckpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<SignedCheckpoint, CheckpointError> {
        if text.len() > MAX_CHECKPOINT_BYTES {
            return Err(CheckpointError::TooLong(text.len()));
        }
        // The last empty line: everything before it is signed.
        let end = text.rfind("\n\n").ok_or(CheckpointError::Form("no empty line before its signatures"))?;
        let (body, signatures) = (&text[..=end], &text[end + 2..]);
        if !text.ends_with('\n') {
            return Err(CheckpointError::Form("its last line has no end"));
        }
        let wrong = CheckpointError::Form("its first lines are not origin, size and root");
        let checkpoint = Checkpoint::parse(body).ok_or(wrong)?;
        let signatures: Option<Vec<Signature>> = signatures.lines().map(signature_line).collect();
        match signatures {
            Some(signatures) if !signatures.is_empty() => Ok(SignedCheckpoint { checkpoint, signatures }),
            _ => Err(CheckpointError::Form("a line below is no signature")),
        }
    }
}

fn signature_line(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
    let bytes = BASE64.decode(encoded).ok()?;
    let (key, bytes) = bytes.split_first_chunk()?;
    (is_name(name) && !bytes.is_empty()).then(|| Signature {
        name: name.to_owned(),
        key: *key,
        bytes: bytes.to_vec(),
    })
}

/// What may name a key: in its text form, a plus stands behind it.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// The public half of a key that signs checkpoints, with its name. As text: `name+hash+key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// A key of this name.
    ///
    /// # Errors
    /// The name is empty, or has a space or a plus in it.
    pub fn new(name: impl Into<String>, public: [u8; 32]) -> Result<VerifierKey, CheckpointError> {
        let name = name.into();
        match is_name(&name) {
            true => Ok(VerifierKey { name, public }),
            false => Err(CheckpointError::Key("its name is empty, or has a space or a plus in it")),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ed25519 public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// What stands before its signatures.
    pub fn hash(&self) -> [u8; 4] {
        let digest =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.public);
        let [a, b, c, d, ..]: Hash = digest.finalize().into();
        [a, b, c, d]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519][..], &self.public].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.hash()), BASE64.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<VerifierKey, CheckpointError> {
        let wrong = CheckpointError::Key;
        // Base64 has the plus, too.
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or(wrong("it has not three parts"));
        let (name, hash, key) = (part()?, part()?, part()?);
        let key = BASE64.decode(key).map_err(|_| wrong("its last part is not base64"))?;
        let public = match key.split_first() {
            Some((&ED25519, public)) => {
                public.try_into().map_err(|_| wrong("its last part is not 33 bytes"))?
            }
            _ => return Err(wrong("it is of another kind than ed25519")),
        };
        let key = VerifierKey::new(name, public)?;
        match u32::from_str_radix(hash, 16) == Ok(u32::from_be_bytes(key.hash())) {
            true => Ok(key),
            false => Err(wrong("its hash does not fit its name and key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification (signed-note, Go's `golang.org/x/mod/sumdb/note`).
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn signed() -> (VerifierKey, Checkpoint, String) {
        let key = VerifierKey::new("acme/audit/top-1", [7; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "acme/audit".into(), size: 42, root: [9; 32] };
        let text = checkpoint.signed(&key, &[5; 64]);
        (key, checkpoint, text)
    }

    #[test]
    fn a_key_reads_as_the_specification_has_it() {
        let key: VerifierKey = PETER.parse().unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", PETER));
    }

    #[test]
    fn a_checkpoint_comes_back_with_its_signature() {
        let (key, checkpoint, text) = signed();
        let read: SignedCheckpoint = text.parse().unwrap();
        assert_eq!((&read.checkpoint, read.signature(&key)), (&checkpoint, Some([5; 64])));
        assert_eq!(read.signers().collect::<Vec<_>>(), ["acme/audit/top-1"]);
        for other in [("acme/audit/top-2", [7; 32]), ("acme/audit/top-1", [8; 32])] {
            assert_eq!(read.signature(&VerifierKey::new(other.0, other.1).unwrap()), None);
        }
        assert_eq!(text.split_once("\n\n").unwrap().0.to_owned() + "\n", checkpoint.body());
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let (_, _, text) = signed();
        let cut = |a: &str, b: &str| text.replacen(a, b, 1);
        let wrong = [
            String::new(),
            "\n\n".into(),
            cut("\n\n", "\n"),
            text.trim_end().into(),
            cut("42", "042"),
            cut("42", "-1"),
            cut("42", "+42"),
            cut("acme/audit\n", "\n"),
            cut("\n\n", "\nextension\n\n"),
            cut("— ", "- "),
            cut("— acme", "— ac me"),
            cut("— acme/audit/top-1 ", "— acme+x "),
            text.clone() + "— a AAAA\n",
            text.repeat(99),
        ];
        for text in wrong {
            assert!(text.parse::<SignedCheckpoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (base, plus) = (PETER.replace("ARpc", "ARpd"), PETER.replace("PeterNeumann", "Peter Neumann"));
        let (hash, kind) = (PETER.replace("c74f", "c74e"), PETER.replace("ARpc", "BRpc"));
        for wrong in ["", "a+b", "a+b+c", &base, &plus, &hash, &kind, &PETER[..PETER.len() - 4]] {
            assert!(wrong.parse::<VerifierKey>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn keys_and_checkpoints_come_back(public: [u8; 32], origin in "[a-z./]{1,20}", size: u64, root: Hash) {
            let key = VerifierKey::new("n", public).unwrap();
            prop_assert_eq!(key.to_string().parse(), Ok(key.clone()));
            let checkpoint = Checkpoint { origin, size, root };
            let read: SignedCheckpoint = checkpoint.signed(&key, &[1; 64]).parse().unwrap();
            prop_assert_eq!(read.checkpoint, checkpoint);
        }

        #[test]
        fn any_text_is_looked_at_without_harm(text in "\\PC{0,40}(\n\\PC{0,40}){0,6}\n") {
            let _ = text.parse::<SignedCheckpoint>();
            let _ = text.parse::<VerifierKey>();
        }
    }
}
