//! Memory that a checkpoint needs beyond the state, when every key changed.

use laminar_benches::memory::{Watch, resident};
use laminar_benches::names::{CHECKPOINT_MEMORY, LAMINAR};
use laminar_benches::workload::{self, Values};
use laminar_benches::{Output, Rounds, Settings, child, directory, loaded};

pub(crate) fn measure(settings: &Settings, count: u32, output: &Output) {
    // A counter, which differs little from round to round.
    let most = if count < Settings::LARGE_KEYS { 3 } else { 1 };
    let settings = Settings { rounds: settings.rounds.min(most), ..settings.clone() };
    let mut rounds = Rounds::new(format!("checkpoint memory, {count} keys"), &settings);
    rounds.add(LAMINAR, || child::figures("memory", &[&count.to_string()]));
    output.rows(rounds.run(), count);
}

pub(crate) fn child(arguments: &[String]) {
    let count = arguments.first().and_then(|count| count.parse().ok()).expect("a count");
    let dir = directory::scratch();
    let (keys, values) = (workload::keys(count), Values::new());
    let mut store = loaded::open(dir.path());
    loaded::put_all(&mut store, &keys, &values, 0);
    loaded::checkpoint(&mut store);
    loaded::put_all(&mut store, &keys, &values, 1);
    let before = resident();
    let watch = Watch::start();
    loaded::checkpoint(&mut store);
    let peak = watch.finish();
    let above = peak.saturating_sub(before.anonymous) as f64;
    let mapped = resident().peak.saturating_sub(before.anonymous + before.mapped) as f64;
    child::tell_figures(&[
        (CHECKPOINT_MEMORY, "bytes", above).into(),
        (format!("{CHECKPOINT_MEMORY}/with-mapped"), "bytes", mapped).into(),
    ]);
}
