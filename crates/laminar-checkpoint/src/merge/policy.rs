//! Which neighbouring runs are worth merging. A pure function of their sizes.

use std::ops::Range;

/// A checkpoint never has more runs than this, if what is planned is merged before the next one is made.
pub(crate) const MAX_RUNS: usize = 16;

/// The runs to merge into one, given the sizes of all, oldest first; nothing if there is no need.
///
/// Two rules. *Space*: once all later runs together are half as large as the oldest, everything becomes one run: what
/// was overwritten or deleted goes away, and the space taken stays within about one and a half times the state. *Count*:
/// once one more run would be the seventeenth, the window of neighbours behind the oldest is merged that costs
/// the fewest bytes for each run that it saves; of equals the longest. It saves no more runs than can still come before the
/// first rule makes one of everything: what is merged for later than that is written once for nothing.
///
/// Runs of like size are therefore merged all at once, and the runs that come out of that fall from large to small, as
/// in a binomial schedule: of `n` new runs of one size, with 14 places behind the oldest, each is written a second time
/// only once `n` exceeds 14, and a third time only once it exceeds about 100.
pub(super) fn window(sizes: &[u64]) -> Option<Range<usize>> {
    let (oldest, later) = sizes.split_first()?;
    let by_space = !later.is_empty() && later.iter().sum::<u64>() >= oldest / 2;
    if by_space { Some(0..sizes.len()) } else { window_for_room(sizes) }
}

/// The window of the second rule alone, which leaves room for one more run; nothing if there is room.
pub(super) fn window_for_room(sizes: &[u64]) -> Option<Range<usize>> {
    let (oldest, later) = sizes.split_first()?;
    let excess = sizes.len().checked_sub(MAX_RUNS)?;
    let later_sum: u64 = later.iter().sum();
    // Runs are expected to go on coming in the size of the smallest, so that their number is not taken too low.
    let smallest = later.iter().copied().min().unwrap_or(0).max(1);
    let to_come = usize::try_from((oldest / 2).saturating_sub(later_sum).div_ceil(smallest)).unwrap_or(usize::MAX);
    let shortest = excess + 2;
    let longest = to_come.saturating_add(1).max(shortest);
    let windows = (1..sizes.len() - 1).flat_map(|start| (start + 2..=sizes.len()).map(move |end| start..end));
    let windows = windows.filter(|window| (shortest..=longest).contains(&window.len()));
    windows.min_by_key(|window| {
        let cost: u64 = sizes.get(window.clone()).unwrap_or_default().iter().sum();
        let saved = window.len() as u64 - 1;
        // Bytes for each run saved, in fixed point; of equals the longest window.
        (u128::from(cost) * 1024 / u128::from(saved), std::cmp::Reverse(saved))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds `count` runs of `size` behind a state of `base`, merging as planned; returns the most runs there were, the
    /// bytes written per byte added, and the mean of all bytes over the state's.
    fn simulate(base: u64, size: u64, count: u64, grows: bool) -> (usize, f64, f64) {
        let (mut sizes, mut state) = (vec![base], base);
        let (mut most, mut written, mut space) = (0, 0, 0.0);
        for _ in 0..count {
            if let Some(window) = window(&sizes) {
                let sum: u64 = sizes[window.clone()].iter().sum();
                let merged = if window.start == 0 && !grows { state.min(sum) } else { sum };
                written += merged;
                sizes.splice(window, [merged]);
            }
            sizes.push(size);
            written += size;
            state += if grows { size } else { 0 };
            most = most.max(sizes.len());
            space += sizes.iter().sum::<u64>() as f64 / state as f64;
        }
        (most, written as f64 / (size * count) as f64, space / count as f64)
    }

    #[test]
    fn runs_stay_few_and_are_rarely_rewritten() {
        // Base, new runs, how many, whether the state grows by them; then the limits of rewriting and of space.
        for (base, size, count, grows, rewritten, space) in [
            (1_000_000, 10_000, 100, false, 2.8, 1.3),
            (1_000_000, 10_000, 1000, false, 3.8, 1.3),
            (1_000_000, 1_000, 1000, false, 6.1, 1.3),
            (1_000_000, 10_000, 1000, true, 5.5, 1.1),
            (1_000, 1_000, 1000, true, 5.3, 1.1),
        ] {
            let (most, written, bytes) = simulate(base, size, count, grows);
            assert!(most <= MAX_RUNS, "{most} runs");
            assert!(written <= rewritten, "{count} runs of {size} on {base}: every byte written {written:.2} times");
            assert!(bytes <= space, "{count} runs of {size} on {base}: {bytes:.2} times the space");
        }
    }

    #[test]
    fn few_small_runs_are_left_alone() {
        assert_eq!(window(&[]), None);
        assert_eq!(window(&[5]), None);
        assert_eq!(window(&[100, 10, 10, 10]), None);
        assert_eq!(window(&[100, 10, 40]), Some(0..3));
    }

    #[test]
    fn room_is_made_behind_the_oldest_however_many_there_are() {
        assert_eq!(window_for_room(&[100; 15]), None);
        for count in 16..100 {
            let mut sizes = vec![1_000_000];
            sizes.extend((1..count).map(|number| 1000 + number % 7));
            let window = window_for_room(&sizes).unwrap();
            assert!(window.start > 0, "{window:?}");
            assert!(sizes.len() - (window.len() - 1) < MAX_RUNS, "{count} runs, {window:?}");
            // Also where the first rule would have all of them.
            sizes[0] = 10;
            let window = window_for_room(&sizes).unwrap();
            assert!(window.start > 0 && sizes.len() - (window.len() - 1) < MAX_RUNS, "{count} runs, {window:?}");
        }
    }

    #[test]
    fn runs_of_like_size_go_together() {
        let mut sizes = vec![1_000_000, 15_000];
        sizes.extend([1000; 14]);
        assert_eq!(window(&sizes), Some(2..16));
    }
}
