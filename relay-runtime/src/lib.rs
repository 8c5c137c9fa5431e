//! (being built)
pub mod admin;
pub mod record_log;
pub mod shutdown;
pub mod telemetry;
pub mod authority;
pub mod config;
pub mod identity;
