//! Which runs are worth merging. A pure function of their sizes, and of how far the parts of the oldest have come.

use std::cmp::Reverse;
use std::ops::Range;

/// A checkpoint never has more runs than this, the parts of the oldest counted as one, if what is planned is merged before the next one is
/// made.
pub(crate) const MAX_RUNS: usize = 16;

/// Only the last step of the first rule takes runs away: one comes with each that is made before, and one between it and the next.
const RUNS_BESIDE_STEP: usize = 2;

/// A run, or a part of the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) bytes: u64,
    /// The position up to which it holds what was written.
    pub(super) to: u64,
    /// The newest checkpoint is the first that has it.
    pub(super) is_new: bool,
}

/// What is to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) inputs: Inputs,
    /// So many runs come once it is merged, before others go away.
    pub(super) runs_beside: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inputs {
    /// These parts of the oldest run, and so many later runs, the oldest of them.
    Oldest { parts: Range<usize>, later: usize },
    /// These later runs.
    Later(Range<usize>),
}

impl Choice {
    fn of_later(window: Range<usize>, runs_beside: usize) -> Self {
        Self { inputs: Inputs::Later(window), runs_beside }
    }
}

/// What to merge, given the parts of the oldest run in the order of their keys, and the later runs, oldest first; nothing if there is no
/// need.
///
/// Two rules. *Space*: once all later runs together are a little more than half as large as the oldest, they are merged into it: what was
/// overwritten or deleted goes away, and the space taken stays within about one and a half times the state. Where the oldest lies in
/// parts, that is done by about half of it at a time, and the later runs go with the last. Between two halves there is a checkpoint
/// without: of those that are kept, which mostly are two, none has the half that was replaced before, so only one half is there twice.
///
/// *Count*: once one more run would be the seventeenth, the window of neighbours behind the oldest is merged that costs the fewest
/// bytes for each run that it saves; of equals the longest. It saves no more runs than can still come before the first rule takes all
/// of them: what is merged for later than that is written once for nothing.
///
/// Runs of like size are therefore merged all at once, and the runs that come out of that fall from large to small, as
/// in a binomial schedule: of `n` new runs of one size, with 14 places behind the oldest, each is written a second time
/// only once `n` exceeds 14, and a third time only once it exceeds about 100.
pub(super) fn choose(parts: &[Span], later: &[Span]) -> Option<Choice> {
    let lead = parts.iter().map(|part| part.to).max()?;
    let is_under_way = parts.iter().any(|part| part.to < lead);
    let by_space = later.last().filter(|_| left(parts, later) == 0).map(|last| last.to);
    let target = if is_under_way { Some(lead) } else { by_space };
    let Some(target) = target else {
        return window_for_room(parts, later).map(|window| Choice::of_later(window, 0));
    };
    let steps = steps(parts, target);
    let first = steps.first()?.clone();
    let runs_beside = RUNS_BESIDE_STEP * (steps.len() - 1);
    // The next, those beside the steps, and one more only after the last of them.
    if let Some(window) = window_for(runs_beside + 1, MAX_RUNS + 1, parts, later) {
        return Some(Choice::of_later(window, runs_beside));
    }
    if is_under_way && parts.iter().any(|part| part.is_new) {
        return None;
    }
    let later = later.iter().take_while(|run| run.to <= target).count();
    Some(Choice { inputs: Inputs::Oldest { parts: first, later }, runs_beside })
}

/// The window of the second rule alone, which leaves room for one more run; nothing if there is room.
pub(super) fn window_for_room(parts: &[Span], later: &[Span]) -> Option<Range<usize>> {
    window_for(1, MAX_RUNS, parts, later)
}

fn bytes(runs: &[Span]) -> u64 {
    runs.iter().map(|run| run.bytes).sum()
}

/// How many runs are left to come until all of them are 14/25 as large as the oldest. They are expected to go on coming in the size of the
/// smallest, so that their number is not taken too low.
///
/// The share is the smallest with which, of what changes at random, a byte is written 2.75 times in the first hundred checkpoints of a
/// hundredth each (see the test): at a half the runs become so many just before that they are merged once more for it.
fn left(parts: &[Span], later: &[Span]) -> usize {
    let smallest = later.iter().map(|run| run.bytes).min().unwrap_or(0).max(1);
    let missing = (bytes(parts) / 25 * 14).saturating_sub(bytes(later));
    usize::try_from(missing.div_ceil(smallest)).unwrap_or(usize::MAX)
}

