//! A row of the table: what was measured, beside its floor, and whether its bound is met.

use serde_json::{Value, json};

/// What a figure is bound to.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// So many times its floor at most.
    Times(f64),
    /// So much at most.
    AtMost(f64),
    /// So much at least.
    AtLeast(f64),
    /// Nothing: it is told.
    Told,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// `ns`, `µs`, `ms`, `MB`, `B`, `%`, `/s`, or what is counted.
    pub unit: &'static str,
    /// What it came to.
    pub value: f64,
    /// What it cannot be less than, on this machine.
    pub floor: Option<f64>,
    /// What it is bound to.
    pub bound: Bound,
    /// What else has to be known of it; empty: nothing.
    pub note: String,
}

impl Row {
    /// A figure that is told.
    pub fn new(what: impl Into<String>, unit: &'static str, value: f64) -> Row {
        Row { what: what.into(), unit, value, floor: None, bound: Bound::Told, note: String::new() }
    }

    /// The same beside its floor.
    pub fn beside(self, floor: f64) -> Row {
        Row { floor: Some(floor), ..self }
    }

    /// The same with a bound.
    pub fn bound(self, bound: Bound) -> Row {
        Row { bound, ..self }
    }

    /// The same with a note.
    pub fn note(self, note: impl Into<String>) -> Row {
        Row { note: note.into(), ..self }
    }

    fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.value / floor)
    }

    /// Whether its bound is met; none has always been.
    pub fn is_met(&self) -> bool {
        match self.bound {
            Bound::Times(times) => self.ratio().is_some_and(|ratio| ratio <= times),
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
            Bound::Told => true,
        }
    }

    /// The heads of the columns.
    pub fn head() -> String {
        format!("{:<64} {:>11} {:>11} {:>8} {:>12}", "", "measured", "floor", "ratio", "bound")
    }

    /// The line of the table, and the note under it.
    pub fn text(&self) -> String {
        let with_unit = |value: f64| format!("{} {}", number(value), self.unit);
        let floor = self.floor.map_or_else(String::new, with_unit);
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2} ×"));
        let bound = match self.bound {
            Bound::Times(times) => format!("≤ {times} ×"),
            Bound::AtMost(most) => format!("≤ {}", with_unit(most)),
            Bound::AtLeast(least) => format!("≥ {}", with_unit(least)),
            Bound::Told => String::new(),
        };
        let verdict = match self.bound {
            Bound::Told => "told",
            _ if self.is_met() => "met",
            _ => "MISSED",
        };
        let note = if self.note.is_empty() { String::new() } else { format!("\n    {}", self.note) };
        let value = with_unit(self.value);
        format!("{:<64} {value:>11} {floor:>11} {ratio:>8} {bound:>12}  {verdict}{note}", self.what)
    }

    /// The row for programs.
    pub fn json(&self) -> Value {
        let of = |is: fn(Bound) -> Option<f64>| is(self.bound);
        json!({
            "what": self.what, "unit": self.unit, "value": self.value, "floor": self.floor, "ratio": self.ratio(),
            "at_most_times_the_floor": of(|bound| if let Bound::Times(n) = bound { Some(n) } else { None }),
            "at_most": of(|bound| if let Bound::AtMost(n) = bound { Some(n) } else { None }),
            "at_least": of(|bound| if let Bound::AtLeast(n) = bound { Some(n) } else { None }),
            "met": (!matches!(self.bound, Bound::Told)).then_some(self.is_met()), "note": self.note,
        })
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_met_by_its_ratio_or_by_its_value() {
        let row = |value| Row::new("x", "ns", value);
        assert!(row(20.0).beside(10.0).bound(Bound::Times(2.0)).is_met());
        assert!(!row(21.0).beside(10.0).bound(Bound::Times(2.0)).is_met());
        assert!(!row(1.0).bound(Bound::Times(2.0)).is_met(), "nothing to compare it with");
        for (value, at_most, at_least) in [(3.0, true, true), (3.1, false, true), (2.9, true, false)] {
            assert_eq!(row(value).bound(Bound::AtMost(3.0)).is_met(), at_most);
            assert_eq!(row(value).bound(Bound::AtLeast(3.0)).is_met(), at_least);
        }
        let text = row(21.0).beside(10.0).bound(Bound::Times(2.0)).text();
        assert!(text.contains("21.0 ns") && text.contains("2.10 ×") && text.ends_with("MISSED"), "{text}");
    }

    #[test]
    fn what_is_only_told_is_neither_met_nor_missed() {
        let row = Row::new("x", "MB", 2.5).note("why");
        assert!(row.is_met() && row.json()["met"].is_null() && row.text().ends_with("told\n    why"), "{}", row.text());
    }
}
