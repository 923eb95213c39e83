//! Memory, the longest put and the longest commit, in a process for each contender and round. A commit hands a thousand puts over to the operating
//! system, and is no put: the two are timed apart.

use laminar_benches::names::{BTREEMAP, COMMIT_LONGEST, HASHBROWN, LAMINAR, MEMORY_ENTRY, PLOT_LATENCY, PUT_LONGEST};
use laminar_benches::workload::{self, Values};
use laminar_benches::{Figure, Latency, Measured, Output, Rounds, Series, Settings, child, memory, time};

use crate::contenders::{Contender, Hash, Laminar, Tree};

/// Percentiles of the plot.
const PERCENTS: [f64; 9] = [10.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];

pub(crate) fn measure(settings: &Settings, count: u32, output: &Output) {
    let mut rounds = Rounds::new(format!("store footprint, {count} keys"), settings);
    let names: &[&str] =
        if count < Settings::LARGE_KEYS { &[LAMINAR, HASHBROWN, BTREEMAP] } else { &[LAMINAR, HASHBROWN] };
    for &name in names {
        rounds.add(name, move || child::figures("footprint", &[name, &count.to_string()]));
    }
    let measured = rounds.run();
    for &name in names {
        let last = |percent: f64| {
            let bench = quantile(percent);
            let of_bench = measured.iter().find(|measured| measured.store == name && measured.bench == bench);
            Some((percent, *of_bench?.rounds.last()?))
        };
        output.series(Series {
            plot: PLOT_LATENCY.to_owned(),
            store: name.to_owned(),
            keys: count.into(),
            x: "percent of the puts of a random load".to_owned(),
            y: "ns".to_owned(),
            points: PERCENTS.into_iter().filter_map(last).collect(),
            marks: Vec::new(),
        });
    }
    // Only one of them has commits.
    let is_row = |measured: &Measured| match measured.bench.as_str() {
        MEMORY_ENTRY | PUT_LONGEST => true,
        COMMIT_LONGEST => measured.store == LAMINAR,
        _ => false,
    };
    output.rows(measured.into_iter().filter(is_row), count);
}

fn quantile(percent: f64) -> String {
    format!("put/{percent} %")
}

pub(crate) fn child(arguments: &[String]) {
    let [name, count] = arguments else { panic!("a contender and a count") };
    let count = count.parse().expect("a count");
    let figures = match name.as_str() {
        LAMINAR => load(Laminar::new(), count),
        HASHBROWN => load(Hash::default(), count),
        _ => load(Tree::default(), count),
    };
    child::tell_figures(&figures);
}

fn load(mut store: impl Contender, count: u32) -> Vec<Figure> {
    let (keys, values) = (workload::keys(count), Values::new());
    let before = memory::resident();
    let (mut latency, mut commits) = (Latency::new(), Latency::new());
    for key in &keys {
        let start = time::now();
        store.put_alone(key, values.of(key, 0));
        latency.record_since(start);
        let start = time::now();
        store.commit_if_due();
        commits.record_since(start);
    }
    let bytes = memory::resident().anonymous.saturating_sub(before.anonymous);
    let mut figures: Vec<Figure> = vec![
        (MEMORY_ENTRY, "bytes", bytes as f64 / f64::from(count)).into(),
        (PUT_LONGEST, "ns", latency.max()).into(),
        (COMMIT_LONGEST, "ns", commits.max()).into(),
    ];
    figures.extend(PERCENTS.map(|percent| (quantile(percent), "ns", latency.quantile(percent / 100.0)).into()));
    figures
}
