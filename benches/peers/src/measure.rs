//! The loops that are timed, the same for every store.

use std::path::Path;
use std::time::Duration;

use laminar_benches::workload::{self, Key, Prefix, Values, read};
use laminar_benches::{Figure, command, time};

use crate::backend::{Backend, Outcome};
use crate::part::Task;

/// Puts a commit.
pub(crate) const BATCH: usize = 1_000;

/// Operations a second, one for each of `inputs`.
pub(crate) fn rate<T>(inputs: &[T], mut operation: impl FnMut(usize, &T) -> Outcome) -> Outcome<f64> {
    let start = time::now();
    for (index, input) in inputs.iter().enumerate() {
        operation(index, input)?;
    }
    Ok(per_second(inputs.len(), start.elapsed()))
}

/// So many of something in so long.
pub(crate) fn per_second(count: usize, duration: Duration) -> f64 {
    count as f64 / duration.as_secs_f64()
}

/// Puts the values of `keys`, a commit every [`BATCH`], as fast as it goes: puts a second.
pub(crate) fn load<B: Backend>(store: &mut B, keys: &[Key], values: &Values, version: u8) -> Outcome<f64> {
    let start = time::now();
    for batch in keys.chunks(BATCH) {
        for key in batch {
            store.put(key, values.of(key, version))?;
        }
        store.commit()?;
    }
    Ok(per_second(keys.len(), start.elapsed()))
}

/// Lets a store, and the system under it, finish what a load has left behind: else it would be written beside what is timed next.
pub(crate) fn rest<B: Backend>(store: &mut B) -> Outcome {
    store.rest()?;
    _ = command::output("sync", &[]);
    Ok(())
}

/// Gets every one of `keys` and reads its value: gets a second.
///
/// # Errors
/// If the store does not have, or does have, what it should: `expected` of them.
pub(crate) fn gets<B: Backend>(store: &mut B, keys: &[Key], expected: usize) -> Outcome<f64> {
    let (mut found, mut sum) = (0, 0_u64);
    let rate = rate(keys, |_, key| {
        if let Some(value) = store.get(key, read)? {
            found += 1;
            sum = sum.wrapping_add(value);
        }
        Ok(())
    })?;
    std::hint::black_box(sum);
    if found == expected { Ok(rate) } else { Err(format!("{found} of {expected} keys were found").into()) }
}

/// Scans every one of `prefixes`, each of `entries` entries, and reads the values: scans a second.
///
/// # Errors
/// If there are more or fewer.
pub(crate) fn scans<B: Backend, const N: usize>(store: &mut B, prefixes: &[[u8; N]], entries: usize) -> Outcome<f64> {
    let (mut found, mut sum) = (0, 0_u64);
    let rate = rate(prefixes, |_, prefix| {
        store.scan(prefix, |_, value| {
            found += 1;
            sum = sum.wrapping_add(read(value));
        })
    })?;
    std::hint::black_box(sum);
    let expected = prefixes.len() * entries;
    if found == expected { Ok(rate) } else { Err(format!("{found} of {expected} entries were found").into()) }
}

/// As [`scans`], of prefixes at random, as often as the task repeats reads: a figure of `bench` each.
///
/// # Errors
/// As [`scans`].
pub(crate) fn scan_passes<B: Backend>(
    store: &mut B,
    prefixes: &[Prefix],
    entries: usize,
    task: Task<'_>,
    bench: &str,
) -> Outcome<Vec<Figure>> {
    let count = task.operations() / 4 / usize::try_from(task.passes())?;
    let one = |pass| {
        let asked = workload::picks(prefixes, count, 90 + pass);
        Ok((bench, "ops/s", scans(store, &asked, entries)?).into())
    };
    (0..task.passes()).map(one).collect()
}

/// Gets and puts of `keys` in turn, a commit every [`BATCH`] puts: operations a second.
pub(crate) fn half_and_half<B: Backend>(store: &mut B, keys: &[Key], values: &Values) -> Outcome<f64> {
    let mut sum = 0_u64;
    let rate = rate(keys, |index, key| {
        if index % 2 == 0 {
            sum = sum.wrapping_add(store.get(key, read)?.ok_or("a key is gone")?);
            return Ok(());
        }
        store.put(key, values.of(key, 1))?;
        if index % (2 * BATCH) == 2 * BATCH - 1 { store.commit() } else { Ok(()) }
    })?;
    std::hint::black_box(sum);
    store.commit()?;
    Ok(rate)
}

/// Deletes of `keys`, a commit every [`BATCH`]: deletes a second.
pub(crate) fn deletes<B: Backend>(store: &mut B, keys: &[Key]) -> Outcome<f64> {
    let rate = rate(keys, |index, key| {
        store.delete(key)?;
        if index % BATCH == BATCH - 1 { store.commit() } else { Ok(()) }
    })?;
    store.commit()?;
    Ok(rate)
}

/// The bytes of the files under `dir`, by inode, that are not among `known`; adds them to it.
pub(crate) fn bytes_of_new_files(dir: &Path, known: &mut std::collections::HashSet<u64>) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            bytes += bytes_of_new_files(&entry.path(), known)?;
        } else if known.insert(metadata.ino()) {
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}
