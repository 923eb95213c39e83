//! The same keys in ten thousand operators and in one.

use laminar_benches::names::{GET_OPERATORS, LAMINAR, ONE_OPERATOR, PUT_OPERATORS};
use laminar_benches::workload::{self, Key, Values, read};
use laminar_benches::{Figure, Output, Rounds, Settings, directory, loaded, time};
use laminar_storage::{OperatorId, StateStore, WalStateStore};

const OPERATORS: usize = 10_000;

pub(crate) fn measure(settings: &Settings, output: &Output) {
    let keys = workload::keys(settings.keys);
    let hits: Vec<usize> = workload::picks(&(0..keys.len()).collect::<Vec<_>>(), keys.len(), 31);
    let values = Values::new();
    let mut rounds = Rounds::new("store operators", settings);
    for (name, count) in [(LAMINAR, OPERATORS), (ONE_OPERATOR, 1)] {
        let (keys, hits, values) = (&keys, &hits, &values);
        rounds.add(name, move || run(count, keys, hits, values));
    }
    output.rows(rounds.run(), settings.keys);
}

fn run(operators: usize, keys: &[Key], hits: &[usize], values: &Values) -> Vec<Figure> {
    let dir = directory::scratch();
    let (mut store, _) = WalStateStore::open(dir.path(), loaded::options()).expect("a store can be made");
    let name = |number: usize| format!("operator {number}");
    let ids: Vec<OperatorId> =
        (0..operators).map(|number| store.operator_id(&name(number)).expect("there is room")).collect();
    let id = |index: usize| *ids.get(index % ids.len()).expect("an index below their number");
    let key = |index: usize| keys.get(index).expect("an index below their number");
    let indices: Vec<usize> = (0..keys.len()).collect();
    let put = time::rate(&indices, |&index| {
        let mut operator = store.operator_by_id(id(index)).expect("it is there");
        operator.put(key(index), values.of(key(index), 0)).expect("there is room");
        if index % 1_000 == 999 {
            drop(store.commit().expect("there is space"));
        }
    });
    let get = time::rate(hits, |&index| {
        let operator = store.operator_by_id(id(index)).expect("it is there");
        operator.get(key(index)).expect("the store is whole").map(read).expect("it was put")
    });
    vec![(PUT_OPERATORS, "ops/s", put).into(), (GET_OPERATORS, "ops/s", get).into()]
}
