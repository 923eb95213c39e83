//! Every record and the identity come back as they were written; anything else is refused.

use super::*;

fn offsets(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|&(name, offset)| (name.to_owned(), offset)).collect()
}

/// Offsets as a commit takes them; `None` is a removal.
fn changed(pairs: &[(&str, Option<u64>)]) -> BTreeMap<String, Option<u64>> {
    pairs.iter().map(|&(name, offset)| (name.to_owned(), offset)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_worked_example_of_the_document_is_what_is_written() {
    let document = include_str!("../../FORMAT.md");
    let mut record = vec![0; put_len(b"k", b"v")];
    encode_put(&mut record, [0, 0, 0, 1], b"k", b"v");
    assert!(document.contains(&hex(&record)), "{}", hex(&record));
    encode_commit(&mut record, Some(Lsn::new(4136)), &changed(&[("s", Some(7))]));
    assert!(document.contains(&hex(&record)), "{}", hex(&record));
    encode_commit(&mut record, None, &changed(&[("s", None), ("t", Some(1))]));
    assert!(document.contains(&hex(&record)), "{}", hex(&record));
}

#[test]
fn records_come_back() {
    let mut record = vec![0; put_len(b"key", b"")];
    encode_put(&mut record, *b"spac", b"key", b"");
    assert_eq!(Record::decode(&record), Some(Record::Put { key: b"spackey", value: b"" }));

    let mut record = vec![0; delete_len(b"key")];
    encode_delete(&mut record, *b"spac", b"key");
    assert_eq!(Record::decode(&record), Some(Record::Delete { key: b"spackey" }));

    let all = changed(&[("", Some(1)), ("a", Some(u64::MAX)), ("\u{e9}", Some(0))]);
    encode_commit(&mut record, None, &all);
    let Some(Record::Commit(commit)) = Record::decode(&record) else { panic!("a commit") };
    assert_eq!(commit.first, None);
    let mut read = offsets(&[("a", 5), ("kept", 9)]);
    assert_eq!(commit.apply(&mut read), Some(()));
    assert_eq!(read, offsets(&[("", 1), ("a", u64::MAX), ("kept", 9), ("\u{e9}", 0)]));
}

#[test]
fn removals_come_back() {
    let mut record = Vec::new();
    encode_commit(
        &mut record,
        Some(Lsn::new(9)),
        &changed(&[("", None), ("new", Some(3)), ("old", None), ("x", None)]),
    );
    assert_eq!(record[0], KIND_COMMIT_REMOVING, "who knows of no removals refuses it");
    let Some(Record::Commit(commit)) = Record::decode(&record) else { panic!("a commit") };
    assert_eq!(commit.first, Some(Lsn::new(9)));
    let mut read = offsets(&[("", 8), ("kept", 1), ("old", 2)]);
    assert_eq!(commit.apply(&mut read), Some(()));
    assert_eq!(read, offsets(&[("kept", 1), ("new", 3)]));
}

#[test]
fn cut_or_foreign_records_are_refused() {
    let mut record = Vec::new();
    for changes in [&[("source", Some(7))][..], &[("source", Some(7)), ("x", None), ("y", None)], &[("x", None)]] {
        encode_commit(&mut record, Some(Lsn::new(1)), &changed(changes));
        for len in 0..record.len() {
            let whole = Record::decode(&record[..len]).is_some_and(|record| match record {
                Record::Commit(commit) => commit.apply(&mut BTreeMap::new()).is_some(),
                _ => true,
            });
            assert!(!whole, "{len} bytes pass for the whole commit");
        }
        record.push(0);
        let Some(Record::Commit(commit)) = Record::decode(&record) else { panic!("a commit") };
        assert_eq!(commit.apply(&mut BTreeMap::new()), None, "bytes after the last offset");
    }
    assert_eq!(Record::decode(&[9, 0, 0]), None);
    assert_eq!(Record::decode(&[KIND_PUT, 200, 0, 0, 0, 1]), None, "a key longer than the record");
}

#[test]
fn every_flipped_bit_of_an_identity_is_noticed() {
    let identity = Identity { log_id: 0x1234, hash_seed: 77 };
    let file = identity.encode();
    assert_eq!(Identity::decode(&file[..IDENTITY_BYTES]), Ok(identity));
    assert_eq!(Identity::decode(&file[SECOND_COPY_OFFSET..]), Ok(identity));
    for bit in 0..IDENTITY_BYTES * 8 {
        let mut damaged = file[..IDENTITY_BYTES].to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Identity::decode(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_future_version_is_told_from_damage() {
    let file = Identity { log_id: 1, hash_seed: 0 }.encode_as(VERSION + 1);
    assert_eq!(Identity::decode(&file[..IDENTITY_BYTES]), Err(BadIdentity::Version(VERSION + 1)));
    assert_eq!(Identity::decode(&[0; IDENTITY_BYTES]), Err(BadIdentity::Corrupt("the block is zero")));
    assert_eq!(Identity::decode(&[b'x'; IDENTITY_BYTES]), Err(BadIdentity::Foreign));
}
