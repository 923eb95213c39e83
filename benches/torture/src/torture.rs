//! The tortures, one file each, and the order in which a contender goes through them.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::contender::{Entry, Kind, Outcome};
use crate::image::Image;
use crate::process::{Nursery, Scratch};
use crate::report::version;
use crate::verdict::{Tally, Verdict};

mod failed_sync;
mod flips;
mod missing;

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) flips: usize,
    pub(crate) jobs: usize,
    pub(crate) patience: Duration,
    pub(crate) scratch: PathBuf,
    pub(crate) has_strace: bool,
}

/// How one contender fared.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: String,
    pub(crate) kind: Kind,
    pub(crate) is_ours: bool,
    /// One cell for each torture, without the flips.
    pub(crate) cells: Vec<String>,
    pub(crate) flips: Tally,
    /// What a cell has no room for.
    pub(crate) remarks: Vec<String>,
    /// No silent loss, nothing wrong, no panic, no hang, anywhere.
    pub(crate) honest: bool,
}

/// One contender under torture.
struct Rack<'a> {
    plan: &'a Plan,
    entry: &'static Entry,
    nursery: Nursery,
    scratch: Scratch,
    bar: &'a ProgressBar,
    row: Row,
}

/// Puts every contender through everything.
pub(crate) fn run(plan: &Plan, entries: &[&'static Entry]) -> Outcome<Vec<Row>> {
    let bar = ProgressBar::new(entries.len() as u64 * (plan.flips as u64 + 6));
    let style = ProgressStyle::with_template("{msg:32} [{bar:30}] {pos}/{len} {elapsed} of about {duration}")?;
    bar.set_style(style.progress_chars("=> "));
    let mut rows = Vec::new();
    for entry in entries {
        let scratch = Scratch::new(&plan.scratch)?;
        let nursery = Nursery { seed: plan.seed, timeout: plan.patience };
        let mut rack = Rack { plan, entry, nursery, scratch, bar: &bar, row: Row::new(entry) };
        if let Err(error) = rack.everything() {
            rack.note("", &format!("the suite itself failed: {error}"));
            rack.row.honest = false;
        }
        rows.push(rack.row);
    }
    bar.finish_and_clear();
    Ok(rows)
}

impl Row {
    fn new(entry: &'static Entry) -> Self {
        Self {
            name: entry.name,
            package: entry.package,
            version: version(entry.package),
            kind: entry.kind,
            is_ours: entry.package.starts_with("laminar-"),
            cells: Vec::new(),
            flips: Tally::default(),
            remarks: Vec::new(),
            honest: true,
        }
    }
}

impl Rack<'_> {
    fn everything(&mut self) -> Outcome {
        self.step("fill");
        let image = self.fill()?;
        let unharmed = self.read("unharmed", &image)?;
        self.cell("unharmed", &unharmed);
        self.step("missing files");
        match self.entry.kind {
            Kind::Log => {
                self.one_bit(&image)?;
                self.middle_segment(&image)?;
            }
            Kind::Store => self.each_file(&image)?,
        }
        self.step("failed sync");
        self.acknowledgements_after_a_failed_sync()?;
        self.step("failed sync, restart");
        self.restart_after_a_failed_sync()?;
        self.step("flips");
        self.random_flips(&image)
    }

    /// Commits every record, each acknowledged, and stops without closing.
    fn fill(&self) -> Outcome<Image> {
        let dir = self.scratch.path("filled");
        std::fs::create_dir_all(&dir)?;
        let mut child = self.nursery.start(self.entry, &dir, None)?;
        child.open().map_err(|failure| format!("does not open: {failure:?}"))?;
        let records = self.entry.kind.records();
        match child.commit(0, records) {
            Ok((acknowledged, None)) if acknowledged == records => {}
            answer => return Err(format!("does not fill: {answer:?}").into()),
        }
        child.abort();
        let image = Image::load(&dir)?;
        std::fs::remove_dir_all(&dir)?;
        Ok(image)
    }

    /// What reading back a directory comes to, where every record was acknowledged.
    fn read(&self, place: &str, image: &Image) -> Outcome<Verdict> {
        let dir = self.scratch.path(place);
        image.write(&dir)?;
        let records = self.entry.kind.records();
        let reading = self.nursery.read(self.entry, &dir, records)?;
        std::fs::remove_dir_all(&dir)?;
        Ok(Verdict::of(reading, 0..records))
    }

    fn step(&self, what: &str) {
        self.bar.set_message(format!("{}: {what}", self.entry.name));
        self.bar.inc(1);
    }

    /// Fills the next cell with a verdict.
    fn cell(&mut self, torture: &str, verdict: &Verdict) {
        self.judge(torture, verdict);
        self.row.cells.push(verdict.to_string());
    }

    /// Keeps what a verdict says about the row.
    fn judge(&mut self, torture: &str, verdict: &Verdict) {
        self.row.honest &= verdict.is_honest();
        match verdict {
            Verdict::Died(words) => self.note(torture, words),
            Verdict::Refused(words) if torture == "unharmed" => self.note(torture, words),
            _ => {}
        }
    }

    /// Adds a remark, once.
    fn note(&mut self, torture: &str, words: &str) {
        let short: String = words.chars().take(300).collect();
        let remark = format!("{}, {torture}: {short}", self.entry.name);
        if !self.row.remarks.contains(&remark) {
            self.row.remarks.push(remark);
        }
    }
}
