//! Real processes on a real disk: one works on a store and is killed with SIGKILL, the next goes on where it was, thousands of
//! times on one directory; now and then another wants the same store; and a file system that is full.
//!
//! When a process is killed follows from the seed, as far as a moment can: so long after it told of the k-th thing of one kind.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use laminar_sim::{Event, FullDisk, FullMachine, Ledger, Place};

use super::runs::{Counts, Parts};
use crate::Outcome;

/// The signal by which a process is killed; one that ends by another was not killed by us.
const SIGKILL: i32 = 9;
/// A process that has opened the store is killed after this time at the latest.
const LONGEST_LIFE: Duration = Duration::from_millis(250);
/// A process that tells nothing for this long hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// One round in so many has a second process that wants the same store.
const RIVAL_EVERY: u64 = 16;
/// What the second process may find out before the first is killed: that the first goes on.
const COMMITS_BESIDE_RIVAL: u64 = 3;
/// Size of the file system that is filled, and of the file that takes space away and gives it back: most of it, so that a checkpoint
/// of all that the store could log in the rest, beside that log, has room in what is given back.
const DISK: &str = "6m";
const BALLAST_BYTES: usize = 4864 << 10;

/// The process that is killed; started by the task itself.
#[derive(clap::Args)]
pub(crate) struct Work {
    dir: PathBuf,
    seed: u64,
    round: u64,
    /// Never closes the store
    #[arg(long)]
    stays: bool,
    /// Fills the disk instead
    #[arg(long)]
    fills: bool,
}

/// Is the process that is killed.
pub(crate) fn work(work: &Work) -> Outcome {
    if !work.fills {
        let out = std::io::stdout().lock();
        return Ok(laminar_sim::work(&work.dir, work.seed, work.round, work.stays, out)?);
    }
    let machine = Tmpfs { ballast: work.dir.join("ballast") };
    let filled = laminar_sim::fill_disk(&work.dir.join("store"), work.seed, machine);
    let FullDisk { commits, refusals, openings, .. } = filled?;
    println!("{commits} {refusals} {openings}");
    Ok(())
}

/// This machine, with a small file system of its own.
struct Tmpfs {
    ballast: PathBuf,
}

impl FullMachine for Tmpfs {
    fn squeeze(&mut self, is_full: bool) -> std::io::Result<()> {
        if !is_full {
            return std::fs::remove_file(&self.ballast);
        }
        match std::fs::write(&self.ballast, vec![1; BALLAST_BYTES]) {
            // As much as there was room for.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            written => written,
        }
    }
}

/// When to kill: `delay` after the `count`-th line that begins with `word`; or after the start, where there is no word.
struct Plan {
    word: &'static str,
    count: u32,
    delay: Duration,
}

impl Plan {
    fn new(seed: u64, round: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (word, most_count, most_us) = match rng.u8(..100) {
            0..10 => ("", 1, 4_000),
            10..35 => ("opening", 1, 5_000),
            35..45 => ("opening", 4, 3_000),
            45..55 => ("submitted", 60, 300),
            55..60 => ("waiting", 6, 2_000),
            60..80 => ("begun", 4, 10_000),
            80..86 => ("ended", 3, 3_000),
            86..92 => ("closing", 2, 3_000),
            _ => ("whole", 1, 60_000),
        };
        Self { word, count: rng.u32(1..=most_count), delay: Duration::from_micros(rng.u64(..most_us)) }
    }
}

/// Where the kills fell.
#[derive(Default)]
struct Coverage {
    places: std::collections::BTreeMap<Place, u64>,
    /// In the background a checkpoint was being made; in its directory stood one half made, one half removed, half a merge.
    checkpoint: u64,
    draft: u64,
    removal: u64,
    merge: u64,
    rivals: u64,
}

