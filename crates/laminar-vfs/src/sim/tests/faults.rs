//! Faults, space, and damage at rest.

use super::*;
use crate::Op;

#[test]
fn after_a_failed_sync_the_cache_lies() {
    let (disk, vfs) = fresh();
    let file = create(&*vfs, "a", b"old");
    file.sync_data().unwrap();
    vfs.sync_dir("/".as_ref()).unwrap();
    file.write_all_at(b"new", 0).unwrap();
    disk.fail(Fault::new(FaultKind::Io).on(Op::SyncData));
    assert!(file.sync_data().is_err());
    file.sync_data().expect("the second sync says OK");
    assert_eq!(disk.read_file("a").unwrap(), b"new");
    disk.kill();
    assert_eq!(disk.read_file("a").unwrap(), b"new", "the next process of the same boot is lied to as well");
    assert_eq!(disk.crash_keep_all().read_file("a").unwrap(), b"old");
    let file = disk.env().vfs.open("a".as_ref(), OpenMode::Write).unwrap();
    file.evict();
    assert_eq!(disk.read_file("a").unwrap(), b"old");
}
