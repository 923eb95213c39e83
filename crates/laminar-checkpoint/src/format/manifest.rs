//! The MANIFEST of a checkpoint: what it is, and every file of it.

use std::collections::BTreeMap;

use super::bytes::{Decoder, Encode, count32};
use super::twin;
use super::{Fault, PAGE};
use crate::error::Reason;
use crate::name::run_name;

pub(crate) const MANIFEST_MAGIC: &[u8; 8] = b"laminMAN";
/// How much of a run's first and last key the manifest repeats, for people and for tools.
const SHOWN_KEY: usize = 64;
/// Flag of a run that was read back from disk after its sync, and of a checkpoint all files of which were.
const FLAG_VERIFIED: u32 = 1;
/// A manifest longer than this is not believed: it would name millions of files.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 30;

/// What a checkpoint says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub(crate) id: u64,
    pub(crate) lineage: u128,
    pub(crate) timestamp_ms: u64,
    pub(crate) wal_position: u64,
    /// Every file was read back from disk after it was synced, by the checkpoint that wrote it.
    pub(crate) is_verified: bool,
    pub(crate) source_offsets: BTreeMap<String, u64>,
    /// Oldest first; the parts of the oldest in the order of their keys.
    pub(crate) runs: Vec<RunRecord>,
    /// In the order of their names.
    pub(crate) sections: Vec<SectionRecord>,
}

/// A run as a checkpoint refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunRecord {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) run_id: u128,
    pub(crate) file_bytes: u64,
    pub(crate) footer_offset: u64,
    pub(crate) footer_bytes: u64,
    pub(crate) footer_crc: u32,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// The checkpoint that wrote the run.
    pub(crate) first_checkpoint: u64,
    /// The run was read back from disk after its sync.
    pub(crate) is_verified: bool,
    /// The start of the lowest key.
    pub(crate) first_key: Vec<u8>,
    /// The start of the highest key.
    pub(crate) last_key: Vec<u8>,
}

/// A section as its checkpoint refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SectionRecord {
    pub(crate) name: String,
    pub(crate) file_name: String,
    pub(crate) file_bytes: u64,
    pub(crate) header_crc: u32,
    pub(crate) tag: u64,
}

/// As much of a key as the manifest repeats.
pub(crate) fn shown_key(key: &[u8]) -> Vec<u8> {
    key.get(..SHOWN_KEY).unwrap_or(key).to_vec()
}

/// The name of the file of a run of these positions in a checkpoint, given the runs that come before it.
pub(crate) fn run_file_name(before: &[RunRecord], from: u64, to: u64) -> String {
    run_name(from, to, before.iter().filter(|run| (run.from, run.to) == (from, to)).count())
}

impl RunRecord {
    /// Bytes of the fields that every run has.
    const FIXED: usize = 8 * 2 + 16 + 8 * 3 + 4 + 8 * 3 + 4 * 3;

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.from);
        out.put_u64(self.to);
        out.put_u128(self.run_id);
        out.put_u64(self.file_bytes);
        out.put_u64(self.footer_offset);
        out.put_u64(self.footer_bytes);
        out.put_u32(self.footer_crc);
        out.put_u64(self.entries);
        out.put_u64(self.tombstones);
        out.put_u64(self.first_checkpoint);
        out.put_u32(if self.is_verified { FLAG_VERIFIED } else { 0 });
        out.put_blob(&self.first_key);
        out.put_blob(&self.last_key);
    }

    fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let record = Self {
            from: fields.u64()?,
            to: fields.u64()?,
            run_id: fields.u128()?,
            file_bytes: fields.u64()?,
            footer_offset: fields.u64()?,
            footer_bytes: fields.u64()?,
            footer_crc: fields.u32()?,
            entries: fields.u64()?,
            tombstones: fields.u64()?,
            first_checkpoint: fields.u64()?,
            is_verified: match fields.u32()? {
                0 => false,
                FLAG_VERIFIED => true,
                _ => return None,
            },
            first_key: fields.blob()?.to_vec(),
            last_key: fields.blob()?.to_vec(),
        };
        let footers = record.file_bytes.checked_sub(record.footer_offset)?;
        let fits = record.footer_offset >= PAGE as u64
            && record.footer_bytes < footers
            && Some(footers) == twin::copy_bytes(record.footer_bytes).checked_mul(2);
        (record.from < record.to && fits).then_some(record)
    }
}

impl SectionRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_blob(self.name.as_bytes());
        out.put_blob(self.file_name.as_bytes());
        out.put_u64(self.file_bytes);
        out.put_u32(self.header_crc);
        out.put_u64(self.tag);
    }

    fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            name: fields.text()?,
            file_name: fields.text()?,
            file_bytes: fields.u64()?,
            header_crc: fields.u32()?,
            tag: fields.u64()?,
        })
    }
}

