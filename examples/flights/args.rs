//! The arguments of the program.

use std::path::PathBuf;

/// Streams every flight from New York in 2013 through operators with durable state, kills the job again and again, and
/// checks that every row counted exactly once
#[derive(clap::Parser)]
#[command(name = "flights")]
pub(crate) struct Arguments {
    /// How often to kill the job
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) kills: usize,
    /// Chooses the moments of the kills [default: another one each time]
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,
    /// Where the state lives; must be empty or not there yet [default: a new temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Leave the state there at the end
    #[arg(long)]
    pub(crate) keep: bool,
    /// Be the job that gets killed
    #[arg(long, hide = true, requires = "dir")]
    pub(crate) child: bool,
}
