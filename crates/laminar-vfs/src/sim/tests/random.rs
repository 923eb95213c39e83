//! Properties that hold after any calls.

use super::super::random::Sequence;
use super::*;

const PATHS: [&str; 10] = ["a", "b", "d", "e", "d/a", "d/b", "e/a", "d/e", "d/e/a", "e/d"];

/// The files, with the length and the hash of what is in them, as processes see them.
fn tree(disk: &SimDisk) -> Vec<(std::path::PathBuf, usize, u64)> {
    let look = |path: std::path::PathBuf| {
        let bytes = disk.read_file(&path).unwrap();
        (path, bytes.len(), xxhash_rust::xxh3::xxh3_64(&bytes))
    };
    disk.files().into_iter().map(look).collect()
}

/// The sectors of a file, with their numbers, without the zeros at their ends.
fn sectors(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let without_zeros = |sector: &[u8]| {
        let len = sector.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        sector.iter().copied().take(len).collect()
    };
    bytes.chunks(512).map(without_zeros).enumerate()
}

/// Makes random calls; whether they succeed does not matter.
fn play(disk: &SimDisk, random: &mut Sequence, calls: u32) {
    play_and_see(disk, random, calls, &mut |_| ());
}

/// As `play`, and shows every file that was written, also one without a name.
fn play_and_see(disk: &SimDisk, random: &mut Sequence, calls: u32, see: &mut dyn FnMut(&dyn VfsFile)) {
    let vfs = disk.env().vfs;
    let mut open: Vec<Arc<dyn VfsFile>> = Vec::new();
    for _ in 0..calls {
        let mut below = |bound: u64| usize::try_from(random.next() % bound).unwrap();
        let (one, two) = (Path::new(PATHS[below(10)]), Path::new(PATHS[below(10)]));
        let (call, file, offset, bytes) = (below(12), below(3), below(6000), vec![b"12345"[below(5)]; below(3000)]);
        match (call, open.get(file)) {
            (0 | 1, _) => {
                let mode = if call == 0 { OpenMode::CreateNew } else { OpenMode::Write };
                open.extend(vfs.open(one, mode));
                open.drain(..open.len().saturating_sub(3));
            }
            (2, _) => drop(vfs.create_dir(one)),
            (3 | 4, _) => drop(vfs.rename(one, two)),
            (5, _) => drop(vfs.hard_link(one, two)),
            (6, _) => drop(vfs.remove_file(one)),
            (7, _) => drop(vfs.remove_dir(one)),
            (8, _) => drop(vfs.sync_dir(one.parent().unwrap())),
            (9, Some(file)) => drop(file.sync_data()),
            (10, Some(file)) => drop(file.set_len(offset as u64)),
            (11, Some(file)) => {
                drop(file.write_all_at(&bytes, offset as u64));
                see(&**file);
            }
            _ => {}
        }
    }
}

/// Syncs every file and every directory.
fn sync_all(vfs: &dyn Vfs, dir: &Path) {
    for entry in vfs.list(dir).unwrap() {
        let path = dir.join(entry.name);
        match entry.kind {
            crate::Kind::Dir => sync_all(vfs, &path),
            _ => vfs.open(&path, OpenMode::Read).unwrap().sync_data().unwrap(),
        }
    }
    vfs.sync_dir(dir).unwrap();
}

#[test]
fn a_power_cut_that_keeps_all_changes_nothing() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let mut random = Sequence::new(seed);
        for _ in 0..5 {
            play(&disk, &mut random, 30);
            disk.kill();
            let after = disk.crash_keep_all();
            assert_eq!(tree(&after), tree(&disk), "seed {seed}");
            assert_eq!(after.used_bytes(), disk.used_bytes(), "seed {seed}");
        }
    }
}

