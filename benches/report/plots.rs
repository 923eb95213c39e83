//! What is drawn, chosen from all that was measured.

use laminar_benches::names::{
    DELETE, GET_HIT, GET_HIT_OPENED, GET_MISS, GET_MISS_OPENED, LAMINAR, LOG_APPEND, NEXMARK_QUERIES, OPEN_EMPTY_TAIL,
    OPEN_TAIL, PLOT_RECOVERY, PLOT_WRITER, PLOT_WRITER_PEERS, PUT, PUT_COMMIT_EACH, PUT_DURABLE_EACH, SCAN,
    SCAN_OPENED, ZIPF,
};
use laminar_benches::{Figures, Row, Series, quantity};

use crate::document::size;
use crate::grid;

/// Benches whose throughput is drawn, and what their drawings are called.
const THROUGHPUT: [(&str, &str); 11] = [
    (PUT, "put, random load"),
    (GET_HIT, "get, hit, in memory"),
    (GET_MISS, "get, miss, in memory"),
    (ZIPF, "zipf 0.99, half get half put"),
    (DELETE, "delete, random"),
    (SCAN, "scan of ten, in memory"),
    (GET_HIT_OPENED, "get, hit, opened anew"),
    (GET_MISS_OPENED, "get, miss, opened anew"),
    (SCAN_OPENED, "scan of ten, opened anew"),
    (PUT_COMMIT_EACH, "put, a commit each"),
    (PUT_DURABLE_EACH, "put, a durable commit each"),
];

/// Drawings that belong together.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) remark: String,
    pub(crate) drawings: Vec<Drawing>,
}

/// One drawing with what stands above it.
pub(crate) struct Drawing {
    pub(crate) title: String,
    pub(crate) form: Form,
}

/// What a drawing is made of.
pub(crate) enum Form {
    /// Lines over two axes.
    Lines(Vec<Series>),
    /// A bar a contender: its name, its value, and the value in words.
    Bars(Vec<(String, f64, String)>),
    /// Ours over the best peer, bench by bench, both ways from one.
    Ratios(Vec<(String, f64)>),
}

/// All drawings, in the order of the report.
pub(crate) fn all(figures: &Figures) -> Vec<Plot> {
    let mut plots = vec![standings(figures)];
    plots.extend(throughput(figures));
    plots.push(nexmark(figures));
    plots.push(writer(figures));
    plots.push(recovery(figures));
    plots.extend(others(figures));
    plots.retain(|plot| !plot.drawings.is_empty());
    plots
}

/// Wins to the right, losses to the left.
fn standings(figures: &Figures) -> Plot {
    let drawings = grid::all(figures).into_iter().filter_map(|grid| {
        let ratios: Vec<(String, f64)> = grid
            .benches
            .iter()
            // The tables below have these too; here they would hide the rest.
            .filter(|bench| !bench.bench.ends_with("/p99") && !bench.bench.ends_with("/max"))
            .filter_map(|bench| {
                Some((bench.bench.clone(), bench.standing().filter(|standing| standing.is_of_peers)?.ratio))
            })
            .collect();
        (!ratios.is_empty()).then_some(Drawing { title: grid.title, form: Form::Ratios(ratios) })
    });
    Plot {
        title: "Wins and losses".to_owned(),
        remark: "How many times as good as the best peer we are at everything that was measured beside peers: speed, time, bytes and \
                 memory. Right of the line we are ahead, left of it behind."
            .to_owned(),
        drawings: drawings.collect(),
    }
}

fn throughput(figures: &Figures) -> Vec<Plot> {
    let grids = grid::all(figures).into_iter().filter(|grid| grid.program == "peers-stores");
    let of_grid = |grid: grid::Grid| {
        let drawings = THROUGHPUT.iter().filter_map(|(bench, title)| {
            let of_bench = grid.benches.iter().find(|of_bench| of_bench.bench == *bench)?;
            Some(bars(title, of_bench.rows.iter().flatten()))
        });
        let drawings = drawings.collect();
        let title = format!("Throughput by store, {} keys", size(grid.keys));
        Plot { title, remark: "Maps without durability stand below the stores.".to_owned(), drawings }
    };
    grids.map(of_grid).collect()
}

fn bars<'a>(title: &str, rows: impl Iterator<Item = &'a Row>) -> Drawing {
    let values =
        rows.map(|row| (row.store.clone(), row.median(), quantity::with_unit(row.median(), &row.unit))).collect();
    Drawing { title: title.to_owned(), form: Form::Bars(values) }
}

