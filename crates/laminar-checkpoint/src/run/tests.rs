//! Hostile bytes: what matches its checksum and was made up. Nothing panics, nothing is read out of bounds, and what is
//! derived from numbers that were accepted stays within the file.

use std::ops::Bound;
use std::path::Path;

use laminar_vfs::sim::SimDisk;
use laminar_vfs::{Env, OpenMode, ReadMode, Vfs};

use super::{Parts, Run, RunFile, RunWriter};
use crate::CheckpointOptions;
use crate::format::block::{Kind, is_fixed, run_seed, seal, stated_word};
use crate::format::bytes::index;
use crate::format::manifest::{Manifest, RunRecord};
use crate::format::run::{BlockRef, FOOTER_MAGIC, Footer, Identity, LINES_PER_BLOCK};
use crate::format::{PAGE, twin};
use crate::hash::LINE;
use crate::key::Key;
use crate::sync::Arc;

mod fixed;
mod prefetch;

fn options(env: Env) -> CheckpointOptions {
    CheckpointOptions::on(env).read_back(false)
}

/// A run with every kind of block, and its record.
fn sample(disk: &SimDisk) -> RunRecord {
    let identity = Identity { run_id: 77, from: 3, to: 9, hash_seed: 1, is_base: false };
    let mut writer = RunWriter::create(&options(disk.env()), Path::new("run"), identity).unwrap();
    for i in 0..200u32 {
        let value = vec![7; if i == 120 { 9000 } else { 60 }];
        // The first half is of tombstones too, the other is not.
        writer.push(format!("{i:05}").as_bytes(), (i % 7 != 0 || i > 120).then_some(&value)).unwrap();
    }
    let record = writer.finish().unwrap().record;
    assert!(fixed_blocks(disk, Path::new("run"), &record).len() == 1, "one of each kind");
    record
}

/// The numbers of the pages at which fixed blocks of a run begin.
fn fixed_blocks(disk: &SimDisk, path: &Path, record: &RunRecord) -> Vec<u64> {
    let file = RunFile::open(&*disk.env().vfs, path, record, ReadMode::Mapped).unwrap();
    let blocks = file.footer.chapters.iter().flat_map(|chapter| chapter.data_blocks());
    let fixed = blocks.filter(|block| is_fixed(&file.region()[index(block.offset)..][..block.bytes]));
    fixed.map(|block| block.offset / PAGE as u64).collect()
}

#[test]
fn a_file_that_there_is_no_memory_for_is_an_error() {
    let file = SimDisk::new(1).env().vfs.open(Path::new("run"), OpenMode::CreateNew).unwrap();
    for bytes in [1 << 60, u64::MAX] {
        let error = super::file::owned(&*file, bytes).unwrap_err();
        let crate::Error::Io(error) = &error else { panic!("{error}") };
        assert_eq!(error.io().kind(), std::io::ErrorKind::OutOfMemory);
    }
}

/// Asks for everything; only the absence of panics and of endless loops is looked at.
fn exercise(vfs: &dyn Vfs, record: &RunRecord) {
    for mode in [ReadMode::Mapped, ReadMode::Owned] {
        let Ok(file) = RunFile::open(vfs, Path::new("run"), record, mode) else { return };
        let run = Run::new(Arc::new(file), Path::new("run"));
        for i in 0..210u32 {
            let key = format!("{i:05}");
            let hash = run.hash(key.as_bytes());
            drop(run.get(hash, key.as_bytes()));
            let _ = run.may_contain(hash, key.as_bytes());
            if i % 16 == 0 {
                let _ = run.range(Bound::Included(key.as_bytes()), Bound::Unbounded).take(400).count();
            }
        }
        // Each chapter has at most 65,536 entries and ends, whatever the blocks say.
        assert!(run.iter().count() <= 70_000 * run.file.footer.chapters.len());
        let mut progress = |_| {};
        super::verify(&run.file, &mut crate::verify::Findings::new(0, &mut progress));
    }
}

fn write(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) {
    drop(vfs.remove_file(path));
    vfs.open(path, OpenMode::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
}

fn mutate(random: &mut fastrand::Rng, bytes: &mut [u8]) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..bytes.len());
        match random.u8(0..4) {
            0 => bytes[at] ^= 1 << random.u8(0..8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.usize(0..5)],
            2 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            _ => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = random.u8(..)),
        }
    }
}

