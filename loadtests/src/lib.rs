//! Load tests: what the fabric costs, on real processes, against what the machine gives for nothing.
//!
//! In reading order: [`scenario`] says what a scenario is and lists all of them; [`fanout`], [`growth`], [`fold`], [`storm`],
//! [`idle`], [`jobs`], [`batch`], [`soak`], [`targets`] and [`paper`]
//! are such. Most stand on a [`bed`]: [`fabric`] starts top master and syndics and asks them, [`swarm`] hosts simulated
//! minions, [`attach`] brings them up. [`floor`] is the bare TCP tree that is measured against, [`report`] holds figures
//! with the budgets' verdict, [`results`] keeps them. [`process`], [`part`], [`machine`], [`scrape`] and [`statistics`]
//! are what these stand on.

pub mod attach;
pub mod batch;
pub mod bed;
pub mod cli;
pub mod credentials;
pub mod fabric;
pub mod fanout;
pub mod floor;
pub mod fold;
pub mod growth;
pub mod idle;
pub mod jobs;
pub mod machine;
pub mod paper;
pub mod part;
pub mod peers;
pub mod process;
pub mod report;
pub mod results;
pub mod scenario;
pub mod scrape;
pub mod soak;
pub mod statistics;
pub mod storm;
pub mod swarm;
pub mod targets;
