//! The format does not change unnoticed: what version 1 wrote opens, what is written today is the same byte for byte, a
//! future version and foreign settings are refused as such, and FORMAT.md shows what is really written.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test says where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create, Env, Error, Reason};
use laminar_vfs::sim::SimDisk;
use laminar_vfs::{OpenMode, Random};
use scratch::{Map, contents, key, value};

const DIR: &str = "checkpoints/checkpoint-00000000000000000002";

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A file of the golden directory.
fn golden(name: &str) -> Vec<u8> {
    let file = Env::real().vfs.open(&golden_dir().join(name), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn entries(from: u64, to: u64) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    (from..to).map(|i| (key(i), (i % 9 != 5).then(|| value(i, 100)))).collect()
}

/// Ids that are the same each time.
#[derive(Debug)]
struct Numbered(AtomicU64);

impl Random for Numbered {
    fn id(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::AcqRel)) * 0x0101_0101_0101_0101_0101_0101_0101_0101
    }
}

/// The checkpoint that the golden files hold: a base run of one block, a run of several with every kind of index, and
/// a section.
fn written() -> (SimDisk, Map) {
    let disk = SimDisk::new(2013);
    let env = Env { random: Arc::new(Numbered(AtomicU64::new(1))), ..disk.env() };
    let options = CheckpointOptions::new().env(env).hash_seed(7).lineage(0x6c61_6d69_6e61_7231);
    let manager = CheckpointManager::open("checkpoints", options).unwrap();
    let base =
        Create::new(1000).entries([("apple", Some("red")), ("pear", Some("green"))]).timestamp_ms(1_357_000_000_000);
    let base = manager.create(base).unwrap();
    let create = Create::new(2000).base(&base).merge(false).entries(entries(0, 40)).timestamp_ms(1_357_000_060_000);
    let create = create.source_offset("flights", 42).source_offset("\u{fc}ber", 7);
    let checkpoint = manager.create(create.tagged_section("A b", &vec![1u32, 2, 3], 9)).unwrap();
    let model = contents(&checkpoint).unwrap();
    (disk, model)
}

const FILES: [&str; 4] = [
    "%41%20b.section",
    "00000000000000000000-00000000000000001000.run",
    "00000000000000001000-00000000000000002000.run",
    "MANIFEST",
];

const FIXED_DIR: &str = "checkpoints/checkpoint-00000000000000000001";
const FIXED_FILES: [&str; 2] = ["00000000000000000000-00000000000000001000.run", "MANIFEST"];

/// A checkpoint with fixed blocks, and others in the same chapter.
fn written_fixed() -> (SimDisk, Map) {
    let disk = SimDisk::new(2026);
    let env = Env { random: Arc::new(Numbered(AtomicU64::new(1))), ..disk.env() };
    let options = CheckpointOptions::new().env(env).hash_seed(7).value_alignment(8);
    let manager = CheckpointManager::open("checkpoints", options).unwrap();
    let alike = (0..150).map(|i| (key(i), Some(value(i, if i == 80 { 90 } else { 100 }))));
    let checkpoint = manager.create(Create::new(1000).entries(alike).timestamp_ms(1_357_000_000_000)).unwrap();
    let model = contents(&checkpoint).unwrap();
    (disk, model)
}

/// Makes the golden files that are not there yet; never touches those that exist.
#[test]
#[ignore = "run by hand when the format gets a new version, or another kind of block"]
fn write_golden_files() {
    let vfs = Env::real().vfs;
    let put = |dir: &str, name: &str, bytes: &[u8]| {
        let dir = golden_dir().join(dir);
        laminar_vfs::create_dir_durable(&*vfs, &dir).unwrap();
        if vfs.open(&dir.join(name), OpenMode::Read).is_err() {
            vfs.open(&dir.join(name), OpenMode::CreateNew).unwrap().write_all_at(bytes, 0).unwrap();
        }
    };
    let (disk, _) = written();
    FILES.iter().for_each(|name| put("v1", name, &disk.read_file(Path::new(DIR).join(name)).unwrap()));
    put("future", "MANIFEST", &of_version(&golden("v1/MANIFEST"), "MANIFEST", 2));
    let (disk, _) = written_fixed();
    let read = |name: &&str| disk.read_file(Path::new(FIXED_DIR).join(name)).unwrap();
    FIXED_FILES.iter().for_each(|name| put("v1-fixed", name, &read(name)));
}

