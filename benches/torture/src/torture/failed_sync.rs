//! One sync that fails: what is acknowledged after it, and what a restart in the same boot makes of it.

use super::Rack;
use crate::contender::{Kind, Outcome};
use crate::image::Image;
use crate::process::Failure;
use crate::strace::{self, Injector};
use crate::trace::{Around, Lost};
use crate::verdict::Verdict;

/// After how many acknowledged commits the sync fails, in three runs.
const FAILS_AFTER: [u64; 3] = [12, 25, 41];

impl Rack<'_> {
    /// Four threads commit; one sync fails; what began after the error and was acknowledged all the same?
    pub(super) fn acknowledgements_after_a_failed_sync(&mut self) -> Outcome {
        if !self.plan.has_strace {
            self.row.cells.push("- (no strace)".to_owned());
            return Ok(());
        }
        let dir = self.scratch.path("storm");
        std::fs::create_dir_all(&dir)?;
        let records = self.entry.kind.records();
        let mut child = self.nursery.start(self.entry, &dir, None)?;
        child.open().map_err(|failure| format!("does not open: {failure:?}"))?;
        child.commit(0, records / 2).map_err(|failure| format!("does not fill: {failure:?}"))?;
        let injector = Injector::attach(child.id(), &self.scratch.path("storm.trace"), false)?;
        child.send(&format!("storm {} {records}", records / 2));
        let patience = match self.entry.kind {
            Kind::Log => self.plan.patience,
            Kind::Store => self.plan.patience / 2,
        };
        let failed = injector.detach_after_one(patience);
        let mut late = 0_u64;
        let answer = child.answer(|line| {
            late += u64::from(line == "late");
            line == "late"
        });
        let (cell, honest) = match answer {
            _ if failed == 0 => ("no sync seen".to_owned(), !self.row.is_ours),
            Ok(answer) if answer.ends_with(" 0") => ("failure NOT TOLD".to_owned(), false),
            // Others may promise less; what is acknowledged after a failed sync is told for all.
            Ok(_) => (late.to_string(), late == 0 || !self.row.is_ours),
            Err(Failure::Refused(words) | Failure::Died(words)) => {
                self.note("failed sync", &words);
                ("PANIC".to_owned(), false)
            }
            Err(Failure::Hung) => ("HANG".to_owned(), false),
        };
        self.row.honest &= honest;
        self.row.cells.push(cell);
        Ok(())
    }

    /// One sync fails, the process dies, another takes over in the same boot, then the page cache lets go.
    pub(super) fn restart_after_a_failed_sync(&mut self) -> Outcome {
        if !self.plan.has_strace {
            self.row.cells.push("- (no strace)".to_owned());
            return Ok(());
        }
        if !self.entry.contender.shows_again() {
            self.row.cells.push("- (read once)".to_owned());
            return Ok(());
        }
        let mut cells = Vec::new();
        for commits in FAILS_AFTER {
            cells.push(self.one_restart(commits)?);
        }
        let all_alike = cells.iter().all(|cell| Some(cell) == cells.first());
        cells.truncate(if all_alike { 1 } else { cells.len() });
        self.row.cells.push(cells.join("; "));
        Ok(())
    }

    /// The same after so many commits: what the cell says.
    fn one_restart(&mut self, commits: u64) -> Outcome<String> {
        let dir = self.scratch.path(&format!("restart-{commits}"));
        std::fs::create_dir_all(&dir)?;
        let records = self.entry.kind.records();
        let mut child = self.nursery.start(self.entry, &dir, None)?;
        child.open().map_err(|failure| format!("does not open: {failure:?}"))?;
        child.commit(0, commits).map_err(|failure| format!("does not fill: {failure:?}"))?;
        let before = Image::load(&dir)?;
        let mut lost = Lost::new(&dir, &before);
        lost.take_over(child.id())?;
        let trace = self.scratch.path(&format!("fails-{commits}.trace"));
        let injector = Injector::attach(child.id(), &trace, true)?;
        let last = child.commit(commits, commits + 1);
        let after = Image::load(&dir)?;
        child.abort();
        injector.detach();
        lost.follow(&read_text(&trace)?, Some(Around { before: &before, after: &after }));
        if lost.failed_syncs() == 0 {
            return Ok("no sync seen".to_owned());
        }
        let mut acknowledged: Vec<u64> = (0..commits).collect();
        acknowledged.extend(matches!(last, Ok((1, None))).then_some(commits));

        let trace = self.scratch.path(&format!("restart-{commits}.trace"));
        let mut child = self.nursery.start(self.entry, &dir, Some(strace::record(&trace)))?;
        let served = match child.open().and_then(|()| child.read(records)) {
            Ok(served) => served,
            Err(failure) => return Ok(self.failed_restart(failure)),
        };
        let early = Verdict::of(Ok(served.clone()), acknowledged.iter().copied());
        if early != Verdict::Whole {
            self.judge("restart", &early);
            return Ok(format!("{early} at once"));
        }
        let one_more = child.commit(commits + 1, commits + 2);
        acknowledged.extend(matches!(one_more, Ok((1, None))).then_some(commits + 1));
        child.abort();
        lost.next_process();
        lost.follow(&read_text(&trace)?, None);
        if let Some(why) = lost.blind() {
            let why = why.to_owned();
            self.note("restart", &why);
            return Ok("- (not seen)".to_owned());
        }

        let mut image = Image::load(&dir)?;
        lost.drop_cache(&mut image, &before);
        let dir = self.scratch.path(&format!("dropped-{commits}"));
        image.write(&dir)?;
        let reading = self.nursery.read(self.entry, &dir, records)?;
        let phantoms = reading.as_ref().map_or(0, |reading| reading.found.lacks(served.found.iter()));
        let verdict = Verdict::of(reading, acknowledged);
        self.judge("restart", &verdict);
        if verdict == Verdict::Whole && phantoms > 0 {
            self.row.honest = false;
            return Ok(format!("{phantoms} PHANTOM"));
        }
        Ok(verdict.to_string())
    }

    fn failed_restart(&mut self, failure: Failure) -> String {
        let verdict = Verdict::of(Err(failure), []);
        self.judge("restart", &verdict);
        verdict.to_string()
    }
}

fn read_text(path: &std::path::Path) -> std::io::Result<String> {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
