//! Tables of everything that was measured: one for each program and size, a row a bench, a column a contender.

use laminar_benches::names::{DURABLE_PEERS, LAMINAR, LOG_PEERS};
use laminar_benches::{Figures, Row};

use crate::document::size;

/// Programs in the order of the report, what their tables are called, and what one has to know to read them.
const PROGRAMS: [(&str, &str, &str); 9] = [
    (
        "peers-stores",
        "Stores side by side",
        "1,000 puts a commit, handed to the operating system; `commit-each` and `durable-each`: one put a commit. A put of most peers \
         only lengthens a batch, and the commit, one of a thousand operations, does the work: p50 shows the one, p99.9 the other. Memory \
         is memory of the process itself: pages of files, which are all that LMDB has, are not in it.",
    ),
    (
        "peers-logs",
        "Logs side by side",
        "`log/append`: 1,000 records of 100 bytes a hand-over, okaywal and writeahead synced because they know nothing less; the rest is synced by all.",
    ),
    (
        "peers-nexmark",
        "Nexmark over each store as the state backend",
        "A commit every 1,000 events, a checkpoint every second. Latencies are of one event, the commit counted into the last of its batch. \
         In dedup ours is told the keys of 32 events ahead; `untold`: without that. The others take no such hint.",
    ),
    ("log", "Our log against the floors of the machine", ""),
    (
        "store",
        "Our store, with its log on, against maps without durability",
        "`batch`: 32 keys are told ahead, and then looked up. F_mem: 4 KiB of memory touched, which the process has not had before, and which was \
         given back just now: a virtual machine may have to ask its host for the first.",
    ),
    ("checkpoint", "Our checkpoints", ""),
    ("writer", "Our writer while a checkpoint runs, and while none does", ""),
    ("series", "A hundred checkpoints in a row", ""),
    ("recovery", "Opening our store in a fresh process", ""),
];

/// All that one program measured at one size.
pub(crate) struct Grid {
    pub(crate) program: String,
    pub(crate) keys: u64,
    pub(crate) title: String,
    pub(crate) remark: &'static str,
    pub(crate) stores: Vec<String>,
    pub(crate) benches: Vec<GridRow>,
}

/// The rows of one bench, in the order of the columns.
pub(crate) struct GridRow {
    pub(crate) bench: String,
    pub(crate) rows: Vec<Option<Row>>,
}

/// Ours over the best of the others, and what the others are.
#[derive(Debug, PartialEq)]
pub(crate) struct Standing {
    /// More than one: we are ahead.
    pub(crate) ratio: f64,
    /// Whether the others are peers, who do what we do: else they are floors and maps that keep nothing.
    pub(crate) is_of_peers: bool,
}

impl GridRow {
    /// Where we stand: against the best peer, or where there is none against the best floor. Nothing where either figure is missing.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let rows = || self.rows.iter().flatten();
        let ours = rows().find(|row| row.store == LAMINAR)?;
        let more_is_better = is_more_better(ours)?;
        let others = |are_peers: bool| {
            let figures =
                rows().filter(|row| row.store != LAMINAR && is_peer(&row.store) == are_peers).map(Row::median);
            if more_is_better { figures.max_by(f64::total_cmp) } else { figures.min_by(f64::total_cmp) }
        };
        let of_peers = others(true);
        let best = of_peers.or_else(|| others(false))?;
        let ratio = if more_is_better { ours.median() / best } else { best / ours.median() };
        ratio.is_finite().then_some(Standing { ratio, is_of_peers: of_peers.is_some() })
    }
}

/// Whether more of a figure is better; nothing of a figure that is neither.
fn is_more_better(row: &Row) -> Option<bool> {
    match row.unit.as_str() {
        "ns" | "bytes" | "bytes/event" => Some(false),
        unit if unit.ends_with("/s") || unit.ends_with("/sync") => Some(true),
        _ => None,
    }
}

/// Whether a contender is a store or log of others.
pub(crate) fn is_peer(store: &str) -> bool {
    DURABLE_PEERS.contains(&store) || LOG_PEERS.contains(&store)
}

/// All tables.
pub(crate) fn all(figures: &Figures) -> Vec<Grid> {
    let place = |program: &&str| PROGRAMS.iter().position(|(known, ..)| known == program).unwrap_or(PROGRAMS.len());
    let mut programs = figures.rows.programs();
    programs.sort_by_key(place);
    programs.into_iter().flat_map(|program| of_program(figures, program)).collect()
}

fn of_program(figures: &Figures, program: &str) -> Vec<Grid> {
    let rows: Vec<&Row> = figures.rows.iter().filter(|(of, _)| *of == program).map(|(_, row)| row).collect();
    let known = PROGRAMS.iter().find(|(known, ..)| *known == program);
    let (title, remark) = known.map_or((program, ""), |(_, title, remark)| (title, remark));
    let mut sizes: Vec<u64> = rows.iter().map(|row| row.keys).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let of_size = |keys: u64| {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.keys == keys).copied().collect();
        let stores = distinct(rows.iter().map(|row| row.store.as_str()));
        let find = |bench: &str, store: &str| rows.iter().find(|row| row.bench == bench && row.store == store);
        let of_bench = |bench: String| {
            let rows = stores.iter().map(|store| find(&bench, store).map(|row| (*row).clone())).collect();
            GridRow { rows, bench }
        };
        let benches = distinct(rows.iter().map(|row| row.bench.as_str())).into_iter().map(of_bench).collect();
        let title = if keys == 0 { title.to_owned() } else { format!("{title}, {} keys", size(keys)) };
        Grid { program: program.to_owned(), keys, title, remark, benches, stores }
    };
    sizes.into_iter().map(of_size).collect()
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        if !distinct.iter().any(|known| known == name) {
            distinct.push(name.to_owned());
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::figures;

    #[test]
    fn a_loss_is_told_as_a_win_is() {
        let grids = all(&figures());
        assert_eq!(grids[0].title, "Stores side by side, 1 M keys");
        assert_eq!(grids[0].stores, ["laminar", "rocksdb", "lmdb", "hashbrown"]);
        // Not against the map, which keeps nothing.
        assert_eq!(grids[0].benches[0].standing(), Some(Standing { ratio: 0.75, is_of_peers: true }));
    }

    #[test]
    fn without_peers_the_floor_counts() {
        let mut figures = Figures::default();
        for (store, value) in [(LAMINAR, 30.0), ("F_cpu", 15.0)] {
            figures.rows.insert("log", Row::of_one("log/append", store, 0, "ns", value));
        }
        assert_eq!(all(&figures)[0].benches[0].standing(), Some(Standing { ratio: 0.5, is_of_peers: false }));
    }
}
