//! A plot as SVG: curves over one axis, readable on light and on dark paper.
//!
//! By hand, since all it takes is a few lines and words: axes logarithmic where the values spread widely (time never is), ticks at
//! round numbers, a legend.

use std::fmt::Write;

use super::kept::Series;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
/// Where the curves are: from left, top, right and bottom edge.
const MARGINS: [f64; 4] = [78.0, 34.0, 150.0, 48.0];
/// Distinguishable to most eyes, on light and dark.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933"];
/// A scale is logarithmic when its largest value is so many times its smallest.
const SPREAD: f64 = 20.0;
/// What an axis of time is called: seconds that went by.
const TIME: &str = "s";
/// Points of a curve up to which each has a dot.
const DOTS: usize = 60;
/// About so many ticks on a linear scale.
const TICKS: f64 = 5.0;

/// The plot of curves that share their axes. Nothing to draw: no plot.
pub fn svg(curves: &[&Series]) -> Option<String> {
    let points = || curves.iter().flat_map(|curve| curve.points.iter());
    let [left, top, right, bottom] = MARGINS;
    let first = curves.first()?;
    let x = Scale::new(points().map(|p| p.0), left, WIDTH - right, false)?;
    let x = if first.x == TIME { Scale { logarithmic: false, ..x } } else { x };
    let y = Scale::new(points().map(|p| p.1), HEIGHT - bottom, top, true)?;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\">\n"
    );
    let _ = writeln!(svg, "<title>{}</title>", escaped(&first.plot));
    text(&mut svg, left, 18.0, "start", &format!("{} [{}]", first.plot, first.y));
    text(&mut svg, (left + WIDTH - right) / 2.0, HEIGHT - 10.0, "middle", &first.x);
    for tick in x.ticks() {
        let at = x.at(tick);
        line(&mut svg, [at, top, at, HEIGHT - bottom], "#8884");
        text(&mut svg, at, HEIGHT - bottom + 18.0, "middle", &number(tick));
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        line(&mut svg, [left, at, WIDTH - right, at], "#8884");
        text(&mut svg, left - 8.0, at + 4.0, "end", &number(tick));
    }
    for (k, (curve, colour)) in curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
        draw(&mut svg, curve, colour, &x, &y);
        let at = top + 8.0 + 18.0 * k as f64;
        let beside = WIDTH - right + 12.0;
        line(&mut svg, [beside, at, beside + 18.0, at], colour);
        text(&mut svg, beside + 24.0, at + 4.0, "start", &curve.name);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn draw(svg: &mut String, curve: &Series, colour: &str, x: &Scale, y: &Scale) {
    let places = curve.points.iter().map(|(px, py)| (x.at(*px), y.at(*py)));
    let path: Vec<String> = places.clone().map(|(px, py)| format!("{px:.1},{py:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
    for (px, py) in places.filter(|_| curve.points.len() <= DOTS) {
        let _ = writeln!(svg, "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4], colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(words));
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// From values to places on the paper.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    /// For these values, between two places. `from_zero`: a linear scale begins there.
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64, from_zero: bool) -> Option<Scale> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        let logarithmic = low > 0.0 && high / low >= SPREAD;
        if !logarithmic {
            low = if from_zero { low.min(0.0) } else { low };
            // One value only, or all of them zero: somewhere it has to be.
            high = if high > low { high } else { low + 1.0 };
        }
        Some(Scale { low, high, from, to, logarithmic })
    }

    fn at(&self, value: f64) -> f64 {
        let share = match self.logarithmic {
            true => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        self.from + (self.to - self.from) * share
    }

    /// Round numbers within.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
            let steps = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(power)));
            return steps.filter(|tick| (self.low..=self.high).contains(tick)).collect();
        }
        let rough = (self.high - self.low) / TICKS;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * power);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// Short: 1500 is 1.5k.
pub fn number(value: f64) -> String {
    let short = |value: f64| {
        let rounded = (value * 1000.0).round() / 1000.0;
        format!("{rounded}")
    };
    match value.abs() {
        n if n >= 1e6 => format!("{}M", short(value / 1e6)),
        n if n >= 1e4 => format!("{}k", short(value / 1e3)),
        _ => short(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, points: &[(f64, f64)]) -> Series {
        let text = |text: &str| text.to_owned();
        Series {
            plot: text("a < b"),
            name: text(name),
            x: text("minions"),
            y: text("ms"),
            points: points.to_vec(),
        }
    }

    #[test]
    fn every_curve_is_drawn_within_the_paper() {
        let curves = [
            curve("one", &[(500.0, 20.0), (20_000.0, 900.0)]),
            curve("two", &[(500.0, 0.0), (5_000.0, 7.0)]),
        ];
        let svg = svg(&curves.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (2, 4), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains(">two<") && svg.contains(">5000<"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        for place in svg.split("cx=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!((0.0..=WIDTH).contains(&place.parse().unwrap()), "{place}");
        }
    }

    #[test]
    fn time_goes_by_evenly_and_many_points_are_a_line() {
        let points: Vec<(f64, f64)> = (0..=100u32).map(|s| (f64::from(s) + 0.01, 1.0)).collect();
        let seconds = Series { x: TIME.into(), ..curve("memory", &points) };
        let svg = svg(&[&seconds]).unwrap();
        assert!(svg.contains(">40<") && !svg.contains(">0.02<"), "{svg}");
        assert!(!svg.contains("<circle"), "{svg}");
    }

    #[test]
    fn nothing_gives_no_plot_and_one_point_gives_one() {
        assert!(svg(&[]).is_none());
        assert!(svg(&[&curve("none", &[])]).is_none());
        assert!(svg(&[&curve("one", &[(8.0, 0.0)])]).unwrap().contains("<circle"));
    }

    #[test]
    fn ticks_are_round_and_within() {
        let scale = |values: &[f64]| Scale::new(values.iter().copied(), 0.0, 1.0, true).unwrap();
        assert_eq!(scale(&[3.0, 96.0]).ticks(), [5.0, 10.0, 20.0, 50.0]);
        assert_eq!(scale(&[60.0, 96.0]).ticks(), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(
            [number(0.25), number(9_999.0), number(20_000.0), number(1.5e6)],
            ["0.25", "9999", "20k", "1.5M"]
        );
    }
}
