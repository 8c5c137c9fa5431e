//! A fabric of real processes for end-to-end tests: top master, syndics and minions on loopback, from `target/`.
//!
//! In reading order: [`builder`] says what there is, [`fabric`] starts it and hurts it, [`job`] submits and watches as
//! an operator does, [`witness`] sees what really ran, [`checker`] holds all of it against the promises of
//! `relay_core::invariants`. Nothing here waits a fixed time for an order of things: [`wait`] polls conditions.
//!
//! The binaries are not built by `cargo test -p fabric-tests`: run `cargo build --workspace --bins` first
//! (`cargo xtask test` does).

pub mod builder;
pub mod checker;
mod config;
pub mod disk;
pub mod etcd;
pub mod fabric;
pub mod http;
pub mod job;
pub mod login;
pub mod netns;
pub mod newcomer;
pub mod operator;
pub mod pki;
pub mod postgres;
pub mod process;
pub mod slapd;
pub mod stranger;
mod topology;
pub mod wait;
pub mod witness;

pub use builder::Builder;
pub use fabric::{Fabric, TOP};
pub use job::Job;
pub use wait::until;