/// The parts that are not as far as `target`, in the groups of neighbours that are merged at a time: about half of all, or one part.
fn steps(parts: &[Span], target: u64) -> Vec<Range<usize>> {
    // A little more than half, because no part is exactly a quarter.
    let most = bytes(parts) / 8 * 5;
    let mut steps: Vec<Range<usize>> = Vec::new();
    for (number, part) in parts.iter().enumerate().filter(|(_, part)| part.to < target) {
        match steps.last_mut() {
            Some(step)
                if step.end == number && bytes(parts.get(step.clone()).unwrap_or_default()) + part.bytes <= most =>
            {
                step.end += 1;
            }
            _ => steps.push(number..number + 1),
        }
    }
    steps
}

/// The window of later runs to merge so that `to_come` more have room, if with those there are more than `most`; nothing if not, or where
/// there is no window.
fn window_for(to_come: usize, most: usize, parts: &[Span], later: &[Span]) -> Option<Range<usize>> {
    let all = 1 + later.len() + to_come;
    if all <= most {
        return None;
    }
    let shortest = 1 + all - MAX_RUNS;
    // Those that come beside the steps of the first rule need room too.
    let beside = RUNS_BESIDE_STEP * steps(parts, u64::MAX).len().saturating_sub(1);
    let longest = left(parts, later).saturating_add(beside + 1).max(shortest);
    let windows = (0..later.len()).flat_map(|start| windows_from(start, longest, parts, later));
    let cheapest = windows.min_by_key(|(window, cost)| {
        let saved = window.len() - 1;
        // First of all the room. Then bytes for each run saved, in fixed point; of equals the longest window.
        (shortest.saturating_sub(window.len()), u128::from(*cost) * 1024 / saved.max(1) as u128, Reverse(saved))
    });
    cheapest.map(|(window, _)| window)
}