/// Puts a number into every header of a file that has it at `at`, and mends the headers' checksums.
fn patched(bytes: &[u8], name: &str, at: usize, value: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let half = bytes.len() / 2;
    let headers = match name {
        "MANIFEST" => vec![(0, 60), (half, 60)],
        name if name.ends_with(".section") => vec![(0, 508), (bytes.len() - 4096, 508)],
        _ => vec![(0, 508)],
    };
    for (start, crc_at) in headers {
        bytes[start + at..start + at + 4].copy_from_slice(&value.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[start..start + crc_at]);
        bytes[start + crc_at..start + crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

fn of_version(bytes: &[u8], name: &str, version: u32) -> Vec<u8> {
    patched(bytes, name, 8, version)
}

/// A disk with the golden checkpoint.
fn golden_disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.env().vfs.create_dir("copy".as_ref()).unwrap();
    for name in FILES {
        disk.write_file(Path::new("copy").join(name), &golden(&format!("v1/{name}"))).unwrap();
    }
    disk
}

fn open(disk: &SimDisk) -> Result<Checkpoint, Error> {
    Checkpoint::open("copy", &CheckpointOptions::new().env(disk.env()))
}

#[test]
fn version_1_opens() {
    let (_, model) = written();
    let checkpoint = open(&golden_disk()).unwrap();
    assert_eq!((checkpoint.id(), checkpoint.wal_position(), checkpoint.timestamp_ms()), (2, 2000, 1_357_000_060_000));
    assert_eq!(checkpoint.lineage(), 0x6c61_6d69_6e61_7231);
    assert_eq!(contents(&checkpoint).unwrap(), model);
    for (key, value) in &model {
        assert_eq!(checkpoint.get(key).unwrap(), Some(value.as_slice()));
    }
    assert_eq!(checkpoint.get(b"grape").unwrap(), None);
    assert_eq!(checkpoint.section::<Vec<u32>>("A b").unwrap()[2].to_native(), 3);
    assert_eq!((checkpoint.section_tag("A b").unwrap(), checkpoint.source_offsets()["flights"]), (9, 42));
    assert!(checkpoint.healed().is_empty() && checkpoint.is_verified());
}

#[test]
fn what_is_written_today_is_version_1_byte_for_byte() {
    let (disk, _) = written();
    let names: Vec<String> =
        disk.env().vfs.list(DIR.as_ref()).unwrap().into_iter().map(|entry| entry.name.into_string().unwrap()).collect();
    assert_eq!(names, FILES);
    for name in FILES {
        let today = disk.read_file(Path::new(DIR).join(name)).unwrap();
        assert!(today == golden(&format!("v1/{name}")), "{name} differs: a new format needs a new version");
    }
}

#[test]
fn a_checkpoint_with_fixed_blocks_opens_and_is_written_the_same_today() {
    let (written, model) = written_fixed();
    let disk = SimDisk::new(1);
    disk.env().vfs.create_dir("copy".as_ref()).unwrap();
    for name in FIXED_FILES {
        let bytes = golden(&format!("v1-fixed/{name}"));
        assert!(written.read_file(Path::new(FIXED_DIR).join(name)).unwrap() == bytes, "{name} differs");
        disk.write_file(Path::new("copy").join(name), &bytes).unwrap();
    }
    let checkpoint = open(&disk).unwrap();
    assert_eq!(contents(&checkpoint).unwrap(), model);
    for (key, value) in &model {
        assert_eq!(checkpoint.get(key).unwrap(), Some(value.as_slice()));
    }
    assert!(checkpoint.healed().is_empty());
}

#[test]
fn a_future_version_is_refused_as_such_and_not_passed_over() {
    let disk = golden_disk();
    disk.write_file("copy/MANIFEST", &golden("future/MANIFEST")).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, Error::Version { path, found: 2, supported: 1 } if path.ends_with("MANIFEST")), "{error}");
    for name in FILES {
        let disk = golden_disk();
        let future = of_version(&golden(&format!("v1/{name}")), name, 2);
        disk.write_file(Path::new("copy").join(name), &future).unwrap();
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, Error::Version { found: 2, supported: 1, .. }), "{name}: {error}");
        // The same number with a checksum that does not fit is damage.
        let disk = golden_disk();
        let mut damaged = golden(&format!("v1/{name}"));
        damaged[8] = 2;
        disk.write_file(Path::new("copy").join(name), &damaged).unwrap();
        assert_eq!(open(&disk).unwrap().healed_count(), 1, "{name}");
    }
    let (disk, _) = written();
    let manager = || CheckpointManager::open("checkpoints", CheckpointOptions::new().env(disk.env())).unwrap();
    disk.write_file(Path::new(DIR).join("MANIFEST"), &golden("future/MANIFEST")).unwrap();
    assert!(matches!(manager().open_newest_valid(), Err(Error::Version { .. })));
    assert!(matches!(manager().cleanup_old(1), Err(Error::Version { .. })));
    assert_eq!(manager().list().unwrap().len(), 2, "nothing was removed");
}

