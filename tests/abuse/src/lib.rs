//! The attackers: one module of `tests/attacks` per class of attack, against real processes.
//!
//! Each test attacks a running fabric, shows that the attack is refused, and that the fabric serves everybody else: a job runs on all
//! minions at the end, nothing of the attack lies in a file, and no log has a line of the attacker's ([`region::serves_on`]). What reaches a
//! top master as a call, a request to join or a message is on record in the audit log ([`trail`]); a handshake that TLS refuses is counted
//! and logged alone. The binaries
//! must have been built before (`cargo build -p top-master -p syndic -p minion -p relayctl`).
//!
//! | class | attack | here |
//! |---|---|---|
//! | a01 | every call without credentials, with those of minions, syndics and top masters, and of an operator whom no rule names | `a01_unauth_surface` |
//! | a02 | spellings of a path | `a02_path_canon` |
//! | a03 | the same decision at every entry | `a03_same_decision`; more in `tests/fabric`, `promises`: `access` |
//! | a04 | credentials that are over, or never were any | `a04_dead_credentials` |
//! | a05 | a body that says it is another | `a05_claim_other` |
//! | a06 | older or weaker TLS | `a06_downgrade`; that of the Salt listener: not there yet |
//! | a07 | replay: the same peer, another, after a restart, after the loss of a journal, after its time | `a10_evil_syndic` |
//! | a08 | frames of a false master | `a10_evil_syndic`, `a25_tls_off`; pillar: not there yet |
//! | a09 | minions that act on minions | `a01_unauth_surface`, `a05_claim_other`: a minion has one call, and it answers for itself |
//! | a10 | a syndic in the attacker's hands ([`evil`]) | `a10_evil_syndic`, `found_out` |
//! | a11, a13, a34 | traversal, injection, SQL in every field of every call | `a11_hostile_strings` |
//! | a12 | special files through reads | not applicable: no call reads a file that a caller names |
//! | a14 | templates | not applicable: there are none |
//! | a15, a21 | bombs: depth, lengths, bitmaps, rosters, compression | `a15_decode` |
//! | a16 | a certificate without its key | `a25_tls_off` |
//! | a17 | garbage from many at once, silence | `a17_garbage` |
//! | a18 | who never reads | `a18_slow_reader` |
//! | a19 | floods that HTTP/2 allows | `a19_http2` |
//! | a20 | no descriptors, resets and crumbs in the handshake | `a20_accept_errors` |
//! | a22 | modes under umask 000 and 077 | `tests/modes.rs` |
//! | a23 | secrets of jobs and credentials ([`canary`]) in logs, metrics, command lines, stores, the registry, the audit log | `a23_canary` |
//! | a24 | races for temporary files | not applicable: nothing is written outside of 0700 directories; new files are made, never opened |
//! | a25 | certificates that are wrong in one thing; minions as servers | `a25_tls_off`; chains and constraints: `relay-runtime` |
//! | a26 | a name that is used again | `a33_enrolment`; `tests/fabric`, `promises`: `enrolment` |
//! | a27 | privileges | `tests/modes.rs`, and `deploy/systemd` |
//! | a28 | a user of the machine: planted configuration and programs, rules that others can write, hostile names | `a28_local_user` |
//! | a29 | failures told as success | `a29_false_success` |
//! | a30 | another client of etcd | `a30_evil_etcd` |
//! | a31 | headers of proxies | not applicable before there is HTTP; metadata: `a05_claim_other` |
//! | a32 | caches that two share | not applicable: there are none |
//! | a33 | a copied key, forged requests to join | `a33_enrolment` |

pub mod canary;
pub mod console;
pub mod evil;
pub mod forge;
pub mod h2;
pub mod hostile;
pub mod proc;
pub mod region;
pub mod rpc;
pub mod surface;
pub mod trail;
