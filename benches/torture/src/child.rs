//! The child process: opens one contender and does what it is told, line by line, until it is killed or told to abort.
//!
//! Answers go to standard output behind [`MARK`], since some contenders print there too.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::contender::{Entry, Handle, Outcome};
use crate::oracle::{Oracle, content};

/// Begins every line that is meant for the parent.
pub(crate) const MARK: &str = ">>torture>> ";

/// Set when any thread of this process panics, also one whose panic nobody waits for.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Obeys until standard input ends.
pub(crate) fn run(entry: &Entry, dir: &Path, seed: u64) -> Outcome {
    prepare();
    let mut handle: Option<Box<dyn Handle>> = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match (words.as_slice(), &handle) {
            (["open"], None) => entry.contender.open(dir).map(|opened| {
                handle = Some(opened);
                "open".to_owned()
            }),
            (["commit", from, to], Some(handle)) => commit(&**handle, entry, seed, from.parse()?..to.parse()?),
            (["storm", from, to], Some(handle)) => storm(&**handle, entry, seed, from.parse()?..to.parse()?),
            (["read", count], Some(handle)) => {
                let count = count.parse()?;
                let mut oracle = Oracle::new(seed, count, entry.kind.bytes());
                handle
                    .read_back(count, &mut oracle)
                    .map(|()| format!("read {}", oracle.reading(handle.report()).to_line()))
            }
            (["abort"], _) => std::process::abort(),
            _ => return Err(format!("not understood: {line}").into()),
        };
        // Nothing is dropped, so that nothing is closed.
        let answer = answer.unwrap_or_else(|error| format!("error {}", one_line(&error.to_string())));
        say(if PANICKED.load(Ordering::SeqCst) { "panicked" } else { &answer });
    }
    std::process::abort()
}

/// No core dumps, no endless memory, no life beyond the parent's; panics are noticed, and a tracer may attach.
fn prepare() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    // A machine that does not allow these is tortured without.
    let _ = setrlimit(Resource::Core, limit(0));
    let _ = setrlimit(Resource::As, limit(32 << 30));
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{PTracer, Signal, set_parent_process_death_signal, set_ptracer};
        let _ = set_ptracer(PTracer::Any);
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::SeqCst);
        hook(info);
    }));
}

/// Commits one record after the other up to the first error.
fn commit(handle: &dyn Handle, entry: &Entry, seed: u64, numbers: std::ops::Range<u64>) -> Outcome<String> {
    let from = numbers.start;
    for number in numbers.clone() {
        if let Err(error) = handle.commit(number, &content(seed, number, entry.kind.bytes())) {
            return Ok(format!("acked {} {}", number - from, one_line(&error.to_string())));
        }
    }
    Ok(format!("acked {} -", numbers.end - from))
}

/// Threads of a storm.
const THREADS: usize = 4;

/// Commits from several threads at once, each going on after errors, and tells of every acknowledgement for a commit that
/// began after an error had been returned.
fn storm(handle: &dyn Handle, entry: &Entry, seed: u64, numbers: std::ops::Range<u64>) -> Outcome<String> {
    let (next, failed) = (AtomicU64::new(numbers.start), AtomicBool::new(false));
    let (before, errors) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= numbers.end {
                        return;
                    }
                    let late = failed.load(Ordering::SeqCst);
                    match handle.commit(number, &content(seed, number, entry.kind.bytes())) {
                        Ok(()) if late => say("late"),
                        Ok(()) => drop(before.fetch_add(1, Ordering::SeqCst)),
                        Err(_) => {
                            failed.store(true, Ordering::SeqCst);
                            errors.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    Ok(format!("storm {} {}", before.into_inner(), errors.into_inner()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    // A parent that is gone has no use for the answer.
    let _ = writeln!(out, "{MARK}{text}").and_then(|()| out.flush());
}