#[test]
fn foreign_settings_and_foreign_files_are_refused() {
    for name in FILES.iter().filter(|name| name.ends_with(".section")) {
        let disk = golden_disk();
        // Pointers of eight bytes.
        let foreign = patched(&golden(&format!("v1/{name}")), name, 12, 0x0808_0101);
        disk.write_file(Path::new("copy").join(name), &foreign).unwrap();
        let error = open(&disk).unwrap_err();
        assert!(matches!(&error, Error::Foreign { why, .. } if why.contains("rkyv settings")), "{error}");
    }
    let disk = golden_disk();
    disk.write_file("copy/MANIFEST", &[b'#'; 9000]).unwrap();
    assert!(matches!(open(&disk), Err(Error::Foreign { .. })));
}

#[test]
fn files_of_other_checkpoints_do_not_pass_for_ours() {
    let (other, _) = {
        let disk = SimDisk::new(77);
        let options = CheckpointOptions::new().env(disk.env()).hash_seed(7);
        let manager = CheckpointManager::open("checkpoints", options).unwrap();
        let base =
            manager.create(Create::new(1000).entries([("apple", Some("red")), ("pear", Some("green"))])).unwrap();
        let create = Create::new(2000).base(&base).merge(false).entries(entries(0, 40));
        manager.create(create.tagged_section("A b", &vec![1u32, 2, 3], 9)).unwrap();
        (disk, ())
    };
    for name in FILES.iter().filter(|name| **name != "MANIFEST") {
        let disk = golden_disk();
        disk.write_file(Path::new("copy").join(name), &other.read_file(Path::new(DIR).join(name)).unwrap()).unwrap();
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, Error::Corrupt { reason: Reason::Mismatch, .. }), "{name}: {error}");
    }
}

/// Lines of sixteen bytes, as FORMAT.md shows them.
fn dump(bytes: &[u8], from: usize, lines: usize) -> Vec<String> {
    let line = |at: usize| {
        let row = &bytes[at..at + 16];
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            row.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).collect();
        format!("{at:05x}  {}  {}  {text}", hex[..8].join(" "), hex[8..].join(" "))
    };
    (0..lines).map(|number| line(from + number * 16)).collect()
}

#[test]
fn the_worked_example_of_the_format_is_what_is_written() {
    let run = golden("v1/00000000000000000000-00000000000000001000.run");
    let manifest = golden("v1/MANIFEST");
    let mut expected = dump(&run, 0, 4);
    expected.extend(dump(&run, 4096, 5));
    expected.extend(dump(&run, 8192 - 32, 2));
    expected.extend(dump(&golden("v1-fixed/00000000000000000000-00000000000000001000.run"), 0x1060, 2));
    expected.extend(dump(&manifest, 0, 5));
    let file = Env::real().vfs.open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("FORMAT.md"), OpenMode::Read).unwrap();
    let mut text = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut text, 0).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in &expected {
        assert!(text.contains(line), "FORMAT.md lacks a line of:\n{}", expected.join("\n"));
    }
}