impl Coverage {
    fn note(&mut self, ledger: &Ledger, dir: &Path) {
        *self.places.entry(ledger.place()).or_default() += 1;
        self.checkpoint += u64::from(ledger.has_checkpoint());
        let entries = std::fs::read_dir(dir.join("checkpoints")).into_iter().flatten().flatten();
        let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let stands = |prefix| u64::from(names.iter().any(|name| name.starts_with(prefix) && name.ends_with(".tmp")));
        self.draft += stands("checkpoint-");
        self.removal += stands("removed-");
        self.merge += stands("merge-");
    }

    fn print(&self) {
        let places: Vec<_> = self.places.iter().map(|(place, count)| format!("{place:?} {count}")).collect();
        println!("the kills fell on: {}", places.join(", "));
        println!(
            "of these with a checkpoint being made {}, one half made {}, one half removed {}, half a merge {}; rivals {}",
            self.checkpoint, self.draft, self.removal, self.merge, self.rivals
        );
    }
}

/// The rounds on one directory.
struct Rounds {
    dir: PathBuf,
    seed: u64,
    ledger: Ledger,
    coverage: Coverage,
}

impl Parts {
    /// Kills `rounds` processes on one directory.
    pub(super) fn kills(&mut self, seed: u64, rounds: u64) -> Outcome {
        let dir = std::env::temp_dir().join(format!("laminar-kill-{}-{seed}", std::process::id()));
        let mut all = Rounds { dir, seed, ledger: Ledger::new(seed), coverage: Coverage::default() };
        let name = format!("processes killed, seed {seed}");
        self.take_in_turn(name, rounds, |bar| all.run(rounds, bar))?;
        all.coverage.print();
        Ok(())
    }

    /// Fills a small real file system, from so many seeds.
    pub(super) fn full_disks(&mut self, seeds: Range<u64>) -> Outcome {
        let mut skipped = None;
        self.take_in_turn("a full tmpfs".to_owned(), seeds.end - seeds.start, |bar| {
            let mut counts = Counts::default();
            for seed in seeds {
                match fill(seed)? {
                    Ok(filled) => counts += filled,
                    Err(why) => {
                        skipped = Some(why);
                        break;
                    }
                }
                bar.inc(1);
            }
            Ok(counts)
        })?;
        if let Some(why) = skipped {
            println!("the full file system was left out: none can be mounted here: {why}");
        }
        Ok(())
    }
}

