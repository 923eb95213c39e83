//! The checkpoints beside an operator: made one after the other, two of them kept.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use laminar_benches::time;

use super::Job;
use crate::backend::{Backend, Checkpoint, Outcome};

/// Checkpoints, one after the other, the next one due a while after the start of the last.
pub(super) struct Checkpoints {
    dir: PathBuf,
    interval: Duration,
    started: Instant,
    running: Option<Checkpoint>,
    made: u64,
    /// Those of peers that are still there. Two stay, as with our store.
    kept: Vec<PathBuf>,
}

impl Checkpoints {
    pub(super) fn new(job: Job<'_>) -> Self {
        let interval = Duration::from_millis(job.plan.interval_millis);
        let dir = job.dir.to_path_buf();
        Self { dir, interval, started: time::now(), running: None, made: 0, kept: Vec::new() }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How many were made.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// Called between two batches.
    pub(super) fn tick<B: Backend>(&mut self, store: &mut B) -> Outcome {
        if let Some(done) = self.running.take_if(|running| running.is_done()) {
            let ours = matches!(done, Checkpoint::Ours(..));
            let place = done.wait()?;
            self.made += 1;
            // Ours retires its own.
            if !ours {
                self.kept.push(place);
            }
            if self.kept.len() > 2 {
                let oldest = self.kept.remove(0);
                // Beside the writer, as whoever keeps checkpoints does it.
                std::thread::spawn(move || std::fs::remove_dir_all(oldest));
            }
        }
        if self.running.is_none() && self.started.elapsed() >= self.interval {
            self.started = time::now();
            self.running = Some(store.checkpoint(&self.dir.join(format!("checkpoint-{}", self.made)))?);
        }
        Ok(())
    }
}
