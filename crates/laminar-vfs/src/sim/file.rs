//! One file in its two views: what processes see, and what would survive a power cut.

use super::page::{Body, PAGE_BYTES, SECTOR_BYTES, Slot, pieces, sectors, touched};
use super::random::mix;

/// Of each choice of a power cut, how much is kept: nothing (0), all, or so many bytes of a torn sector.
pub(super) type Kept<'a> = &'a dyn Fn(usize) -> usize;
/// All of a change is kept.
pub(super) const WHOLE: usize = SECTOR_BYTES;

/// A change that was not synced yet, in the order in which it was made.
#[derive(Clone)]
pub(super) enum Change {
    /// New bytes of the sectors in `mask`, as the cache held them after the write.
    Sectors { page: usize, mask: u8, slot: Slot },
    /// A new length.
    Length(u64),
}

impl Change {
    fn choices(&self) -> usize {
        match self {
            Self::Sectors { mask, .. } => mask.count_ones() as usize,
            Self::Length(_) => 1,
        }
    }
}

/// Where the disk puts a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Landing {
    /// Where it belongs, once it is synced.
    Right,
    /// Nowhere.
    Lost,
    /// So many sectors further on, counted round the end of the file.
    Shifted(u64),
}

#[derive(Clone, Default)]
pub(super) struct FileNode {
    /// What processes see.
    pub(super) cache: Body,
    /// What is durable.
    disk: Body,
    pending: Vec<Change>,
    /// Whether the cache holds bytes that neither are on the disk nor will be, because a sync failed or the disk
    /// lied. While this is false, the cache is the disk with all pending changes laid over it.
    diverged: bool,
}

impl FileNode {
    pub(super) fn clean(body: Body) -> Self {
        Self { cache: body.clone(), disk: body, pending: Vec::new(), diverged: false }
    }

