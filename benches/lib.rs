//! What the benches of laminar's crates share: workloads, rounds that take turns, histograms, memory, floors, and the rows that
//! the figures are written down in.
//!
//! A bench is a plain program (`harness = false`). It measures its contenders in turns, so that what disturbs one of them
//! disturbs all, and writes [`Row`]s and [`Series`] into `target/bench/<program>.jsonl`; the program `report` reads all of
//! these files, holds them against the [`budgets`], and writes the report.
//!
//! ```no_run
//! use laminar_benches::{Output, Rounds, Settings, workload};
//!
//! let settings = Settings::from_arguments();
//! let output = Output::create("example", &settings);
//! let keys = workload::keys(1_000_000);
//! let mut rounds = Rounds::new("sum of the keys", &settings);
//! rounds.add("u8", || vec![("sum", "ns/key", laminar_benches::time::nanos_per(keys.len(), || {
//!     std::hint::black_box(keys.iter().map(|key| u64::from(key[0])).sum::<u64>());
//! }))]);
//! output.rows(rounds.run(), 1_000_000);
//! ```

pub mod budgets;
pub mod child;
pub mod command;
pub mod directory;
pub mod floor;
pub mod latency;
pub mod loaded;
pub mod memory;
pub mod names;
mod output;
pub mod quantity;
mod rounds;
mod row;
mod settings;
pub mod time;
pub mod workload;

pub use latency::Latency;
pub use output::{Figures, Output};
pub use rounds::{Figure, Measured, Rounds, progress};
pub use row::{Entry, Row, Rows, Run, Series};
pub use settings::Settings;
