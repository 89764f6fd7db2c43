//! What was measured, drawn: how late failures are told beside a bare timed wait, and costs against the number of servers.

use anyhow::{Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::plugin::Info;

const SIZE: (u32, u32) = (1240, 560);
/// On both a light page and a dark one the picture brings its own paper.
const PAPER: RGBColor = RGBColor(250, 250, 248);
const INK: RGBColor = RGBColor(40, 40, 44);
const FAINT: RGBColor = RGBColor(222, 222, 218);
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 98, 155), RGBColor(214, 96, 0), RGBColor(92, 158, 204), RGBColor(240, 168, 104)];
const FONT: &str = "sans-serif";

/// What is drawn.
#[derive(Debug, Default)]
pub struct Picture {
    /// By how much failures were told late, in ms.
    pub lateness: Vec<(&'static str, Vec<f64>)>,
    costs: Vec<(&'static str, Vec<(f64, f64)>)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Picture {
    /// With so many servers, this took so many ns.
    pub fn cost(&mut self, what: &'static str, servers: usize, ns: f64) {
        let point = (servers as f64, ns);
        match self.costs.iter_mut().find(|(name, _)| *name == what) {
            Some((_, points)) => points.push(point),
            None => self.costs.push((what, vec![point])),
        }
    }

    /// The drawing.
    pub fn svg(&self, plugin: &Info) -> Result<String> {
        ensure!(!self.lateness.is_empty() || !self.costs.is_empty(), "nothing was measured that can be drawn");
        let mut text = String::new();
        self.draw(&mut text, plugin).map_err(|error| anyhow!("cannot draw: {error}"))?;
        Ok(text)
    }

    fn draw(&self, text: &mut String, plugin: &Info) -> Result<(), Box<dyn std::error::Error>> {
        let whole = SVGBackend::with_string(text, SIZE).into_drawing_area();
        whole.fill(&PAPER)?;
        let (top, rest) = whole.split_vertically(40);
        let title = format!("{plugin}, measured by host-sim bench");
        top.draw(&Text::new(title, (24, 14), (FONT, 17).into_font().color(&INK)))?;
        match (self.lateness.is_empty(), self.costs.is_empty()) {
            (false, false) => {
                let (left, right) = rest.split_horizontally(SIZE.0 / 2);
                self.draw_lateness(&left)?;
                self.draw_costs(&right)?;
            }
            (false, true) => self.draw_lateness(&rest)?,
            _ => self.draw_costs(&rest)?,
        }
        whole.present()?;
        Ok(())
    }

    /// The share of failures that were told so soon after their deadline.
    fn draw_lateness(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let all = self.lateness.iter().flat_map(|(_, samples)| samples.iter().copied());
        let (least, most) = range(all);
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .margin_right(28)
            .caption("How late a failure is told", (FONT, 20).into_font().color(&INK))
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d((least..most).log_scale(), 0.0..100.0)?;
        chart
            .configure_mesh()
            .light_line_style(PAPER)
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style((FONT, 14).into_font().color(&INK))
            .x_desc("after the deadline")
            .y_desc("told by then")
            .x_label_formatter(&|ms| time(ms * 1e6))
            .y_label_formatter(&|share| format!("{share:.0} %"))
            .draw()?;
        for ((name, samples), colour) in self.lateness.iter().zip(COLOURS) {
            let mut samples = samples.clone();
            samples.sort_by(f64::total_cmp);
            let count = samples.len() as f64;
            let line = samples.iter().zip(1..).map(|(ms, n)| (ms.max(least), f64::from(n) / count * 100.0));
            let style = colour.stroke_width(2);
            chart.draw_series(LineSeries::new(line, style))?.label(*name).legend(key(colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(PAPER)
            .border_style(FAINT)
            .label_font((FONT, 14).into_font().color(&INK))
            .draw()?;
        Ok(())
    }

    /// What each thing takes with ever more servers.
    fn draw_costs(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.costs.iter().flat_map(|(_, points)| points.iter().copied());
        let ((fewest, most), (least, dearest)) = (range(points().map(|p| p.0)), range(points().map(|p| p.1)));
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .margin_right(28)
            .caption("Cost against the number of servers", (FONT, 20).into_font().color(&INK))
            .x_label_area_size(44)
            .y_label_area_size(68)
            .build_cartesian_2d((fewest..most).log_scale(), (least..dearest * 10.0).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(PAPER)
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style((FONT, 14).into_font().color(&INK))
            .x_desc("servers")
            .x_label_formatter(&|servers| grouped(*servers))
            .y_label_formatter(&|ns| time(*ns))
            .draw()?;
        for ((name, points), colour) in self.costs.iter().zip(COLOURS) {
            let style = colour.stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?.label(*name).legend(key(colour));
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(PAPER)
            .border_style(FAINT)
            .label_font((FONT, 14).into_font().color(&INK))
            .draw()?;
        Ok(())
    }
}

fn key(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(3))
}

/// Whole powers of ten around them.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut least, mut most) = (f64::MAX, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        (least, most) = (least.min(value), most.max(value));
    }
    if most == 0.0 {
        return (1.0, 10.0);
    }
    let (below, above) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
    (below, if above > below { above } else { below * 10.0 })
}

/// A time in the unit that suits it.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 999.0 => (ns, "ns"),
        ns if ns < 0.999e6 => (ns / 1e3, "µs"),
        ns if ns < 0.999e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", (value * 100.0).round() / 100.0)
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_whole_powers_of_ten_and_labels_are_for_people() {
        assert_eq!(range([0.03, 4.0].into_iter()), (0.01, 10.0));
        assert_eq!((range(std::iter::empty()), range([1.0].into_iter())), ((1.0, 10.0), (1.0, 10.0)));
        assert_eq!([35.0, 1e4, 2.5e6, 3e9].map(time), ["35 ns", "10 µs", "2.5 ms", "3 s"]);
        assert_eq!([1.0, 1e3, 1e6].map(grouped), ["1", "1,000", "1,000,000"]);
    }

    #[test]
    fn a_line_for_each_series_is_drawn_and_nothing_measured_is_no_picture() {
        let info = Info {
            id: "x".into(),
            name: "x".into(),
            version: "1".into(),
            build: "release".into(),
            config_schema: 1,
            status_schema: 1,
        };
        let mut picture = Picture::default();
        assert!(picture.svg(&info).is_err());
        picture.lateness = vec![("plugin", vec![0.1, 0.2]), ("bare", vec![0.09, 0.3])];
        picture.cost("notify", 10, 30.0);
        picture.cost("notify", 100, 31.0);
        let svg = picture.svg(&info).unwrap();
        for word in ["<svg", "plugin", "bare", "notify", "How late"] {
            assert!(svg.contains(word), "{word}");
        }
    }
}
