//! Attacks against real processes, a file per class; the table is in the crate's documentation.
//!
//! One binary, so that all tests share the machine's cores at once. Where attacks do not disturb each other, one test makes
//! several on one fabric: a start costs more than an attack.

mod a01_unauth_surface;
mod a02_path_canon;
mod a03_same_decision;
mod a04_dead_credentials;
mod a05_claim_other;
mod a06_downgrade;
mod a10_evil_syndic;
mod a11_hostile_strings;
mod a15_decode;
mod a17_garbage;
mod a18_slow_reader;
mod a19_http2;
mod a20_accept_errors;
mod a23_canary;
mod a25_tls_off;
mod a28_local_user;
mod a29_false_success;
mod a30_evil_etcd;
mod a33_enrolment;
mod found_out;