    /// Whether both views are the same.
    pub(super) fn is_clean(&self) -> bool {
        self.pending.is_empty() && !self.diverged
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn write(&mut self, data: &[u8], offset: u64, landing: Landing) {
        let mut rest = data;
        for piece in pieces(offset, data.len()) {
            let (chunk, after) = rest.split_at(piece.len);
            rest = after;
            // Rewriting what the cache holds already adds no new state, unless the disk may hold something else.
            let mask = if self.diverged {
                touched(piece.at, piece.len)
            } else {
                self.cache.changed(piece.page, piece.at, chunk)
            };
            self.cache.put(piece.page, piece.at, chunk);
            let slot = self.cache.slot(piece.page).clone();
            match landing {
                Landing::Right if mask == 0 => {}
                Landing::Right => self.pending.push(Change::Sectors { page: piece.page, mask, slot }),
                Landing::Lost => self.diverged = true,
                Landing::Shifted(by) => self.misdirect(piece.page, mask, &slot, by),
            }
        }
        let end = offset + data.len() as u64;
        if end > self.cache.len() && !data.is_empty() {
            self.cache.grow(end);
            self.pending.push(Change::Length(end));
        } else if self.diverged && end > self.coming_len() {
            // A length that a failed sync dropped is written again as far as there are bytes to go with it.
            self.pending.push(Change::Length(end));
        }
    }

    /// The length on the disk once all that is pending is.
    fn coming_len(&self) -> u64 {
        let lengths = self.pending.iter().rev();
        let last = lengths.filter_map(|change| if let Change::Length(len) = change { Some(*len) } else { None }).next();
        last.unwrap_or(self.disk.len())
    }

    /// Lets sectors land elsewhere in the file.
    fn misdirect(&mut self, page: usize, mask: u8, slot: &Slot, by: u64) {
        const SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;
        self.diverged = true;
        let count = self.cache.len().div_ceil(SECTOR_BYTES as u64).max(1);
        for sector in sectors(mask) {
            let target = ((page * SECTORS + sector) as u64 + by) % count;
            let (to, at) = super::page::place(target * SECTOR_BYTES as u64);
            if (to, at) != (page, sector * SECTOR_BYTES) {
                let slot = Slot::of_sector(at / SECTOR_BYTES, slot.sector(sector));
                self.pending.push(Change::Sectors { page: to, mask: 1 << (at / SECTOR_BYTES), slot });
            }
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len != self.cache.len() || self.diverged {
            self.cache.set_len(len);
            self.pending.push(Change::Length(len));
        }
    }

    /// Makes pending changes durable.
    pub(super) fn sync(&mut self) {
        self.disk = if self.diverged { self.settle(0, &|_| WHOLE) } else { self.cache.clone() };
        self.pending.clear();
    }

    /// What the kernel does when writing back fails: it forgets that the pages were dirty. `reached` says which
    /// changes had reached the disk by then.
    pub(super) fn fail_sync(&mut self, reached: Kept<'_>) {
        if self.has_pending() {
            self.disk = self.settle(0, reached);
            self.pending.clear();
            self.diverged = true;
        }
    }

    /// Forgets cached bytes that are not waiting to be written, so that reads show what the disk has.
    pub(super) fn evict(&mut self) {
        if self.diverged {
            self.cache = self.settle(0, &|_| WHOLE);
            self.diverged = false;
        }
    }

    /// Changes both views alike.
    pub(super) fn damage(&mut self, change: impl Fn(&mut Body)) {
        if self.is_clean() {
            change(&mut self.cache);
            self.disk = self.cache.clone();
        } else {
            change(&mut self.cache);
            change(&mut self.disk);
        }
    }

    /// How many independent choices a power cut has.
    pub(super) fn choices(&self) -> usize {
        self.pending.iter().map(Change::choices).sum()
    }

    /// What a power cut leaves if it keeps the changes that `kept` says, counted from `base`. Lengths change in
    /// order: keeping one keeps those before it.
    pub(super) fn settle(&self, base: usize, kept: Kept<'_>) -> Body {
        let mut choice = base;
        let mut lengths = 0;
        for (place, change) in self.pending.iter().enumerate() {
            if matches!(change, Change::Length(_)) && kept(choice) > 0 {
                lengths = place + 1;
            }
            choice += change.choices();
        }
        let mut body = self.disk.clone();
        let mut choice = base;
        for (place, change) in self.pending.iter().enumerate() {
            match change {
                Change::Sectors { page, mask, slot } => {
                    let mut whole = 0;
                    for (nth, sector) in sectors(*mask).enumerate() {
                        match kept(choice + nth) {
                            0 => {}
                            WHOLE => whole |= 1 << sector,
                            bytes => {
                                let new = slot.sector(sector).split_at(bytes.min(SECTOR_BYTES)).0;
                                body.put(*page, sector * SECTOR_BYTES, new);
                            }
                        }
                    }
                    if whole != 0 {
                        body.put_sectors(*page, whole, slot);
                    }
                }
                Change::Length(len) if place < lengths && *len < body.len() => body.set_len(*len),
                Change::Length(len) if place < lengths => body.grow(*len),
                Change::Length(_) => {}
            }
            choice += change.choices();
        }
        body.trim();
        body
    }

    /// What the `nth` choice of this file is about, for people.
    pub(super) fn describe(&self, mut nth: usize) -> String {
        for change in &self.pending {
            match change {
                Change::Sectors { page, mask, .. } => {
                    if let Some(sector) = sectors(*mask).nth(nth) {
                        return format!("sector at {}", page * PAGE_BYTES + sector * SECTOR_BYTES);
                    }
                }
                Change::Length(len) if nth == 0 => return format!("length {len}"),
                Change::Length(_) => {}
            }
            nth -= change.choices();
        }
        "no such choice".to_owned()
    }

    pub(super) fn hash(&self) -> u64 {
        let cache = self.cache.hash();
        if self.is_clean() {
            return cache;
        }
        let pending = self.pending.iter().fold(mix(self.disk.hash()), |sum, change| {
            let hash = match change {
                Change::Sectors { page, mask, slot } => mix(*page as u64) ^ slot.hash() ^ mix(u64::from(*mask)),
                Change::Length(len) => mix(!*len),
            };
            mix(sum ^ hash)
        });
        mix(cache ^ pending)
    }
}
