//! Single bits turned over at rest, at random places, each on a fresh copy of one prepared directory.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Rack;
use crate::contender::Outcome;
use crate::image::{Bit, Image};
use crate::verdict::Verdict;

impl Rack<'_> {
    /// Reads back one copy for each flip, several at once; counts the verdicts in the order of the flips.
    pub(super) fn random_flips(&mut self, image: &Image) -> Outcome {
        let salt =
            self.entry.name.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let bits = image.random_bits(self.plan.flips, self.plan.seed ^ salt);
        let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let rack = &*self;
        let work = |job: usize| -> Outcome {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(bit) = bits.get(index) else { return Ok(()) };
                let verdict = rack.read(&format!("flip-{job}"), &image.flipped(bit))?;
                verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((index, verdict));
                rack.bar.inc(1);
            }
        };
        std::thread::scope(|scope| -> Outcome {
            let jobs: Vec<_> = (0..self.plan.jobs.max(1)).map(|job| scope.spawn(move || work(job))).collect();
            jobs.into_iter().try_for_each(|job| job.join().map_err(|_| "a worker of the suite panicked")?)
        })?;
        let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        verdicts.sort_by_key(|(index, _)| *index);
        for (_, verdict) in &verdicts {
            self.row.flips.add(verdict);
        }
        self.examples(&bits, &verdicts);
        self.row.honest &= self.row.flips.is_honest();
        Ok(())
    }

    /// Notes the first flip of each kind that should not be.
    fn examples(&mut self, bits: &[Bit], verdicts: &[(usize, Verdict)]) {
        let mut told: Vec<std::mem::Discriminant<Verdict>> = Vec::new();
        for (bit, (_, verdict)) in bits.iter().zip(verdicts) {
            let kind = std::mem::discriminant(verdict);
            if verdict.is_honest() || told.contains(&kind) {
                continue;
            }
            told.push(kind);
            let words = match verdict {
                Verdict::Died(words) => words.as_str(),
                _ => "",
            };
            let place = format!("bit {} at {} of {}", bit.bit, bit.offset, bit.file.display());
            self.note("flips", &format!("{verdict}, the first by {place}. {words}"));
        }
    }
}
