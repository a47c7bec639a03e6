//! A measured quantity beside its budget, for people and for programs.

use serde_json::{Value, json};

use super::stats::{median, spread};
use crate::table;

/// What the design allows a figure to be (DESIGN.md §2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Budget {
    /// Nothing is said of it.
    None,
    /// The median is not to be above this.
    AtMost(f64),
    /// The median is not to be below this.
    AtLeast(f64),
    /// Every single value is to be this: a promise, not a cost, so that one exception counts.
    Always(f64),
}

/// One quantity, as often as it was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) values: Vec<f64>,
    pub(super) budget: Budget,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, unit: &'static str, budget: Budget) -> Self {
        Self {
            name: name.into(),
            unit,
            values: Vec::new(),
            budget,
        }
    }

    pub(super) fn with(mut self, values: impl IntoIterator<Item = f64>) -> Self {
        self.values.extend(values);
        self
    }

    /// Whether the budget is kept; `None` if there is no budget. What was not measured, or came
    /// out as no number, does not keep it.
    fn kept(&self) -> Option<bool> {
        let middle = median(&self.values);
        match self.budget {
            Budget::None => None,
            Budget::AtMost(most) => Some(middle.is_some_and(|middle| middle <= most)),
            Budget::AtLeast(least) => Some(middle.is_some_and(|middle| middle >= least)),
            #[expect(clippy::float_cmp, reason = "a promise about whole numbers")]
            Budget::Always(value) => {
                Some(!self.values.is_empty() && self.values.iter().all(|found| *found == value))
            }
        }
    }

    fn verdict(&self) -> &'static str {
        match self.kept() {
            None => "",
            Some(true) => "ok",
            Some(false) if self.values.is_empty() => "NOT MEASURED",
            Some(false) => "OVER",
        }
    }

    fn row(&self) -> [String; 6] {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), plain);
        let range = spread(&self.values);
        [
            self.name.clone(),
            self.unit.to_owned(),
            shown(median(&self.values)),
            match range {
                Some((low, high)) if self.values.len() > 1 => {
                    format!("{} .. {}", plain(low), plain(high))
                }
                _ => String::new(),
            },
            match self.budget {
                Budget::None => String::new(),
                Budget::AtMost(most) => format!("<= {}", plain(most)),
                Budget::AtLeast(least) => format!(">= {}", plain(least)),
                Budget::Always(value) => format!("= {}", plain(value)),
            },
            self.verdict().to_owned(),
        ]
    }

    fn to_json(&self) -> Value {
        let range = spread(&self.values);
        json!({
            "name": self.name,
            "unit": self.unit,
            "median": median(&self.values),
            "least": range.map(|(low, _)| low),
            "greatest": range.map(|(_, high)| high),
            "values": self.values,
            "budget": match self.budget {
                Budget::None => Value::Null,
                Budget::AtMost(value) => json!({ "at_most": value }),
                Budget::AtLeast(value) => json!({ "at_least": value }),
                Budget::Always(value) => json!({ "always": value }),
            },
            "ok": self.kept(),
        })
    }
}

/// The figures as a table for the terminal.
pub(super) fn table(figures: &[Figure]) -> String {
    let rows: Vec<_> = figures.iter().map(Figure::row).collect();
    table::render(
        ["measured", "unit", "median", "spread", "budget", ""],
        &rows,
    )
}

/// The figures as JSON, under `figures`.
pub(super) fn to_json(figures: &[Figure]) -> Value {
    figures.iter().map(Figure::to_json).collect()
}

/// Three significant digits, as many places as they need, and all digits of a whole number.
pub(super) fn plain(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 || size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.3}")
    } else {
        format!("{value:.5}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(budget: Budget, values: &[f64]) -> Figure {
        Figure::new("cost", "ns", budget).with(values.iter().copied())
    }

    #[test]
    fn the_median_is_what_a_budget_is_held_against() {
        let kept = |budget, values: &[f64]| figure(budget, values).kept();
        assert_eq!(kept(Budget::None, &[1.0]), None);
        assert_eq!(kept(Budget::AtMost(60.0), &[10.0, 60.0, 900.0]), Some(true));
        assert_eq!(
            kept(Budget::AtMost(60.0), &[10.0, 60.1, 900.0]),
            Some(false)
        );
        assert_eq!(kept(Budget::AtLeast(0.95), &[0.5, 0.95, 1.0]), Some(true));
        assert_eq!(kept(Budget::AtLeast(0.95), &[0.5, 0.94, 1.0]), Some(false));
    }

    #[test]
    fn a_promise_is_broken_by_one_exception() {
        assert_eq!(
            figure(Budget::Always(0.0), &[0.0, 0.0, 0.0]).kept(),
            Some(true)
        );
        assert_eq!(
            figure(Budget::Always(0.0), &[0.0, 1.0, 0.0]).kept(),
            Some(false)
        );
    }

    #[test]
    fn what_was_not_measured_keeps_no_budget() {
        for budget in [
            Budget::AtMost(1.0),
            Budget::AtLeast(1.0),
            Budget::Always(0.0),
        ] {
            let nothing = figure(budget, &[]);
            assert_eq!(nothing.kept(), Some(false));
            assert_eq!(nothing.verdict(), "NOT MEASURED");
            assert_eq!(figure(budget, &[f64::NAN]).kept(), Some(false));
        }
    }

    #[test]
    fn a_row_has_median_spread_budget_and_verdict() {
        assert_eq!(
            figure(Budget::AtMost(60.0), &[31.25, 75.5, 80.0]).row(),
            ["cost", "ns", "75.5", "31.2 .. 80", "<= 60", "OVER"]
        );
        assert_eq!(
            figure(Budget::None, &[4.0]).row(),
            ["cost", "ns", "4", "", "", ""]
        );
    }

    #[test]
    fn numbers_keep_the_digits_that_matter() {
        let shown = [
            1_234_567.0,
            612.4,
            31.27,
            1.5,
            0.951_23,
            0.000_42,
            0.0,
            -3.0,
        ]
        .map(plain);
        assert_eq!(
            shown,
            [
                "1234567", "612", "31.3", "1.500", "0.951", "0.00042", "0", "-3"
            ]
        );
    }

    #[test]
    fn json_has_every_value() {
        assert_eq!(
            to_json(&[figure(Budget::AtLeast(2.0), &[3.0, 1.0])]),
            json!([{
                "name": "cost", "unit": "ns", "median": 2.0, "least": 1.0, "greatest": 3.0,
                "values": [3.0, 1.0], "budget": { "at_least": 2.0 }, "ok": true,
            }])
        );
    }
}
