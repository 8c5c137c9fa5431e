//! What must hold for any input, as functions that panic if it does not. Shared by cargo-fuzz and by tests on the stable
//! compiler, which include the files of this directory one by one: `relay-core/tests/fuzz.rs` the first two,
//! `relay-runtime/tests/fuzz.rs` the others.

pub mod target;

pub mod token;

pub mod certificate;

pub mod envelope;