#[test]
fn what_is_synced_survives_every_power_cut() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let mut random = Sequence::new(seed);
        play(&disk, &mut random, 60);
        disk.kill();
        sync_all(&*disk.env().vfs, "/".as_ref());
        let expected = tree(&disk);
        assert_eq!(tree(&disk.crash_lose_all()), expected, "seed {seed}");
        assert_eq!(disk.choices(), 0, "seed {seed}: {:?}", disk.pending());
        // And a disk that came out of a power cut is as good as any.
        play(&disk, &mut random, 20);
        let after = disk.crash(seed);
        play(&after, &mut random, 20);
        after.kill();
        sync_all(&*after.env().vfs, "/".as_ref());
        assert_eq!(tree(&after.crash_lose_all()), tree(&after), "seed {seed}");
    }
}

#[test]
fn whatever_fails_the_names_stay_a_tree() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let mut random = Sequence::new(seed);
        for _ in 0..10 {
            let kind = [FaultKind::Io, FaultKind::IoPartly, FaultKind::Phantom, FaultKind::Misdirected];
            disk.fail_nth(
                random.next() % 10,
                kind[usize::try_from(random.next() % 4).unwrap()],
                random.next().is_multiple_of(8),
            );
            play(&disk, &mut random, 12);
            disk.clear_faults();
            let after = disk.crash(seed);
            assert_eq!(after.hash(), after.crash_lose_all().hash());
            assert!(after.used_bytes() <= 4096 * 3 * after.files().len() as u64);
        }
        disk.drop_caches();
        disk.kill();
        assert_eq!(
            tree(&disk.crash_keep_all()),
            tree(&disk),
            "seed {seed}: the cache is gone, so what is seen is there"
        );
        assert_eq!(disk.crash_keep_all().used_bytes(), disk.used_bytes(), "seed {seed}");
    }
}

#[test]
fn every_power_cut_leaves_whole_sectors_of_what_was_written() {
    let mut torn = 0;
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let mut random = Sequence::new(seed);
        let mut written = BTreeSet::new();
        play_and_see(&disk, &mut random, 80, &mut |file| {
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            written.extend(sectors(&bytes));
        });
        // A length may cut a sector, and zeros follow.
        let was_written = |(at, bytes): &(usize, Vec<u8>)| {
            let mut candidates = written.range((*at, bytes.clone())..);
            bytes.is_empty() || candidates.next().is_some_and(|(place, whole)| place == at && whole.starts_with(bytes))
        };
        let is_whole = |disk: &SimDisk| {
            let whole = |path: &std::path::PathBuf| sectors(&disk.read_file(path).unwrap()).all(|it| was_written(&it));
            disk.files().iter().all(whole)
        };
        for cut in 0..20 {
            let after = disk.crash(seed ^ cut);
            assert!(is_whole(&after), "seed {seed}, cut {cut}");
            torn += u32::from(!is_whole(&disk.crash_torn(seed ^ cut)));
            assert_eq!(after.choices(), 0);
            assert_eq!(after.hash(), disk.crash(seed ^ cut).hash(), "the same seed, the same state");
            assert_eq!(after.hash(), after.crash(1).hash(), "nothing is left to chance");
            let bytes: u64 = tree(&after).iter().map(|(_, len, _)| *len as u64).sum();
            assert!(after.used_bytes() <= bytes + 4096 * after.files().len() as u64);
        }
    }
    assert!(torn > 50, "of torn disks only {torn} were told from whole ones");
}

#[test]
fn torn_sectors_begin_with_new_bytes_and_end_with_old_ones() {
    let (disk, vfs) = fresh();
    disk.write_file("a", &[1; 1024]).unwrap();
    vfs.open("a".as_ref(), OpenMode::Write).unwrap().write_all_at(&[2; 1024], 0).unwrap();
    let mut torn = 0;
    for seed in 0..200 {
        let bytes = disk.crash_torn(seed).read_file("a").unwrap();
        for sector in bytes.chunks(512) {
            let new = sector.iter().take_while(|byte| **byte == 2).count();
            assert!(sector[new..].iter().all(|byte| *byte == 1));
            torn += usize::from(new > 0 && new < 512);
        }
    }
    assert!(torn > 50, "{torn}");
}
