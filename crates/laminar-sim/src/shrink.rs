//! The shortest list that still fails: what a person wants to read of a run that went wrong.

/// Drops elements of `list` as long as `run` still fails: halves first, then smaller pieces, at last one by one until none can be spared.
/// Returns what is left, with the failure of that.
///
/// Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 2002, without its complements.
///
/// ```
/// let fails = |list: &[u32]| if list.contains(&3) && list.contains(&7) { Err("3 and 7") } else { Ok(()) };
/// let (shortest, failure) = laminar_sim::shrink((0..100).collect(), "at first", fails);
/// assert_eq!((shortest, failure), (vec![3, 7], "3 and 7"));
/// ```
pub fn shrink<T: Clone, F>(
    mut list: Vec<T>,
    mut failure: F,
    mut run: impl FnMut(&[T]) -> Result<(), F>,
) -> (Vec<T>, F) {
    let mut piece = list.len().div_ceil(2);
    while piece > 0 {
        let before = list.len();
        let mut from = 0;
        while from < list.len() {
            let mut fewer = list.clone();
            drop(fewer.drain(from..list.len().min(from + piece)));
            match run(&fewer) {
                Err(still) => (list, failure) = (fewer, still),
                Ok(()) => from += piece,
            }
        }
        // What one element was needed for may have gone after it was tried.
        if piece > 1 || list.len() == before {
            piece /= 2;
        }
    }
    (list, failure)
}

#[cfg(test)]
mod tests {
    use super::shrink;
    use crate::{SmallOp, workload};

    #[test]
    fn only_what_the_failure_needs_is_left() {
        let needs = [17, 60, 61, 199];
        let run = |list: &[u32]| match needs.iter().all(|needed| list.contains(needed)) {
            true => Err(format!("{} of them", list.len())),
            false => Ok(()),
        };
        let (shortest, failure) = shrink((0..200).collect(), "all".to_owned(), run);
        assert_eq!(shortest, needs);
        assert_eq!(failure, "4 of them", "the failure is that of the shortest list");
    }

    #[test]
    fn what_is_left_can_spare_nothing() {
        // Not monotone: dropping one of a pair makes the run pass, and dropping both makes it fail again.
        let fails = |list: &[u32]| list.contains(&5) && list.iter().filter(|n| **n > 50).count() % 2 == 1;
        let run = |list: &[u32]| if fails(list) { Err(()) } else { Ok(()) };
        let list: Vec<u32> = (0..100).collect();
        assert!(fails(&list));
        let (shortest, ()) = shrink(list, (), run);
        assert!(fails(&shortest));
        for spared in 0..shortest.len() {
            let mut fewer = shortest.clone();
            fewer.remove(spared);
            assert!(!fails(&fewer), "{shortest:?} can spare number {spared}");
        }
        assert!(shortest.len() <= 4, "{shortest:?}");
    }

    #[test]
    fn a_list_that_fails_whatever_is_in_it_shrinks_to_nothing() {
        let (shortest, calls) = shrink(vec![1, 2, 3], 0, |_| Err(1));
        assert_eq!((shortest, calls), (vec![], 1));
    }

    #[test]
    fn a_workload_shrinks_to_the_operations_that_matter() {
        let run = |ops: &[SmallOp]| {
            let delete = ops.iter().position(|op| *op == SmallOp::Delete);
            let checkpoint = ops.iter().rposition(|op| *op == SmallOp::Checkpoint);
            if delete < checkpoint && delete.is_some() { Err(()) } else { Ok(()) }
        };
        let workload = (0..).map(|number| workload(5, number)).find(|ops| run(ops).is_err()).unwrap();
        assert_eq!(workload.len(), 5);
        assert_eq!(shrink(workload, (), run).0, [SmallOp::Delete, SmallOp::Checkpoint]);
    }
}
