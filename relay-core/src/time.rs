//! Time as the core sees it: milliseconds on a monotonic clock that somebody else reads.
//!
//! Wall time never decides safety (a clock that jumps a year, either way, moves no timer); it appears only as
//! [`WallMicros`], for names (jids) and for people.

/// Milliseconds on the local monotonic clock, counted from any fixed moment before the process did anything.
pub type Millis = u64;

/// Microseconds since 1970 UTC. For jids and for showing to people; never compared to decide safety.
pub type WallMicros = u64;