/// The windows of at least two runs that begin at number `start`, and their bytes. No part of the oldest run ends within one: the runs that
/// are merged into the other parts must stay apart from the rest.
fn windows_from(
    start: usize,
    longest: usize,
    parts: &[Span],
    later: &[Span],
) -> impl Iterator<Item = (Range<usize>, u64)> {
    let runs = later.get(start..).unwrap_or_default();
    let is_open = |run: &Span| !parts.iter().any(|part| part.to == run.to);
    let more = runs.iter().take_while(move |run| is_open(run)).count();
    let sums = runs.iter().scan(0, |sum, run| {
        *sum += run.bytes;
        Some(*sum)
    });
    sums.enumerate().take(longest.min(more + 1)).skip(1).map(move |(last, sum)| (start..start + last + 1, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of these sizes, one behind the other, the parts of the oldest up to 0.
    fn spans(parts: &[u64], later: &[u64]) -> (Vec<Span>, Vec<Span>) {
        let parts = parts.iter().map(|&bytes| Span { bytes, to: 0, is_new: false }).collect();
        (parts, (1..).zip(later).map(|(to, &bytes)| Span { bytes, to, is_new: false }).collect())
    }

    fn choose_of(parts: &[u64], later: &[u64]) -> Option<Choice> {
        let (parts, later) = spans(parts, later);
        choose(&parts, &later)
    }

    fn oldest(parts: Range<usize>, later: usize, runs_beside: usize) -> Choice {
        Choice { inputs: Inputs::Oldest { parts, later }, runs_beside }
    }

    fn room_of(oldest: u64, later: &[u64]) -> Option<Range<usize>> {
        let (parts, later) = spans(&[oldest], later);
        window_for_room(&parts, &later)
    }

    /// A state of `base` bytes, behind which runs of `size` are added.
    #[derive(Debug, Clone, Copy)]
    struct State {
        base: u64,
        size: u64,
        /// Whether it grows by each run; else a run changes what is there.
        grows: bool,
        /// How many parts the oldest run has at first, and whether it is cut into more.
        parts: usize,
        is_cut: bool,
    }

    /// What many checkpoints come to.
    #[derive(Debug, Default)]
    struct Course {
        most_runs: usize,
        most_parts: usize,
        /// Bytes written per byte added.
        written: f64,
        /// The mean of all bytes over the state's.
        space: f64,
        /// The most, with what was merged for a checkpoint there twice.
        peak: f64,
    }

    impl State {
        /// The bytes of a run into which so many were merged: of what changes at random some is the same.
        fn run_bytes(self, count: u64) -> u64 {
            let add = |sum, _| sum + if self.grows { self.size } else { self.size * (self.base - sum) / self.base };
            (0..count).fold(0, add)
        }

        /// Adds `count` runs, merging as planned.
        fn course(self, count: u64) -> Course {
            let (mut parts, mut later) = spans(&vec![self.base / self.parts as u64; self.parts], &[]);
            let (mut state, mut at_first, mut written) = (self.base, self.base, 0);
            let mut course = Course::default();
            for position in 1..=count {
                let mut replaced = 0;
                let choice = choose(&parts, &later);
                parts.iter_mut().for_each(|part| part.is_new = false);
                match choice.map(|choice| choice.inputs) {
                    Some(Inputs::Oldest { parts: step, later: taken }) => {
                        let to = later[taken - 1].to;
                        let (old, all) = (bytes(&parts[step.clone()]), bytes(&parts));
                        if parts.iter().all(|part| part.to == parts[0].to) {
                            at_first = all;
                        }
                        let new = if self.grows { old + bytes(&later[..taken]) * old / at_first } else { old };
                        // As a merge does: a part ends with a quarter of all, and an eighth of that.
                        let longest = if self.is_cut { all / 32 * 9 } else { u64::MAX };
                        let pieces = new.div_ceil(longest);
                        let piece = |at| if at + 1 < pieces { longest } else { new - longest * (pieces - 1) };
                        parts.splice(step, (0..pieces).map(|at| Span { bytes: piece(at), to, is_new: true }));
                        let end = parts.iter().map(|part| part.to).min().unwrap();
                        let gone = later.iter().take_while(|run| run.to <= end).count();
                        replaced = old + later.drain(..gone).map(|run| run.bytes).sum::<u64>();
                        written += new;
                    }
                    Some(Inputs::Later(window)) => {
                        let from = later[..window.start].last().or(parts.iter().min_by_key(|part| part.to)).unwrap().to;
                        let to = later[window.end - 1].to;
                        replaced = bytes(&later[window.clone()]);
                        later.splice(window, [Span { bytes: self.run_bytes(to - from), to, is_new: true }]);
                        written += self.run_bytes(to - from);
                    }
                    None => {}
                }
                later.push(Span { bytes: self.size, to: position, is_new: true });
                written += self.size;
                state += if self.grows { self.size } else { 0 };
                let space = (bytes(&parts) + bytes(&later)) as f64 / state as f64;
                course.most_runs = course.most_runs.max(1 + later.len());
                course.most_parts = course.most_parts.max(parts.len());
                course.space += space / count as f64;
                course.peak = course.peak.max(space + replaced as f64 / state as f64);
            }
            course.written = written as f64 / (self.size * count) as f64;
            course
        }
    }

    #[test]
    fn runs_stay_few_and_are_rarely_rewritten() {
        // Base, new runs, how many, whether the state grows by them; then the limits of rewriting and of space.
        for (base, size, count, grows, rewritten, space) in [
            (1_000_000, 10_000, 100, false, 2.75, 1.3),
            (1_000_000, 10_000, 1000, false, 3.5, 1.3),
            (1_000_000, 1_000, 1000, false, 5.8, 1.3),
            (1_000_000, 10_000, 1000, true, 5.5, 1.1),
            (1_000, 1_000, 1000, true, 5.3, 1.1),
        ] {
            for (parts, is_cut) in [(1, false), (1, true), (4, true)] {
                let state = State { base, size, grows, parts, is_cut };
                let course = state.course(count);
                assert!(course.most_runs <= MAX_RUNS, "{state:?}: {course:?}");
                assert!(course.most_parts <= if is_cut { 8 } else { 1 }, "{state:?}: {course:?}");
                // What comes beside the halves has room, and stays a little longer.
                let more = if is_cut { 1.01 } else { 1.0 };
                assert!(course.written <= rewritten * more && course.space <= space * more, "{state:?}: {course:?}");
                // The inputs of a merge of everything, and all again; or else of half of it.
                let peak = if parts == 1 { 2.6 } else { 2.1 };
                assert!(course.peak <= peak, "{state:?}: {course:?}");
            }
        }
    }

    #[test]
    fn few_small_runs_are_left_alone() {
        assert_eq!(choose_of(&[], &[]), None);
        assert_eq!(choose_of(&[5], &[]), None);
        assert_eq!(choose_of(&[100], &[10, 10, 10]), None);
        assert_eq!(choose_of(&[100], &[10, 50]), Some(oldest(0..1, 2, 0)));
        assert_eq!(choose_of(&[25; 4], &[10, 50]), Some(oldest(0..2, 2, 2)), "one beside the half, and one behind it");
    }

    #[test]
    fn room_is_made_behind_the_oldest_however_many_there_are() {
        assert_eq!(room_of(100, &[100; 14]), None);
        for count in 15..100 {
            let later: Vec<u64> = (1..=count).map(|number| 1000 + number % 7).collect();
            // Also where the first rule would have all of them.
            for oldest in [1_000_000, 10] {
                let window = room_of(oldest, &later).unwrap();
                assert!(1 + later.len() - (window.len() - 1) < MAX_RUNS, "{count} runs, {window:?}");
            }
        }
    }

    #[test]
    fn runs_of_like_size_go_together() {
        let later: Vec<u64> = [15_000].into_iter().chain([1000; 14]).collect();
        assert_eq!(choose_of(&[1_000_000], &later), Some(Choice::of_later(1..15, 0)));
    }

    #[test]
    fn what_was_begun_with_one_part_is_ended_with_the_others() {
        let (mut parts, later) = spans(&[10; 5], &[1, 1, 1, 1]);
        // The second part is as far as the second of the later runs.
        parts[1].to = 2;
        let next = |parts: &[Span]| choose(parts, &later);
        let step = |parts, runs_beside| Some(oldest(parts, 2, runs_beside));
        assert_eq!(next(&parts), step(0..1, 2));
        parts[0].to = 2;
        assert_eq!(next(&parts), step(2..5, 0));
        parts[2].to = 2;
        assert_eq!(next(&parts), step(3..5, 0));
        parts[2].is_new = true;
        assert_eq!(next(&parts), None, "the checkpoint before still has what it replaced");
        parts.iter_mut().for_each(|part| part.to = 2);
        assert_eq!(next(&parts), None);
    }

    #[test]
    fn runs_that_some_parts_hold_stay_apart_from_the_rest() {
        for end in 1..=20 {
            let (mut parts, later) = spans(&[1_000_000; 2], &[1; 20]);
            parts[0].to = end;
            let mut left = later.clone();
            let mut windows = 0;
            while let Some(window) = window_for_room(&parts, &left) {
                assert!(window.len() > 1 && windows < 20);
                let merged = Span { bytes: window.len() as u64, ..left[window.end - 1] };
                left.splice(window, [merged]);
                assert!(left.iter().any(|run| run.to == end), "a run ends where the part does: {left:?}");
                windows += 1;
            }
            assert!(left.len() < MAX_RUNS - 1, "{left:?}");
        }
    }

    #[test]
    fn there_is_room_for_what_comes_while_a_half_is_merged() {
        let later: Vec<u64> = [40_000].into_iter().chain([1500; 14]).collect();
        let Some(Choice { inputs: Inputs::Later(window), runs_beside: 2 }) = choose_of(&[25_000; 4], &later) else {
            panic!("there are too many")
        };
        assert_eq!(window.len(), 4, "the next comes, one beside the first half, and one between that and the second");
        assert_eq!(choose_of(&[25_000; 4], &later[..13]), Some(oldest(0..2, 13, 2)), "there is room");
        assert_eq!(choose_of(&[100_000], &later), Some(oldest(0..1, 15, 0)), "all at once needs no room");
    }
}
