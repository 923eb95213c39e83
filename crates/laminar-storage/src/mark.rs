//! When an entry of the table was written, in 30 bits: before or behind the cut of a checkpoint, and whether the commit that it belongs to
//! has happened. Owns what the marks of a store's table mean.
//!
//! Nobody asks for more, so an entry does not say where in the log it was written, which would take eight bytes. A mark holds how many
//! checkpoints had been begun since the store was opened (the *epoch*), and the last three bits of the number of the batch. Two batches of
//! an epoch may so have the same mark: one that is committed then passes for pending while the other is. What that costs is memory, for a
//! while, since tombstones behind one that passes for pending wait with it; nothing is believed to be covered, or committed, that is not.

use laminar_vfs::planted;

use crate::table::MARK_LIMIT;

/// Bits of the number of a batch.
const BATCH_BITS: u32 = 3;
/// The last epoch. What is written in it is covered by no checkpoint: at one a second it comes after four years.
const LAST_EPOCH: u32 = (MARK_LIMIT >> BATCH_BITS) - 1;

/// Of entries that were in the log when the store was opened: committed, and before every cut to come.
pub(crate) const RECOVERED: u32 = 0;

/// Gives out marks, and says what they tell.
#[derive(Debug)]
pub(crate) struct Marks {
    epoch: u32,
    batch: u32,
    /// The epoch in which the batch began.
    begun: u32,
    /// Of the checkpoint that was begun last, until it is adopted or has failed.
    running: Option<Cut>,
    /// Of the attached checkpoint, if it was begun since the store was opened.
    attached: Option<Cut>,
}

/// Where a checkpoint was cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    epoch: u32,
    /// The batch that was pending then, and so is not covered, and the epoch in which it began.
    pending: Option<(u32, u32)>,
}

impl Marks {
    pub(crate) const fn new() -> Self {
        Self { epoch: 1, batch: 0, begun: 1, running: None, attached: None }
    }

    /// The mark of what is written now.
    #[inline]
    pub(crate) fn now(&self) -> u32 {
        self.epoch << BATCH_BITS | self.batch
    }

    /// The batch is committed, and the next one begins.
    pub(crate) fn commit(&mut self) {
        self.batch = (self.batch + 1) % (1 << BATCH_BITS);
        self.begun = self.epoch;
    }

    /// A checkpoint was begun, cut behind the last commit; `is_pending` if anything was written since.
    pub(crate) fn cut(&mut self, is_pending: bool) {
        let is_pending = is_pending && !planted("pending-change-passes-for-covered");
        let pending = is_pending.then_some((self.batch, self.begun));
        self.running = Some(Cut { epoch: self.epoch.min(LAST_EPOCH - 1), pending });
        self.epoch = (self.epoch + 1).min(LAST_EPOCH);
        if !is_pending {
            self.begun = self.epoch;
        }
    }

    /// That checkpoint has ended; if it succeeded, it is attached from now on.
    pub(crate) fn end_cut(&mut self, is_attached: bool) {
        let cut = self.running.take();
        if is_attached {
            self.attached = cut;
        }
    }

    /// Whether the commit of an entry with this mark has certainly happened.
    #[inline]
    pub(crate) fn is_committed(&self, mark: u32) -> bool {
        let (epoch, batch) = parts(mark);
        batch != self.batch || epoch < self.begun
    }

    /// Whether an entry with this mark is certainly in the attached checkpoint.
    #[inline]
    pub(crate) fn is_covered(&self, mark: u32) -> bool {
        let (epoch, batch) = parts(mark);
        self.attached.is_some_and(|cut| {
            epoch <= cut.epoch && cut.pending.is_none_or(|(pending, begun)| batch != pending || epoch < begun)
        })
    }
}

const fn parts(mark: u32) -> (u32, u32) {
    (mark >> BATCH_BITS, mark % (1 << BATCH_BITS))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Op {
        Write,
        Commit,
        Cut,
        End(bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => Just(Op::Write),
            4 => Just(Op::Commit),
            2 => Just(Op::Cut),
            3 => any::<bool>().prop_map(Op::End),
        ]
    }

    proptest! {
        /// Against the numbers of the commits themselves, also where epochs run out.
        #[test]
        fn says_nothing_that_is_not_so(start in prop_oneof![Just(1), LAST_EPOCH - 4..=LAST_EPOCH], ops in vec(op(), 0..300)) {
            let mut marks = Marks { epoch: start, begun: start, ..Marks::new() };
            // Of each write the commit that it belongs to; the commit behind which the running and the attached checkpoint are cut.
            let mut written: Vec<(u32, usize)> = vec![(RECOVERED, 0)];
            let (mut commits, mut running, mut attached) = (1, None, 0);
            for op in ops {
                match op {
                    Op::Write => written.push((marks.now(), commits)),
                    Op::Commit => {
                        commits += 1;
                        marks.commit();
                    }
                    Op::Cut if running.is_none() => {
                        running = Some(commits);
                        marks.cut(written.iter().any(|&(_, commit)| commit == commits));
                    }
                    Op::End(is_attached) if running.is_some() => {
                        attached = if is_attached { running.unwrap_or(attached) } else { attached };
                        running = None;
                        marks.end_cut(is_attached);
                    }
                    Op::Cut | Op::End(_) => {}
                }
                for &(mark, commit) in &written {
                    prop_assert!(mark < MARK_LIMIT);
                    prop_assert!(!marks.is_committed(mark) || commit < commits);
                    prop_assert!(!marks.is_covered(mark) || commit < attached);
                }
            }
        }

        /// Nothing is forgotten either: what is committed is said to be, but for one batch in eight, and all of it is covered by a checkpoint
        /// that is cut while nothing is pending.
        #[test]
        fn says_nearly_all_that_is_so(batches in vec(1_u32..4, 1..40)) {
            let mut marks = Marks::new();
            let mut written = Vec::new();
            for writes in batches {
                written.extend((0..writes).map(|_| marks.now()));
                prop_assert!(!marks.is_committed(marks.now()));
                let last = marks.now();
                marks.commit();
                prop_assert!(marks.is_committed(last));
            }
            let pending = |marks: &Marks| written.iter().filter(|&&mark| !marks.is_committed(mark)).count();
            prop_assert!(pending(&marks) <= written.len() / 4 + 3);
            marks.cut(false);
            prop_assert_eq!(pending(&marks), 0);
            marks.end_cut(true);
            prop_assert!(written.iter().all(|&mark| marks.is_covered(mark)) && marks.is_covered(RECOVERED));
            prop_assert!(!marks.is_covered(marks.now()));
        }
    }
}
