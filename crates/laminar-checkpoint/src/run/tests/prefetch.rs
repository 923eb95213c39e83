//! What is fetched ahead of a look-up is what the look-up reads, and of blocks that nobody has verified nothing is.

use super::*;

/// How many of `keys` have the memory of their entries named by their start, of those that are found by the short way.
fn named(run: &Run, keys: &[Vec<u8>]) -> (usize, usize) {
    let (mut named, mut found) = (0, 0);
    for key in keys {
        let (hash, asked) = (run.hash(key), Key::from(key.as_slice()));
        let Some((at, way)) = run.file.way_to(asked) else { continue };
        let start = run.file.start_at(at, way, hash);
        let ahead = run.file.memory_ahead(&start, hash).as_ptr_range();
        let entry = start.bucket.and_then(|bucket| run.file.pages.whole().find(way, bucket, hash, asked)).flatten();
        if let Some(entry) = entry {
            found += 1;
            let first_of_value = entry.value.map_or(entry.key, |value| value).as_ptr();
            let has_value = ahead.contains(&first_of_value) || entry.value.is_some_and(|value| value.len() > 192);
            let chapter = &run.file.footer.chapters[at];
            let first = run.file.region().as_ptr().addr() + index(chapter.offset);
            let block = |at: usize| (at - first) / chapter.unit as usize;
            assert!(ahead.is_empty() || block(ahead.start.addr()) == block(ahead.end.addr()), "only of one block");
            named += usize::from(ahead.contains(&entry.key.as_ptr()) && has_value);
        } else {
            assert!(start.bucket.is_some() || ahead.is_empty());
        }
    }
    (named, found)
}

#[test]
fn what_is_fetched_ahead_is_what_is_read() {
    // With headers; of one shape; and of a shape that is longer than what is fetched, whose keys lie behind the values.
    let shapes: [Option<fixed::Shaped>; 3] =
        [None, Some(|i| (fixed::key(i), fixed::of(i, 20))), Some(|i| (fixed::key(i), fixed::of(i, 1000)))];
    for shaped in shapes {
        let disk = SimDisk::new(1);
        let of_shape = |shaped| {
            let record = fixed::written(&disk, 8, 3400, shaped);
            assert!(fixed_blocks(&disk, Path::new(fixed::PATH), &record).len() > 5);
            fixed::opened(&disk, &record, ReadMode::Mapped)
        };
        let run = shaped.map_or_else(|| varied(&disk, 70_000, false, |len| Some(len as usize * 3)), of_shape);
        let keys: Vec<Vec<u8>> = run.iter().map(|entry| entry.unwrap().0.to_vec()).collect();
        assert!(keys.len() > 3000);
        let untouched = RunFile::open(&*disk.env().vfs, &run.file.path(), &run.file.record, ReadMode::Mapped).unwrap();
        assert_eq!(named(&Run::new(Arc::new(untouched), Path::new("untouched")), &keys), (0, 0));
        for key in &keys {
            let hash = run.hash(key);
            assert!(run.get(hash, key).unwrap().is_some());
            let start = run.file.start_if_allowed(hash, Key::from(key.as_slice()));
            assert!(start.is_some(), "the filter was asked a moment ago, and knows the key");
        }
        let (named, found) = named(&run, &keys);
        assert_eq!(found, keys.len());
        // Of the others the bucket was full, or a stranger with the same tag comes first in it.
        assert!(named > found * 9 / 10, "{named} of {found}");
    }
}

#[test]
fn what_the_filter_denies_is_not_fetched() {
    let disk = SimDisk::new(1);
    let run = varied(&disk, 5000, false, |_| Some(20));
    let others: Vec<Vec<u8>> = varied_keys(5000).into_iter().map(|key| [key, vec![0]].concat()).collect();
    let mut allowed = 0;
    for key in &others {
        let (hash, asked) = (run.hash(key), Key::from(key.as_slice()));
        let is_allowed = run.may_contain(hash, key);
        if run.file.way_to(asked).is_some() {
            // What lies outside of all chapters is not asked for by order here, only by the filter of the nearest.
            assert!(run.file.start_if_allowed(hash, asked).is_some() || !is_allowed, "{key:?}");
        }
        allowed += usize::from(is_allowed);
    }
    assert!(allowed < others.len() / 2, "{allowed}");
    let denied =
        others.iter().filter(|key| run.file.start_if_allowed(run.hash(key), Key::from(key.as_slice())).is_none());
    assert!(denied.count() > others.len() / 2);
}
