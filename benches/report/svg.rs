//! Drawings: lines with two axes, and bars.

use std::fmt::Write as _;

use laminar_benches::names::{BTREEMAP, HASHBROWN, LAMINAR, PLOT_LATENCY, PLOT_WRITER, PLOT_WRITER_PEERS};

use laminar_benches::{Series, quantity};

use crate::html::escaped;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 46.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 24.0;

const COLOURS: [&str; 8] = ["#0b6bcb", "#d9822b", "#6b4fbb", "#2a9d5c", "#c0392b", "#7f8c8d", "#b5851b", "#17a2a2"];

/// How values lie on an axis.
#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Logarithmic,
    /// Percentiles: each nine takes the same room.
    Nines,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(1e-9).log10(),
            Self::Nines => -(1.0 - value / 100.0).max(1e-5).log10(),
        }
    }

    /// Values with a label between two places.
    fn ticks(self, low: f64, high: f64) -> Vec<f64> {
        match self {
            Self::Linear => {
                let step = round_step((high - low) / 5.0);
                let first = (low / step).ceil() * step;
                (0..).map(|tick| first + f64::from(tick) * step).take_while(|at| *at <= high + step * 1e-6).collect()
            }
            Self::Logarithmic => {
                let decades = |from: f64, to: f64| {
                    std::iter::successors(Some(from.ceil()), |place| Some(place + 1.0))
                        .take_while(move |place| *place <= to)
                };
                let ticks: Vec<f64> = decades(low, high).map(|place| 10f64.powf(place)).collect();
                if ticks.len() >= 2 { ticks } else { vec![10f64.powf(low), 10f64.powf(high)] }
            }
            Self::Nines => vec![10.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0],
        }
    }
}

/// A step of one, two or five times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= least * 0.999).unwrap_or(power)
}

struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let places = values.map(|value| scale.place(value));
        let (low, high) = places.fold((f64::MAX, f64::MIN), |(low, high), place| (low.min(place), high.max(place)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let low = if scale == Scale::Linear { low.min(0.0) } else { low };
        Self { scale, low, high: if high - low < 1e-9 { low + 1.0 } else { high } }
    }

    /// From 0 at the low end to 1 at the high one.
    fn share(&self, value: f64) -> f64 {
        ((self.scale.place(value) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// Lines of one plot; stretches that are marked lie behind them.
pub(crate) fn lines(series: &[Series]) -> String {
    let Some(first) = series.first() else { return String::new() };
    let points = || series.iter().flat_map(|series| series.points.iter().copied());
    let x_scale = match (first.plot.as_str(), first.x.as_str()) {
        (PLOT_LATENCY, _) => Scale::Nines,
        (_, "keys") => Scale::Logarithmic,
        _ => Scale::Linear,
    };
    let (lowest, highest) = points().fold((f64::MAX, 0.0), |(low, high), (_, y)| (y.min(low), y.max(high)));
    let is_of_time = [PLOT_WRITER, PLOT_WRITER_PEERS].contains(&first.plot.as_str());
    let is_wide = lowest > 0.0 && highest / lowest > 20.0;
    let y_scale = if is_wide || is_of_time { Scale::Logarithmic } else { Scale::Linear };
    let x_axis = Axis::new(x_scale, points().map(|point| point.0));
    // The same for every store, so that drawings side by side can be compared.
    let of_time = if is_of_time { [1e3, 1e9].as_slice() } else { &[] };
    let y_axis = Axis::new(y_scale, points().map(|point| point.1).chain(of_time.iter().copied()));
    let x = |value: f64| LEFT + x_axis.share(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - y_axis.share(value) * (HEIGHT - BOTTOM - TOP);
    let mut drawing = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\">");
    let mut draw = |part: String| drawing.push_str(&part);
    for (from, to) in series.iter().flat_map(|series| &series.marks) {
        let (left, width) = (x(*from), (x(*to) - x(*from)).max(1.0));
        let height = HEIGHT - BOTTOM - TOP;
        draw(format!("<rect x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\" fill=\"#8883\"/>"));
    }
    for value in x_axis.scale.ticks(x_axis.low, x_axis.high) {
        let (at, below) = (x(value), HEIGHT - BOTTOM + 16.0);
        draw(format!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", tick(value, x_scale)));
    }
    for value in y_axis.scale.ticks(y_axis.low, y_axis.high) {
        let (at, right) = (y(value), WIDTH - RIGHT);
        draw(format!("<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#8883\"/>"));
        let text = if first.y.starts_with("ns") { quantity::with_unit(value, "ns") } else { quantity::short(value) };
        draw(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, at + 4.0));
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let axes = escaped(&format!("{} / {}", first.y, first.x));
    draw(format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{axes}</text>", HEIGHT - 8.0));
    let mut legend = LEFT;
    for (index, series) in series.iter().enumerate() {
        let colour = colour(index);
        if is_of_time {
            // A needle for each slot: where none stands, nothing was measured.
            for (px, py) in &series.points {
                let (at, bottom) = (x(*px), HEIGHT - BOTTOM);
                let top = y(*py);
                draw(format!("<path d=\"M{at:.1} {bottom}V{top:.1}\" stroke=\"{colour}\"/>"));
            }
        } else {
            let points: Vec<String> =
                series.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
            draw(format!(
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"/>",
                points.join(" ")
            ));
        }
        if series.points.len() < 12 {
            for (px, py) in &series.points {
                draw(format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(*px), y(*py)));
            }
        }
        let name = escaped(&series.store);
        draw(format!(
            "<rect x=\"{legend:.0}\" y=\"8\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"17\">{name}</text>",
            legend + 14.0
        ));
        legend += 30.0 + 6.6 * series.store.chars().count() as f64;
    }
    drawing + "</svg>"
}

fn tick(value: f64, scale: Scale) -> String {
    if scale == Scale::Nines { format!("{value}") } else { quantity::short((value * 100.0).round() / 100.0) }
}

/// A bar for each name; ours stands out.
pub(crate) fn bars(values: &[(String, f64, String)]) -> String {
    const LINE: f64 = 22.0;
    const BAR_LEFT: f64 = 90.0;
    let height = LINE * values.len() as f64 + 4.0;
    let (width, room) = (390.0, 200.0);
    let highest = values.iter().map(|(_, value, _)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut drawing = format!("<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\">");
    for (index, (name, value, label)) in values.iter().enumerate() {
        let top = LINE * index as f64 + 2.0;
        let (length, base) = ((value / highest * room).max(1.0), top + 14.0);
        let colour = match name.as_str() {
            LAMINAR => colour(0),
            HASHBROWN | BTREEMAP => "#8886",
            _ => "#888",
        };
        write!(
            drawing,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{BAR_LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"18\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{}</text>",
            BAR_LEFT - 6.0,
            escaped(name),
            BAR_LEFT + length + 6.0,
            escaped(label)
        )
        .expect("a string takes everything");
    }
    drawing + "</svg>"
}

/// A bar for each bench, from 1 to the right where we are ahead and to the left where we are behind; tenfold takes the same room both ways.
pub(crate) fn ratios(values: &[(String, f64)]) -> String {
    const LINE: f64 = 19.0;
    const NAMES: f64 = 215.0;
    let (width, room) = (640.0, 640.0 - NAMES - 60.0);
    let places = || values.iter().map(|(_, ratio)| ratio.max(1e-3).log10());
    let (low, high) = (places().fold(-0.35, f64::min), places().fold(0.5, f64::max));
    let x = |ratio: f64| NAMES + 40.0 + (ratio.max(1e-3).log10() - low) / (high - low) * (room - 40.0);
    let (height, one) = (LINE * values.len() as f64 + 24.0, x(1.0));
    let mut drawing = format!("<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\">");
    for tick in
        [0.1, 0.5, 2.0, 5.0, 10.0, 50.0, 100.0].into_iter().filter(|tick: &f64| (low..=high).contains(&tick.log10()))
    {
        let (at, bottom) = (x(tick), height - 20.0);
        write!(
            drawing,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{bottom}\" stroke=\"#8883\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            height - 6.0
        )
        .expect("a string takes everything");
    }
    for (index, (name, ratio)) in values.iter().enumerate() {
        let top = LINE * index as f64 + 2.0;
        let (base, end) = (top + 12.5, x(*ratio));
        let (left, length) = (one.min(end), (one - end).abs().max(1.0));
        let (fill, label, anchor) =
            if *ratio >= 1.0 { ("#2a9d5c", end + 4.0, "start") } else { ("#d64531", end - 4.0, "end") };
        write!(
            drawing,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{left:.1}\" y=\"{top}\" width=\"{length:.1}\" height=\"15\" fill=\"{fill}\"/>\
             <text x=\"{label:.1}\" y=\"{base}\" text-anchor=\"{anchor}\">{}</text>",
            NAMES - 6.0,
            escaped(name),
            quantity::ratio(*ratio)
        )
        .expect("a string takes everything");
    }
    write!(
        drawing,
        "<line x1=\"{one:.1}\" x2=\"{one:.1}\" y1=\"0\" y2=\"{}\" stroke=\"currentColor\"/>",
        height - 20.0
    )
    .expect("a string takes everything");
    drawing + "</svg>"
}

fn colour(index: usize) -> &'static str {
    COLOURS.get(index % COLOURS.len()).copied().unwrap_or("#888")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_on_the_drawing() {
        let series = Series {
            plot: "test".to_owned(),
            store: LAMINAR.to_owned(),
            keys: 0,
            x: "keys".to_owned(),
            y: "ms".to_owned(),
            points: vec![(1e5, 1.0), (1e6, 100.0), (1e7, 1000.0)],
            marks: vec![(1e5, 1e6)],
        };
        let drawing = lines(&[series]);
        assert!(drawing.contains("points=\"70.0,274.0 303.0,"), "{drawing}");
        assert!(drawing.contains("536.0,30.0\""), "{drawing}");
        assert!(drawing.contains("<rect") && drawing.contains("1 M"));
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::Linear.ticks(0.0, 4.1), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Scale::Linear.ticks(0.0, 30e6).last(), Some(&30e6));
        assert_eq!(round_step(0.13), 0.2);
    }

    #[test]
    fn the_longest_bar_fills_the_room() {
        let drawing = bars(&[(LAMINAR.to_owned(), 10.0, "10".to_owned()), ("other".to_owned(), 5.0, "5".to_owned())]);
        assert!(drawing.contains("width=\"200.0\"") && drawing.contains("width=\"100.0\""));
    }
}
