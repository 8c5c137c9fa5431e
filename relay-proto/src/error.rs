//! The one set of error codes at the boundary, mapped once to gRPC status and exit code; and what is wrong with bytes.

use tonic::Status;

/// Longest message of a refusal, in bytes; what is longer is cut, and says so. It travels as a header, in which whatever is no letter
/// may take three bytes, and a client takes 16 KiB of headers in all: one that quoted a long text cost its caller the words, and perhaps
/// the connection.
pub const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// What went wrong, as a client can act on it. Sent in the metadata key [`Code::METADATA`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request itself is wrong: target syntax, unknown ids, bad arguments.
    Invalid,
    /// Nobody matches the target.
    NoMatch,
    /// The request id was used for another body.
    RequestReused,
    /// There is no such job.
    NoSuchJob,
    /// There is no such plan (any more), or no such schedule.
    NotFound,
    /// The targets are not the plan's any more.
    PlanMoved,
    /// Too wide a job without a batch: a batch, or the number of targets, is asked for.
    TooWide,
    /// Nobody knows who calls: not logged in, or not any more.
    Unauthenticated,
    /// The caller may not do this.
    Denied,
    /// The caller may do this if a second person agrees: it waits for that.
    NeedsApproval,
    /// Too much is going on: try again later.
    Busy,
    /// The store can't be written or read.
    Store,
    /// This top master is a standby: another one owns the fabric (its id and address are in the message), or nobody yet.
    NotOwner,
    /// The registry can't be reached, so nothing new is accepted; running jobs go on.
    Registry,
    /// Another revision of the topology is active than the one that was planned on.
    TopologyMoved,
    /// The two sides have no protocol version in common.
    Version,
}

impl Code {
    /// The metadata key that carries a code's word.
    pub const METADATA: &'static str = "relay-error";

    /// Every code.
    pub const ALL: [Code; 16] = [
        Code::Invalid,
        Code::NoMatch,
        Code::RequestReused,
        Code::NoSuchJob,
        Code::NotFound,
        Code::PlanMoved,
        Code::TooWide,
        Code::Unauthenticated,
        Code::Denied,
        Code::NeedsApproval,
        Code::Busy,
        Code::Store,
        Code::NotOwner,
        Code::Registry,
        Code::TopologyMoved,
        Code::Version,
    ];

    /// The word on the wire and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Code::Invalid => "invalid",
            Code::NoMatch => "no_match",
            Code::RequestReused => "request_reused",
            Code::NoSuchJob => "no_such_job",
            Code::NotFound => "not_found",
            Code::PlanMoved => "plan_moved",
            Code::TooWide => "too_wide",
            Code::Unauthenticated => "unauthenticated",
            Code::Denied => "denied",
            Code::NeedsApproval => "needs_approval",
            Code::Busy => "busy",
            Code::Store => "store",
            Code::NotOwner => "not_owner",
            Code::Registry => "registry",
            Code::TopologyMoved => "topology_moved",
            Code::Version => "version",
        }
    }

    /// A status with this code, and at most [`MAX_MESSAGE_BYTES`] of its message.
    pub fn status(self, message: impl Into<String>) -> Status {
        let message = bounded(message.into());
        let mut status = match self {
            Code::Invalid | Code::NoMatch => Status::invalid_argument(message),
            Code::RequestReused => Status::already_exists(message),
            Code::NoSuchJob | Code::NotFound => Status::not_found(message),
            Code::Unauthenticated => Status::unauthenticated(message),
            Code::Denied | Code::NeedsApproval => Status::permission_denied(message),
            Code::Busy => Status::resource_exhausted(message),
            Code::Store | Code::NotOwner | Code::Registry => Status::unavailable(message),
            Code::Version | Code::PlanMoved | Code::TopologyMoved | Code::TooWide => {
                Status::failed_precondition(message)
            }
        };
        let word = tonic::metadata::MetadataValue::from_static(self.word());
        status.metadata_mut().insert(Code::METADATA, word);
        status
    }

    /// The code with this word.
    pub fn named(word: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.word() == word)
    }

    /// The code a status carries, if it came from one of our own.
    pub fn of(status: &Status) -> Option<Code> {
        Code::named(status.metadata().get(Code::METADATA)?.to_str().ok()?)
    }
}

fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let shown = message.floor_char_boundary(MAX_MESSAGE_BYTES);
        let more = message.len() - shown;
        message.truncate(shown);
        message.push_str(&format!(" [and {more} bytes more]"));
    }
    message
}

/// Bytes that are no message of ours. The link or file they came from is named by who logs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not the encoding at all.
    #[error("not decodable: {0}")]
    Decode(String),
    /// A frame without a message in it (or one of a newer version).
    #[error("an empty or unknown message")]
    Empty,
    /// A field holds what it may not.
    #[error("{field}: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl WireError {
    pub(crate) fn field(field: &'static str, why: impl std::fmt::Display) -> WireError {
        WireError::Field { field, why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_a_status() {
        for code in Code::ALL {
            assert_eq!(Code::of(&code.status("x")), Some(code));
        }
        assert_eq!(Code::of(&Status::internal("x")), None);
    }

    #[test]
    fn a_message_fits_the_headers_of_whoever_reads_it() {
        let exact = "{".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(Code::Invalid.status(&*exact).message(), exact);
        let long = format!("é{}", "é".repeat(MAX_MESSAGE_BYTES));
        let status = Code::Invalid.status(long);
        let (shown, more) = status.message().split_once(" [").unwrap();
        assert_eq!(shown.len(), MAX_MESSAGE_BYTES);
        assert_eq!(more, format!("and {} bytes more]", MAX_MESSAGE_BYTES + 2));
        let mut headers = tonic::codegen::http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(size < 16 << 10, "{size}");
    }
}
