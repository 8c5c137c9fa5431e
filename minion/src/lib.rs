//! (being built)
pub mod functions;
pub mod grains;
pub mod runner;
