//! Firstlight's own commands (`cargo xtask`) and the harness of its end-to-end tests.
//!
//! The commands build programs and goldens; the tests only use what they find in the environment (see [`paths`]),
//! so that no test ever builds anything, and a test without preparation fails with the command that prepares it.

pub mod ansible;
pub mod args;
pub mod audit;
pub mod axe;
pub mod browser;
pub mod build;
pub mod check;
pub mod coverage;
pub mod demo;
pub mod dist;
pub mod fakepve;
pub mod figures;
pub mod fuzz;
pub mod golden;
pub mod guest;
pub mod memory;
pub mod mutants;
pub mod packages;
pub mod page;
pub mod paths;
pub mod ports;
pub mod prometheus;
pub mod python;
pub mod rig;
pub mod run;
pub mod simpve;
pub mod wait;