/// Lets a process fill a file system of its own, which goes away with it. The inner error: there can be none.
fn fill(seed: u64) -> Result<Result<Counts, String>, String> {
    let dir = std::env::temp_dir().join(format!("laminar-full-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let script = format!("mount -t tmpfs -o size={DISK} tmpfs \"$0\" || exit 77; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script.as_str()]).arg(&dir).arg(exe);
    command.arg("work").arg(&dir).arg(seed.to_string()).args(["0", "--fills"]);
    let output = command.output();
    drop(std::fs::remove_dir_all(&dir));
    let output = match output {
        Ok(output) => output,
        Err(error) => return Ok(Err(format!("unshare: {error}"))),
    };
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<u64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [_, refusals, openings] if output.status.success() => {
            Ok(Ok(Counts { crashes: *refusals, recovered: *openings, ..Counts::default() }))
        }
        _ if output.status.code() == Some(77) || errors.starts_with("unshare:") => {
            Ok(Err(errors.lines().next().unwrap_or_default().to_owned()))
        }
        _ => Err(format!("a full disk, seed {seed}: {errors}\nreplay: cargo xtask fault --kill 0 --seed {seed}")),
    }
}

/// A process and what it tells, line by line.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(dir: &Path, seed: u64, round: u64, stays: bool) -> Result<Self, String> {
        let exe = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(exe);
        command.arg("work").arg(dir).args([seed.to_string(), round.to_string()]).stdout(Stdio::piped());
        if stays {
            command.arg("--stays");
        }
        let mut child = command.spawn().map_err(|error| format!("the process can't be started: {error}"))?;
        let out = child.stdout.take().ok_or("the process has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            loop {
                let mut line = String::new();
                // A line without its end was being told when the process died.
                if out.read_line(&mut line).is_err() || line.pop() != Some('\n') || sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Kills it, and gives what it told until then.
    fn kill(mut self) -> Result<Vec<String>, String> {
        // By itself it ends only where it has told of a violation.
        self.child.kill().map_err(|error| error.to_string())?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let lines = self.lines.iter().collect();
        match (status.code(), status.signal()) {
            (Some(0), _) | (None, Some(SIGKILL)) => Ok(lines),
            _ => Err(format!("the process ended by itself, {status}, see above; it told last: {:?}", lines.last())),
        }
    }
}

impl Rounds {
    fn run(&mut self, rounds: u64, bar: &ProgressBar) -> Result<Counts, String> {
        drop(std::fs::remove_dir_all(&self.dir));
        for round in 0..rounds {
            self.round(round, round + 1 == rounds).map_err(|what| {
                let (dir, seed) = (self.dir.display(), self.seed);
                format!(
                    "round {round}: {what}\nthe directory is kept: {dir}\nreplay: cargo xtask fault --kill {} --seed {seed}",
                    round + 1
                )
            })?;
            bar.inc(1);
        }
        drop(std::fs::remove_dir_all(&self.dir));
        Ok(Counts { crashes: rounds, recovered: self.ledger.compared(), ..Counts::default() })
    }

    fn note(&mut self, line: &str) -> Result<(), String> {
        self.ledger.note(line.parse::<Event>()?).map_err(|violation| violation.to_string())
    }

    /// One process. That of the last round has a rival too, so that it lives until what the one before left was compared.
    fn round(&mut self, round: u64, is_last: bool) -> Result<(), String> {
        let has_rival = is_last || round % RIVAL_EVERY == RIVAL_EVERY - 1;
        let running = Running::start(&self.dir, self.seed, round, has_rival)?;
        self.ledger.begin(round);
        if has_rival {
            self.rival(&running, round)?;
        } else {
            self.follow(&running, &Plan::new(self.seed, round))?;
        }
        for line in running.kill()? {
            self.note(&line)?;
        }
        self.coverage.note(&self.ledger, &self.dir);
        Ok(())
    }

    /// Listens until the moment has come.
    fn follow(&mut self, running: &Running, plan: &Plan) -> Result<(), String> {
        let mut end = Instant::now() + if plan.word.is_empty() { plan.delay } else { PATIENCE };
        let mut left = plan.count;
        let mut is_open = false;
        loop {
            match running.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if !plan.word.is_empty() && left > 0 && line.starts_with(plan.word) {
                        left -= 1;
                        end = if left == 0 { Instant::now() + plan.delay } else { end };
                    }
                    self.note(&line)?;
                    if !is_open && self.ledger.place() > Place::Read {
                        is_open = true;
                        end = end.min(Instant::now() + LONGEST_LIFE);
                    }
                }
                Err(RecvTimeoutError::Timeout) if !is_open && left > 0 && !plan.word.is_empty() => {
                    return Err(format!("nothing is told any more after {PATIENCE:?}, in {:?}", self.ledger.place()));
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// A second process wants the store while the first has it: it must be told so, and the first goes on.
    fn rival(&mut self, running: &Running, round: u64) -> Result<(), String> {
        while self.ledger.place() <= Place::Read {
            self.listen(running)?;
        }
        let rival = Running::start(&self.dir, self.seed, round, true)?;
        let told: Vec<String> = std::iter::from_fn(|| rival.lines.recv_timeout(PATIENCE).ok()).collect();
        drop(rival.kill()?);
        if told != [Event::Opening.to_string(), Event::Locked.to_string()] {
            return Err(format!("a second process got into the store: {:?}", told.iter().take(3).collect::<Vec<_>>()));
        }
        let handed = self.ledger.handed();
        while self.ledger.handed() < handed + COMMITS_BESIDE_RIVAL {
            self.listen(running)?;
        }
        self.coverage.rivals += 1;
        Ok(())
    }

    fn listen(&mut self, running: &Running) -> Result<(), String> {
        let line =
            running.lines.recv_timeout(PATIENCE).map_err(|error| format!("nothing is told any more: {error}"))?;
        self.note(&line)
    }
}