impl Manifest {
    /// The whole file, both copies.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u64(self.id);
        body.put_u128(self.lineage);
        body.put_u64(self.timestamp_ms);
        body.put_u64(self.wal_position);
        body.put_u32(if self.is_verified { FLAG_VERIFIED } else { 0 });
        body.put_u32(count32(self.source_offsets.len()));
        for (name, offset) in &self.source_offsets {
            body.put_blob(name.as_bytes());
            body.put_u64(*offset);
        }
        body.put_u32(count32(self.runs.len()));
        self.runs.iter().for_each(|run| run.encode(&mut body));
        body.put_u32(count32(self.sections.len()));
        self.sections.iter().for_each(|section| section.encode(&mut body));
        twin::encode(MANIFEST_MAGIC, &body)
    }

    /// Decodes one body.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, Fault> {
        Self::decode_fields(Decoder::new(body)).ok_or(Fault::Damage(Reason::Structure, "a manifest"))
    }

    fn decode_fields(mut fields: Decoder<'_>) -> Option<Self> {
        let mut manifest = Self {
            id: fields.u64()?,
            lineage: fields.u128()?,
            timestamp_ms: fields.u64()?,
            wal_position: fields.u64()?,
            ..Self::default()
        };
        let flags = fields.u32()?;
        manifest.is_verified = flags == FLAG_VERIFIED;
        for _ in 0..fields.count(12)? {
            let (name, offset) = (fields.text()?, fields.u64()?);
            // Ascending, so that one state has one encoding.
            if manifest.source_offsets.last_key_value().is_some_and(|(before, _)| *before >= name) {
                return None;
            }
            manifest.source_offsets.insert(name, offset);
        }
        for _ in 0..fields.count(RunRecord::FIXED)? {
            manifest.runs.push(RunRecord::decode(&mut fields)?);
        }
        for _ in 0..fields.count(28)? {
            manifest.sections.push(SectionRecord::decode(&mut fields)?);
        }
        let ascends = manifest.sections.is_sorted_by(|a, b| a.name < b.name);
        let is_sound = flags & !FLAG_VERIFIED == 0 && fields.remaining() == 0 && ascends;
        (is_sound && manifest.is_tiling() && manifest.is_countable()).then_some(manifest)
    }

    /// Whether what is counted of its files can be: no run has more tombstones than entries, and what all have together is a number.
    fn is_countable(&self) -> bool {
        let lengths = self.runs.iter().map(|run| run.file_bytes);
        let lengths =
            lengths.chain(self.sections.iter().map(|section| section.file_bytes)).try_fold(0, u64::checked_add);
        let entries = self.runs.iter().map(|run| run.entries).try_fold(0, u64::checked_add);
        lengths.is_some() && entries.is_some() && self.runs.iter().all(|run| run.tombstones <= run.entries)
    }

    /// How many runs, from the first on, are the parts of the oldest: those that begin where it does.
    pub(crate) fn parts(&self) -> usize {
        let first = self.runs.first().map(|run| run.from);
        self.runs.iter().take_while(|run| Some(run.from) == first).count()
    }

    /// Whether the runs tile the positions up to the checkpoint's, and the parts of the oldest the keys: the later runs follow one another
    /// without gap or overlap from where the least advanced part ends, and each part ends where one of them begins, or behind them all.
    pub(crate) fn is_tiling(&self) -> bool {
        let (parts, later) = self.runs.split_at(self.parts());
        let Some(mut end) = parts.iter().map(|part| part.to).min() else { return true };
        let mut ends = vec![end];
        for run in later {
            if run.from != end {
                return false;
            }
            end = run.to;
            ends.push(end);
        }
        // The keys are shown in part, so that neighbours may look alike; whole ones are compared when the runs are opened.
        let is_ascending =
            |pair: &[RunRecord]| matches!(pair, [a, b] if a.last_key <= b.first_key && a.entries > 0 && b.entries > 0);
        end == self.wal_position
            && parts.iter().all(|part| ends.binary_search(&part.to).is_ok())
            && parts.windows(2).all(is_ascending)
    }

    /// The name of each run's file. Only parts of the oldest may have the same positions.
    pub(crate) fn run_names(&self) -> Vec<String> {
        let mut parts_to = BTreeMap::new();
        let name = |run: &RunRecord| {
            let before = parts_to.entry((run.from, run.to)).or_insert(0);
            *before += 1;
            run_name(run.from, run.to, *before - 1)
        };
        self.runs.iter().map(name).collect()
    }
}
