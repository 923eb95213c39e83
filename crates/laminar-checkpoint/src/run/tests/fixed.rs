//! Runs of entries of the same lengths, and of others between them: whatever block an entry comes to lie in, it is found, scanned, healed and
//! verified, and its value begins where it should.

use super::*;
use crate::format::run::MAX_CHAPTER_ENTRIES;
use crate::verify::Findings;

pub(super) const PATH: &str = "fixed";

/// An entry of the run with number `i`: keys ascend with it.
pub(super) type Shaped = fn(u32) -> (Vec<u8>, Option<Vec<u8>>);

pub(super) fn key(i: u32) -> Vec<u8> {
    format!("key {i:012}").into_bytes()
}

pub(super) fn of(i: u32, bytes: usize) -> Option<Vec<u8>> {
    Some(i.wrapping_mul(0x9E37_79B1).to_le_bytes().into_iter().cycle().take(bytes).collect())
}

pub(super) fn written(disk: &SimDisk, alignment: usize, count: u32, shaped: Shaped) -> RunRecord {
    let identity = Identity { run_id: 79, from: 3, to: 9, hash_seed: 1, is_base: false };
    let options = options(disk.env()).value_alignment(alignment);
    let mut writer = RunWriter::create(&options, Path::new(PATH), identity).unwrap();
    for i in 0..count {
        let (key, value) = shaped(i);
        writer.push(&key, value.as_deref()).unwrap();
    }
    writer.finish().unwrap().record
}

pub(super) fn opened(disk: &SimDisk, record: &RunRecord, mode: ReadMode) -> Run {
    let file = RunFile::open(&*disk.env().vfs, Path::new(PATH), record, mode).unwrap();
    Run::new(Arc::new(file), Path::new(PATH))
}

/// Everything that can be asked of the run.
fn check(run: &Run, count: u32, shaped: Shaped, what: &str) {
    let mut entries = run.iter();
    for i in 0..count {
        let (key, value) = shaped(i);
        assert_eq!(entries.next().unwrap().unwrap(), (key.as_slice(), value.as_deref()), "{what}: {i}");
        let found = run.get(run.hash(&key), &key).unwrap().unwrap();
        assert_eq!(found, crate::Found::from(value.as_deref()), "{what}: {i}");
        let behind = [key.as_slice(), &[0]].concat();
        assert_eq!(run.get(run.hash(&behind), &behind).unwrap(), None, "{what}: behind {i}");
        if i % 5 == 0 {
            let mut from = run.range(Bound::Included(key.as_slice()), Bound::Unbounded);
            assert_eq!(from.next().unwrap().unwrap().0, key, "{what}: from {i}");
            let next = run.range(Bound::Excluded(key.as_slice()), Bound::Unbounded).next();
            assert_eq!(next.map(|entry| entry.unwrap().0.to_vec()), (i + 1 < count).then(|| shaped(i + 1).0), "{what}");
        }
    }
    assert!(entries.next().is_none(), "{what}");
}

fn assert_verifies(run: &Run, what: &str) {
    let mut progress = |_| {};
    let mut findings = Findings::new(0, &mut progress);
    crate::run::verify(&run.file, &mut findings);
    assert!(!findings.has_damage(Path::new(PATH)), "{what}");
}

/// Entries of all patterns, and for how many blocks of a run of them are fixed, at least and at most.
const PATTERNS: [(&str, u32, usize, usize, Shaped); 11] = [
    ("all alike", 3400, 100, 100, |i| (key(i), of(i, 100))),
    ("one more", 3401, 100, 100, |i| (key(i), of(i, 100))),
    ("fewer than a block", 30, 0, 0, |i| (key(i), of(i, 100))),
    ("every fiftieth is a tombstone", 5000, 40, 50, |i| (key(i), if i % 50 == 40 { None } else { of(i, 100) })),
    ("every thirtieth is longer", 3000, 0, 0, |i| (key(i), of(i, if i % 30 == 0 { 101 } else { 100 }))),
    ("a few are wide", 3000, 60, 88, |i| (key(i), of(i, if i % 600 == 50 { 9000 } else { 100 }))),
    ("the second half is of another length", 4000, 58, 59, |i| (key(i), of(i, if i < 2000 { 100 } else { 50 }))),
    ("the first is another", 3000, 87, 87, |i| (key(i), of(i, if i == 0 { 5 } else { 100 }))),
    ("short ones", 3000, 11, 11, |i| (i.swap_bytes().to_le_bytes().to_vec(), of(i, 4))),
    ("no values", 3000, 11, 11, |i| (key(i), of(i, 0))),
    ("long ones", 300, 99, 100, |i| (key(i), of(i, 5000))),
];

#[test]
fn entries_of_all_patterns_are_found_where_they_lie() {
    for (what, count, least, most, shaped) in PATTERNS {
        for alignment in [1, 8, 16] {
            let disk = SimDisk::new(1);
            let record = written(&disk, alignment, count, shaped);
            let fixed = fixed_blocks(&disk, Path::new(PATH), &record).len();
            assert!(alignment != 8 || (least..=most).contains(&fixed), "{what}: {fixed} fixed blocks");
            assert_eq!(fixed > 0, most > 0, "{what}: {fixed} fixed blocks");
            for mode in [ReadMode::Mapped, ReadMode::Owned] {
                let run = opened(&disk, &record, mode);
                // The second time all is verified and goes the short way.
                (0..2).for_each(|round| check(&run, count, shaped, &format!("{what} {alignment} {mode:?} {round}")));
                for value in run.iter().filter_map(|entry| entry.unwrap().1).filter(|value| !value.is_empty()) {
                    assert!(value.as_ptr().addr().is_multiple_of(alignment), "{what} {alignment}");
                }
            }
            assert_verifies(&opened(&disk, &record, ReadMode::Mapped), what);
        }
    }
}

