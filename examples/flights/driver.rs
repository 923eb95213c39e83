//! The driver: starts the job, kills it, starts it again, and has the end compared with the truth.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use laminar_storage::{StoreOptions, WalStateStore};

use crate::Result;
use crate::args::Arguments;
use crate::job::Message;
use crate::oracle::Oracle;
use crate::report;

/// When to kill.
#[derive(Debug)]
struct Plan {
    /// Not before this row is acknowledged.
    row: u64,
    /// And then not before a checkpoint has begun.
    in_checkpoint: bool,
    /// And then after this long, so that it hits between any two instructions.
    pause: Duration,
}

/// One kill and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Kill {
    /// The last row whose commit had returned.
    pub(crate) acknowledged: u64,
    /// Whether it left a checkpoint behind that was not finished.
    pub(crate) left_unfinished: bool,
    /// Where the job went on.
    pub(crate) reopened_at: u64,
    /// Changes that recovery took from the log.
    pub(crate) records_replayed: u64,
    /// Bytes of the log's torn end that recovery cut.
    pub(crate) bytes_cut: u64,
}

/// Runs everything, and removes the state if nothing is wrong with it. Returns whether every row counted exactly once.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let dir = choose_dir(arguments)?;
    let outcome = run_in(&dir, arguments);
    if arguments.keep || !matches!(outcome, Ok(true)) {
        eprintln!("the state stays in {}", dir.display());
    } else {
        std::fs::remove_dir_all(&dir)?;
    }
    outcome
}

fn run_in(dir: &Path, arguments: &Arguments) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("state in {}, seed {seed}", dir.display());
    let oracle = Oracle::compute()?;
    let kills = drive(dir, &plan(seed, arguments.kills, oracle.rows), oracle.rows)?;
    report::kills(&kills);
    if kills.len() < arguments.kills {
        println!("the job was done before the other {} kills", arguments.kills - kills.len());
    }
    let (mut store, _) = WalStateStore::open(dir, StoreOptions::new().create(false))?;
    report::findings(&store)?;
    let exact = report::verdict(oracle.rows, kills.len(), &oracle.compare(&store)?);
    store.close()?;
    Ok(exact)
}

/// Moments spread over the input: every second one within a checkpoint, the first of these first.
fn plan(seed: u64, kills: usize, rows: u64) -> Vec<Plan> {
    let mut random = Rng::with_seed(seed);
    // The last tenth stays free, so that the job is not done before it gets killed.
    let mut moments: Vec<u64> = (0..kills).map(|_| random.u64(1..rows * 9 / 10)).collect();
    moments.sort_unstable();
    let plan = moments.into_iter().enumerate().map(|(number, row)| {
        let in_checkpoint = number % 2 == 0;
        let pause = Duration::from_micros(random.u64(0..2_000));
        Plan { row, in_checkpoint, pause }
    });
    plan.collect()
}

/// Runs the job to its end, through all kills of the plan.
fn drive(dir: &Path, plan: &[Plan], rows: u64) -> Result<Vec<Kill>> {
    let bar = ProgressBar::new(rows)
        .with_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} rows, {msg}")?);
    let mut kills: Vec<Kill> = Vec::new();
    loop {
        bar.set_message(format!("{} kills", kills.len()));
        let mut life = Life::start(dir)?;
        let killed = life.watch(plan.get(kills.len()), &bar)?;
        if let (Some(kill), Some(opened)) = (kills.last_mut(), life.opened) {
            (kill.reopened_at, kill.records_replayed, kill.bytes_cut) = opened;
            if kill.reopened_at < kill.acknowledged {
                let (from, to) = (HumanCount(kill.acknowledged), HumanCount(kill.reopened_at));
                return Err(format!(
                    "lost: acknowledged up to row {from}, reopened at row {to}; see {}",
                    dir.display()
                )
                .into());
            }
        }
        if !killed {
            bar.finish_and_clear();
            return Ok(kills);
        }
        kills.push(Kill { acknowledged: life.acknowledged, left_unfinished: has_unfinished(dir), ..Kill::default() });
    }
}

/// One run of the job, from its start to its death or its end.
struct Life {
    child: Child,
    acknowledged: u64,
    /// Row, records replayed, bytes cut.
    opened: Option<(u64, u64, u64)>,
}

impl Life {
    fn start(dir: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--child").arg("--dir").arg(dir).stdout(Stdio::piped());
        Ok(Self { child: command.spawn()?, acknowledged: 0, opened: None })
    }

    /// Follows what the job says and kills it when the plan says so. Returns whether it was killed.
    fn watch(&mut self, plan: Option<&Plan>, bar: &ProgressBar) -> Result<bool> {
        let output = self.child.stdout.take().ok_or("the job has no output")?;
        let (mut killed, mut done) = (false, false);
        // After the kill, what stands in the pipe is still read: those commits had returned.
        for line in BufReader::new(output).lines() {
            let line = line?;
            let message: Message = line.parse()?;
            match message {
                Message::Opened { row, records_replayed, bytes_cut } => {
                    self.opened = Some((row, records_replayed, bytes_cut));
                    self.acknowledged = row;
                }
                Message::Committed { row } => self.acknowledged = row,
                Message::Done => done = true,
                Message::CheckpointBegins | Message::CheckpointEnds => {}
            }
            bar.set_position(self.acknowledged);
            if plan.is_some_and(|plan| !killed && plan.is_reached(message, self.acknowledged)) {
                std::thread::sleep(plan.map_or(Duration::ZERO, |plan| plan.pause));
                self.child.kill()?;
                killed = true;
            }
        }
        let status = self.child.wait()?;
        if done {
            // It was faster than the kill.
            return Ok(false);
        }
        if killed { Ok(true) } else { Err(format!("the job ended by itself: {status}").into()) }
    }
}

impl Plan {
    fn is_reached(&self, message: Message, acknowledged: u64) -> bool {
        acknowledged >= self.row && (!self.in_checkpoint || message == Message::CheckpointBegins)
    }
}

/// Whether there is a checkpoint that was begun and never published.
fn has_unfinished(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir.join("checkpoints")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
}

/// Where the state goes: a directory that is empty or not there yet, below one that is.
fn choose_dir(arguments: &Arguments) -> Result<PathBuf> {
    let temporary = || std::env::temp_dir().join(format!("laminar-flights-{}", std::process::id()));
    let dir = arguments.dir.clone().unwrap_or_else(temporary);
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    if std::fs::read_dir(&dir)?.next().is_some() {
        return Err(format!("{} is not empty; give a new directory", dir.display()).into());
    }
    Ok(dir)
}
