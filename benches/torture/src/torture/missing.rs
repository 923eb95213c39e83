//! One bit in the middle record, and files that are gone.

use std::path::Path;

use super::Rack;
use crate::contender::Outcome;
use crate::image::{Bit, Image};
use crate::oracle::content;
use crate::verdict::{Tally, Verdict};

impl Rack<'_> {
    /// Turns over one bit in the content of the middle record.
    pub(super) fn one_bit(&mut self, image: &Image) -> Outcome {
        let Some((file, offset)) = self.place_of(image, self.entry.kind.records() / 2) else {
            self.row.cells.push("-".to_owned());
            self.note("one bit", "the record is not in the files as it was written");
            return Ok(());
        };
        let verdict = self.read("one-bit", &image.flipped(&Bit { file, offset, bit: 3 }))?;
        self.cell("one bit", &verdict);
        Ok(())
    }

    /// Removes the file that holds the middle record, if neither the first nor the last record is in it.
    pub(super) fn middle_segment(&mut self, image: &Image) -> Outcome {
        let records = self.entry.kind.records();
        let places = [0, records / 2, records - 1].map(|number| self.place_of(image, number).map(|(file, _)| file));
        match places {
            [first, Some(middle), last] if first.as_ref() != Some(&middle) && last.as_ref() != Some(&middle) => {
                let verdict = self.read("middle", &image.without(&middle))?;
                self.cell("middle segment gone", &verdict);
            }
            _ => self.row.cells.push("- (one file)".to_owned()),
        }
        Ok(())
    }

    /// Removes each file in turn.
    pub(super) fn each_file(&mut self, image: &Image) -> Outcome {
        let files: Vec<&Path> = image.files().map(|(path, _)| path).collect();
        let mut tally = Tally::default();
        for file in &files {
            // Where there is one file and it is gone, there is nothing left to notice that by.
            if files.len() == 1 {
                self.row.cells.push("- (one file)".to_owned());
                return Ok(());
            }
            let verdict = self.read("without", &image.without(file))?;
            self.judge(&format!("without {}", file.display()), &verdict);
            if let Verdict::Silent(missing) = verdict {
                self.note("files gone", &format!("{missing} records lost in silence without {}", file.display()));
            }
            tally.add(&verdict);
        }
        self.row.cells.push(tally.to_string());
        Ok(())
    }

    /// A byte in the middle of a record's content: its file and offset.
    fn place_of(&self, image: &Image, number: u64) -> Option<(std::path::PathBuf, u64)> {
        let content = content(self.plan.seed, number, self.entry.kind.bytes());
        let middle = content.len() / 2;
        image.position_of(content.get(middle..(middle + 32).min(content.len()))?)
    }
}
