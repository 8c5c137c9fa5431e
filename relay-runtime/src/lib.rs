//! The world, once for all roles: configuration, identity and TLS, links, store and registry, logs, telemetry, shutdown.
//!
//! Nothing here knows what a job means: that is relay-core. Roles put these parts together and never import each other.

pub mod admin;
pub mod authority;
pub mod checkpoint;
pub mod clock;
pub mod command;
pub mod config;
pub mod enrol;
pub mod identity;
pub mod ldap;
pub mod link;
pub mod log_writer;
pub mod passwords;
pub mod process;
pub mod rarely;
pub mod record_log;
pub mod registry;
pub mod secret;
pub mod shutdown;
pub mod source;
pub mod store;
pub mod suspicions;
pub mod telemetry;
pub mod tls;
pub mod trust;