#[test]
fn a_damaged_block_of_either_kind_is_made_good() {
    for (what, count, _, most, shaped) in PATTERNS {
        let disk = SimDisk::new(1);
        let record = written(&disk, 8, count.min(600), shaped);
        let file = disk.read_file(PATH).unwrap();
        let footer = index(record.footer_offset) / PAGE;
        for (page, at) in (1..file.len() / PAGE).flat_map(|page| [(page, 9), (page, PAGE - 100)]) {
            let damaged = disk.fork();
            // Its end with it, where it says which kind it is.
            damaged.overwrite(Path::new(PATH), (page * PAGE + at) as u64, &[0x5a; 100]).unwrap();
            let run = opened(&damaged, &record, ReadMode::Mapped);
            check(&run, count.min(600), shaped, &format!("{what}: page {page} of {most}"));
            let is_parity = |page: usize| {
                let blocks = run.file.footer.chapters.iter().flat_map(|chapter| chapter.all_blocks());
                let here = (page * PAGE) as u64;
                blocks
                    .filter(|block| block.kind == Kind::Parity)
                    .any(|block| (block.offset..block.offset + block.bytes as u64).contains(&here))
            };
            assert!(page >= footer || is_parity(page) || run.healed().len() == 1, "{what}: page {page}");
            let values = run.iter().filter_map(|entry| entry.unwrap().1).filter(|value| !value.is_empty());
            assert!(values.into_iter().all(|value| value.as_ptr().addr().is_multiple_of(8)), "{what}: page {page}");
        }
    }
}

#[test]
fn the_short_way_leads_to_fixed_entries() {
    let disk = SimDisk::new(1);
    let shaped: Shaped = |i| (key(i), of(i, 100));
    let record = written(&disk, 8, 3400, shaped);
    let run = opened(&disk, &record, ReadMode::Mapped);
    check(&run, 3400, shaped, "all are touched");
    for i in 0..3400 {
        let key = key(i);
        let (hash, whole, way) = (run.hash(&key), run.file.pages.whole(), &run.file.ways[0]);
        let bucket = whole.bucket(way, hash).unwrap();
        let found = whole.find(way, bucket, hash, Key::from(key.as_slice())).unwrap().unwrap();
        assert_eq!((found.key, found.value.unwrap()), (key.as_slice(), of(i, 100).unwrap().as_slice()));
    }
}

#[test]
fn a_chapter_ends_within_a_block_that_could_have_been_fixed() {
    // 255 a block: the last of a full chapter has one too many for it.
    let shaped: Shaped = |i| (i.swap_bytes().to_le_bytes().to_vec(), of(i, 4));
    let disk = SimDisk::new(1);
    let count = u32::try_from(MAX_CHAPTER_ENTRIES).unwrap() * 2 + 300;
    let record = written(&disk, 8, count, shaped);
    let run = opened(&disk, &record, ReadMode::Mapped);
    let chapters: Vec<u32> = run.file.footer.chapters.iter().map(|chapter| chapter.entries).collect();
    assert_eq!(chapters, [65536, 65536, 300]);
    check(&run, count, shaped, "two chapters and a half");
}

#[test]
fn a_chapter_may_end_while_entries_are_given_headers() {
    // One block of nearly all that a chapter may take, then 33 entries that open the last unit as a fixed block. As others only 31 fit.
    let shaped: Shaped = |i| match i {
        0 => (key(i), of(i, 4095 * 4096 - 200)),
        1..=33 => (key(i), of(i, 100)),
        _ => (key(i), of(i, 101)),
    };
    let disk = SimDisk::new(1);
    let record = written(&disk, 8, 40, shaped);
    let run = opened(&disk, &record, ReadMode::Mapped);
    let chapters: Vec<u32> = run.file.footer.chapters.iter().map(|chapter| chapter.entries).collect();
    assert_eq!(chapters, [32, 8]);
    let last = run.file.footer.key(&run.file.footer.chapters[0].last_key);
    assert_eq!(last, key(31));
    check(&run, 40, shaped, "over the end of a chapter");
    assert_verifies(&run, "over the end of a chapter");
}

#[test]
fn a_slot_that_names_no_entry_is_refused_and_heals_nothing() {
    let disk = SimDisk::new(1);
    let record = written(&disk, 8, 3401, |i| (key(i), of(i, 100)));
    let run = opened(&disk, &record, ReadMode::Mapped);
    let (file, chapter) = (&run.file, &run.file.footer.chapters[0]);
    let cells = index(u64::from(chapter.unit)) / 16;
    let units = chapter.units as usize;
    // Behind the last entry of a fixed block, and blocks that are no data.
    for cell in [34, cells - 1, units * cells, (units + 2) * cells + 5, (1 << 20) - 1] {
        let error = file.entry(0, chapter, cell).unwrap_err();
        assert!(matches!(error, crate::Error::Corrupt { reason: crate::Reason::Structure, .. }), "{cell}: {error}");
        let way = &file.ways[0];
        assert_eq!(file.pages.whole().entry(way, cell), None, "{cell}");
    }
    assert_eq!(file.entry(0, chapter, 33).unwrap().key, key(33));
    assert!(file.pages.whole().entry(&file.ways[0], 33).is_some() && run.healed().is_empty());
}
