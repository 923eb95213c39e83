//! Checkpoints without a log: a stock of goods as sorted entries, its settings as a section.
//!
//! `cargo run --release --example checkpoints_alone` makes a full and an incremental checkpoint, reads archives in place,
//! removes old checkpoints, then damages files and shows how they are read all the same.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use laminar_checkpoint::{Checkpoint, CheckpointManager, CheckpointOptions, Create, Env, archived};
use laminar_vfs::OpenMode;
use rkyv::{Archive, Serialize, rancor};

/// What the stock holds of one kind of goods: the value of an entry.
#[derive(Archive, Serialize)]
struct Item {
    pieces: u32,
    price_cents: u64,
}

/// How the shop is run: a value that is read whole, so it is a section.
#[derive(Archive, Serialize)]
struct Settings {
    currency: String,
    opening_hours: Vec<(u8, u8)>,
}

type Entry = (String, Option<Vec<u8>>);

fn item(name: &str, pieces: u32, price_cents: u64) -> Result<Entry, rancor::Error> {
    let archive = rkyv::to_bytes::<rancor::Error>(&Item { pieces, price_cents })?;
    Ok((name.to_owned(), Some(archive.to_vec())))
}

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let manager = CheckpointManager::open(scratch.path().join("checkpoints"), CheckpointOptions::new())?;

    println!("1. A full checkpoint: a thousand kinds of goods, and the settings.");
    let stock: Result<BTreeMap<_, _>, _> = (0..1000u32).map(|i| item(&format!("goods/{i:04}"), i, 995)).collect();
    let settings = Settings { currency: "EUR".to_owned(), opening_hours: vec![(9, 18), (10, 14)] };
    let create = Create::new(1).entries(stock?).section("settings", &settings).source_offset("deliveries", 17);
    let monday = manager.create(create)?;
    describe(&monday)?;

    println!("\n2. An incremental one: two kinds changed, one is gone. Only that is written, the rest is shared.");
    let changes = [item("goods/0007", 70, 995)?, ("goods/0008".to_owned(), None), item("goods/2000", 1, 50_000)?];
    let create = Create::new(2).base(&monday).entries(changes).section("settings", &settings);
    let tuesday = manager.create(create.source_offset("deliveries", 18))?;
    describe(&tuesday)?;

    println!("\n3. Reading in place. Nothing is parsed and nothing is copied.");
    let value = tuesday.get(b"goods/2000")?.ok_or("goods/2000 was there a moment ago")?;
    let found = archived::<Item>(value)?;
    println!("   goods/2000 on Tuesday: {} piece(s) at {} cents", found.pieces, found.price_cents);
    println!(
        "   goods/0008 on Tuesday: {:?}; on Monday it was there: {}",
        tuesday.get(b"goods/0008")?,
        monday.contains(b"goods/0008")?
    );
    let settings = tuesday.section::<Settings>("settings")?;
    println!("   the section: prices in {}, open on {} days", settings.currency, settings.opening_hours.len());
    let pieces: u64 = sum(&tuesday, b"goods/00")?;
    println!("   pieces of all goods/00..: {pieces}");

    println!("\n4. Retention: of four checkpoints the two newest stay, and what a handle still uses.");
    drop(monday);
    let wednesday = manager.create(Create::new(3).base(&tuesday).entries([item("goods/0001", 5, 995)?]))?;
    let thursday = manager.create(Create::new(4).base(&wednesday).entries([item("goods/0002", 6, 995)?]))?;
    let cleanup = manager.cleanup_old(2)?;
    println!("   removed {:?}, kept because it is in use {:?}", cleanup.removed, cleanup.kept_in_use);

    println!("\n5. One byte of a run is damaged on disk.");
    let run = thursday.runs().first().ok_or("the checkpoint has runs")?.path().to_owned();
    let expected = sum(&thursday, b"goods/")?;
    drop((tuesday, wednesday, thursday));
    damage(&run, 4096 + 100)?;
    let opened = manager.open_newest_valid()?;
    let newest = opened.checkpoint.ok_or("there are checkpoints")?;
    assert_eq!(sum(&newest, b"goods/")?, expected, "every value is what was written");
    for healed in newest.healed() {
        println!(
            "   made good: {:?} of {} bytes at {} of {}",
            healed.part,
            healed.bytes,
            healed.offset,
            name(&healed.path)
        );
    }
    println!("   checkpoint {} holds all that it held: {expected} pieces", newest.id());

    println!("\n6. The newest checkpoint loses its MANIFEST.");
    Env::real().vfs.remove_file(&newest.state_path().join("MANIFEST"))?;
    drop(newest);
    let opened = manager.open_newest_valid()?;
    for passed in &opened.passed_over {
        println!(
            "   passed over checkpoint {}: {}",
            passed.id,
            passed.reason.to_string().replace(&scratch.path().display().to_string(), "..")
        );
    }
    println!("   opened instead: checkpoint {}", opened.checkpoint.ok_or("an older one is valid")?.id());
    Ok(())
}

/// Prints what a checkpoint is and what it cost.
fn describe(checkpoint: &Checkpoint) -> Result<(), Box<dyn Error>> {
    let stats = checkpoint.stats();
    println!(
        "   checkpoint {} at position {}: {} entries in {} run(s), source offsets {:?}",
        checkpoint.id(),
        checkpoint.wal_position(),
        checkpoint.len()?,
        checkpoint.depth(),
        checkpoint.source_offsets()
    );
    println!(
        "   written: {} entries, {} KiB; shared: {} run(s)",
        stats.entries_written,
        stats.bytes_written / 1024,
        stats.linked
    );
    Ok(())
}

/// The pieces of all goods whose names begin with `prefix`.
fn sum(checkpoint: &Checkpoint, prefix: &[u8]) -> Result<u64, Box<dyn Error>> {
    let mut pieces = 0;
    for entry in checkpoint.prefix(prefix) {
        pieces += u64::from(archived::<Item>(entry?.1)?.pieces.to_native());
    }
    Ok(pieces)
}

/// Turns over the bits of one byte of a file.
fn damage(path: &Path, offset: u64) -> Result<(), Box<dyn Error>> {
    let file = Env::real().vfs.open(path, OpenMode::Write)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&byte.map(|byte| !byte), offset)?;
    println!("   byte {offset} of {}: {:#04x} is now {:#04x}", name(path), byte[0], !byte[0]);
    Ok(())
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
