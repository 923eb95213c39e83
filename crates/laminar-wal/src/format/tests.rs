//! Every header, group and frame comes back as it was written; every flipped bit is noticed.

use super::*;

fn id() -> LogId {
    LogId::new(1)
}

fn segment() -> SegmentHeader {
    SegmentHeader {
        log_id: id(),
        first: 0,
        length: 3 * PAGE,
        stride: 3 * PAGE,
        generation: 1,
        proven_to: 0,
        cut_from: None,
        before: 0,
        zero_filled: false,
    }
}

fn identity() -> Identity {
    Identity { log_id: id(), stride: 16 << 10, start: 5, first_segment: 16 << 10, epoch: 9 }
}

fn mark() -> CloseMark {
    CloseMark { log_id: id(), segment: 1, generation: 2, end: 3, next_group: 4, prev_end: 5 }
}

fn group() -> GroupHeader {
    GroupHeader {
        kind: GroupKind::Records,
        len: 61,
        durable: 0,
        prev_end: 0,
        batch_end: 0,
        successor: 0,
        then_page: true,
    }
}

/// A group of one record, as the buffer makes it.
fn hello() -> Vec<u8> {
    let seed = segment().seed();
    let header = group().encode(seed, PAGE);
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(b"........hello");
    seal_frame(&mut bytes[GROUP_HEADER..], seed, PAGE + GROUP_HEADER as u64, false);
    bytes.extend_from_slice(&group_trailer(&header));
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    bytes.chunks(16).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_in_the_format_document_is_what_is_written() {
    let expected = hex(&hello());
    assert!(include_str!("../../FORMAT.md").contains(&expected), "the example should be\n{expected}");
}

#[test]
fn blocks_decode_to_what_was_encoded() {
    assert_eq!(Identity::decode(&identity().encode()), Ok(identity()));
    for cut_from in [None, Some(0), Some(77)] {
        let header =
            SegmentHeader { first: 12 * PAGE, proven_to: 3, cut_from, before: 8, zero_filled: true, ..segment() };
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
    assert_eq!(CloseMark::decode(&mark().encode()), Ok(mark()));
    for kind in [GroupKind::Seal, GroupKind::Mark] {
        let header = GroupHeader { kind, len: 48, durable: 3, prev_end: 4, batch_end: 2, then_page: false, ..group() };
        assert_eq!(GroupHeader::decode(&header.encode(7, 99), 7, 99), Some(header));
    }
}

#[test]
fn any_flipped_bit_of_a_block_is_noticed() {
    let blocks = [identity().encode(), segment().encode(), mark().encode()];
    for block in blocks {
        for bit in 0..BLOCK * 8 {
            let mut block = block;
            block[bit / 8] ^= 1 << (bit % 8);
            let expected =
                if bit < 64 { BadBlock::Foreign } else { BadBlock::Corrupt("the header's checksum does not match") };
            let identity = Identity::decode(&block).err();
            let found = [identity, SegmentHeader::decode(&block).err(), CloseMark::decode(&block).err()];
            assert!(found.contains(&Some(expected)), "bit {bit}: {found:?}");
            for bad in found {
                assert!(bad == Some(expected) || bad == Some(BadBlock::Foreign), "bit {bit}: {bad:?}");
            }
        }
    }
}

#[test]
fn a_later_version_is_told_from_damage() {
    let mut block = segment().encode();
    block[8] = 2;
    assert_eq!(SegmentHeader::decode(&block), Err(BadBlock::Corrupt("the header's checksum does not match")));
    assert_eq!(SegmentHeader::decode(&finish_block(block)), Err(BadBlock::Version(2)));
    // What a later version means by the bytes that are zero now is its own business.
    block[100] = 1;
    assert_eq!(SegmentHeader::decode(&finish_block(block)), Err(BadBlock::Version(2)));
    block[8] = 1;
    let reserved = BadBlock::Corrupt("reserved bytes of the header are not zero");
    assert_eq!(SegmentHeader::decode(&finish_block(block)), Err(reserved));
    assert_eq!(SegmentHeader::decode(&[0; BLOCK]), Err(BadBlock::Corrupt("the header is all zeros")));
}

#[test]
fn a_group_and_a_record_verify_only_at_their_own_place() {
    let bytes = hello();
    let seed = segment().seed();
    let header = bytes.first_chunk().unwrap();
    let frame = &bytes[GROUP_HEADER..GROUP_HEADER + FRAMING + 5];
    assert_eq!(GroupHeader::decode(header, seed, PAGE), Some(group()));
    assert_eq!(frame_word(*frame.first_chunk().unwrap()), (5, false));
    assert!(frame_verifies(frame, seed, PAGE + 48));
    for at in (0..1 << 16).step_by(512).filter(|at| *at != PAGE) {
        assert_eq!(GroupHeader::decode(header, seed, at), None);
        assert!(!frame_verifies(frame, seed, at + 48));
    }
    let other = SegmentHeader { generation: 2, ..segment() }.seed();
    assert_eq!(GroupHeader::decode(header, other, PAGE), None);
    assert!(!frame_verifies(frame, other, PAGE + 48));
    // Neither passes for the other.
    let mut mark = [0; GROUP_HEADER];
    mark.copy_from_slice(header);
    assert!(!frame_verifies(&mark, seed, PAGE));
}

#[test]
fn any_flipped_bit_of_a_group_or_record_is_noticed() {
    let seed = segment().seed();
    let bytes = hello();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let header = bytes.first_chunk().unwrap();
        let frame = &bytes[GROUP_HEADER..GROUP_HEADER + FRAMING + 5];
        let whole = GroupHeader::decode(header, seed, PAGE).is_some()
            && frame_verifies(frame, seed, PAGE + 48)
            && bytes[GROUP_HEADER + FRAMING + 5..] == group_trailer(header);
        assert!(!whole, "bit {bit}");
        assert!(!is_zero(&bytes[GROUP_HEADER + FRAMING + 5..]), "one bit does not make an end mark zeros");
    }
}

#[test]
fn zeros_are_recognised_at_every_length_and_place() {
    for len in 0..70 {
        assert!(is_zero(&vec![0; len]));
        for at in 0..len {
            let mut bytes = vec![0; len];
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "{at} of {len}");
        }
    }
}