/// A run of several chapters with these values; keys of all lengths, some too short for a space, others of several.
fn varied(disk: &SimDisk, entries: u32, is_base: bool, value_bytes: impl Fn(u32) -> Option<usize>) -> Run {
    let vfs = disk.env().vfs;
    let identity = Identity { run_id: 78, from: 0, to: 9, hash_seed: 1, is_base };
    let mut writer = RunWriter::create(&options(disk.env()), Path::new("varied"), identity).unwrap();
    for key in varied_keys(entries) {
        let value = value_bytes(u32::try_from(key.len()).unwrap()).map(|bytes| vec![7; bytes]);
        writer.push(&key, value.as_deref()).unwrap();
    }
    let record = writer.finish().unwrap().record;
    let file = RunFile::open(&*vfs, Path::new("varied"), &record, ReadMode::Mapped).unwrap();
    Run::new(Arc::new(file), Path::new("varied"))
}

fn varied_keys(entries: u32) -> Vec<Vec<u8>> {
    let bytes = |i: u32| i.wrapping_mul(0x9E37_79B1).to_le_bytes().repeat(1 + i as usize % 9);
    let mut keys: Vec<Vec<u8>> =
        (0..entries).map(|i| bytes(i)[..1 + i as usize % 33 % bytes(i).len()].to_vec()).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn every_block_that_is_looked_up_lies_in_one_stretch() {
    for longest in [50, 9000] {
        let disk = SimDisk::new(1);
        let run = varied(&disk, 70_000, false, |len| Some(if len == 30 { longest } else { 20 }));
        for chapter in &run.file.footer.chapters {
            let stretches: Vec<_> = chapter.stretches(128 << 10).collect();
            let is_looked_up =
                |kind| matches!(kind, Kind::Hash | Kind::Heads | Kind::Filter) || longest == 50 && kind == Kind::Data;
            let mut found = 0;
            for block in chapter.all_blocks().filter(|block| block.kind != Kind::Parity) {
                let stretch = chapter.stretch(block, 128 << 10);
                assert_eq!(stretch.is_some(), is_looked_up(block.kind), "{block:?}");
                found += usize::from(stretch.is_some());
                let same = |&&(first, count): &&(BlockRef, usize)| {
                    Some((first.offset, count)) == stretch && first.kind == block.kind
                };
                assert_eq!(stretches.iter().filter(same).count(), usize::from(stretch.is_some()), "{block:?}");
            }
            assert_eq!(stretches.iter().map(|(_, count)| count).sum::<usize>(), found);
        }
    }
}

#[test]
fn the_short_way_ends_where_the_long_one_does() {
    for (is_base, longest) in [(true, 50), (false, 50), (false, 9000)] {
        let disk = SimDisk::new(1);
        let value_bytes =
            |len: u32| (is_base || !len.is_multiple_of(5)).then_some(if len == 30 { longest } else { 20 });
        let run = varied(&disk, 70_000, is_base, value_bytes);
        let keys = varied_keys(140_000);
        assert!(run.file.footer.chapters.len() > 1, "several chapters");
        let (mut short, mut there) = (0, 0);
        let parts = Parts::of(std::slice::from_ref(&run));
        // The first round verifies what the second finds in place.
        for round in 0..2 {
            for key in &keys {
                let (hash, asked) = (run.hash(key), Key::from(key.as_slice()));
                let found = run.get(hash, key).unwrap();
                let Some(at) = run.file.chapters_from_head(asked).checked_sub(1) else { continue };
                let (space, name) = asked.into_parts();
                assert!(
                    found == run.file.get_in(at, hash, space, name).unwrap(),
                    "{key:?} {is_base} {longest} {round}"
                );
                there += usize::from(found.is_some());
                let (file, start) = parts.start(hash, asked).unwrap();
                let unfiltered = file.get_from(start, hash, asked).unwrap();
                assert!(found == unfiltered, "{key:?} {is_base} {longest} {round}");
                let (whole, way) = (run.file.pages.whole(), &run.file.ways[at]);
                let bucket = whole.bucket(way, hash);
                short += usize::from(bucket.is_some_and(|bucket| whole.find(way, bucket, hash, asked).is_some()));
            }
        }
        assert!(there > keys.len() / 2, "{there}");
        assert!(longest > 50 || short > keys.len() / 2, "{short}");
    }
}

#[test]
fn a_key_that_the_filter_denies_needs_no_other_block() {
    let disk = SimDisk::new(1);
    let whole = varied(&disk, 5000, false, |_| Some(20));
    let (file, path) = (&whole.file, Path::new("varied"));
    let mut denied: Vec<Vec<u8>> = varied_keys(5000).into_iter().map(|key| [key, vec![0]].concat()).collect();
    denied.retain(|key| whole.get(whole.hash(key), key).unwrap().is_none() && !whole.may_contain(whole.hash(key), key));
    // Two blocks of one lane are more than its parity makes good; and the index, in both lanes.
    let blocks = file.footer.chapters[0].hash_block(0).offset / PAGE as u64;
    let lost_pages = [3, 5].into_iter().chain(blocks..blocks + 4);
    lost_pages.for_each(|page| disk.flip_bit(path, page * PAGE as u64 * 8).unwrap());
    let damaged = RunFile::open(&*disk.env().vfs, path, &file.record, ReadMode::Mapped).unwrap();
    let damaged = Arc::new(damaged);
    let parts = Parts::of(&[Run::new(Arc::clone(&damaged), path)]);
    let mut lost = 0;
    for key in &denied {
        let (hash, asked) = (whole.hash(key), Key::from(key.as_slice()));
        let Some(at) = damaged.chapters_from_head(asked).checked_sub(1) else { continue };
        let (space, name) = asked.into_parts();
        lost += usize::from(damaged.get_in(at, hash, space, name).is_err());
        let (file, start) = parts.start(hash, asked).unwrap();
        assert_eq!(file.get_from(start, hash, asked).unwrap(), None, "{key:?}");
        assert_eq!(damaged.get(hash, asked).unwrap(), None, "{key:?}");
    }
    let denied = denied.len();
    assert!(denied > 1000 && lost > 10, "{denied} keys, {lost} of them where a block is lost");
}

#[test]
fn buckets_that_are_all_full_are_an_end_too() {
    let disk = SimDisk::new(1);
    let run = varied(&disk, 5000, false, |_| Some(20));
    let (file, path) = (&run.file, Path::new("varied"));
    let mut bytes = disk.read_file(path).unwrap();
    let chapter = &file.footer.chapters[0];
    for block in chapter.all_blocks().filter(|block| block.kind == Kind::Hash) {
        let start = index(block.offset);
        let body = &mut bytes[start..start + block.bytes];
        body[..LINES_PER_BLOCK * LINE].fill(0xff);
        let word = stated_word(body).unwrap();
        seal(body, block.kind, run_seed(file.record.run_id), block.offset, word);
    }
    write(&*disk.env().vfs, path, &bytes);
    let forged = RunFile::open(&*disk.env().vfs, path, &file.record, ReadMode::Mapped).unwrap();
    let forged = Arc::new(forged);
    let parts = Parts::of(&[Run::new(Arc::clone(&forged), path)]);
    for _ in 0..2 {
        for key in varied_keys(100) {
            let (hash, asked) = (run.hash(&key), Key::from(key.as_slice()));
            drop(forged.get(hash, asked));
            let (file, start) = parts.start(hash, asked).unwrap();
            drop(file.get_from(start, hash, asked));
        }
    }
}

#[test]
fn made_up_footers_are_refused_or_harmless() {
    let disk = SimDisk::new(1);
    let record = sample(&disk);
    let file = disk.read_file("run").unwrap();
    let at = index(record.footer_offset);
    let body = twin::decode(FOOTER_MAGIC, 0, &file[at..]).unwrap().to_vec();
    assert!(Footer::decode(&body, record.footer_offset).is_ok());
    let mut random = fastrand::Rng::with_seed(1);
    let mut accepted = 0;
    for _ in 0..4000 {
        let mut body = body.clone();
        mutate(&mut random, &mut body);
        let vfs = disk.env().vfs;
        let mut bytes = file[..at].to_vec();
        bytes.extend_from_slice(&twin::encode(FOOTER_MAGIC, &body));
        write(&*vfs, Path::new("run"), &bytes);
        let crc = twin::body_crc(&body);
        let Ok(footer) = Footer::decode(&body, record.footer_offset) else { continue };
        accepted += 1;
        for chapter in &footer.chapters {
            let mut end = chapter.offset;
            for block in chapter.all_blocks() {
                assert_eq!(block.offset, end, "blocks lie back to back");
                end += block.bytes as u64;
            }
            assert!(end == chapter.end() && end <= record.footer_offset);
        }
        let (entries, tombstones) = (footer.counts.entries, footer.counts.tombstones);
        let identity = footer.identity;
        let (run_id, from, to) = (identity.run_id, identity.from, identity.to);
        exercise(&*vfs, &RunRecord { footer_crc: crc, entries, tombstones, run_id, from, to, ..record.clone() });
    }
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn made_up_blocks_are_refused_or_harmless() {
    let disk = SimDisk::new(1);
    let record = sample(&disk);
    let file = disk.read_file("run").unwrap();
    let at = index(record.footer_offset);
    let footer = Footer::decode(twin::decode(FOOTER_MAGIC, 0, &file[at..]).unwrap(), record.footer_offset).unwrap();
    let blocks: Vec<_> = footer.chapters.iter().flat_map(|chapter| chapter.all_blocks()).collect();
    assert!(blocks.len() > 8);
    let mut random = fastrand::Rng::with_seed(2);
    for round in 0..600 {
        let mut bytes = file.clone();
        let block = blocks[round % blocks.len()];
        let place = &mut bytes[index(block.offset)..][..block.bytes];
        // Often where lengths and distances stand: at the start of the block and in its root.
        let end = place.len() - 16;
        match random.u8(0..3) {
            0 => mutate(&mut random, &mut place[..64]),
            1 => mutate(&mut random, &mut place[end - 200..end]),
            _ => mutate(&mut random, &mut place[..end]),
        }
        let kind = if is_fixed(place) { Kind::Fixed } else { block.kind };
        // Often as what it is, and now and then as the other kind of data.
        let kind = if block.kind == Kind::Data && random.u8(..4) == 0 { Kind::Fixed } else { kind };
        let word = if kind == Kind::Parity { random.u32(..) } else { 0 };
        seal(place, kind, run_seed(record.run_id), block.offset, word);
        let vfs = disk.env().vfs;
        write(&*vfs, Path::new("run"), &bytes);
        exercise(&*vfs, &record);
    }
}

#[test]
fn made_up_manifests_are_refused_or_harmless() {
    let disk = SimDisk::new(1);
    let record = sample(&disk);
    let manifest = Manifest {
        id: 4,
        wal_position: 9,
        source_offsets: [("a".to_owned(), 1), ("b".to_owned(), 2)].into(),
        runs: vec![RunRecord { from: 0, to: 3, ..record.clone() }, record],
        ..Manifest::default()
    };
    let decoded = |manifest: &Manifest| {
        let bytes = manifest.encode();
        let body = twin::decode(crate::format::manifest::MANIFEST_MAGIC, 0, &bytes).unwrap();
        Manifest::decode(body)
    };
    let bytes = manifest.encode();
    let body = twin::decode(crate::format::manifest::MANIFEST_MAGIC, 0, &bytes).unwrap();
    assert_eq!(decoded(&manifest), Ok(manifest.clone()));
    let changed = |change: &dyn Fn(&mut RunRecord)| {
        let mut changed = manifest.clone();
        changed.runs.iter_mut().for_each(change);
        decoded(&changed)
    };
    assert!(changed(&|run| run.entries = u64::MAX / 2).is_ok());
    assert!(changed(&|run| run.entries = u64::MAX / 2 + 1).is_err(), "all entries of it are no number");
    assert!(changed(&|run| run.tombstones = run.entries + 1).is_err());
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let mut body = body.to_vec();
        mutate(&mut random, &mut body);
        if let Ok(manifest) = Manifest::decode(&body) {
            assert!(manifest.is_tiling());
            assert!(manifest.runs.iter().map(|run| run.file_bytes).try_fold(0, u64::checked_add).is_some());
            for run in &manifest.runs {
                assert!(run.footer_bytes < run.file_bytes && run.footer_offset >= PAGE as u64);
            }
        }
        body.truncate(random.usize(0..body.len()));
        assert!(Manifest::decode(&body).is_err());
    }
}
