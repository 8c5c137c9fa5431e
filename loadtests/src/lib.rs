//! Load tests: what the fabric costs, on real processes, against what the machine gives for nothing.
//!
//! In reading order: [`fanout`] and [`batch`] are scenarios, [`attach`] brings their minions up, [`fabric`] starts top master and syndics and asks them, [`swarm`] hosts
//! simulated minions, [`floor`] is the bare TCP tree it is measured against, [`report`] holds the budgets' verdict.
//! [`process`], [`machine`], [`scrape`] and [`statistics`] are what these stand on.

pub mod attach;
pub mod batch;
pub mod cli;
pub mod fabric;
pub mod fanout;
pub mod floor;
pub mod machine;
pub mod part;
pub mod process;
pub mod report;
pub mod scrape;
pub mod statistics;
pub mod swarm;
pub mod targets;
