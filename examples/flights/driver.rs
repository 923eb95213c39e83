//! The driver: starts the job, kills it, starts it again, and has the end compared with the truth.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use laminar_storage::WalStateStore;

use crate::Result;
use crate::args::Arguments;
use crate::job::{Message, Recovery};
use crate::oracle::Oracle;
use crate::report;

/// How long a checkpoint takes, before one was seen.
const FIRST_GUESS: Duration = Duration::from_millis(5);

/// Some commits' time.
const BETWEEN_COMMITS: Duration = Duration::from_millis(2);

/// When to kill.
#[derive(Debug)]
struct Plan {
    /// Not before this row is acknowledged.
    row: u64,
    /// And then only while a checkpoint is being written.
    in_checkpoint: bool,
    /// And then after this part of the time that the last checkpoint took, or of some commits: so that it hits between any
    /// two instructions.
    fraction: f64,
}

/// One kill and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Kill {
    /// The last row whose commit had returned.
    pub(crate) acknowledged: u64,
    /// Whether it left a checkpoint behind that was not finished.
    pub(crate) left_unfinished: bool,
    /// What the next opening did.
    pub(crate) recovery: Recovery,
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
    let (mut store, _) = WalStateStore::open(dir, crate::job::options().create(false))?;
    report::findings(&store)?;
    report::stats(&store);
    let consistent = report::look_back(dir)?;
    let exact = report::verdict(oracle.rows, kills.len(), &oracle.compare(&store)?);
    store.close()?;
    Ok(exact && consistent)
}

/// Moments spread over the input: the first and every second one after it within a checkpoint.
fn plan(seed: u64, kills: usize, rows: u64) -> Vec<Plan> {
    let mut random = Rng::with_seed(seed);
    // The last tenth stays free, so that the job is not done before it gets killed.
    let mut moments: Vec<u64> = (0..kills).map(|_| random.u64(1..rows * 9 / 10)).collect();
    moments.sort_unstable();
    let plan = moments.into_iter().enumerate().map(|(number, row)| Plan {
        row,
        in_checkpoint: number % 2 == 0,
        fraction: random.f64(),
    });
    plan.collect()
}

/// Runs the job to its end, through all kills of the plan.
fn drive(dir: &Path, plan: &[Plan], rows: u64) -> Result<Vec<Kill>> {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} rows, {msg}")?;
    let bar = ProgressBar::new(rows).with_style(style);
    let mut kills: Vec<Kill> = Vec::new();
    let mut checkpoint_time = FIRST_GUESS;
    loop {
        bar.set_message(format!("{} kills", kills.len()));
        let mut life = Life::start(dir, checkpoint_time)?;
        let killed = life.watch(plan.get(kills.len()), &bar)?;
        checkpoint_time = life.checkpoint_time;
        if let (Some(kill), Some(opened)) = (kills.last_mut(), life.opened) {
            kill.recovery = opened;
            if opened.row < kill.acknowledged {
                let (from, to) = (HumanCount(kill.acknowledged), HumanCount(opened.row));
                return Err(format!("lost: row {from} was acknowledged, and the job reopened at row {to}").into());
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
    /// Where the job hears that its commits have been read of.
    onward: Option<ChildStdin>,
    acknowledged: u64,
    opened: Option<Recovery>,
    /// When the checkpoint began that is being written, if one is.
    writing: Option<Instant>,
    /// How long the last one took.
    checkpoint_time: Duration,
}

impl Life {
    fn start(dir: &Path, checkpoint_time: Duration) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--child").arg("--dir").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let onward = child.stdin.take();
        Ok(Self { child, onward, acknowledged: 0, opened: None, writing: None, checkpoint_time })
    }

    /// Follows what the job says and kills it when the plan says so. Returns whether it was killed.
    fn watch(&mut self, plan: Option<&Plan>, bar: &ProgressBar) -> Result<bool> {
        let output = self.child.stdout.take().ok_or("the job has no output")?;
        let (mut killed, mut done) = (false, false);
        // After the kill, what stands in the pipe is still read: those commits had returned.
        for line in BufReader::new(output).lines() {
            let message: Message = line?.parse()?;
            match message {
                Message::Opened(recovery) => {
                    self.opened = Some(recovery);
                    self.acknowledged = recovery.row;
                }
                Message::Committed { row } => {
                    self.acknowledged = row;
                    if let Some(onward) = &mut self.onward {
                        // A job that is dead or done does not listen, which its own output tells.
                        drop(onward.write_all(b"."));
                    }
                }
                Message::CheckpointBegins => self.writing = Some(Instant::now()),
                Message::CheckpointEnds => {
                    self.checkpoint_time = self.writing.take().map_or(self.checkpoint_time, |began| began.elapsed());
                }
                Message::Done => done = true,
            }
            bar.set_position(self.acknowledged);
            let Some(plan) = plan.filter(|plan| !killed && plan.is_reached(self)) else { continue };
            std::thread::sleep(plan.pause(self.checkpoint_time));
            self.child.kill()?;
            killed = true;
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
    fn is_reached(&self, life: &Life) -> bool {
        life.acknowledged >= self.row && (!self.in_checkpoint || life.writing.is_some())
    }

    fn pause(&self, checkpoint_time: Duration) -> Duration {
        if self.in_checkpoint { checkpoint_time.mul_f64(self.fraction) } else { BETWEEN_COMMITS.mul_f64(self.fraction) }
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