fn nexmark(figures: &Figures) -> Plot {
    let rows = |bench: String| {
        figures.rows.iter().filter(move |(program, row)| *program == "peers-nexmark" && row.bench == bench)
    };
    let of_query = |query: &&str| {
        let durable = rows(format!("nexmark/{query}"))
            .map(|(_, row)| row)
            .filter(|row| row.store == LAMINAR || grid::is_peer(&row.store));
        bars(&format!("{query}, events a second"), durable)
    };
    let mut drawings: Vec<Drawing> = NEXMARK_QUERIES.iter().map(of_query).collect();
    let append = figures.rows.iter().filter(|(program, row)| *program == "peers-logs" && row.bench == LOG_APPEND);
    drawings.push(bars("log, time to append a record (less is better)", append.map(|(_, row)| row)));
    drawings.retain(|drawing| !matches!(&drawing.form, Form::Bars(bars) if bars.is_empty()));
    Plot {
        title: "Nexmark, and logs".to_owned(),
        remark: "Keyed operators over each store, commits every 1,000 events, checkpoints every second.".to_owned(),
        drawings,
    }
}

fn writer(figures: &Figures) -> Plot {
    let of = |plot: &'static str| figures.series.iter().filter(move |series| series.plot == plot);
    let mut all: Vec<&Series> = of(PLOT_WRITER).chain(of(PLOT_WRITER_PEERS)).collect();
    all.sort_by_key(|series| (series.keys, series.plot != PLOT_WRITER, series.store != LAMINAR, &series.store));
    let drawings = all.into_iter().map(|series| {
        let several = if series.plot == PLOT_WRITER { ", several checkpoints" } else { "" };
        let title = format!("{}{several}, {} keys", series.store, size(series.keys));
        Drawing { title, form: Form::Lines(vec![series.clone()]) }
    });
    Plot {
        title: "Latency of a writer over time".to_owned(),
        remark:
            "The longest put in each 10 ms of a writer that does not stop; while the ground is grey, a checkpoint runs. \
             The same scale for all; where nothing stands, nothing was measured."
                .to_owned(),
        drawings: drawings.collect(),
    }
}

/// Ours from its own bench, which knows more sizes; the peers from theirs.
fn recovery(figures: &Figures) -> Plot {
    let ours = figures.series.iter().filter(|series| series.plot == PLOT_RECOVERY).cloned().collect();
    let mut drawings = vec![Drawing { title: "ours".to_owned(), form: Form::Lines(ours) }];
    for (bench, title) in [(OPEN_EMPTY_TAIL, "after a close"), (OPEN_TAIL, "after a kill, 100,000 records in the log")]
    {
        let rows = || figures.rows.iter().filter(|(program, row)| *program == "peers-stores" && row.bench == bench);
        let mut stores: Vec<&str> = rows().map(|(_, row)| row.store.as_str()).collect();
        stores.dedup();
        stores.sort_unstable();
        stores.dedup();
        let line = |store: &str| Series {
            plot: PLOT_RECOVERY.to_owned(),
            store: store.to_owned(),
            keys: 0,
            x: "keys".to_owned(),
            y: "ms to the first value".to_owned(),
            points: rows()
                .filter(|(_, row)| row.store == store)
                .map(|(_, row)| (row.keys as f64, row.median() / 1e6))
                .collect(),
            marks: Vec::new(),
        };
        let lines: Vec<Series> = stores.into_iter().map(line).filter(|line| line.points.len() > 1).collect();
        drawings.push(Drawing { title: format!("all, {title}"), form: Form::Lines(lines) });
    }
    drawings.retain(|drawing| !matches!(&drawing.form, Form::Lines(lines) if lines.is_empty()));
    Plot {
        title: "Recovery time against the size of the state".to_owned(),
        remark:
            "From the call that opens a store in a fresh process to its first value; pages are in the system's cache."
                .to_owned(),
        drawings,
    }
}

/// What has no place of its own above.
fn others(figures: &Figures) -> Vec<Plot> {
    let mut plots: Vec<Plot> = Vec::new();
    let known = [PLOT_WRITER, PLOT_WRITER_PEERS, PLOT_RECOVERY];
    for series in figures.series.iter().filter(|series| !known.contains(&series.plot.as_str())) {
        let title = if series.keys == 0 { String::new() } else { format!("{} keys", size(series.keys)) };
        let index = plots.iter().position(|plot| plot.title == series.plot).unwrap_or_else(|| {
            plots.push(Plot { title: series.plot.clone(), remark: String::new(), drawings: Vec::new() });
            plots.len() - 1
        });
        let Some(plot) = plots.get_mut(index) else { continue };
        let same = plot.drawings.iter_mut().find(|drawing| drawing.title == title);
        match same.map(|drawing| &mut drawing.form) {
            Some(Form::Lines(lines)) => lines.push(series.clone()),
            _ => plot.drawings.push(Drawing { title, form: Form::Lines(vec![series.clone()]) }),
        }
    }
    plots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::figures;

    #[test]
    fn losses_are_drawn_as_wins_are() {
        let plots = all(&figures());
        let Form::Ratios(ratios) = &plots[0].drawings[0].form else {
            panic!("the first drawing is of wins and losses")
        };
        assert_eq!(ratios.as_slice(), [("get/hit".to_owned(), 0.75)]);
    }
}
